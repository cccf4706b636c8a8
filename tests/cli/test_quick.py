"""``build --quick`` leaves the audit for later, and ``audit`` adds it to the version."""

from pathlib import Path

from curation.cli import main
from tests.builders import tiny_images, write_recipe, write_source


def test_a_quick_build_states_that_it_is_not_audited_until_it_is(tmp_path, capsys):
    """The build, ``show``, page, card and the card in git state it; after ``audit`` none of them does."""
    write_recipe(tmp_path / "datasets", images=write_source(tmp_path / "images", tiny_images()))
    folders = ("--datasets", str(tmp_path / "datasets"), "--cache", str(tmp_path / "cache"))
    assert main([*folders, "build", "tiny", "--quick"]) == 0
    assert "python -m curation audit tiny@v1" in capsys.readouterr().out
    folder = tmp_path / "datasets/builds/tiny/v1"
    texts = [folder / "report.html", folder / "CARD.md", tmp_path / "datasets/tiny/CARD.md", folder / "audit.json"]
    assert [_states_it(text) for text in texts] == [True] * 4
    assert main([*folders, "show", "tiny"]) == 0
    assert "not audited yet" in capsys.readouterr().out
    assert main([*folders, "audit", "tiny"]) == 0
    assert [_states_it(text) for text in texts] == [False] * 4
    assert "balance-test-size" in (folder / "CARD.md").read_text(encoding="utf-8")
    assert main([*folders, "verify", "tiny"]) == 0
    capsys.readouterr()
    assert main([*folders, "show", "tiny"]) == 0
    assert "not audited yet" not in capsys.readouterr().out


def _states_it(text: Path) -> bool:
    return "not audited yet" in text.read_text(encoding="utf-8")
