"""Recognizes images by their bytes, by their pixels, and by their appearance in any of eight orientations."""

from curation.hashing.components import connected_components
from curation.hashing.confirm import ComparedPairs, ConfirmedPairs, Neighbors, Search, confirmed_pairs
from curation.hashing.digests import pixel_sha256, sha256_hex
from curation.hashing.fingerprint import Fingerprints, concat
from curation.hashing.local_difference import DETAIL_SIDE, local_difference
from curation.hashing.multi_index import ChunkSizes
from curation.hashing.perceptual import HashName, from_imagehash, imagehash_hash, phash, symmetries, to_imagehash
from curation.hashing.plan import Band, SearchReport
from curation.hashing.search import (
    Pairs,
    find_candidates,
    oriented_pairs_within,
    pairs_within,
    plan_search,
    representatives,
)
from curation.hashing.small_thumbnails import pack_thumbnails, unpack_thumbnails
from curation.hashing.thumbnail_store import ThumbnailStore
from curation.hashing.thumbnails import FLAT_DEVIATION, PIXELS, correlation, is_flat
from curation.images.orientation import INVERSE, SYMMETRIES, turn

__all__ = [
    "DETAIL_SIDE",
    "FLAT_DEVIATION",
    "INVERSE",
    "PIXELS",
    "SYMMETRIES",
    "Band",
    "ChunkSizes",
    "ComparedPairs",
    "ConfirmedPairs",
    "Fingerprints",
    "HashName",
    "Neighbors",
    "Pairs",
    "Search",
    "SearchReport",
    "ThumbnailStore",
    "concat",
    "confirmed_pairs",
    "connected_components",
    "correlation",
    "find_candidates",
    "from_imagehash",
    "imagehash_hash",
    "is_flat",
    "local_difference",
    "oriented_pairs_within",
    "pack_thumbnails",
    "pairs_within",
    "phash",
    "pixel_sha256",
    "plan_search",
    "representatives",
    "sha256_hex",
    "symmetries",
    "to_imagehash",
    "turn",
    "unpack_thumbnails",
]
