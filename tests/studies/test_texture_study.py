import json

import numpy as np
import pytest
from PIL import Image

from genjax.cli import main
from genjax.studies.textures import textures

TINY = {
  "data.batch": 8,
  "net.blocks": ((4,), (4,)),
  "noise.width": 8,
  "system.minibatch": 8,
  "system.passes": 1,
  "system.ascent_steps": 2,
  "system.synthesis": 8,
  "system.synthesis_batch": 8,
  "system.initial": 8,
  "system.capacity": 16,
  "train.steps": 2,
  "train.sample_every": 0,
  "sample.size": 80,
  "sample.margin": 4,
  "sample.cover": 3.0,
  "sample.steps": 2,
}


@pytest.mark.slow
def test_a_texture_is_trained_drawn_measured_and_not_trained_again(tmp_path):
  text = textures(str(tmp_path), names=("brick",), quiet=True, overrides=TINY)
  assert text.splitlines()[2].startswith("| brick, 0 | ")
  assert len(text.splitlines()[2].split("|")) == 7
  numbers = json.loads((tmp_path / "textures.json").read_text())["brick"][0]
  assert set(numbers) == {"synthesis", "real", "start", "noise"}
  assert numbers["real"]["spectrum"]["value"] < numbers["noise"]["spectrum"]["value"]
  assert numbers["real"]["gradients"]["value"] < numbers["noise"]["gradients"]["value"]
  with Image.open(tmp_path / "textures.png") as opened:
    sheet = np.asarray(opened)
  assert sheet.shape == (256 + 22, 256 + 80 + 80 + 2 * 8)
  run = tmp_path / "brick_0"
  before = (run / "metrics.jsonl").read_text()
  assert textures(str(tmp_path), names=("brick",), quiet=True, overrides=TINY) == text
  assert (run / "metrics.jsonl").read_text() == before

  # the command, on the run that is there: any size, and several
  words = ["--n", "2", "--out", str(tmp_path / "two.npz")]
  assert main(["sample", "--workdir", str(run), "--config.sample.size=97", *words]) == 0
  assert np.load(tmp_path / "two.npz")["images"].shape == (2, 97, 97, 1)
