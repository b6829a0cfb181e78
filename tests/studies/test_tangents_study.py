"""Tangents of three autoencoders, on runs of a few steps: a line for each, a picture, and runs that are found again."""

import json

import numpy as np
import pytest
from PIL import Image

from genjax.studies.tangents import KINDS, table, tangents

OFTEN = {"train.steps": 2, "train.steps_per_call": 1, "train.log_every": 1, "train.checkpoint_every": 2}
SMALL = {"encoder.widths": (8,), "decoder.widths": (8,), "system.code": 7, "data.batch": 16, **OFTEN}
NARROW = {"net.blocks": ((4,),), "data.batch": 16, **OFTEN}


@pytest.mark.slow
def test_every_kind_of_autoencoder_teaches_a_classifier_and_is_drawn(tmp_path):
  text = tangents(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, of_classifier=NARROW)
  kept = json.loads((tmp_path / "tangents.json").read_text())
  assert list(kept) == ["no tangents", *KINDS]
  assert all(1 <= kept[kind][0]["large"] <= 7 for kind in KINDS)
  assert "| contractive |" in text
  assert np.asarray(Image.open(tmp_path / "tangents.png")).std() > 10
  config = json.loads((tmp_path / "classifier_plain_0" / "config.json").read_text())
  assert config["encoder"]["run"].endswith("plain_0")


def test_the_table_has_means_and_leaves_out_what_a_plain_classifier_lacks():
  one = {"error": 0.1}
  lines = table({"no tangents": [one, one], "plain": [{**one, "squared_error": 2.0, "large": 3.0}] * 2}).splitlines()
  assert lines[2] == "| no tangents |  |  | 10.00 ± 0.00 |"
  assert lines[3] == "| plain | 2.00 ± 0.00 | 3.00 ± 0.00 | 10.00 ± 0.00 |"
