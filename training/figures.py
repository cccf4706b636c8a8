"""Draws the figures of a page as SVG in the page's own text color, for light and dark themes."""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.evaluate import Scores
from training.fit import Epoch

INK: Final = "#010203"
"""Replaced by the page's text color."""
PALETTE: Final = ("#3b7dd8", "#d1495b", "#2e933c", "#c77d1e", "#8457b2", "#5a9ea6", "#9a7b4f", "#7c7c7c")
"""Distinguishable on white, on black and by most color-blind people; every series also has a shape or a label."""
MARKERS: Final = ("o", "^", "s", "D", "v", "P", "X", "*")
SIZE: Final = (4.6, 3.4)
MAP_SEED: Final = 1
FEWEST_FOR_MAP: Final = 5


def draw(paint: Callable[[Any], None], *, name: str, title: str, size: tuple[float, float] = SIZE) -> str:
    """Return a figure as an ``<svg>`` element.

    Parameters
    ----------
    paint : callable
        Draws into a matplotlib axes.
    name : str
        Prefix of the ids within the figure.
    title : str
        The text alternative.
    size : (float, float)
        In inches.
    """
    import matplotlib

    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9.0, "text.color": INK, "axes.edgecolor": INK,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        paint(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _embed(out.getvalue(), name=name, title=title)


def _embed(text: str, *, name: str, title: str) -> str:
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|href="#)', lambda found: f"{found[0]}{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    safe = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{safe}" ', 1)


def draw_roc(curves: Mapping[str, Scores]) -> str:
    """Draw sensitivity against false alarms, a curve for each set of images."""

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=":")
        for (name, scores), look in zip(curves.items(), _looks(), strict=False):
            axes.plot(*np.array(scores.roc).T, **look, linewidth=1.8, label=f"{name}: {scores.roc_auc:.4f}")
        axes.set(xlabel="false alarms", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(title="area under the curve", loc="lower right")

    areas = ", ".join(f"{name} {scores.roc_auc:.4f}" for name, scores in curves.items())
    return draw(paint, name="roc", title=f"ROC curve, area: {areas}")


def draw_pr(curves: Mapping[str, Scores]) -> str:
    """Draw precision against sensitivity, a curve for each set of images."""

    def paint(axes: Any) -> None:
        for (name, scores), look in zip(curves.items(), _looks(), strict=False):
            label = f"{name}: {scores.pr_auc:.4f}"
            axes.step(*np.array(scores.pr).T, **look, linewidth=1.8, where="post", label=label)
        axes.set(xlabel="sensitivity", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(title="average precision", loc="lower left")

    areas = ", ".join(f"{name} {scores.pr_auc:.4f}" for name, scores in curves.items())
    return draw(paint, name="pr", title=f"Precision-recall curve, average precision: {areas}")


def draw_calibration(curves: Mapping[str, Scores]) -> str:
    """Draw accuracy against confidence, with the interval of each bin."""

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=":")
        least = 0.5  # with more than two classes the highest probability may be lower
        for (name, scores), color, marker in zip(curves.items(), PALETTE, MARKERS, strict=False):
            bins = [bin for bin in scores.bins if bin.confidence is not None and bin.right.share is not None]
            least = min([least, *(bin.confidence or 0.0 for bin in bins)])
            for bin in bins:
                axes.plot([bin.confidence] * 2, [bin.right.low, bin.right.high], color=color, linewidth=1)
            label = f"{name}: {scores.calibration_error:.4f}"
            shares = [bin.right.share for bin in bins]
            axes.plot([bin.confidence for bin in bins], shares, marker, color=color, label=label)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(least - 0.05, 1.02), ylim=(-0.02, 1.02))
        axes.legend(title="expected calibration error", loc="lower left")

    errors = ", ".join(f"{name} {scores.calibration_error:.4f}" for name, scores in curves.items())
    return draw(paint, name="calibration", title=f"Calibration, expected error: {errors}")


def _looks() -> Iterator[dict[str, str]]:
    """Yield colors and dashes that distinguish curves, also without color."""
    yield from (
        {"color": color, "linestyle": dash} for color, dash in zip(PALETTE, ("-", "--", "-.", ":"), strict=False)
    )


def draw_epochs(epochs: Sequence[Epoch], best: int) -> str:
    """Draw the losses of training and validation over the epochs."""

    def paint(axes: Any) -> None:
        numbers, few = [epoch.number for epoch in epochs], "o" if len(epochs) == 1 else ""  # a line needs two points
        axes.semilogy(
            numbers, [max(epoch.loss, 1e-6) for epoch in epochs], f"{few}-", color=PALETTE[0], label="training"
        )
        axes.semilogy(
            numbers, [max(epoch.val_loss, 1e-6) for epoch in epochs], f"{few}--", color=PALETTE[1], label="validation"
        )
        axes.axvline(best, color=INK, linewidth=0.6, linestyle=":")
        axes.set(xlabel="epoch", ylabel="loss")
        axes.legend()

    return draw(paint, name="epochs", title=f"Loss over {len(epochs)} epochs; the best was epoch {best}")


def place_map(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (n, 2) float32 coordinates in which neighbors in the embedding stay neighbors.

    t-SNE (van der Maaten and Hinton 2008) from a principal component start, so that the same embeddings give the same
    map. Distances between far clusters mean nothing. Fewer than five images are placed by their components alone.
    """
    from sklearn.decomposition import PCA  # one second to import
    from sklearn.manifold import TSNE

    count, features = embeddings.shape
    if count < FEWEST_FOR_MAP or not np.ptp(embeddings, axis=0).any():
        parts = (
            PCA(n_components=min(2, count, features)).fit_transform(embeddings) if count > 1 else np.zeros((count, 1))
        )
        return np.pad(parts, ((0, 0), (0, 2 - parts.shape[1]))).astype(np.float32)
    perplexity = min(30.0, (count - 1) / 3)
    placed = TSNE(2, perplexity=perplexity, init="pca", random_state=MAP_SEED).fit_transform(embeddings)
    return np.asarray(placed, dtype=np.float32)


def draw_map(points: npt.NDArray[np.float32], labels: Sequence[str], *, title: str) -> str:
    """Draw images as points, each class in its color and shape."""

    def paint(axes: Any) -> None:
        names = np.array(labels)
        for number, label in enumerate(sorted(set(labels))):
            inside = points[names == label]
            axes.scatter(
                *inside.T, s=9, alpha=0.7, linewidths=0, label=label, color=PALETTE[number % len(PALETTE)],
                marker=MARKERS[(number + number // len(PALETTE)) % len(MARKERS)],
            )  # fmt: skip
        axes.set(xticks=[], yticks=[])
        axes.legend(markerscale=2)

    return draw(paint, name="map", title=title, size=(6.4, 4.8))


def draw_pareto(points: Sequence[tuple[str, float, float]], front: frozenset[str], *, name: str, xlabel: str) -> str:
    """Draw accuracy against a cost; the Pareto front is filled and joined."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    def paint(axes: Any) -> None:
        axes.plot(
            *zip(*sorted((x, y) for label, x, y in points if label in front), strict=True),
            color=PALETTE[0],
            linewidth=0.8,
        )
        heights = sorted(y for _, _, y in points)
        close = 0.08 * (heights[-1] - heights[0])
        for number, (label, x, y) in enumerate(points):
            axes.plot(x, y, "o", color=PALETTE[0], fillstyle="full" if label in front else "none")
            # A name is above its point, or below it where the name of another point is in the way.
            others = ((other, place) for place, (_, _, other) in enumerate(points) if place != number)
            below = any(0 < other - y < close or (other == y and place > number) for other, place in others)
            axes.annotate(label, (x, y), textcoords="offset points", xytext=(4, -9 if below else 4), fontsize=7)
        axes.set(xlabel=xlabel, ylabel="validation accuracy", xscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())

    return draw(paint, name=name, title=f"Validation accuracy against {xlabel}")
