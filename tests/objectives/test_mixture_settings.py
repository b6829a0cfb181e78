"""Settings on mixtures: every row has its own, its config trains with them, and all rows have one budget."""

import inspect

import pytest

from genjax.config import load_config
from genjax.objectives import mixtures
from genjax.objectives.mixtures import NOTES, STEPS, tried
from genjax.objectives.rows import PLAYED, ROWS
from genjax.objectives.zoo import OBJECTIVES


def test_rows_are_of_the_zoo_and_set_arguments_that_their_objective_takes_and_no_settings_are_tried_twice():
  assert set(mixtures._OF_ROWS) <= set(PLAYED)
  for row, settings in mixtures._OF_ROWS.items():
    assert set().union(*(own.objective for own in settings)) <= set(inspect.signature(OBJECTIVES[row]).parameters)
    assert len(set(map(repr, settings))) == len(settings)


def test_every_row_makes_as_many_updates_of_the_generator_and_its_config_has_its_settings():
  for row, settings in mixtures._OF_ROWS.items():
    for number, own in enumerate(settings):
      config = load_config(f"gan_ring:{row},{number}")
      assert config.train.steps == STEPS
      assert config.data.batch == own.points * config.system.critic_steps
      assert config.optimizer.learning_rate == own.learning_rate
      assert config.get("generator_optimizer", config.optimizer).learning_rate == (
        own.generator_learning_rate or own.learning_rate
      )
      assert {key: config.objective[key] for key in own.objective} == own.objective
      assert {key: config.critic[key] for key in own.critic} == own.critic
    assert load_config(f"gan_ring:{row}") == load_config(f"gan_ring:{row},0")


def test_a_row_that_the_table_does_not_have_trains_with_the_defaults(monkeypatch):
  monkeypatch.delitem(mixtures._OF_ROWS, "r1")
  assert tried("r1") == (mixtures.Mixed(),)
  assert load_config("gan_ring:r1").optimizer.learning_rate == mixtures.Mixed().learning_rate


def test_rows_that_are_another_row_on_points_are_trained_as_it_is():
  for row, other in (("cr", "hinge"), ("bcr", "hinge"), ("icr", "zcr"), ("f_gan_gan", "non_saturating")):
    assert tried(row) == tried(other)


@pytest.mark.parametrize(("row", "word"), [("style_gan", "path"), ("vitgan", "flips"), ("cr", "hinge")])
def test_rows_that_ask_for_what_a_mixture_cannot_give_say_so(row, word):
  assert word in NOTES[row]
  assert {row for row in PLAYED if ROWS[row].shifts} <= set(NOTES)
