"""The ledger: what is written is read, what is broken is named, and policies settle what reviewers differ on."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.dataset.decisions import (
    DISAGREE,
    Decision,
    append_decisions,
    describe_history,
    in_force,
    read_ledger,
    rule,
)
from curation.errors import CurationError, ErrorCode
from tests.builders import sha_of

ONE, TWO, THREE = sha_of("one"), sha_of("two"), sha_of("three")


def at(second: float) -> str:
    """Return a time of one minute."""
    return f"2026-11-24T10:00:{second:09.6f}Z"


def said(action: str, sha: str = ONE, reviewer: str = "anna", second: float = 0, **fields: str) -> Decision:
    """Return a decision."""
    if action == "exclude":
        fields = {"reason": "a ruler", **fields}
    return Decision(action, sha, reviewer, at(second), **fields)  # type: ignore[arg-type]  # any words


decisions = st.builds(
    said,
    st.sampled_from(["exclude", "keep", "prefer", "undo"]),
    st.sampled_from([ONE, TWO, THREE]),
    st.sampled_from(["anna", "ben", "cleo"]),
    st.floats(0, 59).map(lambda second: round(second, 6)),
    reason=st.text(st.characters(codec="utf-8"), max_size=30).map(str.strip),
) | st.builds(
    said,
    st.just("relabel"),
    st.sampled_from([ONE, TWO, THREE]),
    st.sampled_from(["anna", "ben", "cleo"]),
    st.floats(0, 59).map(lambda second: round(second, 6)),
    label=st.sampled_from(["melanoma", "healthy", "context:nevus"]),
)


@given(lines=st.lists(decisions, max_size=12))
def test_a_ledger_reads_as_it_was_written(tmp_path_factory, lines):
    """Whatever was appended, in whatever portions, comes back in order, with its line."""
    path = tmp_path_factory.mktemp("ledger") / "decisions.jsonl"
    append_decisions(path, lines[:5])
    append_decisions(path, lines[5:])
    read = read_ledger(path)
    assert [line.as_json() for line in read] == [line.as_json() for line in lines]
    assert [line.line for line in read] == list(range(1, len(lines) + 1))


def test_a_missing_ledger_is_empty(tmp_path):
    """There are no decisions yet."""
    assert read_ledger(tmp_path / "decisions.jsonl") == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"action": "exclude"}', "missing sha256, reviewer, time"),
        (json.dumps({"action": "burn", "sha256": ONE, "reviewer": "anna", "time": at(0)}), "'burn' is not an action"),
        (json.dumps({"action": "keep", "sha256": "abc", "reviewer": "anna", "time": at(0)}), "not 64 hex digits"),
        (json.dumps({"action": "keep", "sha256": ONE, "reviewer": "anna", "time": "noon"}), "time 'noon'"),
        (json.dumps({"action": "relabel", "sha256": ONE, "reviewer": "anna", "time": at(0)}), "needs a label"),
        (json.dumps({"action": "keep", "sha256": ONE, "reviewer": "anna", "time": at(0), "why": "x"}), "field why"),
        (
            json.dumps({"action": "not-duplicates", "sha256": ONE, "other": ONE, "reviewer": "anna", "time": at(0)}),
            "same bytes",
        ),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, text, named):
    """A hand-edited line that is not a decision is an error that names the line and the cause."""
    path = tmp_path / "decisions.jsonl"
    path.write_text(f"{said('keep').as_json()}\n\n{text}\n")
    with pytest.raises(CurationError) as fault:
        read_ledger(path)
    assert fault.value.code == ErrorCode.LEDGER_INVALID
    assert "line 3" in fault.value.message
    assert named in fault.value.message


def test_a_ledger_that_an_editor_marked_is_read_and_one_that_cannot_be_is_an_error(tmp_path):
    """A byte order mark broke the first line, and a ledger without read permission ended in a traceback."""
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + said("keep").as_json().encode() + b"\r\n")
    assert [line.action for line in read_ledger(path)] == ["keep"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(CurationError, match="folder: ") as fault:
        read_ledger(tmp_path / "folder")
    assert fault.value.code == ErrorCode.FILE_UNREADABLE


def test_all_broken_lines_are_named_at_once(tmp_path):
    """Five mistakes are five lines of one message."""
    path = tmp_path / "decisions.jsonl"
    path.write_text("{\n" * 5)
    with pytest.raises(CurationError) as fault:
        read_ledger(path)
    assert fault.value.code == ErrorCode.LEDGER_INVALID
    assert all(f"line {number}: " in fault.value.message for number in range(1, 6))


def test_a_line_cut_short_does_not_swallow_the_next(tmp_path):
    """After a kill in the middle of a write the next decision starts on a line of its own."""
    path = tmp_path / "decisions.jsonl"
    path.write_text(said("keep").as_json() + '\n{"action": "ex')
    append_decisions(path, [said("exclude", TWO)])
    assert path.read_text().splitlines()[2] == said("exclude", TWO).as_json()
    with pytest.raises(CurationError, match="line 2"):
        read_ledger(path)


def append_many(path: Path, reviewer: str) -> None:
    """Append pairs of decisions, as one of several processes does."""
    for number in range(40):
        append_decisions(path, [said("keep", sha_of((reviewer, number)), reviewer), said("keep", TWO, reviewer)])


@pytest.mark.slow
def test_two_writers_never_mix_their_lines(tmp_path):
    """Three processes append at once: every line is whole, and each pair stands together."""
    path = tmp_path / "decisions.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(path, name)) for name in ("anna", "ben", "cleo")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    lines = read_ledger(path)
    assert len(lines) == 240
    assert all(one.reviewer == two.reviewer for one, two in zip(lines[::2], lines[1::2], strict=True))


def test_what_append_returned_from_survives_a_kill(tmp_path):
    """kill -9 right after: the decisions that were acknowledged are all there."""
    path = tmp_path / "decisions.jsonl"
    code = (
        "import sys, pathlib\n"
        "from curation.dataset.decisions import Decision, append_decisions, now\n"
        "import hashlib\n"
        "for n in range(100000):\n"
        "    sha = hashlib.sha256(str(n).encode()).hexdigest()\n"
        f"    append_decisions(pathlib.Path({str(path)!r}), [Decision('keep', sha, 'anna', now())])\n"
        "    print(n, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(25):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate()[0].split()
    acknowledged = int(rest[-1]) + 1 if rest else 25
    assert len(read_ledger(path)) >= acknowledged


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told(tmp_path):
    """Where nothing can be written, the decision does not count as made."""
    path = tmp_path / "decisions.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(CurationError) as fault:
        append_decisions(path, [said("keep")])
    assert fault.value.code == ErrorCode.DISK_FULL


def test_an_undo_withdraws_the_reviewers_newest(tmp_path):
    """What was said before it is in force again; other reviewers' words stand."""
    lines = [
        said("keep", second=1),
        said("exclude", second=2),
        said("exclude", reviewer="ben", second=3),
        said("undo", second=4),
    ]
    assert [line.action for line in in_force(lines)] == ["keep", "exclude"]
    assert rule(lines[:2] + lines[3:]).fate[ONE].verdict == "keep"


