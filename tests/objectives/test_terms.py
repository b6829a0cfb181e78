from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.objectives.consistency import consistency, latent_consistency, redrawn
from genjax.objectives.logits import cross_entropy_critic
from genjax.objectives.penalties import at_real, gradient_penalty, squared
from genjax.objectives.terms import (
  Augmentation,
  Term,
  every,
  given,
  on_features,
  on_logits,
  play,
  play_together,
  read,
  stateless,
  total,
)


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


def test_bfloat16_logits_become_float32():
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


def test_answers_of_one_call_are_those_of_a_call_for_each_term_in_its_order():
  fake = jnp.linspace(-1.0, 1.0, 12).reshape(3, 2, 2, 1)
  draw = lambda key, images: images * jax.random.uniform(key, (len(images), 1, 1, 1))
  net, calls = lambda images: (calls.append(len(images)), _critic(images))[1], []
  critic, key = lambda images: net(draw(KEY, images)), jax.random.key(1)
  sides = [
    (weight, kind(side, draw)) for weight, side in ((1.0, "real"), (0.2, "fake")) for kind in (consistency, redrawn)
  ]
  near = latent_consistency(0.5)
  more = {"generator": lambda latent: fake + latent[:, :1, None, None], "latent": jnp.zeros((3, 2))}
  more["augmentation"] = Augmentation(KEY, draw, net)
  for term in (total(*sides, (1.0, every(1, near)), (0.5, total((2.0, near)))), near):
    calls.clear()
    round = play_together(term, key, critic, REAL, fake, shared=("seen",), **more)
    assert calls == [3 * (2 + len(term.asks))]
    one, each = (term.apply(key, term.init(), each)[0] for each in (round, play(critic, REAL, fake, **more)))
    np.testing.assert_allclose(one, each, rtol=1e-5)
    assert one > 0.01


# Lazy Terms -----------------------------------------------------------------------------------------------------------


def test_a_lazy_term_is_k_times_itself_once_in_k_steps():
  term = every(3, on_logits(lambda real, fake: real.mean()))
  state, values = term.init(), []
  for _ in range(7):
    value, state = jax.jit(term.apply)(KEY, state, ROUND._replace(critic=None))
    values.append(float(value))
  assert values == [12, 0, 0, 12, 0, 0, 12]  # the mean over steps is 4, the Term's own
  assert value.dtype == jnp.float32


def test_a_lazy_terms_own_state_changes_only_when_it_is_computed():
  term = every(2, _counter(1.0))
  state, values = term.init(), []
  for _ in range(6):
    value, state = term.apply(KEY, state, ROUND)
    values.append(float(value))
  assert values == [0, 0, 2, 0, 4, 0]
  assert state[0] == 6
  assert state[1] == 3


def test_a_lazy_term_has_its_gradient_and_is_off_by_a_branch_not_by_a_factor():
  def loss(weight, count):
    critic = lambda images: (weight * images.sum((1, 2, 3)), None)
    penalty = every(4, gradient_penalty(at_real, squared))
    return penalty.apply(KEY, (count, ()), play(critic, REAL, FAKE))[0]

  gradient = jax.jit(jax.grad(loss))
  assert [float(gradient(2.0, jnp.int32(count))) for count in range(5)] == [4 * 2 * 2 * 4, 0, 0, 0, 64]
  assert "cond" in str(jax.make_jaxpr(jax.grad(loss))(2.0, jnp.int32(0)))


def test_every_step_is_the_term_itself_and_less_is_an_error():
  term = on_logits(lambda real, fake: fake.sum())
  assert every(1, term).apply(KEY, every(1, term).init(), ROUND)[0] == term.apply(KEY, (), ROUND)[0]
  with pytest.raises(ValueError, match="use 1 or more"):
    every(0, term)


# What a Term asks for -------------------------------------------------------------------------------------------------


def test_features_are_read_real_first_in_float32():
  critic = lambda images: (images.sum((1, 2, 3)), {"features": images.reshape(len(images), -1).astype(jnp.bfloat16)})
  round = play(critic, REAL, FAKE)
  assert on_features(lambda real, fake: real.mean() - 10 * fake.mean()).apply(KEY, (), round)[0] == 0.5 + 2.5
  assert read(round, "fake", "features").dtype == jnp.float32


def test_what_is_missing_is_asked_for_by_name():
  with pytest.raises(ValueError, match=r"reads aux\['features'\] of the critic, which returns seen"):
    read(ROUND, "real", "features")
  with pytest.raises(ValueError, match=r"needs latent in its Round; give it: play\(critic, real, fake, latent=...\)"):
    given(ROUND, "latent")


def test_the_critic_goes_over_the_reals_once_however_many_terms_read_them():
  """Counted in the compiled program: R1's gradient shares the forward pass with the logits."""
  weights = [jax.random.normal(jax.random.key(i), (4, 4)) for i in range(3)]

  def loss(terms, weights, real, fake):
    def critic(images):
      hidden = images.reshape(images.shape[0], -1)
      for weight in weights:
        hidden = jnp.tanh(jnp.sin(hidden) @ weight)
      return hidden.sum(-1), None

    return total(*((1.0, term) for term in terms)).apply(KEY, ((),) * len(terms), play(critic, real, fake))[0]

  def sines(*terms):
    """Each layer's sine stands for one pass: the backward pass has cosines."""
    text = jax.jit(partial(loss, terms)).lower(weights, REAL, FAKE).compile().as_text()
    return text.count(" sine(")

  logits = on_logits(cross_entropy_critic)
  r1 = gradient_penalty(at_real, squared)
  assert sines(logits) == 2 * 3
  assert sines(logits, on_logits(lambda real, fake: real.mean()), r1) == 2 * 3
