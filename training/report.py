"""Writes the page of a run: all figures of a model, in one HTML file without further files."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from markupsafe import Markup
from PIL import Image

from firmware.compiler.tflite_reference import ReferenceModel
from training.data import Frames, Samples
from training.evaluate import Labels, Predictor, Probabilities, Rate
from training.figures import draw_calibration, draw_epochs, draw_map, draw_pr, draw_roc
from training.run_summary import RunResults

SHOWN: Final = 8
ENLARGED: Final = 192
WARM: Final = np.array([255.0, 64.0, 0.0])
FULLY_WARM: Final = 0.1
"""Of the answer's probability: a place whose covering takes less is tinted less, even where all others take nothing."""
PATCHES: Final = 6
"""Patches along a side; each is covered together with half of its neighbors."""


@dataclass(frozen=True)
class ShownImage:
    """An image on the page.

    Parameters
    ----------
    sha256, truth, answer : str
    probability : float
        Of the true class.
    disputed : bool
        Whether the image has another label, too.
    lost : float
        How much of the answer's probability is lost where the most important place is covered.
    image, saliency : str
        ``data:`` addresses of PNGs.
    """

    sha256: str
    truth: str
    answer: str
    probability: float
    disputed: bool
    lost: float
    image: str
    saliency: str

    @property
    def right(self) -> bool:
        """Whether the model was right."""
        return self.truth == self.answer


def write_report(results: RunResults, embeddings: pl.DataFrame) -> str:
    """Return the page of a run as one HTML file.

    Parameters
    ----------
    results : RunResults
    embeddings : polars.DataFrame
        From ``training.runs.tabulate_embeddings``.
    """
    fitted, held_out = results.quantized.fitted, results.assessment.held_out
    curves = {"test": results.assessment.test.camera} | ({"cross-validation": held_out.scores} if held_out else {})
    figures = [("Loss of training and validation, by epoch", draw_epochs(fitted.epochs, fitted.best))]
    if all(scores.roc_auc is not None for scores in curves.values()):
        figures.append((f"ROC for {results.data.alarm}", draw_roc(curves)))
        figures.append((f"Precision and recall for {results.data.alarm}", draw_pr(curves)))
    figures.append(("Calibration, with the interval of each bin", draw_calibration(curves)))
    points = embeddings.select("x", "y").to_numpy()
    labels = [f"{label}, {split}" for label, split in results.data.samples.table.select("label", "split").rows()]
    return render_page(
        "run.html",
        results=results,
        figures=figures,
        map=draw_map(points, labels, title="Map of all images by the net's embedding"),
        worst=choose_worst(results),
        wrong=choose_worst_held_out(results),
        description=results.data.version.description,
    )


def render_page(template: str, **values: Any) -> str:
    """Return a page from one of the templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # only needed once a run is written

    environment = Environment(
        loader=PackageLoader("training", "templates"),
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
    share, interval = _rate_parts(rate)
    return f"{share} ({interval})" if interval else share


def _rate_parts(rate: Rate) -> tuple[str, str]:
    """Return a rate in percent, and its interval and number."""
    if rate.share is None:
        return "no images", ""
    hits = f"{rate.hits:.0f}" if float(rate.hits).is_integer() else f"{rate.hits:.1f}"
    return f"{100 * rate.share:.1f} %", f"{100 * rate.low:.1f} to {100 * rate.high:.1f}; {hits} of {rate.of}"


def _wrap_rate(rate: Rate) -> Markup:
    """Return a rate that a narrow page breaks only between share and interval."""
    share, interval = _rate_parts(rate)
    parts = [share, f"({interval})"] if interval else [share]
    return Markup(" ").join(Markup('<span class="unit">{}</span>').format(part) for part in parts)


def choose_worst(results: RunResults) -> tuple[ShownImage, ...]:
    """Return the test images whose true class got the lowest probability, the worst first."""
    samples = results.data.samples
    rows = np.flatnonzero((samples.table["split"] == "test").to_numpy())
    test, answers, int8 = samples.take(rows), results.assessment.answers[rows], results.quantized.int8
    return _show(test, answers, lambda row: int8, results, rows=_worst_first(answers, test.labels)[:SHOWN])


def choose_worst_held_out(results: RunResults) -> tuple[ShownImage, ...]:
    """Return the images that the nets of the cross-validation got wrong, the worst first; none without one.

    The saliency is that of the net that was wrong, which did not see the image's group.
    """
    samples, held_out = results.data.samples, results.assessment.held_out
    if held_out is None:
        return ()
    answers, nets = held_out.first, held_out.nets
    wrong = [row for row in _worst_first(answers, samples.labels) if answers[row].argmax() != samples.labels[row]]
    return _show(samples, answers, lambda row: nets[held_out.net_of[row]], results, rows=wrong[:SHOWN])


def _worst_first(answers: Probabilities, labels: Labels) -> list[int]:
    """Return row numbers in the order of the true class's probability, the lowest first."""
    rows: list[int] = np.argsort(answers[np.arange(len(answers)), labels], kind="stable").tolist()
    return rows


