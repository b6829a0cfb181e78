"""The table of modes: seeds that train together end as each would alone, and a row is measured once."""

import json

import jax
import numpy as np
import pytest

from genjax.build import build
from genjax.studies import modes as study
from genjax.studies.runs import settings

SMALL = {"train.steps": 4, "train.steps_per_call": 2, "net.widths": (8,), "generator.widths": (8,), "data.batch": 20}


@pytest.mark.slow
def test_seeds_that_train_together_end_where_each_does_alone():
  ring, grid = study.measured(["gan_ring:wgan_gp", "gan_grid:wgan_gp"], seeds=2, overrides=SMALL)
  assert ring["points"] != grid["points"]
  parts = build(settings("gan_ring:wgan_gp", SMALL))
  init, step = jax.jit(parts.system.init), jax.jit(parts.system.step)
  sample = jax.jit(parts.system.sample, static_argnums=2)
  for mixture, together in {"ring": ring, "grid": grid}.items():
    batch = build(settings(f"gan_{mixture}:wgan_gp", SMALL)).data.batch
    key = jax.random.key(0)
    state = init(key, batch(0))
    for i in range(4):
      state, _ = step(jax.random.fold_in(key, i), state, batch(i))
    alone = sample(jax.random.fold_in(key, 2**31), state, 2500)
    np.testing.assert_allclose(together["points"], np.asarray(alone).reshape(-1, 2)[:500], atol=2e-3)
    assert len(together["modes"]) == len(together["good"]) == 2


def test_configs_that_train_differently_are_not_measured_together():
  with pytest.raises(ValueError, match="one by one"):
    study.measured(["gan_ring:wgan_gp", "gan_ring:r1"], seeds=1)


@pytest.mark.slow
def test_a_row_that_was_measured_is_not_measured_again(tmp_path, monkeypatch):
  told = study.modes(str(tmp_path), seeds=1, quiet=True, rows=("wgan_gp",), overrides=SMALL)
  assert told.splitlines()[2].startswith("| wgan_gp | ")
  kept = json.loads((tmp_path / "wgan_gp.json").read_text())
  assert set(kept) == {"ring", "grid"}
  assert all(set(of) == {"modes", "good", "points"} for of in kept.values())
  assert (tmp_path / "modes_ring.png").stat().st_size > 1000
  monkeypatch.setattr(study, "measured", lambda *a, **k: pytest.fail("measured again"))
  assert study.modes(str(tmp_path), seeds=1, quiet=True, rows=("wgan_gp",)) == told


def test_the_table_has_mean_and_deviation_of_every_row():
  value = {"modes": [7, 8], "good": [0.5, 0.7]}
  lines = study.table({"ring": {"r1": value}, "grid": {"r1": {"modes": [25], "good": [0.25]}}}).splitlines()
  assert lines[0] == "| objective | ring: modes of 8 | ring: good samples | grid: modes of 25 | grid: good samples |"
  assert lines[2:] == ["| r1 | 7.5 ± 0.7 | 60% ± 14% | 25.0 | 25% |"]
