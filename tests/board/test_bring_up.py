"""The bring-up of a board: what is compared, and the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from curation.board import list_facts, write_page
from curation.cli import main
from tests.board.peers import BRING_UP, SELF_TEST, Script, board_at, peer, say

FAILED = {"registers read back", "bar 3", "lines of a frame"}


def test_each_property_is_compared_with_its_documentation():
    """A wrong register, a wrong bar and a lost line differ; a rate within three percent does not."""
    with board_at(Script()) as board:
        found = board.bring_up()
    facts = {fact.name: fact for fact in list_facts(found)}
    assert {name for name, fact in facts.items() if fact.ok is False} == FAILED
    assert facts["registers read back"].seen == "0x13 is 0x00, not 0xE7"
    assert facts["HREF, one line"].ok
    assert facts["instruction cache"].seen == "on"
    assert facts["free stack"].seen == "15,484 of 16,384 B"


def test_the_page_needs_nothing_from_elsewhere():
    """It names what differs, contains the image, and refers to no other file or host."""
    with board_at(Script()) as board:
        page = write_page(board.bring_up())
    assert set(re.search(r"Not as documented: ([^.]+)\.", page)[1].split(", ")) >= FAILED
    assert "data:image/png;base64," in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "http" not in page


def test_text_of_a_board_is_escaped():
    """A model whose name contains markup does not change the page."""
    with board_at(Script()) as board:
        found = board.bring_up()
    version = found.version.model_copy(update={"model": "<script>alert(1)</script>"})
    assert "<script>" not in write_page(replace(found, version=version))


def test_a_board_without_measurable_signals_has_a_page_too():
    """An emulated board has no registers and no signals: nothing is invented for them."""
    with board_at(Script(**{"bring-up": [say({"type": "bring-up"})]})) as board:
        found = board.bring_up()
    facts = {fact.name: fact.ok for fact in list_facts(found)}
    assert facts["signals of the camera"] is None
    assert "registers read back" not in facts
    assert "instruction cache" not in facts


def test_the_command_prints_the_facts_and_writes_the_page(tmp_path, capsys):
    """The exit code is 1 where something differs; JSON has the same facts."""
    page = tmp_path / "board.html"
    with peer(Script()) as (name, _):
        assert main(["board", name, "--bring-up", "--report", str(page)]) == 1
    output = capsys.readouterr().out
    assert "0x13 is 0x00, not 0xE7" in output
    assert page.read_text().startswith("<!doctype html>")
    with peer(Script(**{"bring-up": [say(BRING_UP[0]), *map(say, BRING_UP[3:])]})) as (name, _):
        assert main(["board", name, "--bring-up", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert [fact["name"] for fact in facts if fact["ok"] is False] == ["bar 3"]


def test_the_self_test_prints_expected_and_seen_bar_by_bar(capsys):
    """Each bar is a row of a table; a wrong one is marked."""
    with peer(Script()) as (name, _):
        assert main(["board", name, "--selftest"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "90, 80, 70" in line]
    assert [row.split()[1] for row in rows] == [bar["expected"] for bar in SELF_TEST["bars"]]
    assert [row.endswith("differs") for row in rows].count(True) == 1


def test_the_exposure_is_locked_and_unlocked(capsys):
    """The board gets one command each."""
    script = Script()
    with peer(script) as (name, _):
        assert main(["board", name, "--lock"]) == 0
        assert main(["board", name, "--unlock"]) == 0
    assert [line for line in script.heard if line.startswith("lock")] == ["lock on", "lock off"]
    assert "locked" in capsys.readouterr().out


def test_a_report_needs_a_bring_up(capsys):
    """The option alone is a mistake in the command line."""
    assert main(["board", "/dev/null", "--report", "page.html"]) == 2
    assert "--bring-up" in capsys.readouterr().err
