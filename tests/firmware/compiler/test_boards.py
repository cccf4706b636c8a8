"""Board files: those that come with the program, and a user's own, with every mistake in one error."""

from dataclasses import asdict

import pytest

from curation.errors import CurationError, ErrorCode
from firmware.compiler import list_boards, load_board

NUMBERS = {
    "clock_hz": 1,
    "ram_bytes": 2,
    "core_ram_bytes": 1,
    "camera_frame_bytes": 0,
    "flash_bytes": 3,
    "core_flash_bytes": 1,
}
RATES = {"pointwise": 1, "depthwise": 1.0, "convolution": 2, "output": 0, "cycles_per_instruction": 1.5}


def write_board(path, *, lacks=(), **changes):
    """Write a board file of these values, and return its path as text."""
    values = {
        "name": "mine",
        "title": "Mine",
        **NUMBERS,
        **{f"instructions.{key}": rate for key, rate in RATES.items()},
    }
    values = {key: value for key, value in (values | changes).items() if key not in lacks}
    path.write_text("\n".join(f"{key} = {value!r}" for key, value in values.items()), encoding="utf-8")
    return str(path)


def mistakes_of(name):
    """Return the lines of the error that a board file gives, after the first."""
    with pytest.raises(CurationError) as caught:
        load_board(name)
    assert caught.value.code is ErrorCode.BOARD_UNKNOWN
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_the_board_is_the_one_of_the_data_sheet():
    """256 KB and 1 MB at 64 MHz, less what the core and the boot loader take."""
    board = load_board("nano33ble")
    assert (board.ram_bytes, board.flash_bytes, board.clock_hz) == (256 * 1024, 1024 * 1024, 64_000_000)
    assert board.free_flash_bytes == 983_040
    assert board.free_ram_bytes == 206_848
    assert "nano33ble" in list_boards()


def test_a_users_own_board_is_a_toml_file(tmp_path):
    """Every value is read; a whole number counts as a rate."""
    board = load_board(write_board(tmp_path / "mine.toml"))
    assert asdict(board) == {"name": "mine", "title": "Mine", **NUMBERS, "instructions": RATES, "camera": None}
    assert board.free_flash_bytes == 2


def test_every_mistake_of_a_board_file_is_listed(tmp_path):
    """A missing value, values of a wrong kind or out of range, and an unknown key are lines of one error."""
    path = write_board(
        tmp_path / "mine.toml",
        lacks=("clock_hz", "instructions.pointwise"),
        ram_bytes="much",
        flash_bytes=0,
        core_ram_bytes=1.5,
        colour="red",
        **{"instructions.output": -1},
    )
    found = {line.partition(":")[0] for line in mistakes_of(path)}
    assert found == {
        "clock_hz", "instructions.pointwise", "ram_bytes = 'much'", "flash_bytes = 0", "core_ram_bytes = 1.5",
        "colour = 'red'", "instructions.output = -1",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["true", "nan", "inf"])
def test_a_rate_that_is_not_a_finite_number_is_a_mistake(tmp_path, value):
    """Neither a truth value nor infinity is taken for a number."""
    path = tmp_path / "mine.toml"
    write_board(path, lacks=("instructions.output",))
    path.write_text(path.read_text() + f"\ninstructions.output = {value}\n")
    (mistake,) = mistakes_of(str(path))
    assert mistake.startswith("instructions.output")


def test_instructions_that_are_not_a_table_are_a_mistake(tmp_path):
    """One number for all layers is not enough."""
    rates = tuple(f"instructions.{key}" for key in RATES)
    (mistake,) = mistakes_of(write_board(tmp_path / "mine.toml", lacks=rates, instructions=3))
    assert mistake.startswith("instructions = 3")


def test_an_unknown_board_names_the_known_ones(tmp_path):
    """An unknown name, a missing file and a file that is not TOML have the same code."""
    (tmp_path / "broken.toml").write_text("= = =")
    for name in ("nano34", str(tmp_path / "none.toml"), str(tmp_path / "broken.toml")):
        with pytest.raises(CurationError) as caught:
            load_board(name)
        assert caught.value.code is ErrorCode.BOARD_UNKNOWN
        assert name in caught.value.message
    with pytest.raises(CurationError) as caught:
        load_board("nano34")
    assert "nano33ble" in caught.value.hint
