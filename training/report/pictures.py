"""Shows the pictures a model is worst at, each with what mattered to its answer."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from firmware.compiler.tflite_reference import Oracle, open_oracle
from training.data import Frames, Samples
from training.occlusion import cover
from training.run_summary import Results
from training.scores import Labels, Probabilities

SHOWN: Final = 8
ENLARGED: Final = 192
WARM: Final = np.array([255.0, 64.0, 0.0])
FULLY_WARM: Final = 0.1
"""Of the answer's probability: a place whose covering takes less is tinted less, however little all others take."""


@dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Parameters
    ----------
    sha256, truth, answer : str
    probability : float
        What the model gave the true class.
    disputed : bool
        Whether the picture stands under another label, too.
    lost : float
        What of the answer's probability is lost where the place that matters most is covered.
    picture, saliency : str
        ``data:`` addresses of PNGs.
    """

    sha256: str
    truth: str
    answer: str
    probability: float
    disputed: bool
    lost: float
    picture: str
    saliency: str

    @property
    def right(self) -> bool:
        """Whether the model was right."""
        return self.truth == self.answer


def choose_worst(results: Results) -> tuple[Shown, ...]:
    """Return the test pictures whose true class the model found least likely, the worst first."""
    test, oracle = results.material.samples.of_split("test"), open_oracle(results.quantised.int8)
    said = oracle.probabilities(test.view(results.settings.side))
    return _show(test, said, lambda row: oracle, results, rows=_order(said, test.labels)[:SHOWN])


def choose_worst_unseen(results: Results) -> tuple[Shown, ...]:
    """Return the pictures the nets of the cross-validation were wrong about, the worst first; none without one.

    What mattered is asked of the very net that was wrong, which never saw the picture's group.
    """
    samples, unseen = results.material.samples, results.verdict.unseen
    if unseen is None:
        return ()
    oracles = [open_oracle(net) for net in unseen.nets]
    wrong = [row for row in _order(unseen.first, samples.labels) if unseen.first[row].argmax() != samples.labels[row]]
    return _show(samples, unseen.first, lambda row: oracles[unseen.net_of[row]], results, rows=wrong[:SHOWN])


def _order(said: Probabilities, labels: Labels) -> list[int]:
    """Return row numbers, those first whose true class got least."""
    rows: list[int] = np.argsort(said[np.arange(len(said)), labels], kind="stable").tolist()
    return rows


def _show(
    samples: Samples, said: Probabilities, oracle_of: Callable[[int], Oracle], results: Results, *, rows: Sequence[int]
) -> tuple[Shown, ...]:
    classes, seen = results.material.classes, samples.take(np.array(rows, np.int64)).view(results.settings.side)
    found = []
    for picture, row in zip(seen, rows, strict=True):
        answer, truth = int(said[row].argmax()), int(samples.labels[row])
        saliency = cover(picture, oracle_of(row), answer=answer)
        found.append(
            Shown(
                sha256=str(samples.table["sha256"][row]),
                truth=classes[truth],
                answer=classes[answer],
                probability=float(said[row, truth]),
                disputed=bool(samples.table["disputed"][row]),
                lost=max(0.0, float(saliency.max())),
                picture=to_address(picture),
                saliency=to_address(heat(picture, saliency)),
            )
        )
    return tuple(found)


def heat(picture: Frames, saliency: npt.NDArray[np.float32]) -> Frames:
    """Return a picture in grey, tinted where it speaks for the answer: (side, side, 3) uint8.

    A last step of the int8 probability is no reason to tint a place as if the answer hung on it.
    """
    side = picture.shape[0]
    strength = np.clip(saliency / max(float(saliency.max()), FULLY_WARM), 0, 1)
    wide = Image.fromarray(np.rint(255 * strength).astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    weight = 0.6 * np.asarray(wide, dtype=np.float64)[..., None] / 255
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    tinted: Frames = np.rint(grey * (1 - weight) + WARM * weight).astype(np.uint8)
    return tinted


def to_address(picture: Frames) -> str:
    """Return a picture as the ``data:`` address of an enlarged PNG."""
    out = io.BytesIO()
    Image.fromarray(picture).resize((ENLARGED, ENLARGED), Image.Resampling.NEAREST).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
