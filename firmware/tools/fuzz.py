"""Fuzzes the protocol, base64 and the application under sanitizers with libFuzzer."""

from __future__ import annotations

import argparse
import base64
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Final

from curation.errors import CurationError, ErrorCode

FIRMWARE: Final = Path(__file__).resolve().parents[1]
COMMANDS: Final = (
    *("version", "scores on", "scores off", "frame", "inject", "golden", "timing", "selftest", "help", "reset"),
    *("lock on", "lock off", "bring-up", "row 0 ", "row 143 ", "end ", "00000000", "AAAA", "=="),
)
FLAGS: Final = ("-std=c11", "-O1", "-g", "-funsigned-char", "-fno-sanitize-recover=all")
SANITIZERS: Final = "-fsanitize=fuzzer,address,undefined"


def build(generated: Path, target: Path, *, rows: bool) -> None:
    """Compile the application with a model for the fuzzer.

    Raises
    ------
    CurationError
        MODEL_UNSUPPORTED where it does not compile.
    """
    parts = [FIRMWARE / part for part in ("application", "engine", "boards/fuzz")]
    sources = [str(path) for part in (*parts, generated) for path in sorted(part.glob("*.c"))]
    includes = [f"-I{part}" for part in (*parts[:2], generated)]
    command = ["clang", *FLAGS, SANITIZERS, f"-DMODEL_ROWS={int(rows)}", *includes, *sources, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CurationError(ErrorCode.MODEL_UNSUPPORTED, f"the fuzzer does not compile\n{done.stderr[-4000:]}")


def write_seeds(folder: Path) -> None:
    """Write inputs to start from: each command, a whole injected image, and events of the camera between them."""
    row = base64.b64encode(bytes(352)).decode()
    image = "".join(f"row {y} {row}\n" for y in range(144))
    crc = f"{zlib.crc32(bytes(352 * 144)):08x}"
    texts = [f"{command}\n" for command in COMMANDS]
    texts += ["inject\n" + image + f"end {crc}\n", "".join(texts)]
    for number, text in enumerate(texts):
        (folder / f"seed-{number}").write_bytes(text.encode())
    (folder / "faults").write_bytes(
        b"frame\n\x81\x85scores on\n\x81\x82\x85\x82bring-up\n\x83\x85\x83golden\n\x84selftest\n"
    )


def run(program: Path, *, seconds: int, seed: int = 1) -> int:
    """Fuzz for some seconds and return the number of inputs that were tried.

    Raises
    ------
    CurationError
        BOARD_FAULT where an input fails; the message contains the sanitizer's report and the input.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        write_seeds(corpus)
        words = "".join(f'"{command}"\n' for command in COMMANDS)
        Path(folder, "words").write_text(words)
        limits = ["-max_len=120000", f"-max_total_time={seconds}", "-timeout=25", "-len_control=20", f"-seed={seed}"]
        command = [str(program), *limits, f"-dict={folder}/words", f"-artifact_prefix={folder}/", str(corpus)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 300)
        if done.returncode:
            found = next((path for path in Path(folder).glob("*-*") if path.is_file()), None)
            given = "" if found is None else f"\ninput: {found.read_bytes()[:400]!r}"
            raise CurationError(ErrorCode.BOARD_FAULT, f"an input fails\n{done.stderr[-4000:]}{given}")
    tried = re.findall(r"Done (\d+) runs", done.stderr)
    return int(tried[-1]) if tried else 0


def main(arguments: list[str] | None = None) -> int:
    """Fuzz a model's firmware in both modes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generated", type=Path, help="a folder with model.c, model.h and golden.h")
    parser.add_argument("--seconds", type=int, default=120, help="for each mode")
    given = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for rows in (True, False):
                build(given.generated, Path(folder, "fuzz"), rows=rows)
                tried = run(Path(folder, "fuzz"), seconds=given.seconds)
                print(f"{'rows' if rows else 'frame'}: {tried:,} inputs in {given.seconds} s, no fault", flush=True)
    except CurationError as fault:
        print(f"error: {fault.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
