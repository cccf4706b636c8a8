"""What can be wrong with a published version: each problem has a stable code, a place and a sentence."""

from dataclasses import dataclass

from curation.errors import ExplainedCode


class ProblemCode(ExplainedCode):
    """The kind of a problem. Codes are stable; sentences may change at any time."""

    # Files
    CHECKSUM_MISSING = "checksum-missing", "A file that `SHA256SUMS` does not list."
    CHECKSUMS_INVALID = "checksums-invalid", "`SHA256SUMS` cannot be read, or a line of it is not a checksum."
    FILE_CHANGED = "file-changed", "The bytes are not those that were published."
    FILE_EMPTY = "file-empty", "A file without a byte."
    FILE_MISSING = "file-missing", "A file of the version does not exist."
    FILE_NOT_REGULAR = "file-not-regular", "A link, folder or device where a file belongs."
    FILE_UNEXPECTED = "file-unexpected", "A file that is not one of the version's."
    IMAGE_DAMAGED = "image-damaged", "An image that is not a complete JPEG."
    IMAGE_METADATA = "image-metadata", "An image that carries metadata."

    # Tables and texts
    DESCRIPTION_DIFFERS = "description-differs", "`version.json` and the manifest do not agree."
    DESCRIPTION_INVALID = "description-invalid", "`version.json` cannot be read or lacks a field."
    LINE_DIFFERS = "line-differs", "`version.json` and `versions.jsonl` do not agree."
    MANIFEST_INVALID = "manifest-invalid", "`manifest.parquet` cannot be read."
    RECIPE_DIFFERS = "recipe-differs", "The version is not what its recipe asks for."
    SPLIT_DIFFERS = "split-differs", "`v<n>.csv` and the manifest do not agree."
    SPLIT_INVALID = "split-invalid", "`v<n>.csv` is missing or cannot be read."
    TABLE_DIFFERS = "table-differs", "A `metadata.csv` and the manifest do not agree."

    # Rows of the manifest
    DISPUTE_IN_USE = "dispute-in-use", "A disputed image is kept, but not as reserve."
    DUPLICATE_TOO_FAR = "duplicate-too-far", "A near duplicate beyond the recipe's limits was excluded."
    EXCLUDED_AND_PUBLISHED = "excluded-and-published", "An excluded row has a published file."
    GROUP_DIVIDED = "group-divided", "Images that belong together are in different groups."
    GROUP_STRADDLES = "group-straddles", "A group is in several splits."
    KEPT_TWICE = "kept-twice", "An image is kept several times."
    LABEL_UNKNOWN = "label-unknown", "A kept row has a label that is not a class."
    NAME_DIFFERS = "name-differs", "A published file does not have the name of its row."
    REASON_UNKNOWN = "reason-unknown", "A row is excluded without a known step and reason."
    REPRESENTATIVE_INVALID = "representative-invalid", "A duplicate's representative is missing or itself a duplicate."
    RESERVE_HELD_OUT = "reserve-held-out", "A disputed image is in val or test."
    RESERVE_UNDISPUTED = "reserve-undisputed", "An image is reserve without a dispute."
    ROW_INCOMPLETE = "row-incomplete", "A kept row lacks a value."
    SPLIT_UNKNOWN = "split-unknown", "A kept row has a split that is not train, val or test."


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a version.

    Parameters
    ----------
    code : ProblemCode
    place : str
        The file; relative to the version's folder, where it is in it.
    text : str
        What is wrong, with its place.
    ids : tuple of str
        The rows, or the group, that a problem of the manifest is about.
    """

    code: ProblemCode
    place: str
    text: str
    ids: tuple[str, ...] = ()

    @classmethod
    def at(cls, code: ProblemCode, place: str, what: str) -> "Problem":
        """Return the problem of a file whose text begins with the file's name."""
        return cls(code, place, f"{place}: {what}")

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


def list_problems(problems: tuple[Problem, ...] | list[Problem], *, limit: int | None = None) -> list[str]:
    """Return the sentences, indented, a line each; above the limit, how many more there are."""
    shown = [f"  {problem}" for problem in problems[:limit]]
    return shown if limit is None or len(problems) <= limit else [*shown, f"  ... and {len(problems) - limit} more"]
