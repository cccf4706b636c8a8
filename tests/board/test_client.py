"""A conversation with a board over a pseudo-terminal, with every fault that a line, a plug or a board can have."""

import base64
import contextlib
import os
import pty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.board import SerialPort, open_board
from curation.board.frames import FRAME_BYTES
from curation.board.lines import MAX_LINE_BYTES, LineSplitter
from curation.board.messages import Scores, UnreadableLine, parse_line
from curation.errors import CurationError, ErrorCode
from tests.board.peers import SCORES, SILENCE, VERSION, Script, board_at, draw_frame, peer, say, say_frame
from tests.sources.builders import as_nobody


@given(st.lists(st.binary(max_size=2000)), st.data())
def test_lines_do_not_hang_on_how_the_bytes_come(lines, data):
    """Cut anywhere, the same bytes give the same lines; none is longer than one byte over the limit."""
    content = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    splitter, got = LineSplitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        got += splitter.feed(content[start:end])
    assert got == LineSplitter().feed(content)
    assert all(0 < len(line) <= MAX_LINE_BYTES + 1 for line in got)


@given(st.binary(max_size=200))
def test_noise_is_no_message_and_no_bug(noise):
    """Whatever bytes stand on a line, they are a message or unreadable; nothing else is raised."""
    with contextlib.suppress(UnreadableLine):
        parse_line(noise)


@pytest.mark.parametrize("key", ["frame", "verdict", "led"])
def test_a_message_that_lacks_a_field_is_unreadable(key):
    """What is read has to be there; the reason names it."""
    with pytest.raises(UnreadableLine, match=key):
        parse_line(say({name: value for name, value in SCORES.items() if name != key}))


def test_a_newer_board_may_say_more():
    """A field that is not known is passed over."""
    assert isinstance(parse_line(say({**SCORES, "temperature": 31})), Scores)


def test_a_board_says_what_runs_on_it():
    """Version, labels and the dataset the model was trained on."""
    with board_at(Script()) as board:
        assert (board.version.dataset, board.version.labels) == ("drawn@v1", ("melanoma", "healthy"))


def test_half_a_line_from_before_does_no_harm():
    """Who opens the port in the middle of a line is in step at the next one, and hears of the rest."""
    told: list[str] = []
    with board_at(
        Script(**{"": [b'8711,"healthy":0.1}\n', b'\xff\xfe\x00{"type":"sc\n', say(SCORES)]}), told=told
    ) as board:
        assert board.read_timing().frames == 3
        assert len(told) == board.dropped == 2


def test_a_frame_comes_bit_for_bit():
    """The bytes of the frame, whatever scores come between its rows."""
    frame = draw_frame(1)
    lines = say_frame(frame)
    with board_at(Script(frame=[*lines[:50], say(SCORES), *lines[50:]])) as board:
        assert board.take_frame() == frame
        assert board.next_scores(1).frame == 1


def damaged(frame, fault):
    """Return the lines of a frame with one fault."""
    lines = say_frame(frame)
    match fault:
        case "wrong CRC":
            return [*lines[:-1], say({"type": "frame-end", "crc32": "00000000"})]
        case "row missing":
            return [*lines[:70], *lines[71:]]
        case "row torn":
            return [*lines[:70], lines[70][:100] + lines[71], *lines[72:]]
        case "row twice":
            return [*lines[:70], lines[70], *lines[70:]]
        case "row short":
            return [
                *lines[:70],
                say({"type": "row", "y": 69, "data": base64.b64encode(bytes(350)).decode()}),
                *lines[71:],
            ]
        case "no base64":
            return [*lines[:70], say({"type": "row", "y": 69, "data": "!" * 470}), *lines[71:]]
        case "bit flipped":
            flipped = bytearray(lines[70])
            flipped[60] ^= 1
            return [*lines[:70], bytes(flipped), *lines[71:]]
        case "cut off":
            return lines[:70]
    return [b"\xff" * 5000 + b"\n", *lines]


IMPATIENT = 0.25
FAULTS = ("wrong CRC", "row missing", "row torn", "row twice", "row short", "no base64", "bit flipped", "cut off")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_frame_is_asked_for_once_more(fault):
    """The second answer counts, and the user hears that there was a first."""
    frame, told = draw_frame(2), []
    script = Script(frame=[damaged(frame, fault), say_frame(frame)])
    with board_at(script, told=told, timeout_factor=IMPATIENT if fault == "cut off" else 1.0) as board:
        assert board.take_frame() == frame
    assert script.heard.count("frame") == 2
    assert any("retrying" in sentence for sentence in told)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_frame_that_is_damaged_twice_is_an_error(fault):
    """Never an image that is not the camera's: the error says what to try."""
    script = Script(frame=damaged(draw_frame(2), fault))
    with board_at(script, timeout_factor=IMPATIENT if fault == "cut off" else 1.0) as board:
        with pytest.raises(CurationError) as raised:
            board.take_frame()
        assert raised.value.code in {ErrorCode.TRANSFER_DAMAGED, ErrorCode.BOARD_SILENT}
        assert raised.value.hint
        assert board.read_timing().frames == 3
    assert script.heard.count("frame") == 2


def test_noise_before_a_frame_is_passed_over():
    """Five thousand bytes without sense cost a line, not the frame."""
    frame = draw_frame(3)
    script = Script(frame=damaged(frame, "noise"))
    with board_at(script) as board:
        assert board.take_frame() == frame
        assert board.dropped == 1
    assert script.heard.count("frame") == 1


