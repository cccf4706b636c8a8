"""The one error that a user can act on: a stable code, what happened and where, and what to do next."""

from enum import StrEnum
from typing import Self


class ExplainedCode(StrEnum):
    """A stable code with its meaning, one sentence."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Return the member with its value and attributes."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class ErrorCode(ExplainedCode):
    """What kind of failure an error is. Codes are stable; messages are free text and may change at any time."""

    # Recipe, decisions and dataset
    COUNT_SHORT = "count-short", "A class has fewer images than the recipe asks for."
    DATASET_EXISTS = "dataset-exists", "The dataset has a recipe already."
    DATASET_MISSING = "dataset-missing", "There is no such dataset."
    DECISION_INVALID = "decision-invalid", "A decision lacks something or contradicts itself."
    DISPUTED_IMAGES = "disputed-images", "Images have several labels, and `conflicts.policy` is `error`."
    DUPLICATE_PATH = "duplicate-path", "Two files of one source have the same path."
    GROUP_SPANS_SPLITS = "group-spans-splits", "A group joins images that were in test and in val before."
    LABEL_UNKNOWN = "label-unknown", "The recipe does not define the label."
    LEDGER_INVALID = "ledger-invalid", "`decisions.jsonl` or a table of decisions has invalid lines."
    METADATA_INVALID = "metadata-invalid", "The metadata table of a source does not fit the recipe or the images."
    NAME_INVALID = "name-invalid", "A dataset, source, label or group cannot have this name."
    NO_FILES = "no-files", "The sources have no files."
    NO_LABELS = "no-labels", "No image has a label."
    PATTERN_UNMATCHED = "pattern-unmatched", "A source's pattern matches none of its paths."
    RECIPE_INVALID = "recipe-invalid", "`recipe.toml` has mistakes; all of them are listed."
    SPLIT_UNKNOWN = "split-unknown", "A source names a split that is not train, val or test."

    # Sources and archives
    ARCHIVE_DAMAGED = "archive-damaged", "An archive cannot be read to its end."
    ARCHIVE_REFUSED = "archive-refused", "An archive exceeds a limit."
    ARCHIVE_UNSUPPORTED = "archive-unsupported", "An archive is of a kind that is not read."
    CREDENTIALS_MISSING = "credentials-missing", "The server asks for credentials."
    DOWNLOAD_DAMAGED = "download-damaged", "The downloaded file differs from the announced one."
    LAYOUT_AMBIGUOUS = "layout-ambiguous", "Several folders or columns could be the labels."
    LAYOUT_UNKNOWN = "layout-unknown", "The files of a folder have no known layout."
    LOCK_FILE_INVALID = "lock-file-invalid", "`lock.json` is not valid."
    MIRROR_INCOMPLETE = "mirror-incomplete", "The mirror lacks something or is ambiguous."
    NETWORK_FAILED = "network-failed", "The server did not answer, or refused."
    OFFLINE = "offline", "The network is needed and --offline forbids it."
    SOURCE_CHANGED = "source-changed", "The source is not what lock.json recorded."
    SOURCE_INVALID = "source-invalid", "A source's own files contradict themselves."
    SOURCE_MISSING = "source-missing", "A path of a source does not exist."
    SOURCE_UNKNOWN = "source-unknown", "There is no such kind of source."

    # Files and disks
    DISK_FULL = "disk-full", "No space or quota is left."
    DISK_READ_ONLY = "disk-read-only", "The file system is read-only."
    FILE_MISSING = "file-missing", "A file that is needed does not exist."
    FILE_UNREADABLE = "file-unreadable", "A file cannot be read, or is not of the expected kind."
    LOCKS_UNSUPPORTED = "locks-unsupported", "The file system has no file locks."
    PERMISSION_DENIED = "permission-denied", "The operating system forbids it."
    TARGET_EXISTS = "target-exists", "The place to write to is taken; nothing is overwritten."
    URL_FAILED = "url-failed", "A remote store refused or does not answer."

    # Versions
    DRAFT_MISSING = "draft-missing", "There is no draft."
    IMAGE_AMBIGUOUS = "image-ambiguous", "Several different files have this name."
    IMAGE_MISSING = "image-missing", "No row of the manifest has this name."
    IMAGE_UNREADABLE = "image-unreadable", "An image cannot be decoded or rendered."
    ORIGINALS_MISSING = "originals-missing", "The archives that a version was made from were not found."
    REFERENCE_INVALID = "reference-invalid", "The reference is not of the form NAME, NAME@v2 or NAME@digest."
    VERSION_DAMAGED = "version-damaged", "The files of a published version have changed."
    VERSION_INDEX_INVALID = "version-index-invalid", "`versions.jsonl` or `versions/v<n>.csv` is not valid."
    VERSION_MISSING = "version-missing", "There is no such version."
    VERSION_NOT_BUILT = "version-not-built", "The version is published but its files are not on this machine."
    VERSION_WITHDRAWN = "version-withdrawn", "The version was withdrawn, because images of it were forgotten."

    # Machines and extras
    CLUSTER_FAILED = "cluster-failed", "The cluster cannot be reached, or could not finish."
    CLUSTER_MISMATCH = "cluster-mismatch", "A machine of the cluster has other versions or another view of the disk."
    EXTRA_MISSING = "extra-missing", "An optional dependency is not installed."
    WORKER_KILLED = "worker-killed", "A worker process was ended from outside."

    # Exports
    FORMAT_UNKNOWN = "format-unknown", "There is no such export format."

    # Review
    APP_FAILED = "app-failed", "The App did not start or did not answer."
    APP_PORT_TAKEN = "app-port-taken", "Another program or review uses the port."
    DATABASE_FAILED = "database-failed", "MongoDB is missing, or did not start."
    NOTHING_SELECTED = "nothing-selected", "A decision needs a selected image."
    NOTHING_TO_UNDO = "nothing-to-undo", "The reviewer has no decision here."
    REVIEW_MISSING = "review-missing", "The App shows a dataset that no review opened."

    # Board
    BOARD_FAULT = "board-fault", "The board answered with an error."
    BOARD_GONE = "board-gone", "The board was unplugged or restarts."
    BOARD_SILENT = "board-silent", "The board does not answer."
    CAMERA_MISSING = "camera-missing", "The board's camera gives no image."
    PORT_BUSY = "port-busy", "Another program has the port."
    PORT_MISSING = "port-missing", "There is no such port."
    PROTOCOL_MISMATCH = "protocol-mismatch", "Board and program have different versions of the protocol."
    TRANSFER_DAMAGED = "transfer-damaged", "A message on the serial line arrived damaged, twice."

    # Training and firmware
    BOARD_UNKNOWN = "board-unknown", "There is no such board file, or it is not valid."
    CLASSES_DIFFER = "classes-differ", "A run and a version have different classes."
    DOES_NOT_FIT = "does-not-fit", "The model exceeds the board's memory."
    MODEL_INVALID = "model-invalid", "A model file cannot be read, or is not the run's."
    MODEL_UNSUPPORTED = (
        "model-unsupported",
        "The compiler has no kernel for an operation, or the input is not the camera's.",
    )
    MODEL_UNTRAINED = "model-untrained", "The scores of a model hardly differ."
    OPTION_INVALID = "option-invalid", "An option has no effect here, or its value is out of range."
    RUN_INVALID = "run-invalid", "A training run is damaged or incomplete."
    RUN_MISSING = "run-missing", "There is no such training run."
    SPLIT_EMPTY = "split-empty", "A split, class or fold has no images."
    WEIGHTS_MISSING = "weights-missing", "Pretrained weights are not available."


class CurationError(Exception):
    """Raised where the input, the recipe or the machine is at fault, never for a bug.

    Parameters
    ----------
    code : ErrorCode
        The kind of failure.
    message : str
        What happened and where; may have several lines, one a problem.
    hint : str, optional
        What to do next. Shown on a line of its own.
    """

    def __init__(self, code: ErrorCode, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Keep code and hint when the error crosses a process boundary."""
        return _rebuild, (self.code, self.message, self.hint)


def _rebuild(code: ErrorCode, message: str, hint: str | None) -> CurationError:
    return CurationError(code, message, hint=hint)


def first_line(fault: Exception) -> str:
    r"""Return what a library reports of a fault, without the advice to its caller that follows.

    >>> first_line(ValueError("\nfound more fields than defined\n\nConsider setting 'truncate_ragged_lines=True'."))
    'found more fields than defined'
    """
    lines = (line.strip() for line in str(fault).splitlines())
    return next((line.rstrip(".") for line in lines if line), type(fault).__name__)
