"""The steps of `make firmware`: programs, sizes and limits, the comparison with the reference, and all networks."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from curation.images import to_tensor
from firmware.compiler import export, read_model
from firmware.compiler.tflite_reference import run_reference
from firmware.tools.check_bit_exact import compare
from firmware.tools.costs import LABELS, NETS, draw_images, make_network, measure_stack
from tests.firmware.builds import FIRMWARE, assert_same, draw_inputs, require, run_on_board
from tests.firmware.compiler.networks import ds_cnn

pytestmark = pytest.mark.slow
NET = ds_cnn(seed=1)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the firmware's Makefile on the generated files of a folder."""
    where = [f"GENERATED={folder / 'generated'}", f"BUILD={folder / 'build'}"]
    command = ["make", "-C", str(FIRMWARE), *where, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, str]:
    """Compile a network of the default shape for the board, and return the folder and the output."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    folder = tmp_path_factory.mktemp("made")
    export(NET, folder / "generated", labels=LABELS, alarm="melanoma", data_version="drawn@v1")
    done = make(folder, "sizes")
    assert done.returncode == 0, done.stderr[-4000:]
    return folder, done.stdout


def test_sizes_are_printed_with_their_limits(made):
    """Flash, static memory and stack are within their limits in both modes."""
    rows = dict(re.findall(r"^(\w+: [\w ,]+?)  +(\d+ +\d+)$", made[1], re.MULTILINE))
    assert set(rows) >= {"rows: static RAM", "frame: static RAM", "rows: flash, golden vectors and all"}
    for used, limit in (map(int, figures.split()) for figures in rows.values()):
        assert 0 < used <= limit
    assert rows["rows: static RAM"].split()[1] == "24576"
    assert rows["frame: static RAM"].split()[1] == "57344"


def test_a_program_above_its_limit_is_an_error(made):
    """The size check fails and names the mode."""
    done = make(made[0], "sizes", "RAM_rows=9000")
    assert done.returncode != 0
    assert "error: the rows build does not fit" in done.stderr


def test_without_a_model_make_fails_with_a_hint(tmp_path):
    """The hint contains the command that exports a model."""
    done = make(tmp_path, "host")
    assert done.returncode != 0
    assert "training export RUN --to firmware" in done.stderr


def test_the_proof_counts_images_and_notices_one_wrong_logit(made, capsys):
    """Every image's logits are compared; a single step in a single one is a failure."""
    model = read_model(NET)
    inputs = draw_inputs(model, 5)
    expected = run_reference(NET, inputs)
    program = made[0] / "build" / "measure-rows.elf"
    assert compare(program, "drawn@v1", inputs, expected) == 0
    assert "5 of 5 test images of drawn@v1" in capsys.readouterr().out
    wrong = expected.logits.copy()
    wrong[3, 1] ^= 1
    assert compare(program, "drawn@v1", inputs, dataclasses.replace(expected, logits=wrong)) == 1
    assert "4 of 5 test images" in capsys.readouterr().out


def test_the_whole_application_keeps_the_boards_stack(made, tmp_path):
    """Its tests, live images, a frame, an image given to it: 2 KB is what the board has."""
    assert 0 < measure_stack(made[0] / "build" / "board-rows.elf", tmp_path) <= 2048


@pytest.mark.parametrize("name", NETS)
def test_every_net_that_is_offered_for_the_board_gives_the_references_bits(name, tmp_path):
    """Built by Keras, quantised by its converter, on the emulated board: each logit is the reference's."""
    pytest.importorskip("keras", reason="the extra `train` is not installed")
    content = make_network(name, side=48)
    model = read_model(content)
    inputs = to_tensor(draw_images(4, seed=50, side=48))
    expected = run_reference(content, inputs)
    assert len(np.unique(expected.logits, axis=0)) > 1
    for rows in (False, True):
        assert_same(run_on_board(model, inputs, tmp_path, rows=rows).reference, expected)
