"""AdaGAN: a mixture of generators, each trained on the images that those before it make too seldom.

A second critic, the mixture critic, learns to distinguish the training images from those of the mixture so far; from
its logits each image gets a weight for the next generator. Stage 1 trains a GAN on images as they come. Every further
stage starts with a new mixture critic, which learns for `mixture_critic_steps` steps while nothing else learns, and a
new GAN, which then trains on images redrawn by weight.

Papers   AdaGAN  Tolstikhin et al. 2017, arXiv:1701.02386: seed 002's Algorithm 1; weights in objectives/boosting.py,
         with beta = 1 / t, so that all generators count the same
Departs  Weights are of the images of a batch, not of the whole training set, and a batch is redrawn by them, so that
         any objective plays: `candidates` images of the data for one that is trained on.
         After the last stage the last generator goes on.
Shapes   B images a step; B / candidates are redrawn for the GAN, see systems.gan. The mixture critic is a clone of the
         GAN's: images -> (logits [B], aux), with no other collection than "params". Generators are stacked: each leaf
         [T, ...]. Metrics of the part that rests are 0.
Checked  tests/systems/test_adagan.py and tests/systems/contract.py
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System, whole
from genjax.objectives.boosting import mixture_weight, training_weights
from genjax.objectives.logits import cross_entropy_critic
from genjax.objectives.terms import Objective
from genjax.systems import game
from genjax.systems.checks import check_counts
from genjax.systems.gan import gan, kernels
from genjax.systems.optimizers import Optimizer, adam
from genjax.systems.parts import in_parts, rematerialised

Array = jax.Array


class MixtureCritic(NamedTuple):
  """The critic between the data and the mixture of finished generators."""

  params: Any
  optimizer: Any


class State(NamedTuple):
  step: Array  # [] int32
  params: Any  # of all generators that sample, stacked, each leaf [T, ...]
  gan: game.State  # that of the stage
  mixture_critic: MixtureCritic


class Stages(NamedTuple):
  """What does not change during a run."""

  gan: System  # of one stage
  generator: nn.Module
  critic: nn.Module  # the mixture critic
  optimizer: optax.GradientTransformation  # of the mixture critic
  shape: tuple[int, int, int]
  latent: int
  components: int
  component_steps: int
  mixture_critic_steps: int
  candidates: int
  critic_steps: int
  accumulate: int
  remat: bool


def adagan(
  generator: nn.Module,
  critic: nn.Module,
  *,
  shape: tuple[int, int, int],
  objective: Objective,
  components: int = 5,
  component_steps: int = 2000,
  mixture_critic_steps: int = 500,
  candidates: int = 4,
  mixture_optimizer: Optimizer = adam(learning_rate=1e-3),  # noqa: B008 - a function
  optimizer: Optimizer = adam(learning_rate=2e-4, b1=0.5, b2=0.999),  # noqa: B008 - a function
  generator_optimizer: Optimizer | None = None,
  latent: int = 128,
  critic_steps: int = 1,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """T GANs, one after the other, as a System.

  Args:
    generator, critic, objective: of every GAN, see gan; the mixture critic is a net like `critic`.
    shape: H, W, C.
    components: T.
    component_steps: steps of a stage, those of its mixture critic included.
    mixture_critic_steps: steps of the mixture critic, in each stage but the first.
    candidates: images of the data for one that a GAN sees.
    mixture_optimizer: of the mixture critic.
    optimizer, generator_optimizer, latent, critic_steps, ema: of every GAN, see gan; latents are normal.
    accumulate, remat: of every update, see gan.

  Raises:
    ValueError: settings that do not go together; as gan does.
  """
  counts = {"components": components, "mixture_critic_steps": mixture_critic_steps, "candidates": candidates}
  check_counts(counts)
  if component_steps <= mixture_critic_steps:
    raise ValueError(
      f"component_steps {component_steps} leave no step to a GAN; use more than mixture_critic_steps "
      f"{mixture_critic_steps}"
    )
  inner = gan(
    generator,
    critic,
    shape=shape,
    objective=objective,
    optimizer=optimizer,
    generator_optimizer=generator_optimizer,
    latent=latent,
    critic_steps=critic_steps,
    ema=ema,
    accumulate=accumulate,
    remat=remat,
  )
  stages = Stages(
    inner,
    generator,
    critic.clone(name=None),
    mixture_optimizer(),
    shape,
    latent,
    component_steps=component_steps,
    critic_steps=critic_steps,
    accumulate=accumulate,
    remat=remat,
    **counts,
  )
  system = System(partial(_init, stages), partial(_step, stages), {"sample": partial(_sample, stages)})
  return system._replace(kernels=partial(kernels, system))


def redraw(key: Array, weights: Array, n: int) -> Array:
  """n places [n] int32 of weights [B], which sum to 1: each as often as it weighs, evenly, in random order.

  One random offset for all (systematic resampling), so that place i comes floor(n w_i) or ceil(n w_i) times.
  """
  key_offset, key_order = jax.random.split(key)
  points = (jnp.arange(n) + jax.random.uniform(key_offset)) / n
  ends = jnp.cumsum(weights)
  places = jnp.searchsorted(ends / ends[-1], points, side="right")
  return jax.random.permutation(key_order, jnp.minimum(places, weights.shape[0] - 1).astype(jnp.int32))


# A step ---------------------------------------------------------------------------------------------------------------


def _init(stages: Stages, key: Array, batch: Batch) -> State:
  key_gan, key_critic = jax.random.split(key)
  first = stages.gan.init(key_gan, _chosen(batch, slice(_size(stages, batch))))
  stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * stages.components), _sampling(first))
  return State(jnp.zeros((), jnp.int32), stacked, first, _new_critic(stages, key_critic))


def _step(stages: Stages, key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
  size = _size(stages, batch)
  stage, within = _place(stages, state.step)
  key_gan, key_critic, key_update = jax.random.split(key, 3)

  def renewed() -> tuple[game.State, MixtureCritic]:
    return stages.gan.init(key_gan, _chosen(batch, slice(size))), _new_critic(stages, key_critic)

  fresh = lax.cond((within == 0) & (stage > 0), renewed, lambda: (state.gan, state.mixture_critic))
  state = state._replace(gan=fresh[0], mixture_critic=fresh[1])
  updates = [partial(update, stages, key_update, state, batch) for update in (_update_critic, _update_gan)]
  zeros = {name: jnp.zeros((), jnp.float32) for update in updates for name in jax.eval_shape(update)[1]}
  first = (within < stages.mixture_critic_steps) & (stage > 0)
  state, metrics = lax.cond(first, *(partial(_all_metrics, zeros, update) for update in updates))
  return state._replace(step=state.step + 1), metrics | {"component": (stage + 1).astype(jnp.float32)}


def _all_metrics(zeros: Metrics, update: Callable[[], tuple[State, Metrics]]) -> tuple[State, Metrics]:
  """An update whose metrics have all names; those of the other update are 0."""
  state, metrics = update()
  return state, {**zeros, **metrics}


def _update_critic(stages: Stages, key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
  critic, made = state.mixture_critic, _place(stages, state.step)[0]

  def gradient(carry: tuple, key: Array, part: Batch) -> tuple[Any, tuple]:
    real = part["image"]
    fake = _generate(stages, key, state.params, made, real.shape[0])

    def loss(params: Any) -> Array:
      f = lambda images: stages.critic.apply({"params": params}, images)[0]
      return cross_entropy_critic(f(real), f(fake))

    return jax.value_and_grad(rematerialised(loss, stages.remat))(critic.params), carry

  (value, grads), _ = in_parts(stages.accumulate, gradient, (), key, batch)
  changes, moments = stages.optimizer.update(grads, critic.optimizer, critic.params)
  after = MixtureCritic(optax.apply_updates(critic.params, changes), moments)
  return state._replace(mixture_critic=after), {"mixture_critic_loss": value}


def _update_gan(stages: Stages, key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
  key_draw, key_gan = jax.random.split(key)
  stage, _ = _place(stages, state.step)
  logits = stages.critic.apply({"params": state.mixture_critic.params}, batch["image"])[0].astype(jnp.float32)
  counted = range(1, stages.components + 1)
  weights = lax.switch(stage, [partial(training_weights, beta=mixture_weight(number)) for number in counted], logits)
  indices = redraw(key_draw, weights, _size(stages, batch))  # in the first stage all weigh the same
  after, metrics = stages.gan.step(key_gan, state.gan, _chosen(batch, indices))
  put = lambda all, one: all.at[stage].set(one)
  state = state._replace(gan=after, params=jax.tree.map(put, state.params, _sampling(after)))
  return state, {**metrics, "used": 1 / (weights.shape[0] * (weights**2).sum())}


def _new_critic(stages: Stages, key: Array) -> MixtureCritic:
  variables = stages.critic.init(key, jnp.zeros((1, *stages.shape)))
  if set(variables) != {"params"}:
    raise ValueError(f"the mixture critic has {', '.join(sorted(variables))}; use a critic with params alone")
  return MixtureCritic(variables["params"], stages.optimizer.init(variables["params"]))


def _place(stages: Stages, step: Array) -> tuple[Array, Array]:
  """Number of the stage, from 0, and of the step in it."""
  stage = jnp.minimum(step // stages.component_steps, stages.components - 1)
  return stage, step - stage * stages.component_steps


def _sampling(state: game.State) -> Any:
  """The variables of the generator that samples."""
  return game.variables_of(state)["generator"]


def _chosen(batch: Batch, indices: Array | slice) -> Batch:
  return {"image": batch["image"][indices]}


def _size(stages: Stages, batch: Batch) -> int:
  """How many images of a batch a GAN sees. Raises ValueError for images or a batch that do not fit."""
  count, *shape = batch["image"].shape
  if tuple(shape) != tuple(stages.shape):
    raise ValueError(f"images are {tuple(shape)}, the system was built for {stages.shape}")
  if count % (stages.candidates * stages.critic_steps):
    wanted = f"candidates {stages.candidates} times critic_steps {stages.critic_steps}"
    raise ValueError(f"batch {count} is not a multiple of {wanted}; use one that is (config.data.batch)")
  return count // stages.candidates


# Samples --------------------------------------------------------------------------------------------------------------


def _generate(stages: Stages, key: Array, generators: Any, count: Array, n: int) -> Array:
  """n images of the mixture of the first `count` generators: all T make n, and each image is chosen from them."""
  key_latent, key_choice = jax.random.split(key)
  latents = jax.random.normal(key_latent, (n, stages.latent))
  images = lax.map(lambda one: stages.generator.apply(one, latents), whole(generators))  # [T, n, H, W, C]
  choice = jax.random.randint(key_choice, (n,), 0, count)
  return jnp.take_along_axis(images, choice.reshape(1, n, 1, 1, 1), axis=0)[0]


def _sample(stages: Stages, key: Array, state: State, n: int) -> Array:
  """n images of the mixture, which holds the stage's generator once it trains. All T generators make n each."""
  last, within = _place(stages, jnp.maximum(state.step - 1, 0))
  count = last + ((within >= stages.mixture_critic_steps) | (last == 0))
  return jnp.clip(_generate(stages, key, state.params, count, n), -1, 1)
