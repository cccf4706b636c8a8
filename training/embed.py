"""Places pictures in the space a net has learnt: embeddings, and a map of them in two dimensions."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.data import Frames
from training.framework import load_keras

Floats = npt.NDArray[np.float32]
MAP_SEED: Final = 1
FEWEST_FOR_MAP: Final = 5


def embed(model: Any, pictures: Frames, *, batch: int = 64) -> Floats:
    """Return the layer before the classes: (n, features) float32 for (n, side, side, 3) uint8 pictures."""
    _, keras = load_keras()
    body = keras.Model(model.input, model.get_layer("embedding").output)
    parts = [
        np.asarray(body(pictures[start : start + batch].astype(np.float32) / np.float32(255), training=False))
        for start in range(0, len(pictures), batch)
    ]
    return np.concatenate(parts).astype(np.float32)


def draw_map(embeddings: Floats) -> Floats:
    """Return (n, 2) float32 coordinates in which neighbours in the net's space stay neighbours.

    t-SNE (van der Maaten and Hinton 2008) from a principal component start, so that the same embeddings give the same
    map. Distances between far clusters mean nothing. Fewer than five pictures are placed by their components alone.
    """
    from sklearn.decomposition import PCA
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
