"""The modules of the application against Python: preprocessing, quality, base64, CRC, JSON and the decision."""

from __future__ import annotations

import base64
import ctypes
import json
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.images import camera_view, from_rgb565, to_tensor
from firmware.compiler import export
from tests.firmware.builds import ENGINE, FIRMWARE, require
from tests.firmware.compiler.networks import Network

APPLICATION = FIRMWARE / "application"
SHIM = """
#include "base64_crc.h"
#include "decision.h"
#include "json.h"
#include "quality.h"
#include "preprocess.h"
int32_t process_frame(const uint8_t *frame, int8_t *out, int32_t *values) {
  static preprocess state;
  static quality seen;
  int8_t row[CLASSIFIER_ROW_BYTES];
  int32_t given = 0;
  quality_begin(&seen);
  for (int32_t y = 0; y < CAMERA_HEIGHT; y++) {
    const int32_t index = preprocess_row(&state, y, frame + y * CAMERA_ROW_BYTES, row);
    if (index < 0) continue;
    if (index != given) return -1;
    quality_add_row(&seen, index, row);
    for (int32_t at = 0; at < CLASSIFIER_ROW_BYTES; at++) out[given * CLASSIFIER_ROW_BYTES + at] = row[at];
    given++;
  }
  const quality_values measured = quality_finish(&seen);
  values[0] = measured.brightness, values[1] = measured.clipped, values[2] = measured.sharpness;
  values[3] = quality_judge(&measured);
  return given;
}
uint32_t write_object(char *text, const char *word, int64_t number, int64_t parts, const uint8_t *bytes,
                      uint32_t count) {
  static json line;
  json_begin(&line, word);
  json_number(&line, "number", number);
  json_fraction(&line, "share", parts, 65536);
  json_open(&line, "list", '[');
  json_string(&line, 0, word);
  json_bool(&line, 0, true);
  json_close(&line, ']');
  json_base64(&line, "bytes", bytes, count);
  json_hex(&line, "crc", base64_crc_update_crc(0, bytes, count));
  json_end(&line);
  for (uint32_t at = 0; at < line.length && at < JSON_LINE_BYTES; at++) text[at] = line.text[at];
  return line.length;
}
static decision decided;
void reset_decision(void) { decision_reset(&decided); }
void decide(const int32_t *scores, int32_t *out) {
  decision_update(&decided, scores);
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) out[label] = decided.smoothed[label];
  out[CLASSIFIER_LABELS] = decided.label, out[CLASSIFIER_LABELS + 1] = decided.alarming;
}
"""
PARTS = ("base64_crc", "decision", "json", "preprocess", "quality")


