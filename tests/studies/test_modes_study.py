"""The table of modes: seeds that train together end as each would alone, and a row is measured once."""

import json

import jax
import numpy as np
import pytest

from genjax.cli import main
from genjax.core import prepared
from genjax.data.mixtures import CENTRES
from genjax.experiment import experiment, metrics_of
from genjax.objectives.mixtures import tried
from genjax.objectives.rows import PLAYED
from genjax.studies import modes as study
from genjax.studies.runs import kept, settings
from genjax.workdir import as_json

ROW = "non_saturating"
SMALL = {
  **{"train.steps": 4, "train.steps_per_call": 2, "critic.widths": (8,), "generator.widths": (8,), "data.batch": 20},
  **{"optimizer.learning_rate": 0.01, "system.ema": 0.5},
}


def numbers(*values):
  return [{"value": value, "card": {}} for value in values]


VALUE = {
  "config": as_json(settings("gan_ring:r1,shared", {"objective.gamma": 10.0})),
  "modes": numbers(2),
  "good": numbers(0.5),
  "centres": [[0, 0], [1, 1]],
  "points": [[0, 0]],
}


@pytest.mark.slow
def test_seeds_and_mixtures_that_train_together_end_where_each_does_alone_and_a_row_is_measured_once(
  tmp_path, monkeypatch
):
  measure = lambda seeds=2, **more: study.modes(
    str(tmp_path), seeds=seeds, quiet=True, rows=(ROW,), overrides={**SMALL, **more}
  )
  text = measure()
  assert text.splitlines()[2].startswith(f"| {ROW} | 20 points, ")
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
    cards = [number["card"] for measure in ("modes", "good") for number in values[measure]]
    assert [card["seed"] for card in cards] == [0, 1, 0, 1]
    assert {(card["split"], card["ema"]) for card in cards} == {(f"centres of {mixture}", True)}

  asked = []
  monkeypatch.setattr(study, "measured", lambda configs, seeds: asked.append((configs, seeds)) or measured_before)
  measured_before = list(together.values())
  assert measure() == text
  assert "±" not in measure(seeds=1)
  assert not asked
  for more in ({"objective.name": "hinge"}, {"seed": 100}):  # other settings or seeds than the file's
    measure(**more)
    ((configs, _),) = asked
    assert [config.data.name for config in configs] == ["ring", "grid"]
    assert {config.seed for config in configs} == {more.get("seed", 0)}
    kept(str(tmp_path), ROW, together)
    asked.clear()


def test_the_study_takes_a_config_and_its_keys_and_shared_settings_are_a_study_of_their_own(monkeypatch, tmp_path):
  seen = []
  monkeypatch.setattr(study, "measured", lambda configs, seeds: seen.append(configs) or [VALUE] * len(configs))
  monkeypatch.setattr(study, "draw", lambda values: None)
  monkeypatch.setattr(study, "write", lambda path, figure: None)
  say = lambda *words: main(["study", *words, "--quiet", "--seeds", "1", "--workdir", str(tmp_path / str(len(seen)))])
  assert say("modes", "--config", "gan_grid", "--config.data.batch=32", "--config.seed=7") == 0
  assert say("modes_shared") == 0
  assert len(seen) == 2 * len(PLAYED)
  (one,), (ring, grid) = (seen[part + PLAYED.index("r1")] for part in (0, len(PLAYED)))
  assert (one.data.name, one.data.batch, one.seed) == ("grid", 32, 7)
  assert (ring.data.name, grid.data.name) == ("ring", "grid")
  assert as_json(ring) == as_json(settings("gan_ring:r1,shared"))
  assert say("modes", "--config", "gan_digits") == 2


