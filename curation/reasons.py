"""Why a row is out: one stable enumeration, and the one place that makes a sentence of it."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a row of the manifest is excluded. Codes are stable; the step that excluded it stands in ``excluded_by``."""

    # ingest: the file cannot be had from its archive, or is not meant to be an image
    ARCHIVE_BOMB = "archive-bomb"  # it would unpack to far more than it takes
    ARCHIVE_DAMAGED = "archive-damaged"  # its archive is cut short or damaged there
    FILE_CHANGED = "file-changed"  # it changed while it was read
    FILE_TOO_LARGE = "file-too-large"  # larger than the limit
    FILE_UNREADABLE = "file-unreadable"  # the operating system does not let it be read
    METADATA_FILE = "metadata-file"  # a table that describes the images
    NOT_A_FILE = "not-a-file"  # a link that leads out, a device, an encrypted or unsupported entry

    # probe: the bytes are not an image that can be decoded
    DAMAGED = "damaged"  # the image file contradicts itself
    DECOMPRESSION_BOMB = "decompression-bomb"  # more pixels than the limit
    EMPTY_FILE = "empty-file"  # no bytes
    MISSING_PAGE = "missing-page"  # no page, or fewer than announced
    NO_PIXELS = "no-pixels"  # an image of no area, or one pixel thin
    NO_TONE_RULE = "no-tone-rule"  # samples that the recipe's tone does not cover
    NOT_AN_IMAGE = "not-an-image"  # something else, whatever its name
    SYSTEM_FILE = "system-file"  # left by an operating system
    TOO_LARGE = "too-large"  # does not fit into memory
    TRUNCATED = "truncated"  # the image file is cut short
    UNSUPPORTED = "unsupported"  # a kind of image that is not read

    # label
    NO_LABEL = "no-label"  # neither path nor table gives one
    UNLABELLED = "unlabelled"  # the source is not labelled yet

    # decide
    EXCLUDED_BY_REVIEWER = "excluded-by-reviewer"
    REVIEWERS_DISAGREE = "reviewers-disagree"

    # quality
    BLANK = "blank"
    BLURRED = "blurred"
    TOO_BRIGHT = "too-bright"
    TOO_DARK = "too-dark"
    TOO_SMALL = "too-small"

    # dedup: the detail is the id of the representative
    EXACT_DUPLICATE = "exact-duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    SAME_PIXELS = "same-pixels"

    # select
    CONTEXT_CLASS = "context-class"  # the detail is the source label
    DISPUTED = "disputed"  # its duplicates have other labels, and it is not used
    LEAKAGE = "leakage"  # its group lies on another side of the split
    NOT_IN_VERSION = "not-in-version"  # a restored version did not choose it
    SURPLUS = "surplus"  # more than the recipe asks for
