"""A short run of the fuzzer over protocol, base64 and application; `make bench-all` has a longer one."""

from __future__ import annotations

import subprocess

import pytest

from curation.errors import CurationError
from firmware.compiler import export
from firmware.tools.fuzz import build, run
from tests.firmware.builds import require
from tests.firmware.compiler.networks import Network

pytestmark = pytest.mark.slow


def write_small(folder):
    """Export a net so small that a golden vector takes no time under sanitizers."""
    net = Network((48, 48, 3), seed=1)
    content = net.finish(net.softmax(net.dense(net.convolve(net.input, 4, stride=(2, 2)), 3)))
    export(content, folder, labels=("cat", "dog", "owl"), alarm="owl", data_version="drawn@v1")


def test_some_seconds_of_fuzzing_find_no_fault(tmp_path):
    """No input makes the sanitizers report, or gives a line that breaks the protocol."""
    require("clang")
    write_small(tmp_path / "generated")
    build(tmp_path / "generated", tmp_path / "fuzz", rows=False)
    assert run(tmp_path / "fuzz", seconds=8) > 20


def test_a_fault_is_reported_with_its_input(tmp_path):
    """A program that aborts on one byte ends in an error that contains the input."""
    require("clang")
    (tmp_path / "fault.c").write_text(
        "#include <stdint.h>\n#include <stdlib.h>\nint LLVMFuzzerTestOneInput(const uint8_t *b, size_t n) "
        "{ if (n > 3 && b[0] == 'g') abort(); return 0; }\n"
    )
    subprocess.run(["clang", "-fsanitize=fuzzer", "fault.c", "-o", "fault"], cwd=tmp_path, check=True)
    with pytest.raises(CurationError, match="input: b'g"):
        run(tmp_path / "fault", seconds=5)
