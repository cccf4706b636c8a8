"""Recognises pictures: by their bytes, by their pixels, and by what they look like in any of eight orientations."""

from curation.hashing.components import connected_components
from curation.hashing.confirm import ConfirmedPairs, Lookalikes, Search, confirmed_pairs
from curation.hashing.digests import pixel_sha256, sha256_hex
from curation.hashing.fingerprint import Fingerprints, concat
from curation.hashing.orientation import INVERSE, SYMMETRIES, turn
from curation.hashing.perceptual import HashName, from_imagehash, other_hash, phash, symmetries, to_imagehash
from curation.hashing.plan import Band, SearchReport
from curation.hashing.search import Pairs, lookalikes, pairs_within, plan_search, representatives
from curation.hashing.thumbnail_store import Spool
from curation.hashing.thumbnails import FLAT_DEVIATION, PIXELS, correlation, is_flat

__all__ = [
    "FLAT_DEVIATION",
    "INVERSE",
    "PIXELS",
    "SYMMETRIES",
    "Band",
    "ConfirmedPairs",
    "Fingerprints",
    "HashName",
    "Lookalikes",
    "Pairs",
    "Search",
    "SearchReport",
    "Spool",
    "concat",
    "confirmed_pairs",
    "connected_components",
    "correlation",
    "from_imagehash",
    "is_flat",
    "lookalikes",
    "other_hash",
    "pairs_within",
    "phash",
    "pixel_sha256",
    "plan_search",
    "representatives",
    "sha256_hex",
    "symmetries",
    "to_imagehash",
    "turn",
]
