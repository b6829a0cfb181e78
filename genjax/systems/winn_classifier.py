"""The supervised WINN: a classifier that must also tell its classes from pseudo-negatives that it makes itself.

The loss is the cross-entropy of real images and their classes, plus alpha times an objective over f of real images
and of pseudo-negatives of the same classes. With `inn_objective()` it is ICN; with alpha 0 and synthesis 0 it is the
baseline, a plain classifier, from the same weights and the same batches for the same keys.

Papers   WINN  Lee, Xu, Fan & Tu, CVPR 2018; dissertation (UCSD 2022) section 2.5.6
         ICN   Jin, Lazarow & Tu, NeurIPS 2017
Departs  One `step` is one turn: `passes` over the batch in minibatches, then synthesis. Released code: a turn is an
         epoch, as here where the batch is the whole set. The thesis writes sums over the two sets; means here, as in
         the released code. The goal t of a chain, its |f - t| and its stop are each image's own (`stop="example"`, the
         thesis); released code: those of the mean f of a batch, t between the least and greatest batch mean
         (`stop="batch"`). The range of f is taken over all positives of the step after its last update (released code:
         during the updates). The pool has a capacity. `ema` is ours, as in winn.py.
Shapes   n positives a step, m a minibatch, K classes; r new pseudo-negatives of each class a step. m divides n, r, the
         initial number and the capacity (both of one class), and is a multiple of the devices. Net: images -> (f [B],
         aux) with aux["class_logits"] [B, K].
Checked  tests/systems/test_winn_classifier.py and tests/systems/contract.py.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.nets.noise import Noise
from genjax.objectives.terms import Critic, Objective, play, wide
from genjax.objectives.zoo import winn_objective
from genjax.ops import langevin, pool
from genjax.systems.introspection import (
  DTYPES,
  POLICIES,
  STOPS,
  adam,
  check_sizes,
  minibatches,
  range_of_f,
  recall,
  store,
  weights,
)
from genjax.systems.settings import check_average, check_counts, check_images, check_words
from genjax.systems.updates import norm

Array = jax.Array

_DROPOUT = 0x6472  # "dr": keys of an update apart from those of the objective


class State(NamedTuple):
  step: Array  # [] int32, finished turns
  params: Any
  ema: Any  # average of params, or None
  optimizer: optax.OptState
  terms: Any  # of the objective; None in the baseline, like what follows
  pool: pool.Pool | None  # pseudo-negatives by class: lane j * K + c for class c at position j of a minibatch
  bounds: Array | None  # [2] least and greatest f over positives, of the weights that sample


def winn_classifier(
  net: nn.Module,
  noise: Noise,
  *,
  shape: tuple[int, int, int],
  classes: int,
  alpha: float = 0.01,
  objective: Objective | None = None,
  passes: int = 1,
  minibatch: int = 100,
  rate: float = 1e-3,
  b1: float = 0.0,
  b2: float = 0.9,
  decay_steps: int | None = None,
  ema: float = 0.0,
  sampler: langevin.Rule | None = None,
  ascent_steps: int = 2000,
  class_weight: float = 0.5,
  tolerance: float = 1e-3,
  stop: Literal["example", "batch"] = "example",
  synthesis: int = 100,
  synthesis_batch: int = 100,
  initial: int = 100,
  capacity: int = 20_100,
  policy: pool.Policy = "reservoir",
  pool_dtype: Literal["float32", "uint8"] = "float32",
) -> System:
  """The supervised WINN as a System; `sample` gives classes 0, 1 ... K - 1, 0 ... in turn.

  Args:
    net: images [B, H, W, C] -> (f [B], aux) with aux["class_logits"] [B, K].
    noise: p0, (key, n) -> images; see nets/noise.py.
    shape: H, W, C.
    classes: K.
    alpha: weight of the objective; 0 together with synthesis 0: the baseline, without pool and without samples.
    objective: over f of real images and pseudo-negatives of their classes; WINN's (lambda 10) unless given.
    passes: how often a step goes over its positives.
    minibatch: m positives, and m pseudo-negatives, an update.
    rate, b1, b2: Adam of the network.
    decay_steps: turns after which a cosine has brought the rate to 0; None: constant.
    ema: decay per update of averaged weights, which are then those that sample and classify; 0: none.
    sampler: how images move; Adam at 0.02 with b1 0.9, b2 0.9 unless given.
    ascent_steps: at most this many moves of a chain.
    class_weight: of the cross-entropy with the wanted class in what chains minimise.
    tolerance: a chain stops when |f - t| is at most this.
    stop: f, t and the stop of each image (thesis), or of the mean over a synthesis batch (released code).
    synthesis: r, new pseudo-negatives of each class a step.
    synthesis_batch: images synthesised together.
    initial: p0 images of each class in the pool at the start.
    capacity: of the pool, for each class; the default holds the 200 turns of the released code.
    policy, pool_dtype: of the pool.

  Raises:
    ValueError: sizes that do not divide, with the sizes to use.
  """
  objective = objective or winn_objective()
  sampler = sampler or langevin.adam(0.02, b1=0.9, b2=0.9)
  if (alpha == 0) != (synthesis == 0):
    raise ValueError(f"alpha {alpha} with synthesis {synthesis}; use 0 for both (the baseline) or for neither")
  introspective = synthesis > 0
  if classes < 2:
    raise ValueError(f"classes {classes}; a classifier takes 2 at least")
  check_counts({"passes": passes, "minibatch": minibatch})
  check_average(ema)
  check_words({"stop": (stop, *STOPS), "policy": (policy, *POLICIES)})
  if introspective:
    check_sizes({"synthesis": synthesis, "initial": initial, "capacity": capacity}, minibatch, " of a class")
    check_words({"pool_dtype": (pool_dtype, *DTYPES)})
    _check_chunk(synthesis_batch, classes * synthesis, minibatch)
  dropout = bool(getattr(net, "dropout", 0.0))

  def optimizer(updates_per_turn: int) -> optax.GradientTransformation:
    return adam(rate, updates_per_turn, b1=b1, b2=b2, decay_steps=decay_steps)

  def critic(params: Any, key: Array | None = None) -> Critic:
    return lambda images: net.apply(params, images, rngs={"dropout": key} if dropout and key is not None else None)

  def read(params: Any, images: Array, key: Array | None = None) -> tuple[Array, Array]:
    """f [B] and class logits [B, K], in float32; with a key, through dropout where the net has it."""
    f, aux = critic(params, key)(images)
    return wide(f), wide(aux["class_logits"])

  def by_position(images: Array) -> Array:
    return pool.to_lanes(images, minibatch)

  def start(key: Array) -> Array:
    """p0 images for all classes, in the order of the pool's lanes."""
    n = classes * initial
    size = synthesis_batch if n % synthesis_batch == 0 else minibatch
    images = lax.map(lambda key: by_position(noise(key, size)), jax.random.split(key, n // size))
    return images.swapaxes(0, 1).reshape(n, *shape)

  def climb(key: Array, params: Any, images: Array, label: Array, bounds: Array) -> langevin.Chains:
    """Moves images to values of f that positives have and to their classes; the scores are -|f - t|."""
    key_goal, key_move = jax.random.split(key)
    goals = () if stop == "batch" else label.shape
    goal = jax.random.uniform(key_goal, goals, minval=bounds[0], maxval=bounds[1])  # t

    def score(key: Array | None, images: Array) -> tuple[Array, Array]:
      f, logits = read(params, images, key)
      off = jnp.broadcast_to(jnp.abs((f.mean() if stop == "batch" else f) - goal), f.shape)
      return -off - class_weight * optax.softmax_cross_entropy_with_integer_labels(logits, label), -off

    return langevin.ascend(
      key_move,
      lambda images: score(None, images),
      images,
      rule=sampler,
      steps=ascent_steps,
      threshold=-tolerance,
      noisy=score if dropout else None,
    )

  def make(key: Array, params: Any, bounds: Array, label: Array) -> langevin.Chains:
    """Images of the classes label [m, columns], from p0; every leaf [m, columns, ...], columns in synthesis batches."""
    columns = synthesis_batch // minibatch
    labels = label.reshape(minibatch, -1, columns).swapaxes(0, 1)  # [batches, m, columns]

    def one(item: tuple[Array, Array]) -> langevin.Chains:
      key_noise, key_climb = jax.random.split(item[0])
      chains = climb(key_climb, params, noise(key_noise, synthesis_batch), item[1].reshape(-1), bounds)
      return jax.tree.map(by_position, chains)

    chains = lax.map(one, (jax.random.split(key, labels.shape[0]), labels))
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1).reshape(*label.shape, *leaf.shape[3:]), chains)

  def score(params: Any) -> Callable[[Array], Array]:
    return lambda images: read(params, images)[0]

  def init(key: Array, batch: Batch) -> State:
    _check_batch(batch, shape, minibatch)
    key_net, key_noise, key_pool = jax.random.split(key, 3)
    params = net.init(key_net, jnp.zeros((1, *shape)))
    filled = None
    if introspective:
      room = pool.empty(minibatch * classes, capacity // minibatch, shape, jnp.dtype(pool_dtype))
      filled = pool.append(key_pool, room, store(start(key_noise), pool_dtype), policy=policy)
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      ema=jax.tree.map(jnp.copy, params) if ema else None,
      optimizer=optimizer(1).init(params),
      terms=objective.critic.init() if introspective else None,
      pool=filled,
      bounds=jnp.zeros((2,)) if introspective else None,
    )

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    _check_batch(batch, shape, minibatch)
    key_draw, key_update, key_synthesise, key_pool = jax.random.split(key, 4)
    reals, labels = minibatches(batch["image"], minibatch), minibatches(batch["label"], minibatch)
    count = reals.shape[0]
    optimized = optimizer(passes * count)

    def loss(params: Any, terms: Any, index: Array) -> tuple[Array, tuple[Any, Metrics]]:
      place = index % count
      real, label = reals[place], labels[place]
      key_term = jax.random.fold_in(key_update, index)
      key_dropout = jax.random.fold_in(key_term, _DROPOUT)
      if not introspective:
        crossed, metrics = _classified(read(params, real, key_dropout)[1], label)
        return crossed, (terms, metrics | {"loss": crossed})
      # The same pseudo-negative whenever a pass comes to this place.
      fake = recall(pool.draw_class(jax.random.fold_in(key_draw, place), state.pool, label[:, None])[:, 0], shape)
      round = play(critic(params, key_dropout), real, fake, labels=label, critic_params=params)
      crossed, metrics = _classified(wide(round.real_aux["class_logits"]), label)
      between, terms = objective.critic.apply(key_term, terms, round)
      value = crossed + alpha * between
      return value, (terms, metrics | {"loss": value, "wasserstein": round.real_out.mean() - round.fake_out.mean()})

    def update(index: Array, carry):
      params, average, moments, terms, sums = carry
      gradient, (terms, metrics) = jax.grad(loss, has_aux=True)(params, terms, index)
      metrics["gradient"] = norm(gradient)
      updates, moments = optimized.update(gradient, moments, params)
      params = optax.apply_updates(params, updates)
      if ema:
        average = optax.incremental_update(params, average, 1 - ema)
      return params, average, moments, terms, jax.tree.map(jnp.add, sums, metrics)

    names = ("loss", "cross_entropy", "error", "gradient", *(("wasserstein",) if introspective else ()))
    carry = (state.params, state.ema, state.optimizer, state.terms, dict.fromkeys(names, jnp.zeros(())))
    params, average, moments, terms, sums = lax.fori_loop(0, passes * count, update, carry)
    metrics = {name: value / (passes * count) for name, value in sums.items()}
    if not introspective:
      return State(state.step + 1, params, average, moments, None, None, None), metrics

    bounds = range_of_f(score(params), reals, stop)
    wanted = jnp.repeat(jnp.arange(classes, dtype=jnp.int32), synthesis // minibatch)  # of one position's columns
    chains = make(key_synthesise, params, bounds, jnp.broadcast_to(wanted, (minibatch, wanted.size)))
    fresh = store(chains.images.reshape(-1, *shape), pool_dtype)
    after = pool.append(key_pool, state.pool, fresh, policy=policy)
    metrics |= {
      "f_least": bounds[0],
      "f_greatest": bounds[1],
      "off": -chains.scores.mean(),
      "moves": chains.moves.mean(dtype=jnp.float32),
      "stopped": chains.stopped.mean(dtype=jnp.float32),
    }
    if ema:
      bounds = range_of_f(score(average), reals, stop)
    return State(state.step + 1, params, average, moments, terms, after, bounds), metrics

  def sample(key: Array, state: State, n: int) -> Array:
    """n new images from p0, image i of class i mod K; in batches of `synthesis_batch`, whatever n is.

    In the order of the lanes, like the synthesis: devices that share the images share the work of every batch.
    """
    columns = -(-n // synthesis_batch) * synthesis_batch // minibatch
    kept = n // minibatch if n % minibatch == 0 else columns  # of each position's columns
    label = (jnp.arange(minibatch)[:, None] * kept + jnp.arange(columns)[None]) % classes
    images = make(key, weights(state), state.bounds, label).images
    return images[:, :kept].reshape(-1, *shape)[:n]

  def evaluate(key: Array, state: State, batch: Batch) -> Metrics:
    """Cross-entropy and error of the batch, f over it and over the pool, by the weights that classify."""
    f, logits = read(weights(state), batch["image"])
    values = _classified(logits, batch["label"])[1] | {"f_real": f.mean()}
    if introspective:
      label = jnp.arange(minibatch, dtype=jnp.int32)[:, None] % classes
      drawn = recall(pool.draw_class(key, state.pool, label)[:, 0], shape)
      values["f_pool"] = read(weights(state), drawn)[0].mean()
    return values

  return System(init, step, sample if introspective else None, evaluate)


def _classified(logits: Array, label: Array) -> tuple[Array, Metrics]:
  """Mean cross-entropy, as a loss, and what is told of it."""
  crossed = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
  return crossed, {"cross_entropy": crossed, "error": (logits.argmax(-1) != label).mean()}


def _check_chunk(chunk: int, every: int, minibatch: int) -> None:
  if chunk < 1 or every % chunk or chunk % minibatch:
    raise ValueError(
      f"synthesis_batch {chunk} must divide classes * synthesis, {every}, and be a multiple of minibatch {minibatch}; "
      f"use {minibatch}"
    )


def _check_batch(batch: Batch, shape: tuple[int, int, int], minibatch: int) -> None:
  if "label" not in batch:
    raise ValueError("the batch has no labels; a classifier takes a data set with labels (config.data.name)")
  check_images(batch["image"].shape, shape, minibatch, "the minibatch")
