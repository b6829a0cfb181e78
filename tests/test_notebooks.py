"""The notebooks run from the first cell to the last, and are kept with what they showed."""

import base64
import io
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LARGEST = 400_000  # bytes
ABSOLUTE = re.compile(r"(?<![\w.:/])/(tmp|home|root|work|usr|opt|Users|content)/|[A-Z]:\\")

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook):
  return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook):
  kept = [output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
  return [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in kept]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel and its client, not of genjax
@by_name
def test_a_notebook_runs_to_its_end(path, tmp_path, monkeypatch):
  monkeypatch.setenv("GENJAX_NOTEBOOK_STEPS", "10")
  notebook = nbformat.read(path, as_version=4)
  shown = len(pictures(notebook))
  where = {"metadata": {"path": str(tmp_path)}}
  NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
  assert list(tmp_path.glob("runs/*/summary.json"))
  assert len(pictures(notebook)) == shown >= 4


@by_name
def test_a_notebook_is_kept_with_its_pictures_and_opens_in_colab(path):
  notebook = nbformat.read(path, as_version=4)
  assert path.stat().st_size < LARGEST
  assert "colab-badge.svg" in notebook.cells[0].source
  assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(
    range(1, 1 + sum(cell.cell_type == "code" for cell in notebook.cells))
  )  # in one go, from a fresh kernel
  assert all(min(picture.size) > 50 for picture in pictures(notebook))
  for output in outputs(notebook):
    assert output.output_type != "error"
    assert output.get("name") != "stderr", output.text
    text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
    assert not ABSOLUTE.search(text), text
