"""CycleGAN: its losses in numpy, the history of fakes, and that digits become inverted digits without any pair."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.translator import PatchCritic, Translator
from genjax.ops import pool
from genjax.systems.cyclegan import cyclegan, recalled
from genjax.systems.optimizers import adam, sgd
from tests.systems.learning import digits, learned

SHAPE, TARGET = (4, 4, 1), (4, 4, 2)
rng = np.random.default_rng(0)
BATCH = {
  name: rng.uniform(-1, 1, (6, *shape)).astype(np.float32) for name, shape in (("source", SHAPE), ("target", TARGET))
}


class Affine(nn.Module):
  """The mean channel times a weight plus a bias, as many times as there are channels."""

  channels: int

  @nn.compact
  def __call__(self, images):
    weight = self.param("weight", nn.initializers.normal(), (2,))
    mean = images.mean(-1, keepdims=True)
    return jnp.broadcast_to(weight[0] * mean + weight[1], (*images.shape[:-1], self.channels))


class Mean(nn.Module):
  @nn.compact
  def __call__(self, images):
    weight = self.param("weight", nn.initializers.normal(), (2,))
    return weight[0] * images.mean((1, 2, 3)) + weight[1], {}


def system(**settings):
  fixed = {"shape": SHAPE, "target_shape": TARGET, "optimizer": sgd(learning_rate=1e-3), "history": 0}
  return cyclegan(Affine(1), Mean(), Affine(2), **(fixed | settings))


def test_losses_are_the_papers_by_numpy():
  made = system(identity=5.0)
  state = jax.jit(made.init)(jax.random.key(0), BATCH)
  after, metrics = jax.jit(made.step)(jax.random.key(1), state, BATCH)
  weights = lambda state, player, domain: np.float64(jax.tree.leaves(state.params[player][domain])[0])
  x, y = np.float64(BATCH["source"]), np.float64(BATCH["target"])

  def translated(state, images, to):
    w, b = weights(state, "generator", to)
    return np.repeat(w * images.mean(-1, keepdims=True) + b, {"source": 1, "target": 2}[to], -1)

  def logits(images, of):
    w, b = weights(state, "critic", of)
    return w * images.mean((1, 2, 3)) + b

  fake_x, fake_y = translated(state, y, "source"), translated(state, x, "target")
  adversarial = ((logits(fake_x, "source") - 1) ** 2).mean() + ((logits(fake_y, "target") - 1) ** 2).mean()
  apart = lambda a, b: np.abs(a - b).mean()
  cycle = apart(translated(state, fake_y, "source"), x) + apart(translated(state, fake_x, "target"), y)
  identity = apart(translated(state, x, "source"), x) + apart(translated(state, y, "target"), y)
  wanted = {"adversarial": adversarial, "cycle": cycle, "identity": identity}
  wanted["generator_loss"] = adversarial + 10 * cycle + 5 * identity
  new_x, new_y = translated(after, y, "source"), translated(after, x, "target")  # the generators moved first
  errors = [(logits(x, "source") - 1) ** 2, logits(new_x, "source") ** 2]
  errors += [(logits(y, "target") - 1) ** 2, logits(new_y, "target") ** 2]
  wanted["critic_loss"] = sum(error.mean() for error in errors) / 2
  for name, value in wanted.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)


def test_domains_share_no_weight_and_start_apart():
  made = cyclegan(Affine(1), Mean(), shape=SHAPE, target_shape=SHAPE, history=0)
  params = jax.jit(made.init)(jax.random.key(0), {"source": BATCH["source"], "target": BATCH["source"]}).params
  for player in ("generator", "critic"):
    source, target = (jax.tree.leaves(params[player][domain])[0] for domain in ("source", "target"))
    assert not np.array_equal(source, target)


def test_translation_goes_to_the_domain_that_is_asked_for():
  made = system()
  state = jax.jit(made.init)(jax.random.key(0), BATCH)
  assert made.views["translate"](state, BATCH["source"], "target").shape == BATCH["target"].shape
  assert made.views["translate"](state, BATCH["target"], "source").shape == BATCH["source"].shape
  with pytest.raises(ValueError, match="to 'sideways'; use 'source' or 'target'"):
    made.views["translate"](state, BATCH["source"], "sideways")


def test_a_history_fills_first_then_gives_each_place_its_own_past_fakes_half_the_time():
  slots, depth, rounds = 50, 4, 60
  past, step = pool.empty(slots, depth, (1, 1, 1)), jax.jit(recalled)
  shown, ages = [], []
  for i in range(rounds):
    fakes = i + jnp.arange(slots).reshape(slots, 1, 1, 1) / 100  # the round, and the place in a hundredth
    seen, past = step(jax.random.key(i), past, fakes)
    np.testing.assert_allclose(seen.ravel() % 1, np.arange(slots) / 100, atol=1e-4)
    shown.append(np.floor(seen.ravel() + 1e-4))
    ages.append(i - shown[-1])
  assert np.all(np.array(ages[:depth]) == 0)
  later = np.array(ages[depth:])
  np.testing.assert_allclose((later > 0).mean(), 0.5, atol=4 * 0.5 / later.size**0.5)
  for slot in range(slots):  # what was swapped out is gone: nothing is shown twice as a past fake
    again = [fake[slot] for fake, age in zip(shown[depth:], later, strict=True) if age[slot] > 0]
    assert len(again) == len(set(again))
  assert later.max() > 2 * depth  # it is not a queue


def test_a_history_shorter_than_the_batch_is_refused():
  with pytest.raises(ValueError, match="history 5 is less than the batch 6"):
    system(history=5).init(jax.random.key(0), BATCH)


def test_a_generator_of_other_images_is_refused():
  made = cyclegan(Affine(1), Mean(), shape=SHAPE, target_shape=TARGET)
  with pytest.raises(ValueError, match=r"the target generator's images are \(4, 4, 1\), the data's are \(4, 4, 2\)"):
    made.init(jax.random.key(0), BATCH)


@pytest.mark.parametrize("settings", [{"cycle": -1.0}, {"identity": -1.0}, {"history": -1}, {"ema": 1.0}])
def test_settings_out_of_range_are_refused(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    system(**settings)


def test_digits_become_inverted_digits_and_digits_again():
  """No digit of one set is in the other, inverted. Without critics, nothing says where a translation should go."""
  (train, test), shape = digits(), (8, 8, 1)
  system = cyclegan(
    Translator(8, halvings=1, blocks=1, kernel=3),
    PatchCritic((8, 16)),
    shape=shape,
    target_shape=shape,
    optimizer=adam(learning_rate=2e-3, b1=0.5),
    history=32,
  )
  state = learned(system, {"source": train[:700], "target": -train[700:]}, batch=16, steps=150)
  there = system.views["translate"](state, test, "target")
  back = system.views["translate"](state, there, "source")
  correlation = lambda a, b: np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]
  assert correlation(there, -test) > 0.9
  assert correlation(back, test) > 0.9
