"""The notebook: it runs from its first cell to its last on the sample; what is committed of it is small and clean."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOK = PROJECT / "training" / "notebook.ipynb"
MOST_BYTES = 300_000


def read_notebook():
    """Return the notebook as it is committed."""
    return nbformat.read(NOTEBOOK, as_version=4)


def texts_of(notebook) -> str:
    """Return all that its cells printed or gave as text, one after the other."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def images_of(notebook) -> list[str]:
    """Return its images as base64 PNG, in order."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@pytest.fixture(scope="module")
def executed(tmp_path_factory, built_sample, needs_train):
    """Return the notebook after a kernel of this Python has run it, and the folder it ran in."""
    nbclient = pytest.importorskip("nbclient")
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "datasets" / "sample").mkdir(parents=True)
    shutil.copyfile(PROJECT / "datasets/sample/recipe.toml", folder / "datasets/sample/recipe.toml")
    notebook = read_notebook()
    for cell in notebook.cells:
        cell.get("outputs", []).clear()
    nowhere = "http://127.0.0.1:9"  # a way out to the network would end here
    environment = {
        **os.environ,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(PROJECT),
        "CURATION_DATASETS": str(folder / "datasets"),
        "CURATION_CACHE": str(built_sample / "cache"),  # the images are drawn once; the notebook builds its own version
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        client = nbclient.NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        client.execute(env=environment)
    return notebook, folder


@pytest.mark.slow
def test_it_runs_from_the_images_to_the_c_array(executed):
    """Data, 25 labelled images, split, fit, evaluate, int8 and ``model.cc``, with no network."""
    notebook, folder = executed
    printed = texts_of(notebook)
    assert "sample@v1: published" in printed
    assert "25 of 124 training images, with their labels" in printed
    assert len(images_of(notebook)) == 2
    assert "images to train on" in printed
    assert "int8, camera" in printed
    assert "arena" in printed
    text = (folder / "model.cc").read_text(encoding="utf-8")
    assert "sample@v1" in text
    assert "alignas(16)" in text


@pytest.mark.slow
def test_what_it_trains_has_learnt_something(executed):
    """The float and the int8 net classify nine in ten of the sample's test images correctly."""
    lines = [line for line in texts_of(executed[0]).splitlines() if line.startswith(("int8, camera", "float, camera"))]
    assert len(lines) == 2
    for line in lines:
        assert float(line.split()[2]) >= 0.9


def test_the_committed_notebook_shows_a_whole_run():
    """Every code cell was run, in order, and none failed; its images are small, and no path of a machine is in it."""
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    notebook = read_notebook()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert len(images_of(notebook)) == 2
    printed = texts_of(notebook)
    assert "sample@v1" in printed
    assert re.search(r"(?<![/\w])/(?!/)\w+/\w+|[A-Z]:\\", printed) is None