def _compile(folder: Path, side: int, labels: tuple[str, ...]) -> ctypes.CDLL:
    require("gcc")
    net = Network((side, side, 3), seed=1)
    content = net.finish(net.softmax(net.dense(net.convolve(net.input, 4, stride=(2, 2)), len(labels))))
    export(content, folder, labels=labels, alarm=labels[-1], data_version="drawn@v1", data_digest="")
    (folder / "shim.c").write_text(SHIM)
    sources = [*(str(APPLICATION / f"{part}.c") for part in PARTS), str(folder / "shim.c")]
    flags = [
        "-std=c11",
        "-O1",
        "-funsigned-char",
        "-fPIC",
        "-shared",
        "-fsanitize=undefined",
        "-fno-sanitize-recover=all",
    ]
    includes = [f"-I{APPLICATION}", f"-I{ENGINE}", f"-I{folder}"]
    subprocess.run(["gcc", *flags, *includes, *sources, "-o", str(folder / "parts.so")], check=True, timeout=120)
    return ctypes.CDLL(str(folder / "parts.so"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[int, ctypes.CDLL]:
    """Compile the modules for both input sizes, 96 with two labels and 48 with three."""
    return {
        96: _compile(tmp_path_factory.mktemp("parts"), 96, ("healthy", "melanoma")),
        48: _compile(tmp_path_factory.mktemp("parts"), 48, ("healthy", "nevus", "melanoma")),
    }


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def _process(library: ctypes.CDLL, frame: np.ndarray, side: int) -> tuple[np.ndarray, list[int]]:
    seen, values = np.zeros((side, side, 3), np.int8), np.zeros(4, np.int32)
    assert library.process_frame(_pointer(frame), _pointer(seen), _pointer(values)) == side
    return seen, values.tolist()


FRAMES = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(["noise", "flat", "ramp"]))


def _draw_frame(seed: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind == "noise":
        return random.integers(0, 256, (144, 176, 2), np.uint8)
    if kind == "flat":
        return np.broadcast_to(random.integers(0, 256, 2, np.uint8), (144, 176, 2)).copy()
    return (
        (np.add.outer(np.arange(144) * random.integers(1, 9), np.arange(352)) % 256)
        .astype(np.uint8)
        .reshape(144, 176, 2)
    )


@settings(max_examples=60)
@given(FRAMES, st.sampled_from([96, 48]))
def test_preprocessing_is_bit_exact_with_training(parts, drawn, side):
    """The rows equal the tensor that ``curation.images`` computes from the same frame."""
    frame = _draw_frame(*drawn)
    seen, _ = _process(parts[side], frame, side)
    np.testing.assert_array_equal(seen, to_tensor(camera_view(from_rgb565(frame)[:, 16:160], side=side)))


@settings(max_examples=40)
@given(FRAMES, st.sampled_from([96, 48]))
def test_the_quality_values_follow_their_definition(parts, drawn, side):
    """Mean luma, saturated pixels and the variance of the Laplacian of the network's input, as integers."""
    seen, values = _process(parts[side], _draw_frame(*drawn), side)
    pixels = seen.astype(np.int64) + 128
    luma = (77 * pixels[..., 0] + 150 * pixels[..., 1] + 29 * pixels[..., 2] + 128) >> 8
    edges = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    assert values[0] == (luma.sum() + luma.size // 2) // luma.size
    assert values[1] == (luma >= 250).sum() * 10000 // luma.size
    assert values[2] == pytest.approx(edges.var(), abs=1.001)


@pytest.mark.parametrize(
    ("shade", "noise", "verdict"),
    [(0, 0, "dark"), (14, 6, "dark"), (128, 40, "good"), (128, 0, "blurred"), (255, 0, "bright"), (210, 900, "bright")],
)
def test_unusable_images_have_their_verdict(parts, shade, noise, verdict):
    """Black, white and featureless frames have a verdict each; a grainy gray one is good."""
    random = np.random.default_rng(3)
    coarse = np.repeat(np.repeat(random.normal(0, noise, (18, 22)), 8, axis=0), 8, axis=1)
    gray = np.clip(shade + coarse, 0, 255).astype(np.uint8)
    frame = np.stack([(gray & 0xF8) | (gray >> 5), ((gray & 0x1C) << 3) | (gray >> 3)], axis=-1)
    _, values = _process(parts[96], np.ascontiguousarray(frame), 96)
    assert ["good", "dark", "bright", "blurred"][values[3]] == verdict


@settings(max_examples=80)
@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.integers(0, 65536),
    st.binary(max_size=352),
)
def test_a_line_is_json_in_ascii(parts, word, number, share, content):
    """Any text of a label is read back by Python from one line of ASCII."""
    text = ctypes.create_string_buffer(1024)
    write = parts[96].write_object
    write.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_char_p,
        ctypes.c_uint32,
    ]
    length = write(text, word.encode(), number, share, content, len(content))
    if length > 1024:
        return  # too long: the caller drops the line
    line = text.raw[:length].decode("ascii")
    assert line.endswith("}\n")
    said = json.loads(line)
    assert said["type"] == word
    assert said["number"] == number
    assert said["share"] == pytest.approx(share / 65536, abs=5.01e-5)
    assert said["list"] == [word, True]
    assert base64.b64decode(said["bytes"], validate=True) == content
    assert said["crc"] == f"{zlib.crc32(content):08x}"


@settings(max_examples=100)
@given(st.binary(min_size=1, max_size=40), st.integers(0, 60), st.characters(codec="ascii"))
def test_base64_is_decoded_exactly(parts, content, place, other):
    """Text encoded by Python is decoded; a text with one changed character gives other bytes or an error."""
    text = base64.b64encode(content).decode()
    read = np.zeros(len(content), np.uint8)
    library = parts[96]
    library.base64_crc_decode.restype = ctypes.c_bool
    assert library.base64_crc_decode(text.encode(), _pointer(read), len(content))
    assert read.tobytes() == content
    changed = text[: place % len(text)] + other + text[place % len(text) + 1 :]
    if changed != text and library.base64_crc_decode(changed.encode(), _pointer(read), len(content)):
        assert read.tobytes() != content
    assert not library.base64_crc_decode((text + "A").encode(), _pointer(read), len(content))


@pytest.mark.parametrize(("text", "number"), [("00000000", 0), ("cbf43926", 0xCBF43926), ("ffffffff", 0xFFFFFFFF)])
def test_a_crc_has_eight_digits(parts, text, number):
    """Exactly eight lower-case hexadecimal digits are accepted."""
    library, read = parts[96], ctypes.c_uint32()
    library.base64_crc_parse_crc.restype = ctypes.c_bool
    assert library.base64_crc_parse_crc(text.encode(), ctypes.byref(read))
    assert read.value == number
    for wrong in (text[1:], text + "0", text.upper()[:-1] + "G", " " + text):
        assert not library.base64_crc_parse_crc(wrong.encode(), ctypes.byref(read))


def _decide(library: ctypes.CDLL, shares: list[tuple[float, ...]]) -> list[tuple[list[float], int, bool]]:
    labels = len(shares[0])
    library.reset_decision()
    out, decisions = np.zeros(labels + 2, np.int32), []
    for each in shares:
        scores = np.array([round(256 * share) for share in each], np.int32)
        library.decide(_pointer(scores), _pointer(out))
        decisions.append(((out[:labels] / 65536).tolist(), int(out[labels]), bool(out[labels + 1])))
    return decisions


@settings(max_examples=60)
@given(st.lists(st.integers(0, 256), min_size=1, max_size=30))
def test_smoothing_follows_an_exponential_mean(parts, alarms):
    """A new image has the weight 1/4; the first one is not smoothed."""
    decisions = _decide(parts[96], [((256 - alarm) / 256, alarm / 256) for alarm in alarms])
    expected = alarms[0] / 256
    for (smoothed, _, _), alarm in zip(decisions, alarms, strict=True):
        expected += (alarm / 256 - expected) / 4
        assert smoothed[1] == pytest.approx(expected, abs=1e-3)


def test_the_verdict_does_not_flicker(parts):
    """Near one half the label changes only when the other one leads by ten percent."""
    decisions = _decide(parts[96], [(0.8, 0.2)] + [(0.48, 0.52)] * 20)
    assert {label for _, label, _ in decisions} == {0}
    assert _decide(parts[96], [(0.8, 0.2)] + [(0.4, 0.6)] * 20)[-1][1] == 1


def test_the_alarm_starts_above_80_and_stops_below_70_percent(parts):
    """80 % does not start it; once started, it continues at 75 % and stops at 65 %."""

    def alarming(*alarms: float) -> bool:
        return _decide(parts[96], [(1 - alarm, alarm) for alarm in alarms for _ in range(30)])[-1][2]

    assert not alarming(0.797)
    assert alarming(0.82)
    assert alarming(0.95, 0.75)
    assert not alarming(0.75)
    assert not alarming(0.95, 0.65)


def test_with_three_labels_only_one_is_the_alarm(parts):
    """The alarm is the last label here; if another label leads, there is no alarm, even after a high score."""
    decisions = _decide(parts[48], [(0.05, 0.05, 0.9)] + [(0.02, 0.96, 0.02)] * 20)
    assert (decisions[0][1], decisions[0][2]) == (2, True)
    assert (decisions[-1][1], decisions[-1][2]) == (1, False)
