"""Writes a matplotlib figure of a study.

Checked  tests/studies/test_vanishing.py
"""

import io
import os
from typing import Any

from genjax.train.files import write_whole


def write(path: str | os.PathLike, figure: Any, *, dpi: int = 100) -> None:
  """Writes a matplotlib Figure as PNG, local or gs://. Raises StorageError."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import

  FigureCanvasAgg(figure)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=dpi)
  write_whole(path, content.getvalue())