def _show(
    samples: Samples,
    answers: Probabilities,
    net_of: Callable[[int], ReferenceModel],
    results: RunResults,
    *,
    rows: Sequence[int],
) -> tuple[ShownImage, ...]:
    classes, seen = results.data.classes, samples.take(np.array(rows, np.int64)).view(results.settings.side)
    found = []
    for image, row in zip(seen, rows, strict=True):
        answer, truth = int(answers[row].argmax()), int(samples.labels[row])
        saliency = occlude(image, net_of(row).probabilities, answer=answer)
        found.append(
            ShownImage(
                sha256=str(samples.table["sha256"][row]),
                truth=classes[truth],
                answer=classes[answer],
                probability=float(answers[row, truth]),
                disputed=bool(samples.table["disputed"][row]),
                lost=max(0.0, float(saliency.max())),
                image=to_address(image),
                saliency=to_address(tint(image, saliency)),
            )
        )
    return tuple(found)


def occlude(image: Frames, predict: Predictor, *, answer: int) -> npt.NDArray[np.float32]:
    """Return how much of the answer's probability is lost where a patch is covered by the image's mean color.

    Occlusion sensitivity (Zeiler and Fergus 2014) of the very model that the board runs.

    Parameters
    ----------
    image : (side, side, 3) uint8 ndarray
        Through the camera.
    predict : Predictor
    answer : int
        The class whose probability is watched.

    Returns
    -------
    (2 * PATCHES - 1, 2 * PATCHES - 1) float32 ndarray
        Positive where the image supports the answer.
    """
    side = image.shape[0]
    patch, step = side // PATCHES, side // PATCHES // 2
    corners = [(top, left) for top in range(0, side - patch + 1, step) for left in range(0, side - patch + 1, step)]
    covered = np.repeat(image[None], len(corners) + 1, axis=0)
    mean = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    for number, (top, left) in enumerate(corners, start=1):
        covered[number, top : top + patch, left : left + patch] = mean
    probability = predict(covered)[:, answer]
    across = round(len(corners) ** 0.5)
    lost: npt.NDArray[np.float32] = (probability[0] - probability[1:]).reshape(across, across)
    return lost


def tint(image: Frames, saliency: npt.NDArray[np.float32]) -> Frames:
    """Return an image in gray, tinted where it supports the answer: (side, side, 3) uint8.

    One step of the int8 probability gives hardly any tint.
    """
    side = image.shape[0]
    strength = np.clip(saliency / max(float(saliency.max()), FULLY_WARM), 0, 1)
    wide = Image.fromarray(np.rint(255 * strength).astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    weight = 0.6 * np.asarray(wide, dtype=np.float64)[..., None] / 255
    gray = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    tinted: Frames = np.rint(gray * (1 - weight) + WARM * weight).astype(np.uint8)
    return tinted


def to_address(image: Frames) -> str:
    """Return an image as the ``data:`` address of an enlarged PNG."""
    out = io.BytesIO()
    Image.fromarray(image).resize((ENLARGED, ENLARGED), Image.Resampling.NEAREST).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