def test_an_undo_of_a_pair_names_both(tmp_path):
    """Only the pair that is named is taken back, whichever stands first."""
    pairs = [said("not-duplicates", ONE, second=1, other=TWO), said("not-duplicates", ONE, second=2, other=THREE)]
    assert rule([*pairs, said("undo", TWO, second=3, other=ONE)]).apart == {tuple(sorted((ONE, THREE)))}


def test_half_a_second_is_later_than_a_whole_one():
    """Times are compared as times, not as texts: ``10:00:00Z`` comes before ``10:00:00.5Z``."""
    early = Decision("keep", ONE, "anna", "2026-11-24T10:00:00Z", line=2)
    late = Decision("exclude", ONE, "anna", "2026-11-24T10:00:00.5Z", line=1)
    assert rule([late, early]).fate[ONE].verdict == "exclude"


POLICIES = [
    ("newest", None, "keep"),
    ("majority", None, "exclude"),
    ("adjudicator", "cleo", "keep"),
    ("adjudicator", "dora", DISAGREE),
]


@pytest.mark.parametrize(("agreement", "adjudicator", "verdict"), POLICIES)
def test_the_policy_settles_a_contradiction(agreement, adjudicator, verdict):
    """Two exclude, one keeps later: the newest, the most, or the adjudicator's word counts."""
    lines = [
        said("exclude", reviewer="anna", second=1),
        said("exclude", reviewer="ben", second=2),
        said("keep", reviewer="cleo", second=3),
    ]
    assert rule(lines, agreement=agreement, adjudicator=adjudicator).fate[ONE].verdict == verdict


def test_a_tie_is_a_disagreement_under_majority():
    """One against one: the count decides nothing."""
    lines = [said("exclude", second=1), said("keep", reviewer="ben", second=2)]
    assert rule(lines, agreement="majority").fate[ONE].verdict == DISAGREE


@given(lines=st.lists(decisions, max_size=10), seed=st.randoms())
def test_the_ruling_hangs_on_times_not_on_places(lines, seed):
    """A merge may bring the lines of two branches in any order: the ruling is the same."""
    dated = [
        Decision(line.action, line.sha256, line.reviewer, at(number), label=line.label, reason=line.reason)
        for number, line in enumerate(lines)
    ]
    shuffled = list(dated)
    seed.shuffle(shuffled)
    assert rule(shuffled) == rule(dated)


def test_every_line_about_an_image_is_told(tmp_path):
    """Withdrawn lines, the second of a pair and the contradiction are told, with the policy's outcome."""
    path = tmp_path / "decisions.jsonl"
    append_decisions(
        path,
        [
            said("exclude", second=1),
            said("undo", second=2),
            said("relabel", reviewer="ben", second=3, label="melanoma"),
            said("not-duplicates", TWO, reviewer="ben", second=4, other=ONE),
            said("exclude", second=5, reason="text"),
            said("keep", THREE, second=6),
        ],
    )
    told = describe_history(read_ledger(path), ONE)
    assert [sentence.split(":")[0] for sentence in told[:5]] == [f"line {number}" for number in range(1, 6)]
    assert told[0].endswith("(withdrawn)")
    assert "differ on whether it is used (anna: exclude, ben: use)" in told[5]
    assert "'newest' it is 'exclude'" in told[5]
    majority = describe_history(read_ledger(path), ONE, agreement="majority")
    assert "unresolved" in majority[5]
    assert describe_history(read_ledger(path), sha_of("other")) == ()


def test_a_thousand_decisions_are_read_and_ruled_at_once(tmp_path):
    """The App reads the whole ledger after each decision: ten thousand lines stay well below a second."""
    path = tmp_path / "decisions.jsonl"
    append_decisions(path, [said("keep", sha_of(number), second=number % 60) for number in range(10_000)])
    began = time.perf_counter()
    rule(read_ledger(path))
    assert time.perf_counter() - began < 3
