"""Fills the page of a run."""

from typing import Any

import polars as pl
from markupsafe import Markup

from training.report.figures import draw_calibration, draw_epochs, draw_map, draw_pr, draw_roc
from training.report.pictures import choose_worst, choose_worst_unseen
from training.run_summary import Results
from training.scores import Rate


def write_report(results: Results, embeddings: pl.DataFrame) -> str:
    """Return the page of a run as one HTML file.

    Parameters
    ----------
    results : Results
    embeddings : polars.DataFrame
        From ``training.run_writer.tabulate_embeddings``.
    """
    quantised, unseen = results.quantised, results.verdict.unseen
    curves = {"test": results.verdict.test.camera} | ({"cross-validation": unseen.scores} if unseen else {})
    figures = [("Loss: training and validation, by epoch", draw_epochs(quantised.fitted.epochs, quantised.fitted.best))]
    if all(scores.roc_auc is not None for scores in curves.values()):
        figures.append((f"ROC for {results.material.alarm}", draw_roc(curves)))
        figures.append((f"Precision and recall for {results.material.alarm}", draw_pr(curves)))
    figures.append(("Calibration, with the interval of each bin", draw_calibration(curves)))
    points = embeddings.select("x", "y").to_numpy()
    labels = [f"{label}, {split}" for label, split in results.material.samples.table.select("label", "split").rows()]
    return render_page(
        "run.html",
        results=results,
        figures=figures,
        map=draw_map(points, labels, title="Map of all pictures in the net's own space"),
        worst=choose_worst(results),
        wrong=choose_worst_unseen(results),
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
    environment.filters["rate"] = _wrap_rate
    environment.filters["percent"] = lambda share: "none" if share is None else f"{100 * share:.1f} %"
    return environment.get_template(template).render(**values)


def show_rate(rate: Rate) -> str:
    """Return a rate in percent, with its interval and number."""
    if rate.share is None:
        return "none to ask"
    hits = f"{rate.hits:.0f}" if float(rate.hits).is_integer() else f"{rate.hits:.1f}"
    return f"{100 * rate.share:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f}; {hits} of {rate.of})"


def _wrap_rate(rate: Rate) -> Markup:
    """Return a rate that a narrow page breaks between share and interval alone."""
    share, bracket, interval = show_rate(rate).partition(" (")
    parts = [part for part in (share, bracket[1:] + interval) if part]
    return Markup(" ").join(Markup('<span class="unit">{}</span>').format(part) for part in parts)
