"""What a run proposes: read, ordered by uncertainty, and never a decision."""

import polars as pl
import pytest

from curation.errors import CurationError
from curation.review.proposals import propose, read_map, read_predictions
from curation.review.setup import ReviewRequest, prepare
from tests.builders import make_manifest, make_row, sha_of
from tests.review.conftest import ledger_lines


def write_run(folder, shas, *, likely=(0.9, 0.55, 0.7)):
    """Write the tables of a run as training writes them."""
    folder.mkdir(exist_ok=True)
    probabilities = [[share, 1 - share] for share in likely[: len(shas)]]
    pl.DataFrame(
        {
            "id": [f"src/{sha[:4]}" for sha in shas],
            "sha256": shas,
            "page": [1] * len(shas),
            "predicted": ["healthy"] * len(shas),
            "confidence": likely[: len(shas)],
            "probabilities": probabilities,
        },
        schema_overrides={"page": pl.UInt32, "confidence": pl.Float32, "probabilities": pl.List(pl.Float32)},
    ).write_parquet(folder / "predictions.parquet")
    places = {
        "x": [number % 5 - 2.0 for number in range(len(shas))],
        "y": [number // 5 * 1.0 for number in range(len(shas))],
    }
    pl.DataFrame({"sha256": shas, **places}).write_parquet(folder / "embeddings.parquet")
    return folder


def test_the_uncertain_ones_are_ranked(tmp_path):
    """Uncertainty is one minus the margin between the two most likely classes."""
    run = write_run(tmp_path / "run", [sha_of(name) for name in "abc"])
    predictions = read_predictions(run)
    assert predictions["uncertainty"].to_list() == pytest.approx([0.2, 0.9, 0.6], abs=1e-5)
    rows = propose(make_manifest([make_row(name) for name in "abd"]).rows, predictions)
    assert rows["proposal"].to_list() == ["healthy", "healthy", None]
    assert rows["confidence"].to_list()[:2] == pytest.approx([0.9, 0.55], abs=1e-6)


def test_a_proposal_decides_nothing(home, cache, tmp_path, session):
    """It is shown next to the label; ledger, labels and queues are what they were, and unseen images are counted."""
    rows = session.manifest.rows
    run = write_run(tmp_path / "run", rows["sha256"].unique().sort().head(3).to_list())
    prepared = prepare(ReviewRequest("tiny", str(home.datasets), "anna", proposals=str(run)), cache=cache)
    assert prepared.rows["proposal"].drop_nulls().len() >= 3
    assert prepared.rows["label"].to_list() == session.rows()["label"].to_list()
    assert ledger_lines(home) == []


def test_a_folder_without_tables_is_no_run(tmp_path):
    """The message names the file that is missing or broken."""
    with pytest.raises(CurationError, match=r"predictions\.parquet"):
        read_predictions(tmp_path)
    (tmp_path / "embeddings.parquet").write_bytes(b"PAR1")
    with pytest.raises(CurationError, match=r"embeddings\.parquet"):
        read_map(tmp_path)


def test_the_map_has_a_place_for_each_image(tmp_path):
    """The same image in two rows has one place."""
    run = write_run(tmp_path / "run", [sha_of("a"), sha_of("b"), sha_of("a")])
    assert read_map(run).rows() == [(sha_of("a"), -2.0, 0.0), (sha_of("b"), -1.0, 0.0)]
