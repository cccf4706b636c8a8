"""The one error that a user can act on: a stable code, what happened and where, and what to do next."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """What kind of failure an error is. Codes are stable; messages are free text and may change at any time."""

    # Recipe, decisions and dataset
    COUNT_SHORT = "count-short"  # a class has fewer images than the recipe asks for
    DATASET_EXISTS = "dataset-exists"  # the recipe to be written exists already
    DATASET_MISSING = "dataset-missing"  # datasets/ has no such dataset
    DECISION_INVALID = "decision-invalid"  # a decision lacks something or contradicts itself
    DISPUTED_IMAGES = "disputed-images"  # images stand under several labels and conflicts.policy is "error"
    DUPLICATE_PATH = "duplicate-path"  # two files of one source have the same path
    LABEL_UNKNOWN = "label-unknown"  # a label that the recipe does not define
    LEDGER_INVALID = "ledger-invalid"  # decisions.jsonl or a table of decisions has broken lines
    METADATA_INVALID = "metadata-invalid"  # the metadata table of a source does not fit the recipe or the images
    NAME_INVALID = "name-invalid"  # a name that a dataset, source, label or group cannot have
    NO_FILES = "no-files"  # the sources have no files
    NO_LABELS = "no-labels"  # no image has a label
    PATTERN_UNMATCHED = "pattern-unmatched"  # a source's pattern matches none of its paths
    RECIPE_INVALID = "recipe-invalid"  # recipe.toml has mistakes; all of them are listed
    SPLIT_UNKNOWN = "split-unknown"  # a source names a split that is not train, val or test

    # Sources and archives
    ARCHIVE_DAMAGED = "archive-damaged"  # an archive cannot be read to its end
    ARCHIVE_REFUSED = "archive-refused"  # an archive exceeds a limit
    CREDENTIALS_MISSING = "credentials-missing"  # the server asks for credentials
    DOWNLOAD_DAMAGED = "download-damaged"  # what arrived is not what was announced
    LAYOUT_UNKNOWN = "layout-unknown"  # the files of a folder have no known layout
    LOCK_FILE_INVALID = "lock-file-invalid"  # lock.json cannot be read
    MIRROR_INCOMPLETE = "mirror-incomplete"  # the mirror lacks something or is ambiguous
    NETWORK_FAILED = "network-failed"  # the server did not answer, or refused
    OFFLINE = "offline"  # the network is needed and --offline forbids it
    SOURCE_CHANGED = "source-changed"  # the source is not what lock.json recorded
    SOURCE_INVALID = "source-invalid"  # a source's own files contradict themselves
    SOURCE_MISSING = "source-missing"  # a path of a source does not exist
    SOURCE_UNKNOWN = "source-unknown"  # there is no such kind of source

    # Files and disks
    DISK_FULL = "disk-full"  # no space or quota is left
    DISK_READ_ONLY = "disk-read-only"  # the file system is read-only
    FILE_MISSING = "file-missing"  # a file that is needed does not exist
    FILE_UNREADABLE = "file-unreadable"  # a file cannot be read, or is not of the expected kind
    LOCKS_UNSUPPORTED = "locks-unsupported"  # the file system has no file locks
    PERMISSION_DENIED = "permission-denied"  # the operating system forbids it
    TARGET_EXISTS = "target-exists"  # the place to write to is taken; nothing is overwritten
    URL_FAILED = "url-failed"  # a remote store refused or does not answer

    # Versions
    DRAFT_MISSING = "draft-missing"  # there is no draft
    IMAGE_AMBIGUOUS = "image-ambiguous"  # several different files have this name
    IMAGE_MISSING = "image-missing"  # no row of the manifest has this name
    IMAGE_UNREADABLE = "image-unreadable"  # an image cannot be decoded or rendered
    ORIGINALS_MISSING = "originals-missing"  # the archives that a version was made from were not found
    REFERENCE_INVALID = "reference-invalid"  # not of the form NAME, NAME@v2 or NAME@digest
    VERSION_DAMAGED = "version-damaged"  # a published version is not as it was published
    VERSION_INDEX_INVALID = "version-index-invalid"  # versions.jsonl or versions/v<n>.csv is not valid
    VERSION_MISSING = "version-missing"  # there is no such version
    VERSION_NOT_BUILT = "version-not-built"  # the version is published but its files are not on this machine

    # Machines and extras
    CLUSTER_FAILED = "cluster-failed"  # the cluster cannot be reached, or could not finish
    CLUSTER_MISMATCH = "cluster-mismatch"  # a machine of the cluster has other versions or another view of the disk
    EXTRA_MISSING = "extra-missing"  # an optional dependency is not installed
    WORKER_KILLED = "worker-killed"  # a worker process was ended from outside

    # Exports
    FORMAT_UNKNOWN = "format-unknown"  # there is no such export format

    # Review
    APP_FAILED = "app-failed"  # the App did not start or did not answer
    APP_PORT_TAKEN = "app-port-taken"  # another program or review uses the port
    DATABASE_FAILED = "database-failed"  # MongoDB is missing, or did not start
    NOTHING_SELECTED = "nothing-selected"  # a decision needs a selected image
    NOTHING_TO_UNDO = "nothing-to-undo"  # the reviewer has no decision here
    REVIEW_MISSING = "review-missing"  # the App shows a dataset that no review opened

    # Board
    BOARD_FAULT = "board-fault"  # the board answered with an error
    BOARD_GONE = "board-gone"  # the board was unplugged or restarts
    BOARD_SILENT = "board-silent"  # the board does not answer
    CAMERA_MISSING = "camera-missing"  # the board's camera gives no image
    PORT_BUSY = "port-busy"  # another program has the port
    PORT_MISSING = "port-missing"  # there is no such port
    PROTOCOL_MISMATCH = "protocol-mismatch"  # board and program have different versions of the protocol
    TRANSFER_DAMAGED = "transfer-damaged"  # what crossed the serial line arrived damaged, twice

    # Training and firmware
    BOARD_UNKNOWN = "board-unknown"  # there is no such board file, or it is not valid
    CLASSES_DIFFER = "classes-differ"  # a run and a version have different classes
    DOES_NOT_FIT = "does-not-fit"  # the model exceeds the board's memory
    MODEL_INVALID = "model-invalid"  # a model file cannot be read, or is not the run's
    MODEL_UNSUPPORTED = (
        "model-unsupported"  # the compiler has no kernel for an operation, or the input is not the camera's
    )
    MODEL_UNTRAINED = "model-untrained"  # the scores of a model hardly differ
    OPTION_INVALID = "option-invalid"  # an option has no effect here, or its value is out of range
    RUN_INVALID = "run-invalid"  # a training run is damaged or incomplete
    RUN_MISSING = "run-missing"  # there is no such training run
    SPLIT_EMPTY = "split-empty"  # a split, class or fold has no images
    WEIGHTS_MISSING = "weights-missing"  # pretrained weights cannot be had

    UNSPECIFIED = "unspecified"  # a failure that has no code yet


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

    def __init__(self, code: ErrorCode | str, message: str | None = None, *, hint: str | None = None) -> None:
        # Until every place names its code, one text alone is the message.
        self.code = code if isinstance(code, ErrorCode) else ErrorCode.UNSPECIFIED
        self.message = code if message is None else message
        super().__init__(self.message)
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Keep code and hint when the error crosses a process boundary."""
        return _rebuild, (self.code, self.message, self.hint)


def _rebuild(code: ErrorCode, message: str, hint: str | None) -> CurationError:
    return CurationError(code, message, hint=hint)
