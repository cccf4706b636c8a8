"""Writes the commented recipe that a new dataset starts from."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.errors import CurationError
from curation.manifest import write_atomically
from curation.recipe import SPLIT_NAMES, Split, check_name, compose, name_classes
from curation.sources import list_members
from curation.sources.members import name_system_file
from curation.versions import Home
from curation.versions.faults import explain_disk_faults

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")

TEMPLATE = """\
# How the dataset "{name}" is made. A key that stands behind a # is optional and shows its default or an example.
# Check it without writing anything:  python -m curation build {name} --until select

title = "{title}"
# description = "What it is for, and what it must not be used for."
# licence = "CC-BY-4.0"              # of the published set, as an SPDX name

# ---- Where the files come from. Repeat [[sources]] for each. ------------------------------------------------------

[[sources]]
name = "pictures"
kind = "folder"                      # folder, kaggle, figshare, drawn or board; or a set that another tool wrote:
#                                      huggingface, fiftyone or edge-impulse (`import` writes the recipe for these)
path = {path}
#                                      kaggle:   dataset = "owner/name", version = 3
#                                      figshare: article = 6091007, version = 1, files = ["*.zip"]
#                                      drawn:    part = "skin", seed = 1, count = 24, faults = true, size = [180, 180]
# The source label (and the source's own split) out of the path, by a regular expression with named groups:
pattern = '{pattern}'
# pattern = '(?P<split>train|test)/(?P<label>[^/]+)/[^/]+$'
# label = "healthy"                  # instead: one label for the whole source; "" means: not labelled yet
# splits = {{ Train = "train" }}       # the source's names of its splits, where they are unusual
# Pictures that belong together (one patient, one lesion, one photograph) never lie on two sides of the split:
# group = 'patient_\\d+'              # equal matches belong together; a path without a match is a group of its own
# group = {{ column = "lesion" }}      # or a column of the metadata file
# licence = "CC-BY-NC-4.0"
# citation = "Authors (year): title, where"   # where the source does not say itself how to cite it
# [sources.metadata]                 # what a table inside the source says of its pictures
# file = "*/metadata.csv"            # CSV, TSV, JSON lines or Parquet; a glob over the paths inside the source
# key = "image_id"                   # the column that names the picture
# label = "diagnosis"                # the column of the label, and of the side, where the table says them
# split = "set"
# match = "stem"                     # by its file name without suffix (stem), with it (name), or its path
# columns = {{ lesion = "lesion_id", age = "age_approx", sex = "sex", site = "anatom_site", skin_type = "fitzpatrick" }}

# ---- Which source labels mean which class. -------------------------------------------------------------------------

[labels]
context = "*"                        # all other labels stay in the table, so that a conflict is seen; or a list

[labels.classes]
{classes}

# ---- Which pixels are looked at, and which are published. ----------------------------------------------------------

# [decode]
# scale = "scaled"                   # JPEGs are looked at on a reduced scale, which is faster; "full" decodes all
# tone = "scale"                     # 16 bits to 8: v / 257; or {{ low = 0, high = 4095 }}
# pages = "first"                    # of a TIFF with several pages; "each" makes a row of every page

[render]
encode = "uniform"                   # one size and one encoder setting, so that neither gives the label away;
#                                      "keep" copies JPEGs as they are, less their metadata
short_side = 128                     # pixels; never scaled up
# quality = 95
# subsampling = "4:4:4"
# What tells the camera and not the picture; `audit NAME --remedies` shows what each would change, on copies:
# crop_border = 0.08                 # this share of each side is cut off at every edge
# common_sharpness = 50.0            # no picture stays sharper than this variance of the Laplacian
# colour_constancy = "shades-of-grey"   # evens out the colour of the light; or "grey-world"

# ---- Which pictures are unusable; a threshold that is missing is not applied. --------------------------------------

# [quality]
# min_side = 64                      # pixels
# min_sharpness = 5.0                # variance of the Laplacian at a short side of 64 px
# min_brightness = 20.0              # mean, of 255
# max_brightness = 245.0
# min_contrast = 4.0                 # standard deviation, of 255

# ---- When two pictures are the same. -------------------------------------------------------------------------------

# [duplicates]
# hash = "phash"                     # or dhash, ahash, whash (these without the eight symmetries)
# radius = 8                         # bits of 64 that may differ; a hash only proposes
# correlation = 0.98                 # of 32x32 grey thumbnails: confirms
# symmetries = true                  # flips and quarter turns count as the same picture
# near = true                        # false: near duplicates stay in, but never on two sides of the split

# [conflicts]
# policy = "reserve"                 # a picture under two labels is used last, in train only, and with counts only;
#                                      with ratios it is never used; or "exclude", "error"

# ---- How many, in which split: ratios or counts. -------------------------------------------------------------------

[selection]
# source_split = "respect"           # the source's own train and test; "ignore" makes one pool
# seed = 1
# previous = "newest"                # whoever was in test stays in test; or "none", "v2"
# refill_test = false                # true: a test that is short may take pictures of the source's own train
# balance = true                     # false by default; true, with ratios: every class is cut to the smallest

