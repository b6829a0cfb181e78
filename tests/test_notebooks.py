"""The notebooks run from the first cell to the last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel and its client, not of genjax
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path, tmp_path, monkeypatch):
  monkeypatch.setenv("GENJAX_NOTEBOOK_STEPS", "20")
  monkeypatch.setenv("GENJAX_NOTEBOOK_WORKDIR", str(tmp_path / "run"))
  notebook = nbformat.read(path, as_version=4)
  NotebookClient(
    notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
  ).execute()
  assert (tmp_path / "run" / "summary.json").exists()
  pictures = [
    output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
  ]
  assert len(pictures) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_opens_in_colab(path):
  notebook = nbformat.read(path, as_version=4)
  assert not any(cell.get("outputs") for cell in notebook.cells)
  assert "colab-badge.svg" in notebook.cells[0].source
