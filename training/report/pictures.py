"""Shows the pictures a model is worst at, each with what mattered to its answer."""

import base64
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data import Frames
from training.oracle import Oracle
from training.results import Results
from training.saliency import cover

SHOWN: Final = 8
ENLARGED: Final = 192
WARM: Final = np.array([255.0, 64.0, 0.0])


@dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Parameters
    ----------
    sha256, truth, answer : str
    probability : float
        What the model gave the true class.
    picture, saliency : str
        ``data:`` addresses of PNGs.
    """

    sha256: str
    truth: str
    answer: str
    probability: float
    picture: str
    saliency: str

    @property
    def right(self) -> bool:
        """Whether the model was right."""
        return self.truth == self.answer


def choose_worst(results: Results, oracle: Oracle) -> tuple[Shown, ...]:
    """Return the test pictures whose true class the model found least likely, the worst first."""
    test = results.material.samples.of_split("test")
    seen = test.view(results.settings.side)
    said = oracle.probabilities(seen)
    true = said[np.arange(len(said)), test.labels]
    order = np.argsort(true, kind="stable")[:SHOWN]
    found = []
    for row in order.tolist():
        answer = int(said[row].argmax())
        found.append(
            Shown(
                sha256=str(test.table["sha256"][row]),
                truth=results.material.classes[test.labels[row]],
                answer=results.material.classes[answer],
                probability=float(true[row]),
                picture=to_address(seen[row]),
                saliency=to_address(heat(seen[row], cover(seen[row], oracle, answer=answer))),
            )
        )
    return tuple(found)


def heat(picture: Frames, saliency: npt.NDArray[np.float32]) -> Frames:
    """Return a picture in grey, tinted where it speaks for the answer: (side, side, 3) uint8."""
    side = picture.shape[0]
    top = float(saliency.max())
    strength = np.clip(saliency / top, 0, 1) if top > 0 else np.zeros_like(saliency)
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
