"""Pairs that are nearly the same: how they are kept, what is said of them, and which key is named."""

import json
from pathlib import Path

import pytest
from PIL import Image

from curation.audit.borderline import find_borderline
from curation.cli import main
from curation.dataset.borderline import Borderline, BorderlinePair, read_borderline
from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from tests.framed import gauges

NARROW = BorderlinePair("a/1", "a/2", True, 0.9, 2, 0.995, 3)
APART = BorderlinePair("a/1", "a/3", False, 1.25, 4, 0.99)


def test_a_version_keeps_its_pairs_and_older_versions_have_none(tmp_path: Path) -> None:
    """What is written is read again; where an earlier release wrote the version there is nothing to read."""
    assert read_borderline(tmp_path) is None
    assert find_borderline(tmp_path).findings == ()
    known = Borderline(tolerance=1.0, differing=300, narrow=7, pairs=(NARROW, APART))
    known.write(tmp_path)
    assert read_borderline(tmp_path) == known
    (tmp_path / "borderline.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CurationError) as caught:
        read_borderline(tmp_path)
    assert caught.value.code == ErrorCode.VERSION_DAMAGED


def test_the_audit_finds_many_of_them_before_anything_else(tmp_path: Path) -> None:
    """A hundred pairs are a finding, which lists the pairs nearest to the limit; fewer are a check alone."""
    Borderline(differing=99, pairs=(APART,)).write(tmp_path)
    assert find_borderline(tmp_path).findings == ()
    assert [check.result for check in find_borderline(tmp_path).checks] == ["99 pairs"]
    Borderline(differing=98, narrow=2, pairs=(NARROW, APART)).write(tmp_path)
    (finding,) = find_borderline(tmp_path).findings
    assert (finding.id, finding.count) == ("duplicates-borderline", 100)
    assert finding.which == ("a/1 = a/2", "a/1 = a/3")
    assert finding.facts["stricter"] == 0.9
    assert finding.facts["looser"] == 1.25


def test_the_key_is_named_with_its_direction() -> None:
    """Lower where images that differ count as the same, higher where copies are kept apart; or neither."""
    both = Borderline(differing=100, narrow=20, pairs=(NARROW, APART)).advice
    assert "lower `tolerance` under [duplicates] below 0.90" in both
    assert "raise it above 1.25" in both
    assert "raise" not in Borderline(narrow=120, pairs=(NARROW,)).advice
    only = Borderline(differing=120, pairs=(APART,)).advice
    assert "raise `tolerance` under [duplicates] above 1.25" in only
    assert "lower" not in only
    far = BorderlinePair("a/1", "a/3", False, 7.0, 4, 0.99)
    assert "Nothing has to be changed" in Borderline(differing=120, pairs=(far,)).advice


@pytest.mark.slow
def test_a_set_of_objects_that_are_framed_alike_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All gauges are kept, and build, audit and page begin with how many pairs are nearly the same."""
    for number, image in enumerate(gauges(40)):
        folder = tmp_path / "images" / ("low" if number < 20 else "high")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03}.png")
    monkeypatch.setenv("CURATION_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "cache"))
    assert main(["init", "gauges", "--images", str(tmp_path / "images")]) == 0
    recipe = tmp_path / "datasets/gauges/recipe.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8") + "\n[duplicates]\nradius = 16\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["build", "gauges", "--workers", "1"]) == 0
    _, _, after = capsys.readouterr().out.partition("\n\n")
    version = tmp_path / "datasets/builds/gauges/v1"
    known = read_borderline(version)
    assert known is not None
    assert after.startswith(known.says)
    assert known.narrow == 0
    assert known.differing >= 100
    assert len(known.pairs) == 12
    manifest = Manifest.read(version / "manifest.parquet")
    assert manifest.rejected.height == 0
    assert not manifest.rows["disputed"].any()
    findings = json.loads((version / "audit.json").read_text(encoding="utf-8"))["findings"]
    assert findings[0]["id"] == "duplicates-borderline"
    assert not {"labels-twins", "leakage-look-alike", "leakage-crop"} & {each["id"] for each in findings}
    page = (version / "report.html").read_text(encoding="utf-8")
    assert page.index(known.says) < page.index('id="risk"')
    assert page.count('<div class="pair">') >= len(known.pairs)
    assert main(["verify", "gauges"]) == 0
