"""AdaGAN: a mixture of generators, each trained on the images that those before it make too seldom.

A critic, the judge, tells training images from the mixture so far; from its logits each image has a weight for the next
generator. Stage 1 trains a GAN on images as they come. Every further stage starts with a new judge, which learns for
`judge_steps` steps while nothing else moves, and a new GAN, which then trains on images redrawn by weight.

Papers   AdaGAN  Tolstikhin et al. 2017, arXiv:1701.02386: seed 002's Algorithm 1; weights in objectives/boosting.py,
         with beta = 1 / t, so that all generators count the same
Departs  Weights are of the images of a batch, not of the whole training set, and a batch is redrawn by them, so that
         any objective plays: `candidates` images of the data for one that is trained on.
         After the last stage the last generator goes on.
Shapes   B images a step; B / candidates are redrawn for the GAN, see systems.gan. judge: images -> (logits [B], aux),
         with no other collection than "params". Generators are stacked: each leaf [T, ...].
         Metrics of the part that rests are 0.
Checked  tests/systems/test_adagan.py and tests/systems/contract.py
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.objectives.boosting import mixture_weight, training_weights
from genjax.objectives.logits import cross_entropy_critic
from genjax.objectives.terms import Objective
from genjax.systems import updates
from genjax.systems.gan import State as GanState
from genjax.systems.gan import gan
from genjax.systems.settings import check_counts

Array = jax.Array


class Judge(NamedTuple):
  """The critic between the data and the mixture of finished generators."""

  params: Any
  optimizer: Any


class State(NamedTuple):
  step: Array  # [] int32
  params: Any  # of all generators that sample, stacked, each leaf [T, ...]
  gan: GanState  # that of the stage
  judge: Judge


def adagan(
  generator: nn.Module,
  critic: nn.Module,
  judge: nn.Module,
  *,
  shape: tuple[int, int, int],
  objective: Objective,
  components: int = 5,
  component_steps: int = 2000,
  judge_steps: int = 500,
  candidates: int = 4,
  judge_rate: float = 1e-3,
  latent: int = 128,
  critic_steps: int = 1,
  optimizer: updates.Optimizer = "adam",
  rate: float = 2e-4,
  generator_rate: float | None = None,
  b1: float = 0.5,
  b2: float = 0.999,
  ema: float = 0.0,
) -> System:
  """T GANs, one after the other, as a System.

  Args:
    generator, critic, objective: of every GAN, see gan.
    judge: a critic of its own.
    shape: H, W, C.
    components: T.
    component_steps: steps of a stage, those of its judge included.
    judge_steps: of each stage but the first.
    candidates: images of the data for one that a GAN sees.
    judge_rate: of the judge's Adam, whose b1 and b2 are optax's.
    latent, critic_steps, optimizer, rate, generator_rate, b1, b2, ema: of every GAN, see gan; latents are normal.

  Raises:
    ValueError: settings that do not go together; as gan does.
  """
  check_counts({"components": components, "judge_steps": judge_steps, "candidates": candidates})
  if component_steps <= judge_steps:
    raise ValueError(
      f"component_steps {component_steps} leave no step to a GAN; use more than judge_steps {judge_steps}"
    )
  inner = gan(
    generator,
    critic,
    shape=shape,
    objective=objective,
    latent=latent,
    critic_steps=critic_steps,
    optimizer=optimizer,
    rate=rate,
    generator_rate=generator_rate,
    b1=b1,
    b2=b2,
    ema=ema,
  )
  judge_optimizer = optax.adam(judge_rate)
  weigh = [partial(training_weights, beta=mixture_weight(stage)) for stage in range(1, components + 1)]

  def place(step: Array) -> tuple[Array, Array]:
    """Number of the stage, from 0, and of the step in it."""
    stage = jnp.minimum(step // component_steps, components - 1)
    return stage, step - stage * component_steps

  def sampling(state: GanState) -> Any:
    return state.ema if ema else {"params": state.params.generator, **state.moving.generator}

  def paint(key: Array, generators: Any, count: Array, n: int) -> Array:
    """n images of the mixture of the first `count` generators: all T paint, and each image is chosen from them."""
    key_latent, key_choice = jax.random.split(key)
    latents = jax.random.normal(key_latent, (n, latent))
    images = lax.map(lambda one: generator.apply(one, latents), generators)  # [T, n, H, W, C]
    choice = jax.random.randint(key_choice, (n,), 0, count)
    return jnp.take_along_axis(images, choice.reshape(1, n, 1, 1, 1), axis=0)[0]

  def new_judge(key: Array) -> Judge:
    variables = judge.init(key, jnp.zeros((1, *shape)))
    if set(variables) != {"params"}:
      raise ValueError(f"the judge has {', '.join(sorted(variables))}; use a net with params alone")
    return Judge(variables["params"], judge_optimizer.init(variables["params"]))

  def chosen(batch: Batch, indices: Array | slice) -> Batch:
    return {"image": batch["image"][indices]}

  def size(batch: Batch) -> int:
    count = batch["image"].shape[0]
    if batch["image"].shape[1:] != shape:
      raise ValueError(f"images are {batch['image'].shape[1:]}, the system was built for {shape}")
    if count % (candidates * critic_steps):
      wanted = f"candidates {candidates} times critic_steps {critic_steps}"
      raise ValueError(f"batch {count} is not a multiple of {wanted}; use one that is (config.data.batch)")
    return count // candidates

  def init(key: Array, batch: Batch) -> State:
    key_gan, key_judge = jax.random.split(key)
    first = inner.init(key_gan, chosen(batch, slice(size(batch))))
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * components), sampling(first))
    return State(jnp.zeros((), jnp.int32), stacked, first, new_judge(key_judge))

  def judge_turn(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    real = batch["image"]
    fake = paint(key, state.params, place(state.step)[0], real.shape[0])

    def loss(params: Any) -> Array:
      f = lambda images: judge.apply({"params": params}, images)[0]
      return cross_entropy_critic(f(real), f(fake))

    value, gradient = jax.value_and_grad(loss)(state.judge.params)
    change, moments = judge_optimizer.update(gradient, state.judge.optimizer, state.judge.params)
    params = optax.apply_updates(state.judge.params, change)
    return state._replace(judge=Judge(params, moments)), {"judge_loss": value}

  def gan_turn(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    key_draw, key_gan = jax.random.split(key)
    stage, _ = place(state.step)
    logits = judge.apply({"params": state.judge.params}, batch["image"])[0].astype(jnp.float32)
    weights = lax.switch(stage, weigh, logits)  # in the first stage all are the same
    indices = redraw(key_draw, weights, size(batch))
    after, told = inner.step(key_gan, state.gan, chosen(batch, indices))
    put = lambda all, one: all.at[stage].set(one)
    state = state._replace(gan=after, params=jax.tree.map(put, state.params, sampling(after)))
    return state, told | {"used": 1 / (weights.shape[0] * (weights**2).sum())}

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    size(batch)
    stage, within = place(state.step)
    key_gan, key_judge, key_turn = jax.random.split(key, 3)

    def renewed() -> tuple[GanState, Judge]:
      return inner.init(key_gan, chosen(batch, slice(size(batch)))), new_judge(key_judge)

    new = (within == 0) & (stage > 0)
    state = state._replace(
      **dict(zip(("gan", "judge"), lax.cond(new, renewed, lambda: (state.gan, state.judge)), strict=True))
    )
    turns = (judge_turn, gan_turn)
    names = [jax.eval_shape(turn, key_turn, state, batch)[1] for turn in turns]
    zeros = {name: jnp.zeros((), jnp.float32) for each in names for name in each}
    full = lambda turn: lambda: (lambda after, told: (after, zeros | told))(*turn(key_turn, state, batch))
    judging = (within < judge_steps) & (stage > 0)
    state, told = lax.cond(judging, *(full(turn) for turn in turns))
    return state._replace(step=state.step + 1), told | {"component": (stage + 1).astype(jnp.float32)}

  def sample(key: Array, state: State, n: int) -> Array:
    """n images of the mixture, which holds the stage's generator once it trains. All T generators paint n each."""
    last, within = place(jnp.maximum(state.step - 1, 0))
    count = last + ((within >= judge_steps) | (last == 0))
    return jnp.clip(paint(key, state.params, count, n), -1, 1)

  return System(init, step, sample, lambda key, state, batch: inner.evaluate(key, state.gan, batch))


def redraw(key: Array, weights: Array, n: int) -> Array:
  """n places [n] int32 of weights [B], which sum to 1: each as often as it weighs, evenly, in random order.

  One random offset for all (systematic resampling), so that place i comes floor(n w_i) or ceil(n w_i) times.
  """
  key_offset, key_order = jax.random.split(key)
  points = (jnp.arange(n) + jax.random.uniform(key_offset)) / n
  ends = jnp.cumsum(weights)
  places = jnp.searchsorted(ends / ends[-1], points, side="right")
  return jax.random.permutation(key_order, jnp.minimum(places, weights.shape[0] - 1).astype(jnp.int32))
