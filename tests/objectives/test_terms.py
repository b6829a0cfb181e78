import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.objectives.terms import Term, on_logits, play, stateless, total


def _critic(images):
  return 2.0 * images.sum((1, 2, 3)), {"seen": images.shape[0]}


REAL, FAKE = jnp.full((3, 2, 2, 1), 0.5), jnp.full((4, 2, 2, 1), -0.25)
ROUND = play(_critic, REAL, FAKE)
KEY = jax.random.key(0)


def _counter(step):
  """A Term with a state: its value is how often it ran before, times `step`."""
  return Term(lambda: jnp.zeros(()), lambda key, state, round: (step * state, state + 1))


def test_a_round_has_the_logits_of_both_sides():
  np.testing.assert_array_equal(ROUND.real_out, [4, 4, 4])
  np.testing.assert_array_equal(ROUND.fake_out, [-2, -2, -2, -2])
  assert ROUND.generator is ROUND.latent is ROUND.labels is None
  assert play(_critic, REAL, FAKE, labels=jnp.arange(3)).labels.tolist() == [0, 1, 2]


def test_the_critic_sees_each_side_once():
  seen = []
  play(lambda images: (seen.append(images.shape[0]), _critic(images))[1], REAL, FAKE)
  assert seen == [3, 4]


def test_bfloat16_logits_are_judged_in_float32():
  half = play(lambda images: (_critic(images)[0].astype(jnp.bfloat16), None), REAL, FAKE)
  assert half.real_out.dtype == half.fake_out.dtype == jnp.float32
  value, _ = on_logits(lambda real, fake: real.mean()).apply(KEY, (), half)
  assert value.dtype == jnp.float32


def test_on_logits_gives_real_first():
  value, state = on_logits(lambda real, fake: real.sum() - 10 * fake.sum()).apply(KEY, (), ROUND)
  assert value == 12 + 80
  assert state == ()


def test_stateless_passes_its_key_and_round_on():
  term = stateless(lambda key, round: jax.random.uniform(key) + round.real_out.sum())
  assert term.init() == ()
  assert term.apply(KEY, (), ROUND)[0] == jax.random.uniform(KEY) + 12


def test_a_total_is_the_weighted_sum_and_carries_every_state():
  term = total((2.0, on_logits(lambda real, fake: real.mean())), (0.5, _counter(3.0)), (-1.0, _counter(1.0)))
  state, values = term.init(), []
  for _ in range(3):
    value, state = jax.jit(term.apply)(KEY, state, ROUND._replace(critic=None))
    values.append(float(value))
  np.testing.assert_allclose(values, [8, 8 + 1.5 - 1, 8 + 3 - 2])
  assert state == ((), 3, 3)
  assert value.shape == ()
  assert value.dtype == jnp.float32


def test_totals_nest():
  inner = total((1.0, _counter(1.0)), (1.0, on_logits(lambda real, fake: fake.mean())))
  term = total((10.0, inner), (1.0, on_logits(lambda real, fake: real.mean())))
  value, state = term.apply(KEY, term.init(), ROUND)
  assert value == -20 + 4
  assert term.apply(KEY, state, ROUND)[0] == -20 + 4 + 10


def test_every_summand_draws_from_a_key_of_its_own():
  draw = stateless(lambda key, round: jax.random.uniform(key))
  first, second = (total((w, draw), (1 - w, draw)).apply(KEY, ((), ()), ROUND)[0] for w in (1.0, 0.0))
  assert first != second
  assert first != jax.random.uniform(KEY)


def test_a_total_of_nothing_is_zero():
  assert total().apply(KEY, (), ROUND) == (0.0, ())


def test_a_state_of_the_wrong_length_is_an_error():
  with pytest.raises(ValueError, match="zip"):
    total((1.0, _counter(1.0))).apply(KEY, (), ROUND)
