"""Pictures within their bytes: all while they fit, else an even choice, else smaller ones; and a page under 20 MB."""

import base64
import io
import json

import numpy as np
import pytest
from etils import epath
from PIL import Image
from workdirs import write

from genjax.page.build import page
from genjax.page.pictures import evenly, fitted, frames, png
from genjax.page.read import Sample, read

NOISE = png(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))  # 120 kB that do not compress


@pytest.mark.parametrize(("n", "count"), [(0, 5), (1, 5), (5, 5), (300, 55), (10, 2)])
def test_an_even_choice_has_the_first_and_the_last(n, count):
  chosen = evenly(n, count)
  assert len(chosen) == min(n, count)
  if n > 1:
    assert (chosen[0], chosen[-1]) == (0, n - 1)
    assert np.ptp(np.diff(chosen)) <= 1


def test_a_picture_that_fits_stays_as_it_is_and_another_becomes_smaller():
  assert fitted(NOISE, len(NOISE)).scale == 1
  assert base64.b64decode(fitted(NOISE, len(NOISE)).uri.partition(",")[2]) == NOISE
  smaller = fitted(NOISE, 20_000)
  content = base64.b64decode(smaller.uri.partition(",")[2])
  assert len(content) <= 20_000
  assert 0 < smaller.scale < 1
  with Image.open(io.BytesIO(content)) as image:
    assert image.size == smaller.size
    assert abs(np.asarray(image).mean() - 127.5) < 5  # averages of pixels


@pytest.mark.parametrize("content", [b"", b"<svg/>", NOISE[:-40], NOISE[:60], b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_none(content):
  assert fitted(content, 1 << 20) is None


def test_of_300_grids_as_many_are_shown_as_the_page_has_room_for(tmp_path):
  run = write(tmp_path / "run", samples=())
  for step in range(300):
    (run / "samples" / f"step_{step:08d}.png").write_bytes(NOISE)
  rows = ({"step": i, **{f"m{j}": i * j + 0.12345 for j in range(30)}} for i in range(1500))
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (run / "metrics.jsonl").write_text(lines)
  content = page([read(str(run), "run")])
  assert 5e6 < len(content) < 20e6
  kept = content.count(b'class="frame"')
  assert 12 < kept < 300
  assert f"{kept} of 300 pictures shown; evenly chosen, with the first and the last.".encode() in content
  assert b'data-step="0"' in content
  assert b'data-step="299"' in content


def test_grids_that_are_too_large_even_so_are_made_smaller_and_lost_ones_are_counted(tmp_path):
  for step in range(15):
    (tmp_path / f"{step}.png").write_bytes(NOISE)
  samples = [Sample(step, epath.Path(tmp_path / f"{step}.png"), len(NOISE)) for step in range(15)]
  (tmp_path / "14.png").unlink()
  shown = frames(samples, 12 * 20_000)
  assert (shown.of, shown.broken, len(shown.frames)) == (15, 1, 11)
  assert all(frame.share < 1 for frame in shown.frames)
  assert sum(len(frame.uri) for frame in shown.frames) < 12 * 20_000 * 4 / 3
