"""The verbs audit and report: what they print, write and return."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from curation.cli import main
from tests.builders import tiny_images, write_recipe, write_source


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny dataset and its cache; no test writes into it."""
    folder = tmp_path_factory.mktemp("audited")
    write_recipe(folder / "datasets", images=write_source(folder / "images", tiny_images()))
    arguments = ("--datasets", str(folder / "datasets"), "--cache", str(folder / "cache"))
    assert main([*arguments, "build", "tiny", "-q"]) == 0
    return folder


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a tiny dataset that is built."""
    for part in ("datasets", "cache"):
        shutil.copytree(built / part, tmp_path / part)
    monkeypatch.setenv("CURATION_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one command and return its exit code and what it printed."""
    capsys.readouterr()
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_an_audit_prints_the_shortcuts_first_and_fails_only_where_it_is_asked_to(home, capsys):
    """A table of probes, then the findings; --fail-on makes it a gate."""
    code, out, _ = run(capsys, "audit", "tiny")
    assert code == 0
    assert out.splitlines()[1].split() == ["probe", "AUC", "sees", "only"]
    assert "balance-test-size" in out
    assert run(capsys, "audit", "tiny", "--fail-on", "error")[0] == 0
    code, _, err = run(capsys, "audit", "tiny", "--fail-on", "warning")
    assert code == 1
    assert "findings of level warning or worse" in err
    assert run(capsys, "audit", "tiny", "--fail-on", "horror")[0] == 2


def test_a_waiver_lets_the_gate_open(home, capsys):
    """Whatever is waived with a reason fails nothing."""
    _, out, _ = run(capsys, "audit", "tiny", "--json")
    wrong = [each["id"] for each in json.loads(out)["findings"] if each["severity"] != "note"]
    recipe = home / "datasets/builds/tiny/v1/recipe.toml"
    waived = "\n".join(f'{name} = "known and accepted"' for name in wrong)
    recipe.write_text(recipe.read_text() + f"\n[audit.waive]\n{waived}\n")
    code, out, _ = run(capsys, "audit", "tiny", "--fail-on", "warning")
    assert code == 0
    assert out.count("known: known and accepted") == len(wrong)


def test_what_the_recipe_accepts_since_the_build_is_accepted(home, capsys):
    """The reason is written into the recipe; no new version is needed for it."""
    recipe = home / "datasets/tiny/recipe.toml"
    recipe.write_text(recipe.read_text() + '\n[audit.waive]\nbalance-test-size = "a tiny set"\n')
    _, out, _ = run(capsys, "audit", "tiny", "--json")
    told = {each["id"]: each["waived"] for each in json.loads(out)["findings"]}
    assert told["balance-test-size"] == "a tiny set"


def test_a_build_leaves_its_audit_in_the_version(home, capsys):
    """`audit.json` says what the command says, is in SHA256SUMS, and feeds the review queue of doubtful labels."""
    _, out, _ = run(capsys, "audit", "tiny", "--json")
    version = home / "datasets/builds/tiny/v1"
    assert json.loads((version / "audit.json").read_text(encoding="utf-8")) == json.loads(out)
    assert "  audit.json" in (version / "SHA256SUMS").read_text(encoding="utf-8")
    assert run(capsys, "verify", "tiny")[0] == 0


def test_a_runs_doubts_become_the_review_queue(home, capsys):
    """`audit --run` leaves them next to the version, where `review --queue doubtful` reads them, and reports it."""
    rows = pl.read_parquet(home / "datasets/builds/tiny/v1/manifest.parquet").filter(pl.col("excluded_by").is_null())
    sides = [1.0 if label == "melanoma" else -1.0 for label in rows["label"]]
    (home / "run").mkdir()
    table = pl.DataFrame({"sha256": rows["sha256"], "embedding": [[side, side / 2] for side in sides]})
    table.write_parquet(home / "run/embeddings.parquet")
    code, out, _ = run(capsys, "audit", "tiny", "--run", "run")
    assert code == 0
    assert "python -m curation review tiny@v1 --queue doubtful" in out
    told = json.loads((home / "datasets/builds/tiny/v1.audit.json").read_text(encoding="utf-8"))
    assert "the embeddings of run" in next(each["result"] for each in told["checks"] if each["id"] == "doubtful-labels")
    assert run(capsys, "verify", "tiny")[0] == 0


