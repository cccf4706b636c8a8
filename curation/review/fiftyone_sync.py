"""Keeps a FiftyOne dataset in step with the review table: one sample per row, and the queues as saved views.

The dataset is disposable: everything in it can be made again from the manifest and the ledger.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from curation.dataset.columns import COLUMNS, SCHEMA, Metadata
from curation.dataset.manifest import canonical_json
from curation.review.review_queues import DECISION_COLUMNS, QUEUES, Queue, count_queues

LAYOUT: Final = 3
"""Increase it when fields change: datasets of an older layout are then recreated."""

RENAMED: Final[Mapping[str, str]] = {"id": "row", "group": "group_of"}
"""Columns of the manifest whose names FiftyOne uses itself -> field of a sample."""

OWN_FIELDS: Final[Mapping[str, pl.DataType]] = {
    "excluded": pl.String(),
    "decision": pl.String(),
    "cluster": pl.String(),
    "rank": pl.Int32(),
    "queues": pl.List(pl.String()),
    "left": pl.List(pl.String()),
    "reviewers": pl.List(pl.String()),
    "doubt": pl.Float64(),
    "uncertainty": pl.Float64(),
}
"""The columns of the review table that the manifest lacks, or has as data and not as text."""

FIFTYONE_FIELDS: Final = frozenset({"id", "filepath", "tags", "metadata", "created_at", "last_modified_at"})
"""The fields that every sample of FiftyOne has."""

PLAIN: Final[Mapping[str, str]] = {
    **{
        RENAMED.get(column.name, column.name): column.name
        for column in COLUMNS
        if column.shown and column.name != "label"
    },
    **{name: name for name in OWN_FIELDS},
}
"""Field of a sample -> column of the table, metadata columns apart."""

KINDS: Final[Mapping[str, pl.DataType]] = {**SCHEMA, **OWN_FIELDS}

SHOWN: Final = ("label", "excluded", "decision", "split", "proposal")
"""The fields that the grid shows below each image by default."""


@dataclass(frozen=True)
class ReviewSubject:
    """The subject of a FiftyOne dataset, which is stored in its ``info``.

    Parameters
    ----------
    name, reference : str
        The dataset, and its version or draft.
    datasets : str
        The folder of definitions.
    run : str
        The training run whose embeddings are shown, or ``""``.
    reviewer : str
        Who opened the App: edits in it are this reviewer's.
    """

    name: str
    reference: str
    datasets: str
    run: str = ""
    reviewer: str = ""


def dataset_name(datasets: Path, name: str) -> str:
    """Return the name of the FiftyOne dataset; datasets of the same name in two folders have two names."""
    mark = hashlib.sha256(str(datasets.resolve()).encode()).hexdigest()[:6]
    return f"{name}-{mark}"


def synchronize_dataset(
    rows: pl.DataFrame, media: pl.DataFrame, subject: ReviewSubject, *, metadata: Sequence[Metadata] = ()
) -> Any:
    """Update the FiftyOne dataset to the rows, and return it.

    Samples are added, changed and removed individually, by row id. Tags and other fields that users added are kept.

    Parameters
    ----------
    rows : polars.DataFrame
        As ``build_review_table`` returns them, with ``proposal`` and ``confidence`` where a run proposes.
    media : polars.DataFrame
        As ``prepare_media`` returns them, aligned with ``rows``.
    metadata : sequence of Metadata
        The metadata columns of the rows; each becomes a field.
    """
    import fiftyone as fo

    names = name_fields(metadata, taken=frozenset(dir(fo.Sample)))
    dataset = _open(subject, metadata, names)
    wanted = [_fields(row, names) for row in _table(rows, media).iter_rows(named=True)]
    there = dict(zip(*dataset.values(["row", "stamp"]), strict=True))
    ids = {fields["row"] for fields in wanted}
    gone = sorted(set(there) - ids)
    if gone:
        dataset.delete_samples(dataset.select_by("row", gone))
    new = [fields for fields in wanted if fields["row"] not in there]
    changed = [fields for fields in wanted if fields["row"] in there and there[fields["row"]] != fields["stamp"]]
    if new:
        # All fields are declared: looking for new ones and validating values would take a third of the time.
        samples = [_sample(fo, fields) for fields in new]
        dataset.add_samples(samples, expand_schema=False, validate=False, progress=False)
    if changed:
        _write(dataset, changed)
    if new or changed:
        mark_written(dataset)
    _save_info(dataset, subject, _describe_fields(metadata, names))
    save_queues(dataset, rows)
    if new or gone:
        _make_durable(dataset, len(ids))
    return dataset


def _make_durable(dataset: Any, count: int) -> None:
    """Have the database save the number of its documents, and correct it where it is wrong.

    After a kill, MongoDB recovers documents from its journal, but not their number; where that is 0, the App shows "No
    samples yet".
    """
    from pymongo.errors import PyMongoError

    samples = sample_collection(dataset)
    with suppress(PyMongoError):  # a server that is not ours may not permit it
        if samples.estimated_document_count() != count:
            samples.database.command("validate", samples.name)
        samples.database.client.admin.command("fsync")


def mark_written(dataset: Any, samples: Sequence[Any] | None = None) -> None:
    """Note in samples, by default in all, that what they contain now is what the review wrote: see `app_edits`."""
    which = {} if samples is None else {"_id": {"$in": list(samples)}}
    label = {"$ifNull": ["$label.label", ""]}
    sample_collection(dataset).update_many(which, [{"$set": {"touched": "$last_modified_at", "written": label}}])


def restore_samples(
    dataset: Any, rows: pl.DataFrame, ids: Sequence[str], *, drop_tags: Mapping[Any, Sequence[str]]
) -> None:
    """Write to samples what the review table has of their rows, and remove tags that became decisions.

    Parameters
    ----------
    rows : polars.DataFrame
        The review table.
    ids : sequence of str
        Of rows.
    drop_tags : mapping of object to sequence of str
        Sample -> tags.
    """
    shas = rows.filter(pl.col("id").is_in(list(ids)))["sha256"].drop_nulls().unique().to_list()
    update_samples(dataset, rows, shas, ids=ids)
    collection = sample_collection(dataset)
    for sample, tags in drop_tags.items():
        collection.update_one({"_id": sample}, {"$pullAll": {"tags": list(tags)}})
    mark_written(dataset, list(drop_tags))
    dataset.reload()


def sample_collection(dataset: Any) -> Any:
    """Return the MongoDB collection of a dataset's samples."""
    from fiftyone.core.odm import get_db_conn

    database = get_db_conn()
    return database[database["datasets"].find_one({"name": dataset.name})["sample_collection_name"]]


