"""The budget: figures of a model on a board, refusals with figures, and board files."""

from dataclasses import replace

import pytest

from curation.errors import CurationError
from training.budget import list_boards, load_board, measure_budget, refuse_excess

pytestmark = pytest.mark.usefixtures("needs_train")


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """Return the smallest net as int8."""
    from training.board_fit import convert_untrained

    return convert_untrained("ds_cnn_xs", classes=2, side=48)


def test_the_board_is_the_one_of_the_data_sheet():
    """256 KB and 1 MB at 64 MHz; the core's share and the boot loader's are taken off."""
    board = load_board("nano33ble")
    assert (board.ram_bytes, board.flash_bytes, board.clock_hz) == (256 * 1024, 1024 * 1024, 64_000_000)
    assert board.free_flash_bytes == 983_040
    assert board.free_ram_bytes == 206_848
    assert "nano33ble" in list_boards()


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


def test_what_does_not_fit_is_refused_with_figures(tiny):
    """A board with a tenth of the memory: both shortages are named in bytes, and what would fit instead."""
    board = replace(load_board("nano33ble"), ram_bytes=57_000, flash_bytes=70_000)
    found = measure_budget(tiny, board)
    assert len(found.problems) == 2
    assert found.ram_bytes > board.free_ram_bytes
    assert f"{found.ram_bytes:,} B needed, {board.free_ram_bytes:,} B free" in found.problems[0]
    with pytest.raises(CurationError, match="does not fit nano33ble") as caught:
        refuse_excess(found, name="mine", nearest="ds_cnn_xs")
    assert "ds_cnn_xs" in caught.value.hint


@pytest.mark.slow
def test_the_nearest_model_that_fits_is_the_largest_that_does():
    """Where flash runs out below MobileNetV2 0.35, 0.2 is named; where nothing fits, that is said."""
    from training.board_fit import convert_untrained, find_nearest
    from training.models import ARCHITECTURES

    board = load_board("nano33ble")
    names = [name for name, architecture in ARCHITECTURES.items() if architecture.for_board]
    costs = [measure_budget(convert_untrained(name, classes=2, side=96), board).macs for name in names]
    assert costs == sorted(costs), "it relies on the order of the table"
    assert find_nearest(replace(board, flash_bytes=65_536 + 300_000), classes=2, side=96) == "mobilenet_v2_0.2"
    assert find_nearest(replace(board, flash_bytes=65_536 + 1_000), classes=2, side=96) is None


@pytest.mark.slow
def test_a_net_that_is_only_for_comparison_says_why():
    """EfficientNet for the board: its weights against the flash, its largest activation, the nearest that fits."""
    from training.board_fit import require_fit
    from training.models import ARCHITECTURES

    with pytest.raises(CurationError, match=r"weights alone take 3,9\d\d,\d{3} B of 983,040 B flash") as caught:
        require_fit(ARCHITECTURES["efficientnet"], load_board("nano33ble"), classes=2, side=96)
    assert "mobilenet_v2_0.35" in caught.value.hint
    assert "--board none" in caught.value.hint


def test_a_board_of_ones_own(tmp_path):
    """A .toml file is a board; one that lacks a value, or is no TOML, is an error that names it."""
    good = load_board("nano33ble")
    text = "\n".join(
        [
            'name = "mine"\ntitle = "Mine"\nclock_hz = 1\nram_bytes = 2\ncore_ram_bytes = 1\ncamera_frame_bytes = 0',
            "flash_bytes = 3\ncore_flash_bytes = 1\n[instructions]",
            *(f"{name} = {value}" for name, value in good.instructions.items()),
        ]
    )
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_board(str(path)).free_flash_bytes == 2
    path.write_text(text.replace("clock_hz = 1\n", ""))
    with pytest.raises(CurationError, match="clock_hz"):
        load_board(str(path))
    path.write_text(text.replace("pointwise", "point"))
    with pytest.raises(CurationError, match="lacks pointwise"):
        load_board(str(path))
    path.write_text(text.replace("clock_hz = 1", "clock_hz = 0").replace("ram_bytes = 2", 'ram_bytes = "much"'))
    with pytest.raises(CurationError, match=r"(?s)clock_hz = 0, where.*\n  ram_bytes = 'much', where a whole number"):
        load_board(str(path))
    path.write_text(text.partition("[instructions]")[0] + "instructions = 3")
    with pytest.raises(CurationError, match="instructions = 3, where a table is expected"):
        load_board(str(path))
    path.write_text("= = =")
    with pytest.raises(CurationError, match="not a board"):
        load_board(str(path))
    with pytest.raises(CurationError, match="no board 'nano34'") as caught:
        load_board("nano34")
    assert "nano33ble" in caught.value.hint
    with pytest.raises(CurationError, match="cannot be read"):
        load_board(str(tmp_path / "none.toml"))


def test_a_foreign_file_has_no_budget():
    """Bytes that are no .tflite end in one error."""
    with pytest.raises(CurationError, match=r"Not a \.tflite file"):
        measure_budget(b"PK\x03\x04 something else entirely", load_board("nano33ble"))
