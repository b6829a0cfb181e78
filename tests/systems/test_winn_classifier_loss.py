"""The classification step of the supervised WINN: pseudo-negatives of a real image's class, and the loss."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_winn_classifier import (
  BASELINE,
  CLASSES,
  MINIBATCH,
  SHAPE,
  Net,
  batches_of,
  classifier_of,
  cross_entropy,
  read,
)

from genjax.objectives.terms import Objective, Term
from genjax.ops import pool
from genjax.systems.winn_classifier import _baseline_loss, _drawn, _loss, _minibatch


@cache
def _seen():
  """What the objective sees in one update of a single minibatch: means of real and fake, the labels, f of both."""
  pages = lambda: {name: jnp.zeros((MINIBATCH,)) for name in ("real", "fake", "labels", "real_out", "fake_out")}

  def apply(key, state, round):
    mean = lambda images: images.mean((1, 2, 3))
    seen = {"real": mean(round.real), "fake": mean(round.fake), "labels": round.labels.astype(jnp.float32)}
    return round.fake_out.mean() - 2 * round.real_out.mean(), seen | {
      "real_out": jax.lax.stop_gradient(round.real_out),
      "fake_out": jax.lax.stop_gradient(round.fake_out),
    }

  system = classifier_of(objective=Objective(Term(pages, apply)), ascent_steps=1, alpha=0.1)
  batch = batches_of(1, MINIBATCH)[0]
  before = jax.jit(system.init)(jax.random.key(0), batch)
  after, metrics = jax.jit(system.step)(jax.random.key(1), before, batch)
  return batch, before, after, metrics


def test_every_real_image_meets_a_pseudo_negative_of_its_own_class_and_position():
  """With one image of each class at each position the draw is known."""
  batch, before, after, _ = _seen()
  held = np.asarray(before.pool.images)[:, 0].reshape(MINIBATCH, CLASSES, -1).mean(2)
  np.testing.assert_allclose(after.terms["fake"], held[np.arange(MINIBATCH), batch["label"]], atol=1e-6)
  np.testing.assert_allclose(after.terms["real"], batch["image"].mean((1, 2, 3)), atol=1e-6)
  np.testing.assert_array_equal(after.terms["labels"], batch["label"])


def test_each_minibatch_has_its_own_pseudo_negatives_and_meets_them_again_in_the_next_pass():
  filled = pool.append(
    jax.random.key(0), pool.empty(CLASSES, 40, (1, 1, 1)), jnp.arange(40.0 * CLASSES).reshape(-1, 1, 1, 1)
  )
  draw = _drawn(jax.random.key(1), filled, (1, 1, 1))
  label = jnp.zeros((1,), jnp.int32)
  drawn = [float(draw(place, label)[0, 0, 0, 0]) for place in (0, 1, 2, 3, 0, 1, 2, 3)]
  assert drawn[:4] == drawn[4:]
  assert len(set(drawn)) > 2

  # update i of a step is about minibatch i mod 2, and asks for the pseudo-negatives of that place
  reals = {"image": jnp.zeros((2, 2, *SHAPE)), "label": jnp.array([[0, 1], [2, 0]])}
  asked = lambda place, label: jnp.full((2, *SHAPE), place + 0.1 * label[0])
  mean = Objective(Term(lambda: (), lambda key, state, round: (round.fake.mean(), state)))
  net = Net()
  params = net.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))
  loss = partial(_loss, net, mean, 1.0, jax.random.key(0), params, ())
  values = [loss(_minibatch(reals, asked, jnp.int32(index))) for index in range(4)]
  means = [float(value - metrics["cross_entropy"]) for value, (_, metrics) in values]
  np.testing.assert_allclose(means, [0.0, 1.2, 0.0, 1.2], atol=1e-5)


class _Dropping(nn.Module):
  """Half of the pixels: their sum, and logits of three classes."""

  @nn.compact
  def __call__(self, images, *, train=False):
    left = nn.Dropout(0.5, deterministic=not train)(images.reshape(len(images), -1))
    return self.param("w", nn.initializers.ones, ()) * left.sum(1), {
      "class_logits": left.reshape(len(images), 3, -1).sum(2)
    }


def test_every_update_drops_by_a_draw_of_its_own():
  """Also where two passes come to the same minibatch."""
  net, key = _Dropping(), jax.random.key(0)
  images = jnp.ones((4, 8, 6, 1))
  batch = {"image": images, "label": jnp.array([0, 1, 2, 0]), "fake": images}
  seen = Objective(Term(lambda: (), lambda key, state, round: (round.real_out[0], state)))
  params = net.init(key, images)
  for loss in (partial(_baseline_loss, net), partial(_loss, net, seen, 1.0)):
    run = jax.jit(lambda index, loss=loss: loss(jax.random.fold_in(key, index), params, (), batch)[0])
    assert len({float(run(index)) for index in range(6)}) > 3


def test_the_loss_is_cross_entropy_plus_alpha_times_the_objective():
  batch, before, after, metrics = _seen()
  f, logits = read(Net(), before.params, batch["image"])
  crossed = cross_entropy(logits, batch["label"]).mean()
  np.testing.assert_allclose(metrics["cross_entropy"], crossed, rtol=1e-5)
  np.testing.assert_allclose(metrics["error"], np.mean(np.argmax(logits, 1) != batch["label"]))
  np.testing.assert_allclose(after.terms["real_out"], f, rtol=1e-4, atol=1e-5)
  wanted = crossed + 0.1 * (np.mean(after.terms["fake_out"]) - 2 * np.mean(f))
  np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-5)
  np.testing.assert_allclose(
    metrics["wasserstein"], np.mean(f) - np.mean(after.terms["fake_out"]), rtol=1e-4, atol=1e-6
  )


@pytest.mark.slow
def test_with_a_vanishing_alpha_winn_trains_like_the_baseline():
  """Same weights, same minibatches in the same order: what the two have in common is equal, not only alike."""
  batch = batches_of()[0]
  ends = []
  for changes in ({"alpha": 1e-30, "ascent_steps": 1}, BASELINE):
    system = classifier_of(**changes)
    state, _ = jax.jit(system.step)(jax.random.key(3), jax.jit(system.init)(jax.random.key(0), batch), batch)
    ends.append(state.params)
  jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), *ends)
