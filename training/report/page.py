"""Fills the page of a run."""

from typing import Any

import polars as pl

from training.oracle import open_oracle
from training.report.figures import draw_calibration, draw_epochs, draw_map, draw_pr, draw_roc
from training.report.pictures import choose_worst
from training.results import Results
from training.scores import Rate


def write_report(results: Results, embeddings: pl.DataFrame) -> str:
    """Return the page of a run as one HTML file.

    Parameters
    ----------
    results : Results
    embeddings : polars.DataFrame
        From ``training.writing.tabulate_embeddings``.
    """
    test = results.verdict.test.camera
    figures = [("Loss", draw_epochs(results.quantised.fitted.epochs, results.quantised.fitted.best))]
    if test.roc_auc is not None and test.pr_auc is not None:
        figures.append((f"ROC: area {test.roc_auc:.3f}", draw_roc(test)))
        figures.append((f"Precision and recall: average precision {test.pr_auc:.3f}", draw_pr(test)))
    figures.append((f"Calibration: expected error {test.calibration_error:.3f}", draw_calibration(test)))
    points = embeddings.select("x", "y").to_numpy()
    labels = [f"{label}, {split}" for label, split in results.material.samples.table.select("label", "split").rows()]
    return render_page(
        "run.html",
        results=results,
        figures=figures,
        map=draw_map(points, labels, title="Map of all pictures in the net's own space"),
        worst=choose_worst(results, open_oracle(results.quantised.int8)),
        description=results.material.version.description,
    )


def render_page(template: str, **values: Any) -> str:
    """Return a page from a template of this room."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("training.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rate"] = show_rate
    environment.filters["percent"] = lambda share: "none" if share is None else f"{100 * share:.1f} %"
    return environment.get_template(template).render(**values)


def show_rate(rate: Rate) -> str:
    """Return a rate in percent, with its interval and number."""
    if rate.share is None:
        return "none to ask"
    hits = f"{rate.hits:.0f}" if float(rate.hits).is_integer() else f"{rate.hits:.1f}"
    return f"{100 * rate.share:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f}; {hits} of {rate.of})"
