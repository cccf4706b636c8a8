"""The arithmetic of the engine against its definitions in Python."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.compiler.requantize import Factor, scale_by
from tests.firmware.builds import ENGINE, SANITIZERS, WARNINGS, require

SHIM = """
#include "nn_arithmetic.h"
int32_t scale(int32_t sum, int32_t multiplier, int32_t shift) { return nn_scale(sum, multiplier, shift); }
int32_t requantize(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero) {
  return nn_requantize(2 * sum, multiplier, nn_rounding(shift, zero), shift);
}
int32_t requantize_positive(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero) {
  return nn_requantize_positive(2 * sum, multiplier, nn_rounding(shift, zero), shift);
}
"""


@pytest.fixture(scope="module", params=["gcc", "clang"])
def arithmetic(request, tmp_path_factory) -> ctypes.CDLL:
    """Compile the header for the host."""
    require(request.param)
    folder: Path = tmp_path_factory.mktemp("arithmetic")
    (folder / "shim.c").write_text(SHIM)
    undefined = [flag.replace("address,", "") for flag in SANITIZERS]
    trap = ["-fsanitize-undefined-trap-on-error"] if request.param == "gcc" else ["-fsanitize-trap=all"]
    flags = ["-std=c11", "-O1", "-fPIC", "-shared", *WARNINGS, *undefined, *trap, f"-I{ENGINE}"]
    subprocess.run([request.param, *flags, "shim.c", "-o", "shim.so"], check=True, timeout=60, cwd=folder)
    return ctypes.CDLL(str(folder / "shim.so"))


SUMS = st.integers(-(2**30) + 1, 2**30 - 1)
MULTIPLIERS = st.integers(2**30, 2**31 - 1)


@given(st.integers(-(2**31), 2**31 - 1), MULTIPLIERS, st.integers(0, 30))
def test_any_sum_is_scaled_as_in_the_reference(arithmetic, value, multiplier, shift):
    """Both roundings are exact for any accumulator and shift."""
    assert arithmetic.scale(value, multiplier, shift) == scale_by(value, Factor(multiplier, shift))


@given(SUMS, MULTIPLIERS, st.integers(8, 22), st.integers(-128, 127))
def test_the_fast_path_is_bit_exact(arithmetic, value, multiplier, shift, zero):
    """The fast path of the Cortex-M4, here in C, equals the definition, including the zero point."""
    exact = scale_by(value, Factor(multiplier, shift)) + zero
    assert arithmetic.requantize(value, multiplier, shift, zero) == exact
    fast = arithmetic.requantize_positive(value, multiplier, shift, zero)
    assert max(fast, zero) == max(exact, zero)
