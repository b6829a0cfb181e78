"""Generators beside one another, on runs of a few steps: a row for each, a picture, and nothing is trained twice."""

import json

import numpy as np
import pytest
from PIL import Image
from small_config import SMALL

from genjax.studies import runs
from genjax.studies.generators import PLAYERS, WORDS, digits, mnist, table


def test_every_row_is_a_config():
  for word in WORDS.values():
    runs.settings(f"winn_mnist:{word}")
  for name in PLAYERS.values():
    assert runs.settings(name).metrics.frechet.samples == runs.settings("winn_mnist").metrics.frechet.samples


@pytest.mark.slow
def test_the_digits_study_leaves_a_row_for_each_and_resumes(tmp_path):
  small = {**SMALL, "system.cascade_steps": 1, "system.starts": 8}
  text = digits(str(tmp_path), seeds=1, quiet=True, overrides=small)
  kept = json.loads((tmp_path / "generators.json").read_text())
  assert list(kept["numbers"]) == list(WORDS)
  for row, (values,) in kept["numbers"].items():
    assert f"| {row} | {values['frechet']:.2f} |" in text
    assert values["copies"] == kept["cards"][row][0]["copies"]["value"]
    assert values["hours"] > 0
  assert len({values["frechet"] for (values,) in kept["numbers"].values()}) == len(WORDS)
  assert np.asarray(Image.open(tmp_path / "generators.png")).std() > 10
  assert digits(str(tmp_path), seeds=1, quiet=True, overrides=small) == text


def test_a_config_takes_the_place_of_the_rows(tmp_path, monkeypatch):
  asked = []
  monkeypatch.setattr("genjax.studies.generators.generators", lambda workdir, rows, **rest: asked.append(rows) or "")
  mnist(str(tmp_path))
  mnist(str(tmp_path), base="gan_mnist:dragan")
  assert asked[0] == {**{row: f"winn_mnist:{word}".rstrip(":") for row, word in WORDS.items()}, **PLAYERS}
  assert asked[1] == {"gan_mnist:dragan": "gan_mnist:dragan"}


def test_the_table_has_the_columns_that_all_rows_have():
  one, two = ({"frechet": value, "precision": 0.5, "hours": 1.0} for value in (1.0, 2.0))
  lines = table({"A": [one, two], "B": [{**one, "recall": 0.1}, two]}, {"real": 0.6}).splitlines()
  assert lines[0] == "| Frechet distance | seed 0 | seed 1 | mean ± deviation | precision | hours |"
  assert lines[2] == "| A | 1.00 | 2.00 | 1.50 ± 0.71 | 0.500 ± 0.000 | 1.00 ± 0.00 |"
  assert lines[-1] == "beside it: real 0.6"
