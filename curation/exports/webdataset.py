"""WebDataset: tar shards of bounded size; a sample is ``<name>.cls``, ``<name>.jpg`` and ``<name>.json``.

The samples of a split are in the order of their hashes, classes mixed, because a stream is read from its beginning.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from curation.exports.rows import Outgoing, Sample, cut

SHARD_BYTES = 256 << 20
"""The maximum size of a shard, unless a single sample is larger."""


def write(outgoing: Outgoing, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write ``<split>-000000.tar`` and so on; their bytes do not depend on clock, user or machine."""
    # The end of a tar can take two blocks.
    room = shard_bytes - 2 * tarfile.RECORDSIZE
    for split in outgoing.splits:
        shards = cut(outgoing.mixed(split), max_bytes=room, cost=lambda sample: _cost(outgoing, sample))
        for number, samples in enumerate(shards):
            with tarfile.open(folder / f"{split}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for sample in samples:
                    content = sample.read()
                    for suffix, part in _parts(outgoing, sample, content):
                        head = tarfile.TarInfo(f"{sample.name}.{suffix}")
                        head.size = len(part)
                        tar.addfile(head, io.BytesIO(part))
                    outgoing.advance(len(content))


def _parts(outgoing: Outgoing, sample: Sample, content: bytes) -> Iterator[tuple[str, bytes]]:
    facts: dict[str, object] = {"label": sample.label, "split": sample.split, **sample.provenance()}
    facts |= {"metadata": sample.known_metadata()} if outgoing.metadata else {}
    facts["curation"] = outgoing.identity()
    yield "cls", str(outgoing.classes.index(sample.label)).encode()
    yield "jpg", content
    yield "json", json.dumps(facts, sort_keys=True).encode()


def _cost(outgoing: Outgoing, sample: Sample) -> int:
    sizes = [len(part) for _, part in _parts(outgoing, sample, b"")]
    sizes.append(sample.size_bytes)
    return tarfile.BLOCKSIZE * (3 + sum(-(-size // tarfile.BLOCKSIZE) for size in sizes))
