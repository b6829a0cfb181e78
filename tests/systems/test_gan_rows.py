"""Every row of the zoo with a generator trains as a config names it: nets it needs, settings it asks for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.build import build
from genjax.command import load_config
from genjax.objectives.rows import ROWS
from genjax.studies.runs import settings
from genjax.train.paths import named_leaves

PLAYED = [name for name, row in ROWS.items() if row.needs]


@pytest.mark.parametrize("config", ["gan_digits", "gan_ring", "gan_grid"])
@pytest.mark.parametrize("row", PLAYED)
def test_every_row_has_its_settings_in_every_config(config, row):
  loaded = load_config(f"{config}:{row}")
  needs = dict(ROWS[row].needs)
  rates = {needs.pop(name, None) for name in ("rate", "generator_rate")}
  assert len(rates) <= 2
  for name, value in needs.items():
    assert loaded.system[name] == value, name
  assert loaded.data.batch % loaded.system.critic_steps == 0
  assert loaded.system.decay_steps == loaded.train.steps
  assert loaded.objective.name == row


@pytest.mark.parametrize("config", ["gan_digits", "gan_ring", "gan_grid"])
@pytest.mark.parametrize("row", ["winn", "wgan"])
def test_a_row_without_a_generator_and_one_that_is_not_there_are_refused(config, row):
  with pytest.raises(ValueError, match="wanted a row with a generator: minimax, "):
    load_config(f"{config}:{row}")


@pytest.mark.slow
@pytest.mark.parametrize("row", PLAYED)
def test_every_row_takes_steps_that_stay_finite_and_move_the_generator(row):
  small = {"data.batch": 8 * ROWS[row].needs["critic_steps"], "generator.widths": (8,), "net.widths": (8,)}
  config = settings(f"gan_ring:{row}", small | ({"objective.features": 8} if row == "denoising" else {}))
  parts = build(config)
  before = jax.jit(parts.system.init)(jax.random.key(0), parts.data.batch(0))
  state, step = before, jax.jit(parts.system.step)
  for i in range(2):
    state, metrics = step(jax.random.key(i), state, parts.data.batch(i))
    assert all(np.isfinite(value) for value in metrics.values()), metrics
  for path, leaf in named_leaves(state).items():
    assert not jnp.issubdtype(leaf.dtype, jnp.floating) or np.isfinite(leaf).all(), path
  moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before.params.generator, state.params.generator)
  assert all(jax.tree.leaves(moved))
  assert step._cache_size() == 1


@pytest.mark.slow
@pytest.mark.parametrize("row", PLAYED)
@pytest.mark.parametrize("rule", [{"system.unroll": 2}, {"system.order": "simultaneous", "system.consensus": 0.5}])
def test_every_row_can_be_unrolled_and_brought_to_consensus(row, rule):
  """Traced, not compiled: each rule differentiates the losses once more, and all of them have that derivative."""
  small = {"data.batch": 8, "system.critic_steps": 1, "generator.widths": (8,), "net.widths": (8,), **rule}
  parts = build(settings(f"gan_ring:{row}", small | ({"objective.features": 8} if row == "denoising" else {})))
  batch = parts.data.batch(0)
  state = jax.eval_shape(parts.system.init, jax.random.key(0), batch)
  after, _ = jax.eval_shape(parts.system.step, jax.random.key(0), state, batch)
  assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
    lambda leaf: (leaf.shape, leaf.dtype), state
  )
