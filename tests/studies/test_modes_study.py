"""The table of modes: seeds that train together end as each would alone, and a row is measured once."""

import json

import jax
import numpy as np
import pytest

from genjax.core import prepared
from genjax.experiment import experiment
from genjax.studies import modes as study
from genjax.studies.runs import settings

ROW = "non_saturating"
SMALL = {"train.steps": 4, "train.steps_per_call": 2, "critic.widths": (8,), "generator.widths": (8,), "data.batch": 20}


@pytest.mark.slow
def test_seeds_and_mixtures_that_train_together_end_where_each_does_alone_and_a_row_is_measured_once(
  tmp_path, monkeypatch
):
  measure = lambda: study.modes(str(tmp_path), seeds=2, quiet=True, rows=(ROW,), overrides=SMALL)
  text = measure()
  assert text.splitlines()[2].startswith(f"| {ROW} | ")
  assert (tmp_path / "modes_ring.png").stat().st_size > 1000
  together = json.loads((tmp_path / f"{ROW}.json").read_text())
  assert set(together) == {"ring", "grid"}
  assert together["ring"]["points"] != together["grid"]["points"]

  it = experiment(settings(f"gan_ring:{ROW}", SMALL))
  system = prepared(it.system, it.data.prepare)
  init, step = jax.jit(system.init), jax.jit(system.step)
  sample = jax.jit(system.views["sample"], static_argnums=2)
  for mixture, values in together.items():
    batch = experiment(settings(f"gan_{mixture}:{ROW}", SMALL)).data.batch
    key = jax.random.key(0)
    state = init(key, batch(0))
    for i in range(4):
      state, _ = step(jax.random.fold_in(key, i), state, batch(i))
    alone = sample(jax.random.fold_in(key, 2**31), state, 2500)
    np.testing.assert_allclose(values["points"], np.asarray(alone).reshape(-1, 2)[:500], atol=2e-3)
    assert len(values["modes"]) == len(values["good"]) == 2

  monkeypatch.setattr(study, "measured", lambda *a, **k: pytest.fail("measured again"))
  assert measure() == text


def test_configs_that_train_differently_are_not_measured_together():
  with pytest.raises(ValueError, match="one by one"):
    study.measured(["gan_ring:wgan_gp", "gan_ring:r1"], seeds=1)


def test_the_table_has_mean_and_deviation_of_every_row():
  value = {"modes": [7, 8], "good": [0.5, 0.7]}
  lines = study.table({"ring": {"r1": value}, "grid": {"r1": {"modes": [25], "good": [0.25]}}}).splitlines()
  assert lines[0] == "| objective | ring: modes of 8 | ring: good samples | grid: modes of 25 | grid: good samples |"
  assert lines[2:] == ["| r1 | 7.5 ± 0.7 | 60% ± 14% | 25.0 | 25% |"]


def test_a_run_that_diverged_is_called_so_and_enters_no_mean():
  sound = study._finite({"step": np.zeros(3, int), "w": np.array([[1, 2], [1, np.inf], [np.nan, 1]])})
  assert sound.tolist() == [True, False, False]
  points = np.zeros((3, 4, 2))
  points[1, 0] = np.nan
  facts = {"centres": np.array([[0.0, 0.0], [1.0, 1.0]]), "deviation": 0.1}
  some, none = (
    study._counted(points[rows], np.array([True, True, False])[rows], facts) for rows in ([0, 1, 2], [2, 1])
  )
  assert some == {"modes": [1, None, None], "good": [1.0, None, None], "points": [[0.0, 0.0]] * 4}
  assert none["points"] == []
  values = {"ring": {"some": some, "none": none}}
  text = study.table(values).splitlines()
  assert text[2:] == [
    "| some | 1.0 (2 of 3 diverged) | 100% (2 of 3 diverged) |",
    "| none | diverged | diverged |",
  ]
  titles = [axis.get_title() for axis in study.draw("ring", values["ring"]).axes]
  assert titles == ["some", "none: diverged"]
