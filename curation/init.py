"""Writes the commented recipe that a new dataset starts from."""

from pathlib import Path

from curation.dataset.layout import Home
from curation.dataset.recipe import check_name
from curation.errors import CurationError
from curation.sources.folder_layout import LABEL_PATTERN, Layout, find_layout
from curation.storage.atomic_files import write_atomically
from curation.storage.disk_errors import explain_disk_faults

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


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