def test_settings_are_chosen_by_modes_times_good_on_seeds_of_their_own(monkeypatch, tmp_path):
  seen = []

  def measured(configs, seeds):
    seen.append([config.seed for config in configs])
    modes = 1 if len(seen) == 1 else 2
    counted = {"modes": numbers(modes, modes), "good": numbers(0.5, 0.5)}
    return [{**VALUE, **counted, "config": as_json(config)} for config in configs]

  monkeypatch.setattr(study, "measured", measured)
  text = study.choice(str(tmp_path), seeds=2, quiet=True, rows=("r1",)).splitlines()
  assert seen == [[100, 100]] * len(tried("r1"))
  marks = [line.split("|")[3:5] for line in text[2:-1]]
  assert marks == [[" 0.25 ", "  "], [" 0.50 ", " best "], *([[" 0.50 ", "  "]] * (len(seen) - 2))]
  assert text[-1] == "to be put first in genjax/objectives/mixtures.py: r1,1"
  one = {**VALUE, "modes": [*numbers(2), None], "good": [*numbers(0.5), None]}
  assert study.value_of([one, VALUE]) == pytest.approx((0.5 + 0 + 0.5) / 3)


def test_configs_that_train_differently_are_not_measured_together():
  with pytest.raises(ValueError, match="one by one"):
    study.measured([settings("gan_ring:wgan_gp"), settings("gan_grid:r1")], seeds=1)


def test_the_table_has_settings_mean_and_deviation_of_every_row_and_a_note_below():
  ring, grid = ({**VALUE, "modes": numbers(7, 8), "good": numbers(0.5, 0.7)}, {**VALUE, "centres": [[0, 0]] * 25})
  lines = study.table({"ring": {"r1": ring, "style_gan": ring}, "grid": {"r1": grid, "style_gan": grid}}).splitlines()
  assert lines[0] == (
    "| objective | settings | ring: modes of 2 | ring: good samples | grid: modes of 25 | grid: good samples |"
  )
  assert lines[2] == (
    "| r1 | 64 points, adam 0.003, b1 0, 1 critic step, gamma 10 | 7.5 ± 0.7 | 60% ± 14% | 2.0 | 50% |"
  )
  assert lines[3].startswith("| style_gan \\* | ")
  assert lines[4:] == [f"\\* style_gan: {study.NOTES['style_gan']}"]


def test_settings_are_words_for_both_learning_rates_clipping_and_tuples():
  of = lambda name: study.settings_of(as_json(settings(name)))
  assert of("gan_ring:big_gan,shared") == "64 points, adam 0.003 and 0.00075, b1 0, 2 critic steps"
  assert of("gan_ring:wasserstein,shared") == "64 points, rmsprop 0.003, 5 critic steps, clip 0.01"
  assert " widths 0.0" in of("gan_ring:gmmn")


def test_a_run_that_diverged_is_called_so_and_enters_no_mean():
  sound = study._finite({"step": np.zeros(3, int), "w": np.array([[1, 2], [1, np.inf], [np.nan, 1]])})
  assert sound.tolist() == [True, False, False]
  some = {**VALUE, "modes": [*numbers(1), None, None], "good": [*numbers(1), None, None]}
  none = {**VALUE, "modes": [None, None], "good": [None, None], "points": []}
  values = {"ring": {"some": some, "none": none}}
  lines = study.table(values).splitlines()
  assert lines[2].endswith("| 1.0 (2 of 3 diverged) | 100% (2 of 3 diverged) |")
  assert lines[3].endswith("| diverged | diverged |")
  titles = [axis.get_title() for axis in study.draw(values["ring"]).axes]
  assert titles == ["some", "none: diverged"]


def test_numbers_are_counted_of_the_points_of_a_sound_run():
  it = experiment(settings("gan_ring:r1", SMALL))
  metric = metrics_of(it, seed=3).metrics["modes"]
  points = np.tile(CENTRES["ring"][:3], (900, 1))[:2500].reshape(-1, 1, 1, 2)
  numbers = study._numbers(it, metric, points, True)
  assert (numbers["modes"]["value"], numbers["good"]["value"]) == (3, 1)
  assert numbers["modes"]["card"]["seed"] == 3
  assert study._numbers(it, metric, points, False) is None
