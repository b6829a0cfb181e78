"""Figure 2.3 on runs of a few steps: two critics, one sampler, a picture and numbers."""

import json

import numpy as np
import pytest
from PIL import Image
from small_config import SMALL

from genjax.studies.critic_samples import both, critic_samples, table

GAN = {
  **{key: value for key, value in SMALL.items() if key.startswith(("train", "metrics"))},
  "data.batch": 40,
  "generator.widths": (8,),
}


def test_both_critics_are_the_same_net_on_the_same_data():
  for base in ("winn_digits", "winn_mnist"):
    (name, wgan), (_, winn) = both(base, {"WINN": {}, "WGAN-GP": {}}).values()
    assert name == base.replace("winn", "gan") + ":wgan_gp"
    assert winn.net.to_dict() == wgan.critic.to_dict()
    assert winn.data.name == wgan.data.name


@pytest.mark.slow
def test_both_are_trained_and_sampled_alike_and_have_a_line_and_a_picture(tmp_path):
  text = critic_samples(str(tmp_path), quiet=True, moves=3, samples=40, of_critic={"WINN": SMALL, "WGAN-GP": GAN})
  numbers = json.loads((tmp_path / "critic_samples.json").read_text())
  assert set(numbers["critics"]) == {"WGAN-GP", "WINN"}
  for row, (values,) in numbers["critics"].items():
    assert row in text
    assert values["moves"] <= 3
    assert 0 <= values["stopped"] <= 1
    assert np.isfinite(list(values.values())).all()
  assert np.asarray(Image.open(tmp_path / "critic_samples.png")).std() > 10


def test_the_table_has_a_line_for_every_seed():
  value = {"frechet": 1.0, "stopped": 0.5, "moves": 3.2, "own_frechet": 2.0}
  lines = table({"A": [value, value], "B": [value]}, {"real": 1.5}).splitlines()
  assert lines[2:] == [
    "| A, 0 | 1.00 | 50% | 3 | 2.00 |",
    "| A, 1 | 1.00 | 50% | 3 | 2.00 |",
    "| B, 0 | 1.00 | 50% | 3 | 2.00 |",
    "beside it: real 1.5",
  ]