def test_json_is_one_document(home, capsys):
    """Findings, probes, checks."""
    code, out, _ = run(capsys, "audit", "tiny", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["version"] == "tiny@v1"
    assert {"id", "severity", "count", "which", "advice", "says", "figures", "facts", "waived"} <= set(
        told["findings"][0]
    )
    assert {probe["name"] for probe in told["probes"]} >= {"encoding", "sharpness", "surroundings"}


def test_a_run_without_embeddings_is_an_error_with_a_hint(home, capsys):
    """No traceback for a wrong folder."""
    code, _, err = run(capsys, "audit", "tiny", "--run", "nowhere")
    assert code == 1
    assert "embeddings.parquet" in err


def test_the_page_of_a_build_is_named_and_copied(home, capsys):
    """`report` says where it lies; --output writes the very same page."""
    code, out, _ = run(capsys, "report", "tiny")
    page = Path(out.strip())
    assert code == 0
    assert page == home / "datasets/builds/tiny/v1/report.html"
    assert run(capsys, "report", "tiny", "--output", "copy.html")[0] == 0
    assert (home / "copy.html").read_bytes() == page.read_bytes()


def test_an_absent_page_is_made_again(home, capsys):
    """A version of an older program gets its page, next to the caller's feet and not in the version."""
    page = home / "datasets/builds/tiny/v1/report.html"
    page.unlink()
    code, *_ = run(capsys, "report", "tiny")
    assert code == 0
    assert (home / "tiny-v1-report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert not page.exists()


def test_open_hands_the_page_to_the_browser(home, capsys, monkeypatch):
    """The browser gets a file URL, and no other."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert run(capsys, "report", "tiny", "--open") == (0, "", "")
    assert opened == [(home / "datasets/builds/tiny/v1/report.html").as_uri()]


@pytest.mark.parametrize("more", [(), ("--output", "copy.html")])
def test_where_no_browser_can_be_opened_the_page_is_named(home, capsys, monkeypatch, more):
    """It printed nothing, and nothing opened."""
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    code, out, err = run(capsys, "report", "tiny", "--open", *more)
    assert code == 0
    assert out.splitlines()[-1] == str(home / "datasets/builds/tiny/v1/report.html")
    assert "No browser could be opened" in err


def test_a_sheet_is_written(home, capsys):
    """One SVG file."""
    assert run(capsys, "report", "tiny", "--sheet", "sheet.svg")[0] == 0
    assert (home / "sheet.svg").read_text(encoding="utf-8").startswith("<svg")


def test_what_cannot_be_written_is_an_error_with_the_path(home, capsys):
    """No traceback for a folder that is not there."""
    code, _, err = run(capsys, "report", "tiny", "--output", "no/such/folder/page.html")
    assert code == 1
    assert "no/such/folder" in err


@pytest.mark.slow
def test_a_page_made_again_shows_the_remedies_and_what_changed(home, capsys):
    """`report --remedies` leaves the version's own page as it is, and knows the version before."""
    recipe = home / "datasets/tiny/recipe.toml"
    recipe.write_text(recipe.read_text().replace("short_side = 48", "short_side = 40"))
    assert run(capsys, "build", "tiny", "-q")[0] == 0
    page = home / "datasets/builds/tiny/v2/report.html"
    before = page.read_bytes()
    assert run(capsys, "report", "tiny", "--remedies", "--output", "tried.html")[0] == 0
    html = (home / "tried.html").read_text(encoding="utf-8")
    assert "<h3>Effect of each remedy</h3>" in html
    assert "<code>crop_border = 0.1</code>" in html
    assert "Compared with v1: 0 added, 0 removed" in html
    assert page.read_bytes() == before
