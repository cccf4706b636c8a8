"""Why a row is excluded: one stable enumeration, and the one place that makes a sentence of it."""

from enum import StrEnum
from typing import Final, NamedTuple


class Reason(StrEnum):
    """Why a row of the manifest is excluded. Codes are stable; ``excluded_by`` is the step that excluded the row."""

    # ingest: the file cannot be read from its archive, or is not meant to be an image
    ARCHIVE_BOMB = "archive-bomb"  # it would unpack to far more than its archive holds; detail: the sizes
    ARCHIVE_DAMAGED = "archive-damaged"  # its archive is truncated or damaged there; detail: how
    ENCRYPTED = "encrypted"  # its archive asks for a password
    FILE_CHANGED = "file-changed"  # it changed after it was listed; detail: when
    FILE_GONE = "file-gone"  # it was deleted after it was listed
    FILE_TOO_LARGE = "file-too-large"  # larger than the limit; detail: the limit
    FILE_UNREADABLE = "file-unreadable"  # the operating system does not let it be read; detail: its message
    FOLDER_UNREADABLE = "folder-unreadable"  # a folder that cannot be listed; detail: the system's message
    METADATA_FILE = "metadata-file"  # a table that describes the images
    NOT_A_FILE = "not-a-file"  # a link that is not followed, a device, a pipe; detail: what it is
    UNSUPPORTED_COMPRESSION = "unsupported-compression"  # the archive's compression method; detail: its number

    # probe: the bytes are not an image that can be decoded
    DAMAGED = "damaged"  # the image file contradicts itself; detail: its format, and how
    DECOMPRESSION_BOMB = "decompression-bomb"  # more pixels than the limit; detail: how many
    EMPTY_FILE = "empty-file"  # no bytes
    MISSING_PAGE = "missing-page"  # no pages, or fewer than asked for; detail: "<page> of <pages>"
    NO_PIXELS = "no-pixels"  # an image of no area, or of one pixel in height or width; detail: which
    NO_TONE_RULE = "no-tone-rule"  # samples that the recipe's tone does not cover; detail: which
    NOT_AN_IMAGE = "not-an-image"  # other content, whatever the file's name; detail: what it is
    SYSTEM_FILE = "system-file"  # left by an operating system; detail: its name
    TOO_LARGE = "too-large"  # does not fit into memory
    TRUNCATED = "truncated"  # the image file is cut short
    UNSUPPORTED = "unsupported"  # a kind of image that is not decoded; detail: which

    # label
    NO_LABEL = "no-label"  # neither path nor table gives one
    UNLABELLED = "unlabelled"  # the source is not labelled yet

    # decide
    EXCLUDED_BY_REVIEWER = "excluded-by-reviewer"  # detail: who, and why
    REVIEWERS_DISAGREE = "reviewers-disagree"  # detail: who decided what

    # quality; the detail is the value and the threshold
    BLANK = "blank"
    BLURRED = "blurred"
    TOO_BRIGHT = "too-bright"
    TOO_DARK = "too-dark"
    TOO_SMALL = "too-small"

    # dedup; the detail is the id of the representative
    EXACT_DUPLICATE = "exact-duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    SAME_PIXELS = "same-pixels"

    # select
    CONTEXT_CLASS = "context-class"  # detail: the source label
    DISPUTED = "disputed"  # its duplicates have other labels, and the recipe excludes such; detail: the labels
    DISPUTED_HELD_OUT = "disputed-held-out"  # disputed, and its group is on a held-out side; detail: the side
    DISPUTED_NOT_NEEDED = "disputed-not-needed"  # disputed, and the count is reached without it
    LEAKAGE = "leakage"  # its group lies on another side of the split; detail: that side
    NOT_IN_VERSION = "not-in-version"  # a restored version did not choose it; detail: the version
    SURPLUS = "surplus"  # more than the recipe asks for; detail: the split


class Cause(NamedTuple):
    """Why one file is not usable: a reason, and its detail where there is one."""

    reason: Reason
    detail: str | None = None

    def __str__(self) -> str:
        """Return the cause as a phrase."""
        return describe_reason(self.reason, self.detail)