def test_an_injected_image_arrives_bit_for_bit():
    """The board has the very bytes; the scores of the camera's images are not taken for its answer."""
    script, frame = Script(), draw_frame(4)
    with board_at(script) as board:
        assert board.inject(frame).injected
    assert bytes(script.injected) == frame.packed
    assert len(frame.packed) == FRAME_BYTES


@pytest.mark.parametrize("code", ["bad-crc", "bad-base64", "out-of-order", "time-out"])
def test_an_image_that_arrives_damaged_is_given_once_more(code):
    """The board reports it, and gets it again."""
    fault = [say({"type": "error", "code": code, "message": "no"})]
    script = Script(end=[fault, [say({**SCORES, "injected": True})]])
    with board_at(script) as board:
        assert board.inject(draw_frame(5)).injected
    assert script.heard.count("inject") == 2


def test_a_board_without_a_camera_says_so_at_once():
    """What stays is not asked twice; the hint leads to the wires."""
    script = Script(frame=[say({"type": "error", "code": "no-camera", "message": "no VSYNC"})])
    with board_at(script) as board, pytest.raises(CurationError, match="no VSYNC") as raised:
        board.take_frame()
    assert raised.value.code is ErrorCode.CAMERA_MISSING
    assert "wires" in raised.value.hint
    assert script.heard.count("frame") == 1


@pytest.mark.parametrize("protocol", [0, 2])
def test_another_version_of_the_protocol_is_refused(protocol):
    """The error says which side is the older one."""
    script = Script(version=[say({**VERSION, "protocol": protocol})])
    with pytest.raises(CurationError, match=str(protocol)) as raised, board_at(script):
        pass
    assert raised.value.code is ErrorCode.PROTOCOL_MISMATCH
    assert ("this program" if protocol == 2 else "firmware") in raised.value.hint


def test_a_port_where_nothing_answers():
    """A silent port is not a board: the error asks what it is."""
    script = Script(version=SILENCE)
    with pytest.raises(CurationError) as raised, board_at(script, timeout_factor=IMPATIENT):
        pass
    assert raised.value.code is ErrorCode.BOARD_SILENT
    assert "firmware/README.md" in raised.value.hint


def test_a_board_that_falls_silent():
    """A command that is never answered, asked twice, is an error that says what to press."""
    script = Script(timing=SILENCE)
    with board_at(script, timeout_factor=IMPATIENT) as board, pytest.raises(CurationError) as raised:
        board.read_timing()
    assert raised.value.code is ErrorCode.BOARD_SILENT
    assert "reset" in raised.value.hint
    assert script.heard.count("timing") == 2


def test_scores_that_stop_coming():
    """Who watches a board that has stopped is told so."""
    with board_at(Script(scores=[say({"type": "done", "command": "scores"})])) as board:
        board.stream_scores(True)
        with pytest.raises(CurationError) as raised:
            board.next_scores(1)
        assert raised.value.code is ErrorCode.BOARD_SILENT


def test_pulling_the_plug():
    """The error says that the board is gone, at the next word and at every one after it."""
    with peer(Script()) as (name, unplug), open_board(name) as board:
        unplug()
        for _ in range(2):
            with pytest.raises(CurationError) as raised:
                board.read_timing()
            assert raised.value.code is ErrorCode.BOARD_GONE


def test_pulling_the_plug_within_a_frame():
    """A frame that keeps ending in the middle is refused."""
    plugs = []

    def answer(line):
        plugs[0]()
        return say_frame(draw_frame())[:20]

    with peer(Script(frame=answer)) as (name, unplug), open_board(name) as board:
        plugs.append(unplug)
        with pytest.raises(CurationError) as raised:
            board.take_frame()
        assert raised.value.code in {ErrorCode.BOARD_GONE, ErrorCode.BOARD_SILENT}


def test_golden_vectors_that_got_lost():
    """Where fewer came than the board ran, it is asked again, then it is an error."""
    script = Script(golden=[say({"type": "golden-end", "passed": 2, "failed": 0})])
    with board_at(script) as board, pytest.raises(CurationError, match="0 of 2") as raised:
        board.run_golden()
    assert raised.value.code is ErrorCode.TRANSFER_DAMAGED


def test_golden_vectors():
    """Each with its logits, in order."""
    with board_at(Script()) as board:
        assert [(vector.vector, vector.ok) for vector in board.run_golden()] == [(0, True), (1, True)]


def test_a_port_that_is_not_there():
    """The name, and the ports that are."""
    with pytest.raises(CurationError, match="/dev/ttyNOWHERE") as raised:
        SerialPort("/dev/ttyNOWHERE")
    assert raised.value.code is ErrorCode.PORT_MISSING


def test_a_port_that_is_no_port(tmp_path):
    """A file is not a serial port."""
    path = tmp_path / "file"
    path.write_text("no")
    with pytest.raises(CurationError) as raised:
        SerialPort(str(path))
    assert raised.value.code is ErrorCode.PORT_MISSING


def test_a_port_without_the_right_to_it():
    """The hint names the group that has it."""
    master, slave = pty.openpty()
    os.fchmod(slave, 0)
    try:
        with as_nobody(), pytest.raises(CurationError, match="/dev/") as raised:
            SerialPort(os.ttyname(slave))
        assert raised.value.code is ErrorCode.PERMISSION_DENIED
        assert "dialout" in raised.value.hint
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_that_another_program_holds():
    """Two programs on one port would each hear half."""
    with peer(Script()) as (name, _):
        held = SerialPort(name)
        try:
            with pytest.raises(CurationError) as raised:
                SerialPort(name)
            assert raised.value.code is ErrorCode.PORT_BUSY
        finally:
            held.close()
