"""Finds images of an earlier version again whose files have new bytes: by their pixels, then as the same image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from curation.dataset.recipe import Duplicates
from curation.hashing import Fingerprints, concat, confirmed_pairs, pack_thumbnails, symmetries, unpack_thumbnails

How = Literal["pixels", "same image"]
_ON = ["sha256", "page"]
_ROUNDING: Final = 16
"""Two steps of a packed thumbnail's widest range."""


@dataclass(frozen=True)
class Renewed:
    """An image whose file has new bytes.

    Parameters
    ----------
    sha256, page : str, int
        In the earlier version.
    id : str, optional
        Its id there, where it is known.
    now_sha256, now_page, now_id : str, int, str
        The file that is the same image now.
    how : str
        ``pixels``: the coded image or the pixels are equal; ``same image``: it resembles it as duplicates do.
    """

    sha256: str
    page: int
    id: str | None
    now_sha256: str
    now_page: int
    now_id: str
    how: How


@dataclass(frozen=True)
class Unclear:
    """An image whose file is gone and which more than one new file could be: none of them is taken for it."""

    sha256: str
    page: int
    id: str | None
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Renewal:
    """What became of the images of an earlier version whose sha256 is gone from the sources.

    Parameters
    ----------
    found : tuple of Renewed
    unclear : tuple of Unclear
    vanished : polars.DataFrame
        The rows of the earlier version that no file is now.
    """

    found: tuple[Renewed, ...]
    unclear: tuple[Unclear, ...]
    vanished: pl.DataFrame

    def follow(self, previous: pl.DataFrame) -> pl.DataFrame:
        """Return the earlier version's images with the sha256 and page that they have now."""
        if not self.found:
            return previous
        table = pl.DataFrame(
            [(each.sha256, each.page, each.now_sha256, each.now_page) for each in self.found],
            schema={"sha256": pl.String, "page": pl.UInt32, "now": pl.String, "now_page": pl.UInt32},
            orient="row",
        )
        joined = previous.join(table, on=_ON, how="left", maintain_order="left")
        earlier = pl.concat_str("earlier", "sha256", separator=" ", ignore_nulls=True)
        renewed = joined.with_columns(
            earlier=pl.when(pl.col("now").is_not_null()).then(earlier).otherwise("earlier"),
            sha256=pl.coalesce("now", "sha256"),
            page=pl.coalesce("now_page", "page"),
        )
        return renewed.select(previous.columns)


def find_renewed(previous: pl.DataFrame, rows: pl.DataFrame, fingerprints: Fingerprints, rules: Duplicates) -> Renewal:
    """Find the images of an earlier version again whose sha256 no source contains.

    Parameters
    ----------
    previous : polars.DataFrame
        As ``previous_images`` returns it.
    rows : polars.DataFrame
        Rows of a manifest after probe.
    fingerprints : Fingerprints
        Aligned with the rows.
    rules : Duplicates
        The recipe's tolerances.
    """
    # Of a forgotten image the split has a mark instead of the sha256.
    known = previous.filter(pl.col("sha256").str.contains("^[0-9a-f]{64}$"))
    gone = known.join(rows.select("sha256").drop_nulls().unique(), on="sha256", how="anti").sort(_ON)
    if not gone.height:
        return Renewal((), (), gone)
    new = rows.select("id", "sha256", page=pl.col("page").fill_null(1), image="image_sha256", flat="flat")
    new = new.with_row_index("row").filter(rows["width"].is_not_null() & rows["sha256"].is_not_null())
    new = new.join(previous.select("sha256").unique(), on="sha256", how="anti", maintain_order="left")
    new = new.unique(_ON, keep="first", maintain_order=True)
    places: dict[str, list[int]] = {}
    for place, image in enumerate(new["image"].to_list()):
        places.setdefault(image, []).append(place)
    by_pixels = {number: places.get(image, []) for number, image in enumerate(gone["image"].to_list()) if image}
    taken = {place for found in by_pixels.values() for place in found}
    left = [number for number in range(gone.height) if not by_pixels.get(number)]
    free = [place for place in range(new.height) if place not in taken]
    by_look = _find_same(gone[left], new[free], fingerprints, rules)
    by_look = {left[number]: [free[place] for place in found] for number, found in by_look.items()}
    return _settle(gone, new, by_pixels, by_look)


