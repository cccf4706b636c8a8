"""TFRecord files of ``tf.train.Example``, written without TensorFlow.

Features: ``image/encoded``, ``image/format``, ``image/class/label`` (from 0), ``image/class/text``,
``image/key/sha256`` (of the encoded image), ``split``, ``source/sha256``, ``source/name``, ``group``, ``licence``,
``version``, ``digest``, and ``fold`` where the version has folds.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

from curation.exports.crc32c import crc32c, mask
from curation.exports.rows import Outgoing, Sample, cut

SHARD_BYTES = 128 << 20
"""The approximate bytes of images per file."""

_LENGTH_DELIMITED = 2


def write(outgoing: Outgoing, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write ``<split>.tfrecord-00000-of-00001`` and so on, the classes mixed, and ``classes.txt``, a class per line."""
    for split in outgoing.splits:
        shards = list(cut(outgoing.mixed(split), max_bytes=shard_bytes, cost=lambda sample: sample.size_bytes))
        for number, samples in enumerate(shards):
            with (folder / f"{split}.tfrecord-{number:05d}-of-{len(shards):05d}").open("wb") as stream:
                for sample in samples:
                    content = sample.read()
                    stream.write(frame(make_example(_features(outgoing, sample, content))))
                    outgoing.advance(len(content))
    (folder / "classes.txt").write_bytes("".join(f"{label}\n" for label in outgoing.classes).encode())


def _features(outgoing: Outgoing, sample: Sample, content: bytes) -> dict[str, bytes | int]:
    texts = {
        "image/format": "jpeg",
        "image/class/text": sample.label,
        "image/key/sha256": sample.file_sha256,
        "split": sample.split,
        "source/sha256": sample.sha256,
        "source/name": sample.source,
        "group": sample.group,
        "licence": sample.licence or "",
        "version": outgoing.reference,
        "digest": outgoing.version.digest,
    }
    encoded: dict[str, bytes | int] = {name: text.encode() for name, text in texts.items()}
    if sample.fold is not None:
        encoded["fold"] = sample.fold
    return {**encoded, "image/encoded": content, "image/class/label": outgoing.classes.index(sample.label)}


def frame(content: bytes) -> bytes:
    """Return one framed stretch of a TFRecord file: length, its checksum, the bytes, their checksum."""
    length = struct.pack("<Q", len(content))
    return b"".join(
        (length, struct.pack("<I", mask(crc32c(length))), content, struct.pack("<I", mask(crc32c(content))))
    )


def make_example(features: Mapping[str, bytes | int]) -> bytes:
    """Return a serialized ``tf.train.Example``, with features sorted by name.

    The messages, from ``tensorflow/core/example``: Example {1: Features}, Features {1: map<string, Feature>},
    Feature {1: BytesList | 3: Int64List}, each list {1: values}.
    """
    return _field(1, b"".join(_field(1, _feature(name, value)) for name, value in sorted(features.items())))


def _feature(name: str, value: bytes | int) -> bytes:
    feature = _field(3, _field(1, _varint(value))) if isinstance(value, int) else _field(1, _field(1, value))
    return _field(1, name.encode()) + _field(2, feature)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return a non-negative integer as a protobuf varint: seven bits per byte, lowest first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
