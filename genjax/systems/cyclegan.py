"""CycleGAN: two generators that translate images between two sets without pairs, and a critic of each set.

Papers   CycleGAN  Zhu et al. 2017, arXiv:1703.10593: eq 3 with least squares for the logarithms (section 4), the
                   cycle's weight 10, the identity loss of section 5.2, a history of 50 fakes (section 4)
         history   Shrivastava et al. 2017, arXiv:1612.07828, section 2.3
Departs  The critics see fakes made after the generators' update of the same step.
         The paper's batch is one image. With B, each place of the batch has `history` / B of the past fakes.
Shapes   batch {"source": [B, H, W, C], "target": [B, H', W', C']}, float32 in [-1, 1]. A domain's generator makes its
         images: `generator` from target images, `target_generator` from source images. critic: images -> (logits, aux),
         logits [B] or a map [B, h, w] of patches.
Checked  tests/systems/test_cyclegan.py: losses in numpy, the history, digits and inverted digits
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.core import Batch, System
from genjax.nets.training import mode
from genjax.ops import pool
from genjax.systems.checks import check_average, check_counts, check_images
from genjax.systems.fit import collections_of
from genjax.systems.game import Aux, Average, Variables, game
from genjax.systems.optimizers import Optimizer, adam
from genjax.systems.parts import check_parts

Array = jax.Array
Domain = Literal["source", "target"]
PUBLISHED = adam(learning_rate=2e-4, b1=0.5)


class Sides(NamedTuple):
  """The same of both domains."""

  source: Any
  target: Any


class Both(nn.Module):
  """The nets of both domains as one player: each has its own images."""

  source: nn.Module
  target: nn.Module

  def __call__(self, source: Array, target: Array, train: bool = False) -> Sides:
    return Sides(self.source(source, **mode(self.source, train)), self.target(target, **mode(self.target, train)))

  def one(self, images: Array, domain: Domain) -> Any:
    return getattr(self, domain)(images)


def cyclegan(
  generator: nn.Module,
  critic: nn.Module,
  target_generator: nn.Module | None = None,
  target_critic: nn.Module | None = None,
  *,
  shape: tuple[int, int, int],
  target_shape: tuple[int, int, int],
  cycle: float = 10.0,
  identity: float = 0.0,
  history: int = 50,
  optimizer: Optimizer = PUBLISHED,
  generator_optimizer: Optimizer | None = None,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """Two generators and two critics as a System.

  Its view is `translate(state, x, to)`: images of the other domain as images of `to`, "source" or "target".

  Args:
    generator, critic: of the source domain, see Shapes.
    target_generator, target_critic: of the target domain; None: as those of the source, with weights of their own.
    shape, target_shape: H, W, C of both domains.
    cycle: weight of the distance between an image and its translation there and back.
    identity: weight of the distance between an image and its translation to its own domain; the paper has 5 for
      paintings, and 0 else.
    history: past fakes that the critics see in place of half of the new ones; 0: none.
    optimizer: of the critics, and of the generators unless they have their own.
    generator_optimizer: of the generators.
    ema: decay of averaged generators, which then translate; 0: none.
    accumulate: parts of a batch that are worked on one after the other; the history has as many places as a part.
    remat: whether an update computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a setting that is out of range.
  """
  check_counts({"history": history}, 0)
  check_average(ema)
  check_parts(accumulate, {})
  for name, weight in {"cycle": cycle, "identity": identity}.items():
    if weight < 0:
      raise ValueError(f"{name} {weight}; use 0 for none, or more")
  generators = Both(generator, target_generator or generator.clone())
  critics = Both(critic, target_critic or critic.clone())

  def init(key: Array, batch: Batch) -> tuple[Variables, Mapping[str, Any]]:
    real = Sides(batch["source"], batch["target"])
    check_images(real.source, shape, 1, "1")
    check_images(real.target, target_shape, 1, "1")
    one = jax.tree.map(lambda images: images[:1], real)
    key_generator, key_critic = jax.random.split(key)
    variables = {
      "generator": generators.init(key_generator, one.target, one.source),
      "critic": critics.init(key_critic, *one),
    }
    made = jax.eval_shape(generators.apply, variables["generator"], one.target, one.source)
    for name, fake, wanted in zip(Sides._fields, made, (shape, target_shape), strict=True):
      if fake.shape[1:] != tuple(wanted):
        raise ValueError(f"the {name} generator's images are {fake.shape[1:]}, the data's are {tuple(wanted)}")
    return variables, {"generator": (), "critic": {"pool": Sides(*(past(images) for images in real))}}

  def past(images: Array) -> pool.Pool:
    places = len(images) // accumulate
    if 0 < history < places:
      raise ValueError(f"history {history} is less than the batch {places}; use at least as many, or 0 for none")
    return pool.empty(places, history // places, images.shape[1:])

  def generator_loss(key: Array, variables: Variables, memory: tuple, batch: Batch) -> tuple[Array, Aux]:
    real, nets = Sides(batch["source"], batch["target"]), variables["generator"]
    fake, nets = passed(key, generators, nets, real.target, real.source)
    again, nets = passed(key, generators, nets, fake.target, fake.source)
    logits, _ = passed(key, critics, variables["critic"], *fake)
    metrics = {"adversarial": sum(_squared(side, 1.0) for side, _ in logits), "cycle": _apart(real, again)}
    value = metrics["adversarial"] + cycle * metrics["cycle"]
    if identity:
      same, nets = passed(key, generators, nets, *real)
      metrics["identity"] = _apart(real, same)
      value += identity * metrics["identity"]
    return value, Aux(collections_of(nets), memory, metrics | {"generator_loss": value})

  def critic_loss(key: Array, variables: Variables, memory: dict, batch: Batch) -> tuple[Array, Aux]:
    real = Sides(batch["source"], batch["target"])
    key, key_history = jax.random.split(key)
    fake, _ = passed(key, generators, variables["generator"], real.target, real.source)
    if history:
      both = [recalled(*side) for side in zip(jax.random.split(key_history), memory["pool"], fake, strict=True)]
      fake, memory = Sides(*(seen for seen, _ in both)), {"pool": Sides(*(after for _, after in both))}
    of_real, nets = passed(key, critics, variables["critic"], *real)
    of_fake, nets = passed(key, critics, nets, *fake)
    errors = [_squared(a, 1.0) + _squared(b, 0.0) for (a, _), (b, _) in zip(of_real, of_fake, strict=True)]
    value = sum(errors) / 2  # section 7.1
    return value, Aux(collections_of(nets), memory, {"critic_loss": value})

  def translate(variables: Variables, x: Array, to: Domain) -> Array:
    if to not in Sides._fields:
      raise ValueError(f"to {to!r}; use 'source' or 'target'")
    return jnp.clip(generators.apply(variables["generator"], x, to, method="one"), -1, 1)

  return game(
    init,
    {"generator": generator_loss, "critic": critic_loss},
    {"generator": generator_optimizer or optimizer, "critic": optimizer},
    order=(("generator", 1), ("critic", 1)),
    ema={"generator": Average(ema)} if ema else None,
    accumulate=accumulate,
    remat=remat,
    views={"translate": translate},
  )


def passed(
  key: Array, nets: Both, variables: Mapping[str, Any], source: Array, target: Array
) -> tuple[Sides, Mapping[str, Any]]:
  """What the nets of a player make of both images in training, and its variables after this pass."""
  collections = list(collections_of(variables))
  sides, after = nets.apply(variables, source, target, True, rngs={"dropout": key}, mutable=collections)
  return sides, {**variables, **after}


def recalled(key: Array, past: pool.Pool, images: Array) -> tuple[Array, pool.Pool]:
  """What a critic sees of new fakes [B, H, W, C], and the history after them.

  While a place's history is not full, it takes the new fake, and the critic sees that. Then, in half of all cases, the
  critic sees a past fake, whose place the new one takes; in the other half, it sees the new one, which is not kept.
  """
  key_place, key_swap = jax.random.split(key)
  slots, depth = past.images.shape[:2]
  new, full = images.reshape(slots, -1), past.count >= depth
  place = jnp.where(full, jax.random.randint(key_place, (slots,), 0, depth), past.count)
  swap = full & jax.random.bernoulli(key_swap, 0.5, (slots,))
  old = jax.vmap(lambda slot, i: slot[i])(past.images, place)
  kept = jnp.where((swap | ~full)[:, None], new, old)
  after = jax.vmap(lambda slot, i, image: slot.at[i].set(image))(past.images, place, kept)
  seen = jnp.where(swap[:, None], old, new).reshape(images.shape)
  return seen, pool.Pool(jax.lax.stop_gradient(after), jnp.minimum(past.count + 1, depth))


def _squared(logits: Array, wanted: float) -> Array:
  return ((logits.astype(jnp.float32) - wanted) ** 2).mean()


def _apart(real: Sides, made: Sides) -> Array:
  """The mean absolute distance, the sum over both domains."""
  return sum(jnp.abs(a - b.astype(jnp.float32)).mean() for a, b in zip(real, made, strict=True))