def find_read_otherwise(published: pl.DataFrame, rows: pl.DataFrame, fingerprints: Fingerprints) -> list[str]:
    """Return the ids of images whose file is the published one and whose pixels are not: the decoder has changed.

    Parameters
    ----------
    published : polars.DataFrame
        A version's images, with all columns of ``v<n>.csv``; those without an image hash are not compared.
    rows : polars.DataFrame
        Rows of a manifest after probe.
    fingerprints : Fingerprints
        Aligned with the rows.
    """
    then = published.select("sha256", "page", "image", "fingerprint").drop_nulls()
    now = rows.select("id", "sha256", page=pl.col("page").fill_null(1), now="image_sha256").with_row_index("row")
    both = now.join(then, on=_ON).unique(_ON, keep="first", maintain_order=True)
    before = unpack_thumbnails(both["fingerprint"].to_list()).astype(np.int64)
    after = unpack_thumbnails(pack_thumbnails(fingerprints.take(both["row"].to_numpy()).thumbnails)).astype(np.int64)
    differs = (both["now"] != both["image"]).to_numpy() | (np.abs(before - after) > _ROUNDING).any(axis=(1, 2))
    return sorted(both.filter(pl.Series(differs))["id"])


def _find_same(
    gone: pl.DataFrame, new: pl.DataFrame, fingerprints: Fingerprints, rules: Duplicates
) -> dict[int, list[int]]:
    """Return for each row of ``gone`` the rows of ``new`` that are the same image, by the rules of duplicates."""
    known = gone["fingerprint"].is_not_null().to_numpy()
    if not known.any() or not new.height:
        return {}
    old = unpack_thumbnails(gone["fingerprint"].to_list())
    # git has no details, and other hashes than pHash cannot be made of a thumbnail: both sides have thumbnails alone.
    thumbnails = fingerprints.take(new["row"].to_numpy()).thumbnails
    now = Fingerprints(symmetries(thumbnails), thumbnails)
    usable = np.concatenate(
        [known & (old.reshape(len(old), -1).std(axis=1) >= 1), ~new["flat"].fill_null(True).to_numpy()]
    )
    pairs = confirmed_pairs(
        concat([Fingerprints(symmetries(old), old), now]),
        radius=rules.radius,
        correlation=rules.correlation,
        symmetries=rules.symmetries,
        eligible=usable,
        tolerance=rules.tolerance,
    )
    found = {}
    for number in np.flatnonzero(usable[: len(old)]).tolist():
        rows = pairs.neighbors(number).rows
        found[number] = (rows[rows >= len(old)] - len(old)).tolist()
    return found


def _settle(
    gone: pl.DataFrame, new: pl.DataFrame, by_pixels: Mapping[int, Sequence[int]], by_look: Mapping[int, Sequence[int]]
) -> Renewal:
    """Take each image for the one new file that it can be, if that file can be no other image.

    Among several, the file with the image's own id is it.
    """
    ways: tuple[tuple[How, Mapping[int, Sequence[int]]], ...] = (("pixels", by_pixels), ("same image", by_look))
    renewed, unclear, lost = [], [], []
    shas, pages, ids = new["sha256"].to_list(), new["page"].to_list(), new["id"].to_list()
    images = list(gone.select("sha256", "page", "id").iter_rows())
    options = [
        next(((how, found[number]) for how, found in ways if found.get(number)), ("pixels", []))
        for number in range(len(images))
    ]
    own = {
        number: place
        for number, ((_, page, name), (_, places)) in enumerate(zip(images, options, strict=True))
        for place in places
        if (ids[place], pages[place]) == (name, page)
    }
    settled = set(own.values())
    left = [[place for place in places if place not in settled] for _, places in options]
    claims = Counter(place for places in left for place in places)
    for number, ((sha, page, name), (how, _)) in enumerate(zip(images, options, strict=True)):
        places = [own[number]] if number in own else left[number]
        if not places:
            lost.append(number)
        elif number not in own and (len(places) > 1 or claims[places[0]] > 1):
            unclear.append(Unclear(sha, page, name, tuple(sorted(ids[place] for place in places))))
        else:
            place = places[0]
            renewed.append(Renewed(sha, page, name, shas[place], pages[place], ids[place], how))
    return Renewal(tuple(renewed), tuple(unclear), gone[lost])
