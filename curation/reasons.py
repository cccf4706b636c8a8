"""Why a row is excluded: one stable enumeration, and the one place that makes a sentence of it."""

from enum import StrEnum
from typing import Final, NamedTuple, Self


class Reason(StrEnum):
    """Why a row of the manifest is excluded. Codes are stable; ``excluded_by`` is the step that excluded the row."""

    step: str
    """The step that gives it: ``excluded_by`` of the row."""
    meaning: str

    def __new__(cls, value: str, step: str = "", meaning: str = "") -> Self:
        """Return the member with its value and attributes."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.step, member.meaning = step, meaning
        return member

    # ingest
    ARCHIVE_BOMB = "archive-bomb", "ingest", "It would unpack to far more than its archive holds. Detail: the sizes."
    ARCHIVE_DAMAGED = "archive-damaged", "ingest", "Its archive is truncated or damaged there. Detail: how."
    ENCRYPTED = "encrypted", "ingest", "Its archive asks for a password."
    FILE_CHANGED = "file-changed", "ingest", "It changed after it was listed. Detail: when."
    FILE_GONE = "file-gone", "ingest", "It was deleted after it was listed."
    FILE_TOO_LARGE = "file-too-large", "ingest", "The file is larger than the limit. Detail: the limit."
    FILE_UNREADABLE = "file-unreadable", "ingest", "The operating system does not let it be read. Detail: its message."
    FOLDER_UNREADABLE = "folder-unreadable", "ingest", "The folder cannot be listed. Detail: the system's message."
    FORGOTTEN = "forgotten", "ingest", "It was forgotten on request; the row has a mark in place of its name."
    METADATA_FILE = "metadata-file", "ingest", "A table that describes the images."
    NOT_A_FILE = "not-a-file", "ingest", "A link that is not followed, a device or a pipe. Detail: what it is."
    PROGRAM_FOLDER = "program-folder", "ingest", "A program keeps it in a folder of its own. Detail: the folder."
    STORED_ELSEWHERE = "stored-elsewhere", "ingest", "A table names it and does not contain it. Detail: the name."
    UNSUPPORTED_COMPRESSION = (
        "unsupported-compression",
        "ingest",
        "The compression method of the archive is not supported. Detail: its number.",
    )

    # probe
    DAMAGED = "damaged", "probe", "The image file contradicts itself. Detail: its format, and how."
    DECODER_CRASHED = "decoder-crashed", "probe", "The decoder ends the process, also where it reads this file alone."
    DECOMPRESSION_BOMB = "decompression-bomb", "probe", "The image has more pixels than the limit. Detail: how many."
    EMPTY_FILE = "empty-file", "probe", "The file has no bytes."
    EXTRA_MISSING = "extra-missing", "probe", "Its format needs the extra `formats`. Detail: which."
    MISSING_PAGE = (
        "missing-page",
        "probe",
        'The file has no pages, or fewer than asked for. Detail: "<page> of <pages>".',
    )
    NO_PIXELS = "no-pixels", "probe", "The image has no area, or a height or width of one pixel. Detail: which."
    NO_TONE_RULE = "no-tone-rule", "probe", "The recipe's tone does not cover the samples. Detail: which."
    NOT_AN_IMAGE = "not-an-image", "probe", "The file has other content, whatever its name. Detail: what it is."
    SYSTEM_FILE = "system-file", "probe", "An operating system left the file. Detail: its name."
    TOO_LARGE = "too-large", "probe", "The image does not fit into memory."
    TRUNCATED = "truncated", "probe", "The image file is cut short."
    UNSUPPORTED = "unsupported", "probe", "The image format is not decoded. Detail: which."

    # label
    NO_LABEL = "no-label", "label", "Neither the path nor a table gives a label."
    UNLABELLED = "unlabelled", "label", "The source is not labelled yet."

    # decide
    EXCLUDED_BY_REVIEWER = "excluded-by-reviewer", "decide", "A reviewer excluded it. Detail: who, and why."
    REVIEWERS_DISAGREE = "reviewers-disagree", "decide", "Reviewers made different decisions. Detail: who decided what."

    # quality
    BLANK = "blank", "quality", "The contrast is below `min_contrast`. Detail: the value and the threshold."
    BLURRED = "blurred", "quality", "The sharpness is below `min_sharpness`. Detail: the value and the threshold."
    TOO_BRIGHT = (
        "too-bright",
        "quality",
        "The brightness is above `max_brightness`. Detail: the value and the threshold.",
    )
    TOO_DARK = "too-dark", "quality", "The brightness is below `min_brightness`. Detail: the value and the threshold."
    TOO_SMALL = "too-small", "quality", "The shorter side is below `min_side`. Detail: the value and the threshold."

    # dedup
    EXACT_DUPLICATE = (
        "exact-duplicate",
        "dedup",
        "Another file has the same bytes. Detail: the id of the representative.",
    )
    NEAR_DUPLICATE = (
        "near-duplicate",
        "dedup",
        "Another file shows the same image. Detail: the id of the representative.",
    )
    SAME_PIXELS = "same-pixels", "dedup", "Another file has the same pixels. Detail: the id of the representative."

    # select
    CONTEXT_CLASS = "context-class", "select", "Its label is context, not a class. Detail: the source label."
    DISPUTED = (
        "disputed",
        "select",
        "Its duplicates have other labels, and the recipe excludes such images. Detail: the labels.",
    )
    DISPUTED_HELD_OUT = (
        "disputed-held-out",
        "select",
        "Disputed, and its group is on a held-out side. Detail: the side.",
    )
    DISPUTED_NOT_NEEDED = "disputed-not-needed", "select", "Disputed, and the count is reached without it."
    LEAKAGE = "leakage", "select", "Its group lies on another side of the split. Detail: that side."
    NOT_IN_VERSION = "not-in-version", "select", "A restored version did not choose it. Detail: the version."
    SURPLUS = "surplus", "select", "The recipe asks for fewer images. Detail: the split."

    # render, which also gives the reasons of probe
    TOO_LONG = "too-long", "render", "A side is longer than a JPEG can be. Detail: the side and the limit."


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
        Reason.TOO_LONG,
        Reason.STORED_ELSEWHERE,
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
    Reason.FORGOTTEN: ("forgotten on request", "forgotten on request: {}"),
    Reason.METADATA_FILE: ("metadata file", "metadata file: {}"),
    Reason.NOT_A_FILE: ("not a file", "not a file: {}"),
    Reason.PROGRAM_FOLDER: ("folder of a program", "folder of a program: {}"),
    Reason.STORED_ELSEWHERE: ("stored elsewhere", "stored elsewhere: {}"),
    Reason.UNSUPPORTED_COMPRESSION: ("unsupported compression method", "unsupported compression method ({})"),
    Reason.DAMAGED: ("damaged", "damaged {}"),
    Reason.DECODER_CRASHED: ("decoder crashed", "decoder crashed: {}"),
    Reason.DECOMPRESSION_BOMB: ("decompression bomb", "decompression bomb: {}"),
    Reason.EMPTY_FILE: ("empty file", "empty file: {}"),
    Reason.EXTRA_MISSING: ("needs the extra formats", "needs the extra formats: {}"),
    Reason.MISSING_PAGE: ("no pages", "no page {}"),
    Reason.NO_PIXELS: ("no pixels", "{}"),
    Reason.NO_TONE_RULE: ("no tone rule covers its samples", "no tone rule covers {}"),
    Reason.NOT_AN_IMAGE: ("not an image", "not an image: {}"),
    Reason.SYSTEM_FILE: ("system file", "system file: {}"),
    Reason.TOO_LARGE: ("too large for memory", "too large for memory: {}"),
    Reason.TRUNCATED: ("truncated", "truncated: {}"),
    Reason.UNSUPPORTED: ("not read", "not read: {}"),
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
    Reason.TOO_LONG: ("longer than a JPEG can be", "longer than a JPEG can be ({})"),
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