def update_samples(
    dataset: Any, rows: pl.DataFrame, shas: Sequence[str], *, ids: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Update the database to the review table for every row of these sha256, and for rows of these ids.

    Returns
    -------
    dict of str to dict
        Id of each changed sample -> field -> value, as in JSON.
    """
    from bson import ObjectId
    from pymongo import UpdateOne

    is_named = pl.col("sha256").is_in(list(shas)).fill_null(value=False) | pl.col("id").is_in(list(ids))
    part = rows.filter(is_named | _cluster_of(rows, shas))
    found = dataset.select_by("row", part["id"].to_list())
    samples = dict(zip(*found.values(["row", "id"]), strict=True))
    values = {samples[row["id"]]: _changing(row) for row in part.iter_rows(named=True) if row["id"] in samples}
    # The stamp covers the whole row: without one, the next session writes the row again.
    moment = datetime.now(UTC)
    bookkeeping = {"stamp": "", "last_modified_at": moment, "touched": moment}
    # FiftyOne's set_values queries the database several times per field; this is one query.
    if values:
        changes = [
            UpdateOne({"_id": ObjectId(one)}, {"$set": new | bookkeeping | {"written": _label_in(new)}})
            for one, new in values.items()
        ]
        sample_collection(dataset).bulk_write(changes, ordered=False)
        dataset.reload()
    describe_queues(dataset, rows)
    return {one: {**new, "label": _as_json(new["label"])} for one, new in values.items()}


def _changing(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a decision can change, as they are in the database."""
    label = _classification(row["label"])
    return {**{column: row[column] for column in DECISION_COLUMNS}, "label": None if label is None else label.to_dict()}


def _label_in(changed: Mapping[str, Any]) -> str:
    return str(changed["label"]["label"]) if changed["label"] else ""


def _as_json(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a document of the database without types that JSON does not have."""
    return None if document is None else {**document, "_id": str(document["_id"])}


def _cluster_of(rows: pl.DataFrame, shas: Sequence[str]) -> pl.Expr:
    touched = rows.filter(pl.col("sha256").is_in(list(shas)))["cluster"].drop_nulls().unique()
    return pl.col("cluster").is_in(touched.implode()).fill_null(value=False)


def _classification(label: str | None, confidence: float | None = None) -> Any:
    import fiftyone as fo

    return None if label is None else fo.Classification(label=label, confidence=confidence)


def _open(subject: ReviewSubject, metadata: Sequence[Metadata], names: Mapping[str, str]) -> Any:
    import fiftyone as fo

    name = dataset_name(Path(subject.datasets), subject.name)
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        if dataset.info.get("layout") == LAYOUT and dataset.info.get("metadata") == _describe_fields(metadata, names):
            return dataset
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    _declare(fo, dataset, {names[column.name]: column.kind for column in metadata})
    return dataset


def name_fields(metadata: Sequence[Metadata], *, taken: Collection[str] = ()) -> dict[str, str]:
    """Return metadata column -> field of a sample: its own name, with a ``_`` where that is taken.

    >>> name_fields([Metadata("module"), Metadata("tags")])
    {'module': 'module', 'tags': 'tags_'}
    """
    own = {*PLAIN, *taken, *FIFTYONE_FIELDS, "label", "proposal", "lookalikes", "board", "stamp", "size"}
    own |= {"written", "touched"}
    return {column.name: f"{column.name}_" if column.name in own else column.name for column in metadata}


def _describe_fields(metadata: Sequence[Metadata], names: Mapping[str, str]) -> list[list[str]]:
    """Return field and type of each metadata column, as the dataset's ``info`` keeps them."""
    return [[names[column.name], str(column.kind)] for column in metadata]


def _field_kind(fo: Any, kind: pl.DataType) -> Any:
    """Return FiftyOne's type for a column's."""
    if kind.is_integer():
        return fo.IntField
    if kind.is_float():
        return fo.FloatField
    return fo.BooleanField if kind == pl.Boolean() else fo.StringField


def _declare(fo: Any, dataset: Any, metadata: Mapping[str, pl.DataType]) -> None:
    """Declare every field, so that empty ones are shown and no type is guessed."""
    kinds = {field: KINDS[column] for field, column in PLAIN.items()} | dict(metadata)
    kinds |= dict.fromkeys(("stamp", "board", "written"), pl.String())
    for name, kind in kinds.items():
        if isinstance(kind, pl.List):
            dataset.add_sample_field(name, fo.ListField, subfield=fo.StringField)
        else:
            dataset.add_sample_field(name, _field_kind(fo, kind))
    for name in ("label", "proposal"):
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    document = fo.EmbeddedDocumentField
    dataset.add_sample_field(
        "lookalikes", fo.ListField, subfield=document, embedded_doc_type=fo.DynamicEmbeddedDocument
    )
    for part, kind in (
        ("row", fo.StringField),
        ("kind", fo.StringField),
        ("distance", fo.IntField),
        ("correlation", fo.FloatField),
    ):
        dataset.add_sample_field(f"lookalikes.{part}", kind)
    dataset.add_sample_field("touched", fo.DateTimeField)
    dataset.create_index("row", unique=True)
    for name in ("queues", "left", "cluster", "group_of", "sha256"):
        dataset.create_index(name)
    _arrange(fo, dataset, tuple(metadata))


def _arrange(fo: Any, dataset: Any, metadata: Sequence[str]) -> None:
    """Configure the sidebar, the two media fields and the fields below each image."""
    config = dataset.app_config
    config.media_fields = ["filepath", "board"]
    config.active_fields = fo.core.odm.dataset.ActiveFields(paths=list(SHOWN))
    config.color_scheme = fo.ColorScheme(color_by="value")
    group = fo.SidebarGroupDocument
    config.sidebar_groups = [
        group(
            name="review", paths=["label", "decision", "excluded", "split", "reserve", "reviewers", "left", "queues"]
        ),
        group(
            name="conflicts and duplicates",
            paths=[
                "disputed",
                "claims",
                "group_of",
                "cluster",
                "rank",
                "distance",
                "correlation",
                "lookalikes.row",
                "lookalikes.kind",
                "lookalikes.distance",
                "lookalikes.correlation",
            ],
        ),
        group(name="proposals and doubts", paths=["proposal", "uncertainty", "doubt"]),
        group(name="quality", paths=["sharpness", "brightness", "contrast"]),
        group(
            name="source",
            paths=["row", "source", "source_label", "source_split", "licence", "sha256", "page", *metadata],
        ),
        group(name="tags", paths=["tags"], expanded=False),
        group(
            name="metadata",
            paths=[f"metadata.{part}" for part in ("size_bytes", "mime_type", "width", "height", "num_channels")]
            + ["id", "filepath", "board", "stamp", "written", "touched", "created_at", "last_modified_at"],
            expanded=False,
        ),
    ]
    dataset.save()


def _table(rows: pl.DataFrame, media: pl.DataFrame) -> pl.DataFrame:
    absent = [
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in (("proposal", pl.String), ("confidence", pl.Float64), ("uncertainty", pl.Float64))
        if name not in rows.columns
    ]
    shown = media.select("full", "board", pl.col("width").alias("_width"), pl.col("height").alias("_height"))
    return pl.concat([rows.with_columns(absent), shown], how="horizontal")


def _fields(row: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a row's sample, with a stamp that shows whether the row changed."""
    fields = {field: row[column] for field, column in PLAIN.items()}
    fields |= {field: row[column] for column, field in metadata.items()}
    fields |= {
        "filepath": row["full"],
        "board": row["board"],
        "label": row["label"],
        "proposal": [row["proposal"], row["confidence"]],
        "size": [row["size_bytes"], row["_width"], row["_height"]],
        "lookalikes": [
            {"row": other["id"], **{key: other[key] for key in ("kind", "distance", "correlation")}}
            for other in row["lookalikes"] or ()
        ],
    }
    return {**fields, "stamp": hashlib.sha256(canonical_json(fields).encode()).hexdigest()[:16]}


def _values(fo: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields as FiftyOne's own types."""
    size_bytes, width, height = fields["size"]
    proposal, confidence = fields["proposal"]
    values = {name: value for name, value in fields.items() if name != "size"}
    values["label"] = None if fields["label"] is None else fo.Classification(label=fields["label"])
    # A question mark, because the grid shows proposals next to labels.
    values["proposal"] = None if proposal is None else fo.Classification(label=f"{proposal}?", confidence=confidence)
    values["metadata"] = fo.ImageMetadata(size_bytes=size_bytes, width=width, height=height)
    values["lookalikes"] = [fo.DynamicEmbeddedDocument(**other) for other in fields["lookalikes"]]
    return values


def _sample(fo: Any, fields: Mapping[str, Any]) -> Any:
    return fo.Sample(**_values(fo, fields))


def _write(dataset: Any, changed: Sequence[Mapping[str, Any]]) -> None:
    import fiftyone as fo

    values = {fields["row"]: _values(fo, fields) for fields in changed}
    for name in next(iter(values.values())):
        if name != "row":
            dataset.set_values(name, {row: fields[name] for row, fields in values.items()}, key_field="row")


def _save_info(dataset: Any, subject: ReviewSubject, fields: Sequence[Sequence[str]]) -> None:
    dataset.info = {
        "layout": LAYOUT,
        "name": subject.name,
        "reference": subject.reference,
        "datasets": subject.datasets,
        "run": subject.run,
        "reviewer": subject.reviewer,
        "metadata": [list(field) for field in fields],
    }
    dataset.save()


def read_subject(dataset: Any) -> ReviewSubject | None:
    """Return the subject of a FiftyOne dataset; None where no review made it."""
    info = dataset.info or {}
    if info.get("layout") != LAYOUT:
        return None
    return ReviewSubject(
        info["name"], info["reference"], info["datasets"], info.get("run", ""), info.get("reviewer", "")
    )


def save_queues(dataset: Any, rows: pl.DataFrame) -> None:
    """Save a view of each queue under its name, with the number of images left."""
    counts = count_queues(rows)
    for queue in QUEUES:
        text = _describe(queue, counts[queue])
        dataset.save_view(queue, queue_view(dataset, queue), description=text, overwrite=True)


def describe_queues(dataset: Any, rows: pl.DataFrame) -> None:
    """Update the counts in the descriptions of the saved views."""
    counts = count_queues(rows)
    for queue in QUEUES:
        text = _describe(queue, counts[queue])
        if dataset.get_saved_view_info(queue)["description"] != text:
            dataset.update_saved_view_info(queue, {"description": text})


def _describe(queue: Queue, counts: tuple[int, int]) -> str:
    return f"{counts[1]:,} of {counts[0]:,} left: {QUEUES[queue]}"


def queue_view(dataset: Any, queue: Queue) -> Any:
    """Return a queue as a view: undecided images first, related ones next to each other."""
    from fiftyone import ViewField as F

    view = dataset if queue == "everything" else dataset.match(F("queues").contains(queue))
    waiting = (F("left").contains(queue), -1)
    if queue == "near-duplicates":
        return view.sort_by([waiting, ("cluster", 1), ("rank", 1)]).group_by("cluster", order_by="rank")
    first = {"unlabelled": [("uncertainty", -1)], "doubtful": [("doubt", -1)]}.get(queue, [("group_of", 1)])
    return view.sort_by([waiting, *first, ("sha256", 1), ("row", 1)])
