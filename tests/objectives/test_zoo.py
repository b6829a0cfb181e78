"""The contract of every row of OBJECTIVES. A new row adds its critic's value, in numpy, to VALUES."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from genjax.objectives.terms import play
from genjax.objectives.zoo import OBJECTIVES, winn_objective

KEY = jax.random.key(0)
in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)


def _winn(real, fake, slope):
  return fake.mean() - real.mean() + 10 * (slope - 1) ** 2


def _inn(real, fake, slope):
  return np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()


# logits of real and fake images under a linear critic, and its slope -> value
VALUES = {"winn": _winn, "inn": _inn, "wgan_gp": _winn}


def _critic(params):
  def critic(images):
    hidden = jnp.tanh(images.reshape(images.shape[0], -1) @ params["in"])
    return jnp.einsum("bk,k->b", hidden, params["out"]), None

  return critic


def _params(dtype=jnp.float32):
  keys = jax.random.split(jax.random.key(4))
  return {"in": jax.random.normal(keys[0], (8, 3), dtype), "out": jax.random.normal(keys[1], (3,), dtype)}


def _sides(dtype=jnp.float32):
  return (jax.random.uniform(jax.random.key(seed), (4, 2, 2, 2), dtype, -1, 1) for seed in (2, 3))


def _loss(objective, params, real, fake, key=KEY):
  return objective.critic.apply(key, objective.critic.init(), play(_critic(params), real, fake))[0]


def test_every_row_has_a_value_worked_out_elsewhere():
  assert set(VALUES) == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_value_is_that_of_numpy(name):
  weight = np.random.default_rng(0).normal(size=(2, 2, 2)).astype(np.float32)
  critic = lambda images: (jnp.einsum("bhwc,hwc->b", images, weight), None)
  real, fake = _sides()
  objective = OBJECTIVES[name]()
  value, _ = objective.critic.apply(KEY, objective.critic.init(), play(critic, real, fake))
  logits = [np.asarray(side, np.float64).reshape(4, -1) @ weight.ravel() for side in (real, fake)]
  np.testing.assert_allclose(value, VALUES[name](*logits, np.linalg.norm(weight)), rtol=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gradient_is_that_of_central_differences(name):
  with in_float64():
    flat, build = ravel_pytree(_params(jnp.float64))
    real, fake = _sides(jnp.float64)
    loss = jax.jit(lambda flat: _loss(OBJECTIVES[name](), build(flat), real, fake))
    step = 1e-6
    numeric = [(loss(flat.at[i].add(step)) - loss(flat.at[i].add(-step))) / (2 * step) for i in range(flat.size)]
    np.testing.assert_allclose(jax.grad(loss)(flat), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("images", ["alike", "saturated", "grey"])
def test_value_and_gradient_are_finite(name, images):
  real, fake = _sides()
  real, fake = {
    "alike": (real, real),
    "saturated": (jnp.sign(real), jnp.sign(fake)),
    "grey": (jnp.zeros_like(real), jnp.zeros_like(fake)),
  }[images]
  value, gradient = jax.value_and_grad(lambda params: _loss(OBJECTIVES[name](), params, real, fake))(_params())
  assert np.isfinite(value)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_loss_is_one_float32_number_and_its_state_keeps_its_shape(name):
  objective = OBJECTIVES[name]()
  for term in filter(None, objective):
    value, state = term.apply(KEY, term.init(), play(_critic(_params()), *_sides()))
    assert value.shape == ()
    assert value.dtype == jnp.float32
    assert jax.tree.structure(state) == jax.tree.structure(term.init())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_loss_compiles_once(name):
  loss = jax.jit(partial(_loss, OBJECTIVES[name]()))
  real, fake = _sides()
  values = [float(loss(_params(), real, fake, jax.random.key(i))) for i in range(3)]
  assert loss._cache_size() == 1
  assert np.isfinite(values).all()


def test_winn_weighs_its_penalty_as_told_and_has_no_generator():
  real, fake = _sides()
  ten, twenty, none = (float(_loss(winn_objective(weight), _params(), real, fake)) for weight in (10.0, 20.0, 0.0))
  np.testing.assert_allclose(twenty - ten, ten - none, rtol=1e-5)
  assert float(_loss(winn_objective(), _params(), real, fake)) == ten
  assert winn_objective().generator is None
