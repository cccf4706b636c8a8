"""Takes metadata columns from the tags of DICOM files: patient, study, series, and whether text is burned in."""

import hashlib
from collections.abc import Mapping

import polars as pl

from curation.dataset.columns import TEXT, Metadata
from curation.dataset.recipe import BURNED_IN, DicomTags
from curation.images import SNIFF_BYTES, DecodeFailure, read_dicom_tags, sniff
from curation.sources import Fetched
from curation.storage.archive_members import UnreadableMember
from curation.storage.archives import read_member

SALTED_DIGITS = 16


def join_dicom_tags(rows: pl.DataFrame, rule: DicomTags, given: Fetched) -> tuple[pl.DataFrame, list[Metadata]]:
    """Return the rows with the values of the recipe's tags, and their columns; null for what is not DICOM.

    With a salt the values are the first digits of its sha256 and the value's, so that equal ones stay equal.
    ``BurnedInAnnotation`` is always read, and never salted.
    """
    columns = [Metadata(name, column.role, TEXT) for name, column in rule.columns.items()]
    columns.append(Metadata(BURNED_IN, "burned_in", TEXT))
    keywords = {name: column.source for name, column in rule.columns.items()} | {BURNED_IN: "BurnedInAnnotation"}
    wanted = set(rows.filter(pl.col("reason").is_null())["path"])
    found: dict[str, Mapping[str, str | None]] = {}
    for part in given.parts:
        for member in part.archive.members:
            path = part.inner_path(member.path)
            if path not in wanted:
                continue
            try:
                content = read_member(part.archive.path, member)
                if sniff(content[:SNIFF_BYTES]) == "dicom":
                    found[path] = read_dicom_tags(content, tuple(keywords.values()))
            except (UnreadableMember, DecodeFailure):
                continue  # the probe gives the reason
    values: dict[str, list[str | None]] = {}
    for name, keyword in keywords.items():
        salt = None if name == BURNED_IN else rule.salt
        values[name] = [_salt(found.get(path, {}).get(keyword), salt) for path in rows["path"]]
    return rows.with_columns(pl.Series(name, texts, dtype=pl.String) for name, texts in values.items()), columns


def _salt(value: str | None, salt: str | None) -> str | None:
    if value is None or salt is None:
        return value
    return hashlib.sha256(f"{salt}\0{value}".encode()).hexdigest()[:SALTED_DIGITS]
