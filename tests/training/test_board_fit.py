"""What an architecture costs on a board before it is trained, and what would fit in its place."""

from dataclasses import replace

import pytest

from curation.errors import CurationError, ErrorCode
from firmware.compiler import load_board, measure_budget
from training.board_fit import convert_untrained, count_weight_bytes, does_not_fit, find_nearest, require_fit
from training.models import ARCHITECTURES

pytestmark = pytest.mark.usefixtures("needs_train")


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """Return the smallest net as int8."""
    return convert_untrained("ds_cnn_xs", classes=2, side=48)


def test_layers_add_up_to_the_whole(tiny):
    """Multiplications and time in all are the sums over the layers."""
    found = measure_budget(tiny, load_board("nano33ble"))
    assert found.macs == sum(layer.macs for layer in found.layers)
    assert found.milliseconds == pytest.approx(sum(layer.milliseconds for layer in found.layers))
    assert found.milliseconds == pytest.approx(1000 * found.instructions * 1.5 / 64e6)
    assert found.problems == ()


def test_macs_are_counted_as_on_paper(tiny):
    """The stem of 8 channels on 48x48: 24 x 24 x 8 results of 27 multiplications each."""
    found = measure_budget(tiny, load_board("nano33ble"))
    assert found.layers[0].macs == 24 * 24 * 8 * 27
    assert found.layers[1].macs == 12 * 12 * 8 * 9


def test_weights_are_counted_without_a_conversion(tiny):
    """The kernels' bytes are less than the flash that the converted net needs, and less than the whole file."""
    counted = count_weight_bytes("ds_cnn_xs", classes=2, side=48)
    assert 5_000 < counted < measure_budget(tiny, load_board("nano33ble")).flash_bytes
    assert counted < len(tiny)


def test_a_model_that_does_not_fit_is_refused_with_figures(tiny):
    """A board with a tenth of the memory: both shortages are named in bytes, and what would fit instead."""
    board = replace(load_board("nano33ble"), ram_bytes=57_000, flash_bytes=70_000)
    found = measure_budget(tiny, board)
    assert len(found.problems) == 2
    assert found.ram_bytes > board.free_ram_bytes
    for fact in (f"{found.ram_bytes:,} B", f"{board.free_ram_bytes:,} B"):
        assert fact in found.problems[0]
    error = does_not_fit(found, name="mine", nearest="ds_cnn_xs")
    assert error.code is ErrorCode.DOES_NOT_FIT
    assert all(problem in error.message for problem in found.problems)
    assert "ds_cnn_xs" in error.hint


@pytest.mark.slow
def test_the_nearest_model_that_fits_is_the_largest_that_does():
    """Where flash is too small for MobileNetV2 0.35, 0.2 is named; where nothing fits, none is."""
    board = load_board("nano33ble")
    names = [name for name, architecture in ARCHITECTURES.items() if architecture.for_board]
    costs = [measure_budget(convert_untrained(name, classes=2, side=96), board).macs for name in names]
    assert costs == sorted(costs), "it relies on the order of the table"
    assert find_nearest(replace(board, flash_bytes=65_536 + 300_000), classes=2, side=96) == "mobilenet_v2_0.2"
    assert find_nearest(replace(board, flash_bytes=65_536 + 1_000), classes=2, side=96) is None


@pytest.mark.slow
def test_a_net_that_is_only_for_comparison_is_refused_with_its_weights_and_activation():
    """EfficientNet for the board: its weights against the flash, its largest activation, the nearest that fits."""
    with pytest.raises(CurationError, match=r"3,9\d\d,\d{3} B of 983,040 B flash") as caught:
        require_fit(ARCHITECTURES["efficientnet"], load_board("nano33ble"), classes=2, side=96)
    assert caught.value.code is ErrorCode.DOES_NOT_FIT
    assert "mobilenet_v2_0.35" in caught.value.hint
    assert "--board none" in caught.value.hint


def test_a_file_that_is_not_a_model_has_no_budget():
    """Bytes that are not a .tflite end in one error."""
    with pytest.raises(CurationError) as caught:
        measure_budget(b"PK\x03\x04 something else entirely", load_board("nano33ble"))
    assert caught.value.code is ErrorCode.MODEL_INVALID