class UnusableFile(Exception):
    """Raised where a file cannot be used; it becomes the reason of the file's row.

    Attributes
    ----------
    reason : Reason
    detail : str, optional
        Short, and the same on every run and machine.
    """

    def __init__(self, reason: Reason, detail: str | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Return the cause as a phrase."""
        return describe_reason(self.reason, self.detail)


VARYING: Final = frozenset(
    {
        Reason.EXCLUDED_BY_REVIEWER,
        Reason.REVIEWERS_DISAGREE,
        Reason.BLANK,
        Reason.BLURRED,
        Reason.TOO_BRIGHT,
        Reason.TOO_DARK,
        Reason.TOO_SMALL,
        Reason.EXACT_DUPLICATE,
        Reason.NEAR_DUPLICATE,
        Reason.SAME_PIXELS,
        Reason.DISPUTED,
        Reason.DISPUTED_HELD_OUT,
        Reason.LEAKAGE,
        Reason.UNSUPPORTED_COMPRESSION,
    }
)
"""The reasons whose detail differs from row to row, so that a count by reason leaves the detail out."""

_PHRASES: Final[dict[Reason, tuple[str, str]]] = {
    Reason.ARCHIVE_BOMB: ("zip bomb", "zip bomb: {}"),
    Reason.ARCHIVE_DAMAGED: ("archive damaged", "archive damaged: {}"),
    Reason.ENCRYPTED: ("encrypted", "encrypted: {}"),
    Reason.FILE_CHANGED: ("file changed", "file changed {}"),
    Reason.FILE_GONE: ("file is gone", "file is gone: {}"),
    Reason.FILE_TOO_LARGE: ("file too large", "larger than {}"),
    Reason.FILE_UNREADABLE: ("file cannot be read", "file cannot be read: {}"),
    Reason.FOLDER_UNREADABLE: ("folder cannot be opened", "folder cannot be opened: {}"),
    Reason.METADATA_FILE: ("metadata file", "metadata file: {}"),
    Reason.NOT_A_FILE: ("not a file", "not a file: {}"),
    Reason.UNSUPPORTED_COMPRESSION: ("unsupported compression method", "unsupported compression method ({})"),
    Reason.DAMAGED: ("damaged", "damaged {}"),
    Reason.DECOMPRESSION_BOMB: ("decompression bomb", "decompression bomb: {}"),
    Reason.EMPTY_FILE: ("empty file", "empty file: {}"),
    Reason.MISSING_PAGE: ("no pages", "no page {}"),
    Reason.NO_PIXELS: ("no pixels", "{}"),
    Reason.NO_TONE_RULE: ("no tone rule covers its samples", "no tone rule covers {}"),
    Reason.NOT_AN_IMAGE: ("not an image", "not an image: {}"),
    Reason.SYSTEM_FILE: ("system file", "system file: {}"),
    Reason.TOO_LARGE: ("too large for memory", "too large for memory: {}"),
    Reason.TRUNCATED: ("truncated", "truncated: {}"),
    Reason.UNSUPPORTED: ("not supported", "not supported: {}"),
    Reason.NO_LABEL: ("none found", "none found: {}"),
    Reason.UNLABELLED: ("not labelled yet", "not labelled yet: {}"),
    Reason.EXCLUDED_BY_REVIEWER: ("excluded", "excluded ({})"),
    Reason.REVIEWERS_DISAGREE: ("reviewers disagree", "reviewers disagree ({})"),
    Reason.BLANK: ("blank", "blank ({})"),
    Reason.BLURRED: ("blurred", "blurred ({})"),
    Reason.TOO_BRIGHT: ("too bright", "too bright ({})"),
    Reason.TOO_DARK: ("too dark", "too dark ({})"),
    Reason.TOO_SMALL: ("too small", "too small ({})"),
    Reason.EXACT_DUPLICATE: ("exact duplicate", "exact duplicate of {}"),
    Reason.NEAR_DUPLICATE: ("near duplicate", "near duplicate of {}"),
    Reason.SAME_PIXELS: ("same pixels, duplicate", "same pixels, duplicate of {}"),
    Reason.CONTEXT_CLASS: ("context class", "context class {}"),
    Reason.DISPUTED: ("disputed", "disputed ({})"),
    Reason.DISPUTED_HELD_OUT: ("disputed, in a held-out group", "disputed (its group is on the {} side)"),
    Reason.DISPUTED_NOT_NEEDED: ("disputed, not needed", "disputed, not needed: {}"),
    Reason.LEAKAGE: ("leakage", "leakage (its group is on the {} side)"),
    Reason.NOT_IN_VERSION: ("not in the version", "not in {}"),
    Reason.SURPLUS: ("surplus", "surplus in {}"),
}


def describe_reason(reason: str, detail: str | None = None) -> str:
    """Return a reason and its detail as a phrase.

    >>> describe_reason("too-small", "20 px, < 64"), describe_reason("truncated")
    ('too small (20 px, < 64)', 'truncated')
    """
    plain, detailed = _PHRASES[Reason(reason)]
    return plain if detail is None else detailed.format(detail)


def describe(excluded_by: str, reason: str, detail: str | None = None) -> str:
    """Return why a row is excluded, as it is shown to people.

    >>> describe("dedup", "exact-duplicate", "src/a.jpg")
    'dedup: exact duplicate of src/a.jpg'
    """
    return f"{excluded_by}: {describe_reason(reason, detail)}"
