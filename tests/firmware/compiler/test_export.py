"""The exported files: their content, their identity, and what is refused before a file is written."""

import re

import numpy as np
import pytest

from curation.errors import CurationError, ErrorCode
from firmware.compiler import export, plan_model, read_model
from firmware.compiler.tflite_reference import run_reference
from tests.firmware.compiler.networks import Network, ds_cnn
from training.cli import main

NET = ds_cnn(side=48, channels=(8, 12, 16), strides=(2, 2))
GIVEN = {"labels": ("healthy", "melanoma"), "alarm": "melanoma", "data_version": "drawn@v3", "data_digest": "ab12"}


def test_the_generated_file_says_what_each_layer_is_and_costs(tmp_path):
    """Every layer has a line with its operator, its shape and its multiplications; they add up to the plan's."""
    export(NET, tmp_path, **GIVEN)
    text = (tmp_path / "model.c").read_text()
    lines = re.findall(r"Layer (\d+): (\w+) to ([\dx]+)(?:, ([\d,]+) multiplications)?", text)
    model = read_model(NET)
    assert [(int(number), op) for number, op, _, _ in lines] == [(layer.index, layer.op) for layer in model.layers]
    assert lines[0][2] == "24x24x8"
    assert sum(int(macs.replace(",", "") or 0) for *_, macs in lines) == plan_model(model).macs
    assert max(map(len, text.splitlines())) <= 140


def test_the_header_carries_identity_and_is_checked_by_the_compiler(tmp_path):
    """Labels, alarm, data version and digest are generated; counts and modes are static assertions."""
    export(NET, tmp_path, **GIVEN)
    header, source = (tmp_path / "model.h").read_text(), (tmp_path / "model.c").read_text()
    for line in (
        '#define MODEL_DATA "drawn@v3"',
        '#define MODEL_DATA_DIGEST "ab12"',
        "MODEL_LABELS = 2,",
        "MODEL_ALARM = 1,",
        "MODEL_INPUT_ZERO = -128,",
    ):
        assert line in header
    assert 'model_labels[] = {"healthy", "melanoma"}' in source
    assert source.count("static_assert(") >= 2
    assert "static_assert(" in header


def test_the_same_model_gives_the_same_files(tmp_path):
    """No clock and no order reaches a generated file."""
    texts = []
    for name in ("one", "two"):
        export(NET, tmp_path / name, **GIVEN)
        texts.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert texts[0] == texts[1]
    assert set(texts[0]) == {"golden.h", "model.c", "model.h"}


def test_golden_logits_are_the_references(tmp_path):
    """What the board compares itself with is what BUILTIN_REF gives for the images in the same file."""
    images = np.random.default_rng(1).integers(0, 256, (3, 48, 48, 3), np.uint8)
    export(NET, tmp_path, golden=images, **GIVEN)
    expected = run_reference(NET, (images ^ 0x80).view(np.int8))
    text = (tmp_path / "golden.h").read_text().partition("golden_logits")[2]
    found = [[int(n) for n in row.split(",")] for row in re.findall(r"\{\s*([-\d, ]+?)\s*\}", text)]
    assert found == expected.logits.tolist()


def test_a_network_too_large_for_the_arena_names_its_largest_layer(tmp_path):
    """Both figures and the layer that needs most; nothing is written."""
    needed = plan_model(read_model(NET)).row_mode_arena_bytes
    with pytest.raises(CurationError) as caught:
        export(NET, tmp_path / "made", arena_limit_bytes=needed - 1, **GIVEN)
    assert caught.value.code is ErrorCode.DOES_NOT_FIT
    for fact in (f"{needed:,} bytes", f"{needed - 1:,}", "CONV_2D", "4,608 bytes"):
        assert fact in caught.value.message
    assert not (tmp_path / "made").exists()
    export(NET, tmp_path / "made", arena_limit_bytes=needed, **GIVEN)


def _foreign_scale():
    net = Network((48, 48, 3), input_scale=0.02)
    return net.finish(net.softmax(net.dense(net.mean(net.convolve(net.input, 4)), 2)))


def _other_size():
    net = Network((50, 50, 3))
    return net.finish(net.softmax(net.dense(net.mean(net.convolve(net.input, 4)), 2)))


def _no_softmax():
    net = Network((48, 48, 3))
    return net.finish(net.dense(net.mean(net.convolve(net.input, 4)), 2))


@pytest.mark.parametrize(
    ("content", "change", "code", "fact"),
    [
        (_foreign_scale(), {}, ErrorCode.MODEL_UNSUPPORTED, r"scale 0\.02"),
        (_other_size(), {}, ErrorCode.MODEL_UNSUPPORTED, r"\(1, 50, 50, 3\)"),
        (_no_softmax(), {}, ErrorCode.MODEL_UNSUPPORTED, "FULLY_CONNECTED"),
        (NET, {"labels": ("one", "two", "three")}, ErrorCode.OPTION_INVALID, "2 scores"),
        (NET, {"labels": ("melanoma", "melanoma")}, ErrorCode.OPTION_INVALID, "2 scores"),
        (NET, {"alarm": "nevus"}, ErrorCode.OPTION_INVALID, "'nevus'"),
    ],
    ids=["scale", "size", "no softmax", "three labels", "one label twice", "unknown alarm"],
)
def test_a_model_that_the_board_cannot_use_is_refused(content, change, code, fact, tmp_path):
    """The input is the camera's view, the end probabilities, each with one label of its own."""
    with pytest.raises(CurationError, match=fact) as caught:
        export(content, tmp_path / "made", **{**GIVEN, **change})
    assert caught.value.code is code
    assert caught.value.hint
    assert not (tmp_path / "made").exists()


def _with_operator(name):
    net = Network((48, 48, 3))
    return net.finish(net.softmax(net.dense(net.mean(net.foreign(net.convolve(net.input, 4), name)), 2)))


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (NET[: len(NET) // 2], f"{len(NET) // 2} bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "208 bytes"),
        (_with_operator("HARD_SWISH"), "HARD_SWISH"),
    ],
    ids=["truncated", "foreign", "operator"],
)
def test_a_bad_file_ends_in_one_error_and_leaves_what_is_there(content, fact, tmp_path, capsys):
    """From the command line: exit code 1, the reason, no traceback; the model of before stays whole."""
    target = tmp_path / "generated"
    export(NET, target, **GIVEN)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    (tmp_path / "model.tflite").write_bytes(content)
    arguments = ["--to", "firmware", "--output", str(target), "--label", "healthy", "--label", "melanoma"]
    assert main(["export", str(tmp_path / "model.tflite"), *arguments]) == 1
    printed = capsys.readouterr().err
    assert fact in printed
    assert "Traceback" not in printed
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
