"""WINN: one CNN classifies real images from its own, and generates by ascending its own score on the image.

Papers   WINN  Lee, Xu, Fan & Tu, CVPR 2018; dissertation (UCSD 2022) chapter 2, Algorithm 1 (WINN-single), eq 2.6, 2.7;
         section 2.4.2, eq 2.9 (cascades)
         INN  Lazarow, Jin & Tu, ICCV 2017: the same with `objective=inn_objective()`
Departs  One `step` is one turn of Algorithm 1: classification, then synthesis. Algorithm 1 makes k updates a turn, each
         from fresh draws; here, as in the released code, k passes over one batch of positives and as many
         pseudo-negatives, drawn once. Every turn draws new p0 images, as in Algorithm 1 (released code: from a fixed
         10,000). The pool has a capacity (ops/pool.py). The range of f is taken over all positives of the step after
         its last update (released code: over batch means during the last pass).
         Named switches where the released code differs from the thesis: `stop` (per batch), `sampler` (b2 0.999),
         `pool_dtype` (8 bit, its images go through PNG files), `ramp` (5: the first turns see 1/5, 2/5 ... of a batch).
         `ema` is ours: an average of the weights to sample from; 0 samples from the weights themselves, as published.
         A net with dropout drops while it learns and while chains climb (thesis: in place of Langevin's noise; released
         code: no dropout), with one draw for all images of an update or a move; never where f is measured.
Shapes   n positives a step, m a minibatch (m positives and m pseudo-negatives), r new pseudo-negatives a step; m
         divides n, r, the capacity, and is a multiple of the devices. Position j of a minibatch uses pool lane j.
Checked  tests/systems/test_winn.py, test_winn_cascade.py and contract.py.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.nets.noise import Noise
from genjax.objectives.terms import Objective, play
from genjax.objectives.zoo import winn_objective
from genjax.ops import langevin, pool
from genjax.systems import cascade
from genjax.systems.cascade import Cascade, Stages
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


_DROPOUT, _HAND_OVER = 0x6472, 0x686F  # keys of a step apart from those that it splits off


class State(NamedTuple):
  step: Array  # [] int32, finished turns of Algorithm 1
  params: Any
  ema: Any  # average of params, or None
  optimizer: optax.OptState
  terms: Any  # of the objective
  pool: pool.Pool  # all pseudo-negatives so far
  bounds: Array  # [2] least and greatest f over positives, of the weights that sample
  cascade: Cascade | None  # of earlier stages; None without a cascade


def winn(
  net: nn.Module,
  noise: Noise,
  *,
  shape: tuple[int, int, int],
  objective: Objective | None = None,
  passes: int = 3,
  minibatch: int = 50,
  rate: float = 1e-4,
  b1: float = 0.0,
  b2: float = 0.9,
  decay_steps: int | None = None,
  ramp: int = 1,
  ema: float = 0.0,
  sampler: langevin.Rule | None = None,
  ascent_steps: int = 2000,
  stop: Literal["example", "batch"] = "example",
  synthesis: int = 1000,
  synthesis_batch: int | None = 100,
  initial: int = 10_000,
  capacity: int = 10_000,
  policy: pool.Policy = "reservoir",
  pool_dtype: Literal["float32", "uint8"] = "float32",
  cascades: int = 1,
  cascade_steps: int | None = None,
  starts: int = 10_000,
) -> System:
  """WINN as a System: WINN-single, or a cascade of K stages.

  Args:
    net: images [B, H, W, C] -> (logits [B], aux).
    noise: p0, (key, n) -> images; see nets/noise.py.
    shape: H, W, C.
    objective: what the classification step minimises; eq 2.6 with lambda 10 unless given.
    passes: k, how often a step goes over its positives.
    minibatch: m positives and m pseudo-negatives an update.
    rate, b1, b2: Adam of the network.
    decay_steps: turns after which a cosine has brought the rate to 0; None: constant.
    ramp: turns until a step uses its whole batch of positives; 1: from the first.
    ema: decay per update of the averaged weights that `sample` uses; 0: none.
    sampler: how images climb; Adam at 0.01 with b1 0.9, b2 0.99 unless given.
    ascent_steps: at most this many moves of a chain.
    stop: thresholds per example (thesis) or per synthesis batch (released code).
    synthesis: r, new pseudo-negatives a step.
    synthesis_batch: images synthesised together; None: all at once.
    initial: p0 images in the pool at the start.
    capacity, policy, pool_dtype: of the pool.
    cascades: K; 1 is WINN-single.
    cascade_steps: turns of each stage; the last one goes on for as long as the run does. Released code: 100.
    starts: images that a stage hands over; the chains of the next one start from them. They go into the pool too.

  Raises:
    ValueError: sizes that do not divide, with the sizes to use.
  """
  objective = objective or winn_objective()
  sampler = sampler or langevin.adam(0.01, b1=0.9, b2=0.99)
  chunk = synthesis_batch or synthesis
  sizes = {"synthesis": synthesis, "initial": initial, "capacity": capacity}
  counts = {"passes": passes, "ramp": ramp, "cascades": cascades}
  if cascades > 1:
    sizes["starts"], counts["cascade_steps"] = starts, cascade_steps or 0
  words = {"stop": (stop, *STOPS), "policy": (policy, *POLICIES), "pool_dtype": (pool_dtype, *DTYPES)}
  check_sizes(sizes, minibatch)
  for name in ("synthesis", "starts"):
    if sizes.get(name, 0) % chunk or chunk % minibatch:
      raise ValueError(
        f"synthesis_batch {chunk} must divide {name} {sizes[name]} and be a multiple of minibatch {minibatch}"
      )
  check_average(ema)
  check_counts(counts)
  check_words(words)
  noisy = bool(getattr(net, "dropout", 0.0))

  def optimizer(updates_per_turn: int) -> optax.GradientTransformation:
    return adam(rate, updates_per_turn, b1=b1, b2=b2, decay_steps=decay_steps)

  def critic(params, key):
    return lambda images: net.apply(params, images, rngs={"dropout": key} if noisy else None)

  def score(params):
    return lambda images: net.apply(params, images)[0]

  def empty(size: int) -> pool.Pool:
    return pool.empty(minibatch, size // minibatch, shape, jnp.dtype(pool_dtype))

  def start(key: Array, n: int) -> Array:
    """n images of p0 in the order of the lanes: every chunk of noise is spread over all lanes."""
    size = min(chunk, n) if n % min(chunk, n) == 0 else minibatch
    images = lax.map(lambda key: pool.to_lanes(noise(key, size), minibatch), jax.random.split(key, n // size))
    return images.swapaxes(0, 1).reshape(n, *shape)

  def climb(key: Array, params: Any, images: Array, bounds: Array) -> langevin.Chains:
    key_threshold, key_move = jax.random.split(key)
    thresholds = () if stop == "batch" else (images.shape[0],)
    threshold = jax.random.uniform(key_threshold, thresholds, minval=bounds[0], maxval=bounds[1])
    return langevin.ascend(
      key_move,
      score(params),
      images,
      rule=sampler,
      steps=ascent_steps,
      threshold=threshold,
      stop=stop,
      noisy=(lambda key, images: critic(params, key)(images)[0]) if noisy else None,
    )

  def from_stage_before(key: Array, past: Cascade | None) -> Array:
    """Where the chains of the present stage start: p0, then what the stage before has handed over."""
    if past is None:
      return noise(key, chunk)
    drawn = lambda: recall(pool.draw(key, past.starts, chunk), shape).reshape(chunk, *shape)
    return lax.cond(past.starts.count[0] > 0, drawn, lambda: noise(key, chunk))

  def synthesise(key: Array, params: Any, bounds: Array, past: Cascade | None, n: int = synthesis) -> langevin.Chains:
    """n new images, chunk by chunk; every leaf [n, ...] in the order of the lanes."""

    def one(key: Array) -> langevin.Chains:
      key_noise, key_climb = jax.random.split(key)
      chains = climb(key_climb, params, from_stage_before(key_noise, past), bounds)
      return jax.tree.map(lambda leaf: pool.to_lanes(leaf, minibatch), chains)

    chains = lax.map(one, jax.random.split(key, n // chunk))  # [chunks, lanes, chunk / lanes, ...]
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1).reshape(n, *leaf.shape[3:]), chains)

  def hand_over(key: Array, state: State) -> State:
    """Before the first turn of a next stage: the weights are kept, and `starts` of their images are handed over."""
    if state.cascade is None:
      return state

    def ends(state: State) -> State:
      key_climb, key_starts, key_pool = jax.random.split(key, 3)
      params = weights(state)
      images = store(synthesise(key_climb, params, state.bounds, state.cascade, starts).images, pool_dtype)
      handed = pool.append(key_starts, state.cascade.starts, images, policy="ring")
      return state._replace(
        cascade=cascade.close(state.cascade, params, state.bounds, handed),
        pool=pool.append(key_pool, state.pool, images, policy=policy),
      )

    stage = jnp.minimum(state.step // cascade_steps, cascades - 1)
    return lax.cond(stage > state.cascade.ended, ends, lambda state: state, state)

  def init(key: Array, batch: Batch) -> State:
    check_images(batch["image"].shape, shape, minibatch, "the minibatch")
    key_net, key_noise, key_pool = jax.random.split(key, 3)
    params = net.init(key_net, jnp.zeros((1, *shape)))
    filled = pool.append(key_pool, empty(capacity), store(start(key_noise, initial), pool_dtype), policy=policy)
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      ema=jax.tree.map(jnp.copy, params) if ema else None,
      optimizer=optimizer(1).init(params),
      terms=objective.critic.init(),
      pool=filled,
      bounds=jnp.zeros((2,)),
      cascade=None if cascades == 1 else cascade.begin(params, cascades, empty(starts)),
    )

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    real = batch["image"]
    check_images(real.shape, shape, minibatch, "the minibatch")
    key_draw, key_update, key_synthesise, key_pool = jax.random.split(key, 4)
    state = hand_over(jax.random.fold_in(key, _HAND_OVER), state)
    reals = minibatches(real, minibatch)
    count = reals.shape[0]
    fakes = recall(pool.draw(key_draw, state.pool, real.shape[0]), shape).swapaxes(0, 1)
    used = count if ramp == 1 else jnp.maximum(1, jnp.minimum(state.step + 1, ramp) * count // ramp)  # minibatches
    optimized = optimizer(passes * count)

    def update(index: Array, carry):
      params, average, moments, terms, sums = carry
      place = index % used

      def loss(params):
        key_term = jax.random.fold_in(key_update, index)
        round = play(critic(params, jax.random.fold_in(key_term, _DROPOUT)), reals[place], fakes[place])
        value, after = objective.critic.apply(key_term, terms, round)
        return value, (after, {"loss": value, "wasserstein": round.real_out.mean() - round.fake_out.mean()})

      gradient, (terms, metrics) = jax.grad(loss, has_aux=True)(params)
      metrics["gradient"] = norm(gradient)
      updates, moments = optimized.update(gradient, moments, params)
      params = optax.apply_updates(params, updates)
      if ema:
        average = optax.incremental_update(params, average, 1 - ema)
      return params, average, moments, terms, jax.tree.map(jnp.add, sums, metrics)

    sums = dict.fromkeys(("loss", "wasserstein", "gradient"), jnp.zeros(()))
    carry = (state.params, state.ema, state.optimizer, state.terms, sums)
    params, average, moments, terms, sums = lax.fori_loop(0, passes * used, update, carry)

    bounds = range_of_f(score(params), reals, stop)
    chains = synthesise(key_synthesise, params, bounds, state.cascade)
    after = pool.append(key_pool, state.pool, store(chains.images, pool_dtype), policy=policy)
    metrics = {name: value / (passes * used) for name, value in sums.items()} | {
      "f_least": bounds[0],
      "f_greatest": bounds[1],
      "f_synthesis": chains.scores.mean(),
      "moves": chains.moves.mean(dtype=jnp.float32),
      "stopped": chains.stopped.mean(dtype=jnp.float32),
    }
    if ema:
      bounds = range_of_f(score(average), reals, stop)
    return State(state.step + 1, params, average, moments, terms, after, bounds, state.cascade), metrics

  def sample(key: Array, state: State, n: int) -> Array:
    """n new images from p0, through every stage that there is.

    Always in batches of `synthesis_batch`, so that memory does not grow with n, and in the order of the lanes, like the
    synthesis: devices that share the images share the work of every batch.
    """
    path = stages(state)

    def one(key: Array) -> Array:
      key_noise, key_climb = jax.random.split(key)
      return pool.to_lanes(cascade.through(key_climb, path, noise(key_noise, chunk), climb), minibatch)

    images = lax.map(one, jax.random.split(key, -(-n // chunk)))  # [chunks, lanes, chunk / lanes, ...]
    images = images.swapaxes(0, 1).reshape(minibatch, -1, *shape)
    if n % minibatch == 0:
      return images[:, : n // minibatch].reshape(n, *shape)
    return images.reshape(-1, *shape)[:n]

  def evaluate(key: Array, state: State, batch: Batch) -> Metrics:
    """f over the batch, over the pool and over fresh noise, by the weights that sample."""
    key_pool, key_noise = jax.random.split(key)
    f = score(weights(state))
    drawn = recall(pool.draw(key_pool, state.pool, minibatch), shape).reshape(minibatch, *shape)
    return {
      "f_real": f(batch["image"]).mean(),
      "f_pool": f(drawn).mean(),
      "f_noise": f(noise(key_noise, minibatch)).mean(),
    }

  return System(init, step, sample, evaluate)


def stages(state: State) -> Stages:
  """What a sample goes through at this state: the snapshots of ended stages, then the weights that sample."""
  return cascade.stages(state.cascade, weights(state), state.bounds)
