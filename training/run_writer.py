"""Writes the folder of a run: models, tables, figures, card and page."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from firmware.compiler.tflite_reference import open_oracle
from training.card import write_card
from training.data import Material
from training.embed import draw_map, embed
from training.fit import FitSettings
from training.model_cc import write_model_cc
from training.report import write_report
from training.run_summary import Results
from training.runs import plain, tool_version, write_config, write_metrics, write_table, write_text
from training.scores import Probabilities

PACKAGES: Final = ("tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "scikit-learn")


def describe_run(material: Material, settings: FitSettings, options: Mapping[str, object]) -> dict[str, Any]:
    """Return what ``config.toml`` says: the version, the settings, and the programs that made the run."""
    described = material.version
    return {
        "tool": tool_version(),
        "data": {
            "name": described.name,
            "version": described.number,
            "digest": described.digest,
            "content_digest": described.description["content_digest"],
            "classes": list(material.classes),
            "alarm": material.alarm,
        },
        "settings": plain(settings),
        "options": dict(options),
        "packages": {name: found for name in PACKAGES if (found := _installed(name))},
    }


def write_run(place: Path, results: Results, *, config: Mapping[str, Any]) -> None:
    """Write every file of a run into its workshop; what training left there for itself goes."""
    material, quantised = results.material, results.quantised
    source = f"{material.reference} ({material.version.digest[:12]}), run {results.name}"
    quantised.fitted.model.save(place / "model.keras")
    (place / "model.tflite").write_bytes(quantised.unrounded)
    (place / "model_int8.tflite").write_bytes(quantised.int8)
    write_text(place / "labels.txt", write_labels(results))
    write_text(place / "model.cc", write_model_cc(quantised.int8, classes=material.classes, source=source))
    write_config(place, config)
    predictions, embeddings = tabulate_predictions(results), tabulate_embeddings(results)
    write_table(place / "predictions.parquet", predictions)
    write_table(place / "embeddings.parquet", embeddings)
    write_text(place / "MODEL_CARD.md", write_card(results))
    write_text(place / "report.html", write_report(results, embeddings))
    # Of what is written whole or not at all, a kill leaves a hidden part.
    for leftover in [place / "checkpoint.npz", *sorted(place.glob("fold-*")), *sorted(place.glob(".*.part"))]:
        leftover.unlink(missing_ok=True)
    write_metrics(place, results.as_metrics())


def write_labels(results: Results) -> str:
    """Return the classes, one a line in the order of the outputs, and then, as comments, where they come from.

    A reader that goes by the number of the line finds each label; the comments stand behind the last one.
    """
    version = results.material.version
    source = f"# {results.material.reference}, digest {version.digest}\n# run {results.name}\n"
    return "".join(f"{name}\n" for name in results.material.classes) + source


def tabulate_predictions(results: Results) -> pl.DataFrame:
    """Return what the int8 model says to each kept picture and to each context picture that could be read.

    Columns: id, sha256, page, source, split (null for context), label (null for context), source_label (null for kept
    pictures), predicted, confidence, alarm (the alarm class's probability), probabilities (in the order of the
    classes), unseen (the same from the cross-validation's nets, which never saw the picture's group; null without one).
    Sorted by id.
    """
    material, verdict = results.material, results.verdict
    samples = material.samples
    said = open_oracle(results.quantised.int8).probabilities(samples.view(results.settings.side))
    kept = samples.table.select("id", "sha256", "page", "source", "split", "label")
    unseen = verdict.unseen.answers.tolist() if verdict.unseen is not None else [None] * len(samples)
    parts = [
        _with_answers(kept.with_columns(source_label=pl.lit(None, pl.String)), said, material).with_columns(
            unseen=pl.Series(unseen, dtype=pl.List(pl.Float32))
        )
    ]
    if verdict.context.height:
        nothing = [pl.lit(None, pl.String).alias(name) for name in ("split", "label")]
        others = _with_answers(verdict.context.with_columns(nothing), verdict.context_said, material)
        others = others.with_columns(unseen=pl.lit(None, pl.List(pl.Float32)))
        parts.append(others.select(parts[0].columns))
    return pl.concat(parts).sort("id")


def _with_answers(table: pl.DataFrame, said: Probabilities, material: Material) -> pl.DataFrame:
    answers = said.argmax(axis=1)
    return table.with_columns(
        predicted=pl.Series([material.classes[answer] for answer in answers.tolist()], dtype=pl.String),
        confidence=pl.Series(said.max(axis=1), dtype=pl.Float32),
        alarm=pl.Series(said[:, material.classes.index(material.alarm)], dtype=pl.Float32),
        probabilities=pl.Series(said.tolist(), dtype=pl.List(pl.Float32)),
    )


def tabulate_embeddings(results: Results) -> pl.DataFrame:
    """Return where the float net places each kept picture: id, sha256, page, embedding, and x and y of a map."""
    samples = results.material.samples
    embeddings = embed(results.quantised.fitted.model, samples.view(results.settings.side))
    placed = draw_map(embeddings)
    return samples.table.select("id", "sha256", "page").with_columns(
        embedding=pl.Series(embeddings.tolist(), dtype=pl.List(pl.Float32)),
        x=pl.Series(np.ascontiguousarray(placed[:, 0])),
        y=pl.Series(np.ascontiguousarray(placed[:, 1])),
    )


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
