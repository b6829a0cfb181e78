"""All that an update asks of the critic in one call: the numbers of a call for each, and one sum over the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives import zoo
from genjax.systems.gan import gan
from genjax.systems.optimizers import sgd
from genjax.train import plan
from genjax.train.mesh import make_mesh

SHAPE, LATENT, CLASSES, M = (4, 4, 1), 3, 3, 16


class _Unsaid(MLPCritic):
  """The same critic without its word that it looks at each image alone."""

  per_image = False


def _system(critic, objective, **more):
  settings = {"latent": LATENT, "critic_steps": 1, "optimizer": sgd(learning_rate=0.1), "augment": "colour=1", **more}
  return gan(MLPGenerator(SHAPE, (5,), classes=CLASSES), critic, shape=SHAPE, objective=objective, **settings)


def _both(objective, **more):
  return [_system(kind((6, 7), spectral=True, classes=CLASSES), objective, **more) for kind in (MLPCritic, _Unsaid)]


def test_one_call_gives_the_numbers_of_a_call_for_each():
  batch = {
    "image": jax.random.uniform(jax.random.key(0), (M, *SHAPE), minval=-1.0),
    "label": jnp.arange(M, dtype=jnp.int32) % CLASSES,
  }
  systems = _both(zoo.vitgan(), classes=CLASSES, conditional=True)
  state = jax.jit(systems[0].init)(jax.random.key(1), batch)
  one, each = (jax.jit(system.step)(jax.random.key(2), state, batch) for system in systems)
  assert float(one[1]["critic_loss"]) > 1.4  # the terms of consistency are in it
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), one, each)


@pytest.mark.parametrize(("row", "passes"), [("vitgan", 4), ("hinge", 2)])
def test_eight_devices_sum_the_critics_gradient_once_and_exchange_no_image(row, passes):
  shapes = {"image": jax.ShapeDtypeStruct((8 * M, *SHAPE), jnp.float32)}
  one, each = (plan.compile_step(system, shapes, make_mesh()).collectives for system in _both(getattr(zoo, row)()))
  assert {exchange.name for exchange in one} == {"all-reduce"}
  pixels_to_hidden = {"f32[16,6]", "f32[6,16]"}
  first = lambda exchanges: sum(shape in pixels_to_hidden for exchange in exchanges for shape in exchange.shapes)
  assert (first(one), first(each)) == (1, passes)


def test_order_simultaneous_keeps_the_passes_that_both_players_share():
  for order, passes in (("alternating", [4 * M, M]), ("simultaneous", [M] * 6)):
    seen = []

    class _Counted(MLPCritic):
      def __call__(self, images, *, train=False):
        seen.append(len(images))  # noqa: B023 - called in this iteration
        return super().__call__(images, train=train)

    system = _system(_Counted((6,)), zoo.balanced_consistent(), order=order, augment="")
    shapes = {"image": jax.ShapeDtypeStruct((M, *SHAPE), jnp.float32)}
    state = jax.eval_shape(system.init, jax.random.key(0), shapes)
    seen.clear()
    jax.eval_shape(system.step, jax.random.key(0), state, shapes)
    assert sorted(seen, reverse=True)[: len(passes)] == passes
