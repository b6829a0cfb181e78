"""The classification step of WINN: what an update sees, its loss, its averages."""

import math
from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from small_winn import INITIAL, KEY, MINIBATCH, NET, SHAPE, batches_of, f_of, winn_of

from genjax.objectives.terms import Objective, Term
from genjax.systems.passes import Learner, learn
from genjax.systems.winn import _loss


def test_metrics_are_means_over_the_updates_that_are_made_however_many_a_ramp_leaves():
  """Update i goes down a slope of i: the weight by the sum of i, the metric by its mean."""
  one = lambda index: {"index": index}

  def loss(key, params, terms, batch):
    return params * batch["index"], (terms, {"index": 1.0 * batch["index"], "key": jax.random.uniform(key)})

  rule = optax.sgd(1.0)
  start, names = Learner(jnp.zeros(()), None, rule.init(jnp.zeros(())), ()), ("index", "key")
  run = jax.jit(lambda count: learn(KEY, start, one, loss, rule, count=count, ema=0.0, metrics=names))
  for count in (2, 5):
    after, metrics = run(count)
    assert after.params == -count * (count - 1) / 2
    np.testing.assert_allclose([metrics["index"], metrics["gradient"]], (count - 1) / 2, rtol=1e-6)
    keys = jax.vmap(lambda index: jax.random.fold_in(KEY, index))(jnp.arange(count))  # an update has one of its own
    np.testing.assert_allclose(metrics["key"], jax.vmap(jax.random.uniform)(keys).mean(), rtol=1e-6)


class _Dropping(nn.Module):
  """The sum of the pixels that are left of half of them."""

  @nn.compact
  def __call__(self, images, *, train=False):
    left = nn.Dropout(0.5, deterministic=not train)(images.reshape(len(images), -1))
    return self.param("w", nn.initializers.ones, ()) * left.sum(1), {}


def test_every_update_drops_by_a_draw_of_its_own():
  """Also where two passes come to the same minibatch."""
  net, images = _Dropping(), jnp.ones((4, *SHAPE))
  seen = Objective(Term(lambda: (), lambda key, state, round: (round.real_out[0], state)))
  params, batch = net.init(KEY, images), {"real": images, "fake": images}
  run = jax.jit(lambda index: _loss(net, seen, jax.random.fold_in(KEY, index), params, (), batch)[0])
  assert (
    len({float(run(index)) for index in range(6)}) > 3
  )  # sums of 64 that are 0 or 2: two of them are alike at times


class _Diary:
  """A Term that writes down, in its state, the mean pixel of every minibatch that it sees."""

  def __init__(self, updates):
    self.term = Term(lambda: (jnp.zeros((), jnp.int32), jnp.zeros((updates, 2, MINIBATCH))), self._apply)

  def _apply(self, key, state, round):
    index, pages = state
    page = jnp.stack([round.real.mean((1, 2, 3)), round.fake.mean((1, 2, 3))])
    return round.fake_out.mean() - round.real_out.mean(), (index + 1, pages.at[index].set(page))


@cache
def _diary():
  """What two passes over a batch of four minibatches show the objective, [pass, minibatch, real or fake, m]."""
  system = winn_of(objective=Objective(_Diary(8).term), passes=2)
  before = jax.jit(system.init)(jax.random.key(0), batches_of()[0])
  after, _ = jax.jit(system.step)(jax.random.key(1), before, batches_of()[0])
  return np.asarray(after.terms[1]).reshape(2, 4, 2, MINIBATCH), np.asarray(before.pool.images)


def test_every_pass_goes_over_the_same_positives_and_the_same_negatives():
  pages, _ = _diary()
  np.testing.assert_array_equal(pages[0], pages[1])


def test_a_pass_shows_every_positive_once():
  pages, _ = _diary()
  np.testing.assert_allclose(
    np.sort(pages[0, :, 0].ravel()), np.sort(batches_of()[0]["image"].mean((1, 2, 3))), atol=1e-6
  )


def test_negatives_are_recalled_a_minibatch_at_a_time():
  system, batch = winn_of(), {"image": jnp.zeros((40, *SHAPE))}
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  text = str(jax.make_jaxpr(system.step)(jax.random.key(0), state, batch))
  assert f"f32[8,{math.prod(SHAPE)}]" in text
  assert f"f32[8,5,{math.prod(SHAPE)}]" not in text


def test_negatives_come_from_the_filled_part_of_the_pool():
  pages, held = _diary()
  means = held[:, : INITIAL // MINIBATCH].mean(2).ravel()
  fakes = pages[0, :, 1].ravel()
  assert np.abs(fakes[:, None] - means[None]).min(1).max() < 1e-6
  assert len(np.unique(np.abs(fakes[:, None] - means[None]).argmin(1))) > 8


def test_the_loss_is_that_of_equation_2_6():
  """With one image a slot the draw is known; with reals equal to fakes so is every point between them."""
  system = winn_of(passes=1, initial=MINIBATCH, ascent_steps=1)
  init, step = jax.jit(system.init), jax.jit(system.step)
  batch = batches_of(1, MINIBATCH)[0]
  state = init(jax.random.key(0), batch)
  fakes = state.pool.images[:, 0].reshape(-1, *SHAPE)
  slopes = np.linalg.norm(
    [np.ravel(jax.grad(lambda x: NET.apply(state.params, x[None])[0][0])(x)) for x in fakes], axis=1
  )
  penalty = 10 * ((slopes - 1) ** 2).mean()
  _, alike = step(jax.random.key(1), state, {"image": fakes})
  np.testing.assert_allclose(alike["wasserstein"], 0, atol=1e-6)
  np.testing.assert_allclose(alike["loss"], penalty, rtol=1e-4)
  _, apart = step(jax.random.key(1), state, batch)
  between = f_of(state.params, batch["image"]).mean() - f_of(state.params, fakes).mean()
  np.testing.assert_allclose(apart["wasserstein"], between, rtol=1e-3, atol=1e-6)
  assert apart["loss"] > -apart["wasserstein"]  # the penalty is not negative


def test_the_average_moves_by_its_share_at_every_update():
  """The weight is 1 and falls by 1 an update, so the average of decay 0.75 is known."""
  loss = lambda key, params, terms, batch: (params, (terms, {}))
  rule = optax.sgd(1.0)
  start = Learner(jnp.ones(()), jnp.ones(()), rule.init(jnp.ones(())), ())
  after, _ = learn(KEY, start, lambda index: {}, loss, rule, count=2, ema=0.75, metrics=())
  assert after.params == -1
  assert after.ema == 0.75 * (0.75 * 1 + 0.25 * 0) + 0.25 * -1