[selection.ratios]{note}
{ratios}

# [selection.counts]                 # instead of ratios: exactly so many of each class
# train = 430
# test = 16

# [review]
# agreement = "newest"               # where reviewers disagree: newest, majority or adjudicator
# adjudicator = "anna"

# ---- What the audit is told. ---------------------------------------------------------------------------------------

# [audit]
# people = true                      # the pictures show people: it is asked who they are, by skin type, sex and age
# [audit.waive]                      # findings that are known and accepted, each with its reason
# "quality-hair" = "hairs are part of what the camera will see"
"""


def start_dataset(home: Home, name: str, *, images: Path | None = None) -> Path:
    """Write ``datasets/<name>/recipe.toml`` and return its path.

    Parameters
    ----------
    images : Path, optional
        A folder, zip or tar with one subfolder a class; its classes are filled in.

    Raises
    ------
    CurationError
        Where the name cannot be used or the recipe is there already; nothing is overwritten.
    """
    check_name(name)
    path = home.dataset(name) / "recipe.toml"
    if path.exists():
        raise CurationError(f"{path} is there already", hint="edit it, or choose another name")
    layout = (
        find_layout(images) if images is not None else Layout({"first": "first", "second": "second"}, LABEL_PATTERN, {})
    )
    text = TEMPLATE.format(
        name=name,
        title=name.replace("-", " ").replace("_", " ").capitalize(),
        path=_quote(str(images.resolve()) if images is not None else "images"),
        pattern=layout.pattern,
        note="                   # of what has no side of its own; the source's sides stay" if layout.splits else "",
        ratios="\n".join(f"{split} = {share}" for split, share in layout.ratios().items()),
        classes="\n".join(f"{_quote(name)} = [{_quote(label)}]" for label, name in layout.classes.items()),
    )
    with explain_disk_faults(f"{path}: the recipe could not be written", within=home.datasets):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path


LABEL_PATTERN = "(?P<label>[^/]+)/[^/]+$"


@dataclass(frozen=True)
class Layout:
    """How the folders of a source say label and split.

    Parameters
    ----------
    classes : mapping of str to str
        Source label -> class; a folder that cannot name a class has one of another name.
    pattern : str
        For the recipe.
    splits : mapping of str to {"train", "val", "test"}
        The source's names of its own sides, two at least; empty where it has none.
    """

    classes: Mapping[str, str]
    pattern: str
    splits: Mapping[str, Split]

    def ratios(self) -> dict[Split, float]:
        """Return shares of the splits that can be filled: a source with sides of its own gives no other ones."""
        shares: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
        sides = set(self.splits.values()) or set(shares)
        whole = sum(share for split, share in shares.items() if split in sides)
        return {split: round(share / whole, 2) for split, share in shares.items() if split in sides}


def is_picture_name(path: str) -> bool:
    """Return whether a file is called like a picture, and not like what an operating system leaves beside one."""
    return path.lower().endswith(PICTURE_SUFFIXES) and name_system_file(path) is None


def find_layout(images: Path) -> Layout:
    """Return the labels of a tree of pictures, a class for each, and its own split where its folders have one.

    A folder called train, test, val or the like is the source's own split, above the classes or below them: to mix the
    sides would let its test pictures into train without a word.

    Raises
    ------
    CurationError
        Where there are none.
    """
    if not images.exists():
        raise CurationError(f"{images}: there is no such folder or archive")
    folders = {
        tuple(compose(member.path).split("/")[-3:-1])
        for member in list_members(images.resolve())
        if "/" in member.path and is_picture_name(member.path)
    }
    if not folders:
        raise CurationError(
            f"{images}: no pictures in subfolders", hint="one subfolder a class, or write the labels into the recipe"
        )
    below = all(len(names) == 2 and names[1].lower() in SPLIT_NAMES for names in folders)
    above = (names[1 if below else 0] for names in folders if len(names) == 2)
    splits = {name: SPLIT_NAMES[name.lower()] for name in sorted(set(above)) if name.lower() in SPLIT_NAMES}
    labels = {names[0] if below else names[-1] for names in folders}
    sides = splits if len(set(splits.values())) > 1 else {}  # one side alone is a folder's name, and parts nothing
    return Layout(name_classes(sorted(labels)), _write_pattern(splits, sides, below=below), sides)


def _write_pattern(folders: Iterable[str], sides: Iterable[str], *, below: bool) -> str:
    """Return the pattern for a tree with these folders of a split, of which those of a source with sides are told."""
    told = "|".join(map(re.escape, sides))
    if below:
        return f"(?P<label>[^/]+)/{f'(?P<split>{told})' if told else '(?:' + '|'.join(folders) + ')'}/[^/]+$"
    # Pictures beside the split's folders have a label too, and no side.
    return f"(?:(?P<split>{told})/)?{LABEL_PATTERN}" if told else LABEL_PATTERN


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
