"""WINN: one CNN classifies real images from its own, and generates by ascending its own score on the image.

Papers   WINN  Lee, Xu, Fan & Tu, CVPR 2018; dissertation (UCSD 2022) chapter 2, Algorithm 1 (WINN-single), eq 2.6, 2.7;
         section 2.4.2, eq 2.9 (cascades)
         INN  Lazarow, Jin & Tu, ICCV 2017: the same with `objective=inn_objective()`
Departs  One `step` is one iteration of Algorithm 1: classification, then synthesis. Algorithm 1 makes k updates an
         iteration, each from fresh draws; here, as in the released code, k passes over one batch of positives and as
         many pseudo-negatives, drawn once. Every step draws new p0 images, as in Algorithm 1 (released code: from a
         fixed 10,000). The pool has a capacity (ops/pool.py). The range of f is taken over all positives of the step
         after its last update (released code: over batch means during the last pass).
         Settings where the released code differs from the thesis: `stop` (per batch), `sampler` (b2 0.999),
         `pool_dtype` (8 bit, its images go through PNG files), `ramp` (5: the first steps see 1/5, 2/5 ... of a batch).
         `ema` is ours: an average of the weights to sample from; 0 samples from the weights themselves, as published.
         A net with dropout drops while it learns and while chains climb (thesis: in place of Langevin's noise; released
         code: no dropout), by a key of each update, or of each chain and move; never where f is measured.
Shapes   n positives a step, m a minibatch (m positives and m pseudo-negatives), r new pseudo-negatives a step; m
         divides n, r, the capacity, and is a multiple of the devices. Position j of a minibatch uses pool slot j.
Checked  tests/systems/test_winn.py, test_winn_classification.py, test_winn_refusals.py, test_winn_cascade.py and
         contract.py.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System, whole
from genjax.nets.noise import Noise
from genjax.objectives.terms import Objective, play
from genjax.objectives.zoo import winn_objective
from genjax.ops import langevin, pool
from genjax.ops.canvas import Stage
from genjax.systems import cascade
from genjax.systems.cascade import Cascade, Path
from genjax.systems.checks import check_average, check_counts, check_images
from genjax.systems.optimizers import Optimizer, adam
from genjax.systems.parts import check_parts
from genjax.systems.passes import Learner, learn
from genjax.systems.pseudo_negatives import (
  Made,
  PoolType,
  Stop,
  check_pool,
  check_sizes,
  critic_of,
  f_of,
  gradient_kernel,
  gradients_used,
  initial_variables,
  minibatches,
  range_of_f,
  recall,
  store,
  weights,
)
from genjax.systems.synthesis import Synthesis, synthesis_of

Array = jax.Array
Put = Callable[[Array, pool.Pool, Array], pool.Pool]  # key, pool, images -> the pool with the images
OBJECTIVE = winn_objective()  # eq 2.6 with lambda 10
OPTIMIZER = adam(learning_rate=1e-4, b1=0.0, b2=0.9)
SAMPLER = langevin.adam(learning_rate=0.01, b1=0.9, b2=0.99)
_DROPOUT, _HAND_OVER = 0x6472, 0x686F  # keys of a step apart from those that it splits off


class State(NamedTuple):
  step: Array  # [] int32, finished iterations of Algorithm 1
  params: Any  # the net's variables
  ema: Any  # the average of params, or None
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
  objective: Objective = OBJECTIVE,
  optimizer: Optimizer = OPTIMIZER,
  sampler: langevin.Rule = SAMPLER,
  passes: int = 3,
  minibatch: int = 50,
  ramp: int = 1,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
  ascent_steps: int = 2000,
  stop: Stop = "example",
  synthesis: int = 1000,
  synthesis_batch: int | None = 100,
  initial: int = 10_000,
  capacity: int = 10_000,
  policy: pool.Policy = "reservoir",
  pool_dtype: PoolType = "float32",
  cascades: int = 1,
  cascade_steps: int | None = None,
  starts: int = 10_000,
  queues: int | None = None,
) -> System:
  """WINN as a System: WINN-single, or a cascade of K stages. Views: sample, score (f) and stages.

  Args:
    net: images [B, H, W, C] -> (logits [B], aux); f is the logit.
    noise: p0, (key, n) -> images; see nets/noise.py.
    shape: H, W, C.
    objective: what the classification minimises.
    optimizer: of the net.
    sampler: how images climb.
    passes: k, how often a step goes over its positives.
    minibatch: m positives and m pseudo-negatives an update.
    ramp: steps until a step uses its whole batch of positives; 1: from the first.
    ema: decay per update of the averaged weights that then sample; 0: none.
    accumulate, remat: parts of a minibatch, and whether values are computed again, see parts.py: less memory.
    ascent_steps: at most this many moves of a chain.
    stop: thresholds for each example (thesis) or for each synthesis batch (released code).
    synthesis: r, new pseudo-negatives a step.
    synthesis_batch: images that start together, of which gradients are computed together and, with `stop="batch"`, that
      stop together; None: all at once.
    initial: p0 images in the pool at the start.
    capacity, policy, pool_dtype: of the pool.
    cascades: K; 1 is WINN-single.
    cascade_steps: steps of each stage; the last one goes on for as long as the run does. Released code: 100.
    starts: images that a stage hands over; the chains of the next one start from them. They go into the pool too.
    queues: chains with `stop="example"` wait in so many, or in the greatest number that divides this and the minibatch.
      A multiple of the devices; a command gives their number. None: one for each position of a minibatch.

  Raises:
    ValueError: sizes that do not divide, with the sizes to use.
  """
  chunk = synthesis_batch or synthesis
  check_counts({"passes": passes, "minibatch": minibatch, "ramp": ramp, "cascades": cascades})
  sizes = {"synthesis": synthesis, "initial": initial, "capacity": capacity}
  if cascades > 1:
    check_counts({"cascade_steps": cascade_steps or 0})
    sizes["starts"] = starts
  _check_sizes(sizes, minibatch, chunk, accumulate, ema)
  check_pool(stop, policy, pool_dtype)
  settings = {"shape": shape, "steps": ascent_steps, "stop": stop, "chunk": chunk, "slots": minibatch}
  sampling = synthesis_of(net, noise, sampler, **settings, queues=math.gcd(queues or minibatch, minibatch))
  put = lambda key, into, images: pool.append(key, into, store(images, pool_dtype), policy=policy)
  room = lambda size: pool.empty(minibatch, size // minibatch, shape, jnp.dtype(pool_dtype))
  hand_over = _handing_over(sampling, put, stages=cascades, steps=cascade_steps, starts=starts, dtype=pool_dtype)

  def init(key: Array, batch: Batch) -> State:
    check_images(batch["image"], shape, minibatch, "the minibatch")
    key_net, key_noise, key_pool = jax.random.split(key, 3)
    params = initial_variables(net, key_net, shape)
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      ema=jax.tree.map(jnp.copy, params) if ema else None,
      optimizer=optimizer(1).init(params),
      terms=objective.critic.init(),
      pool=put(key_pool, room(capacity), sampling.start(key_noise, initial)),
      bounds=jnp.zeros((2,)),
      cascade=None if cascades == 1 else cascade.begin(params, cascades, room(starts)),
    )

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    real = batch["image"]
    check_images(real, shape, minibatch, "the minibatch")
    key_draw, key_update, key_synthesise, key_pool = jax.random.split(key, 4)
    state = hand_over(jax.random.fold_in(key, _HAND_OVER), state)
    reals, count = minibatches(real, minibatch), real.shape[0] // minibatch
    places = pool.choose(key_draw, state.pool, real.shape[0])
    fakes = lambda place: recall(pool.at(state.pool, places[:, place]), shape)  # a minibatch at a time: memory
    used = count if ramp == 1 else jnp.maximum(1, jnp.minimum(state.step + 1, ramp) * count // ramp)  # minibatches
    both = lambda index: {"real": reals[index % used], "fake": fakes(index % used)}
    learner, metrics = learn(
      key_update,
      Learner(state.params, state.ema, state.optimizer, state.terms),
      both,
      partial(_loss, net, objective),
      optimizer(passes * count),
      count=passes * used,
      ema=ema,
      metrics=("loss", "wasserstein"),
      accumulate=accumulate,
      remat=remat,
    )
    params = whole(learner.params)
    bounds = range_of_f(f_of(net, params), reals, stop)
    made = sampling.climb(key_synthesise, params, bounds, state.cascade, synthesis)
    metrics = {**metrics, **_measures(bounds, made)}
    if ema:
      bounds = range_of_f(f_of(net, whole(learner.ema)), reals, stop)
    filled = put(key_pool, state.pool, made[0].images)
    return State(state.step + 1, *learner, filled, bounds, state.cascade), metrics

  start = lambda key: (initial_variables(net, key, shape), noise(key, chunk))
  return System(init, step, _views(net, sampling), partial(_kernels, net, sampler, ascent_steps, start))


def path_of(state: State) -> Path:
  """What a sample goes through at this state: the snapshots of ended stages, then the weights that sample."""
  return cascade.path_of(state.cascade, weights(state), state.bounds)


def _check_sizes(sizes: Mapping[str, int], minibatch: int, chunk: int, accumulate: int, ema: float) -> None:
  check_sizes(sizes, minibatch)
  check_average(ema)
  check_parts(accumulate, {"minibatch": minibatch})
  for name in ("synthesis", "starts"):
    if sizes.get(name, 0) % chunk or chunk % minibatch:
      raise ValueError(
        f"synthesis_batch {chunk} must divide {name} {sizes[name]} and be a multiple of minibatch {minibatch}"
      )


# Classification -------------------------------------------------------------------------------------------------------


def _loss(
  net: nn.Module, objective: Objective, key: Array, params: Any, terms: Any, batch: Batch
) -> tuple[Array, tuple[Any, Metrics]]:
  """The objective on a minibatch, "real" and "fake" [m, H, W, C]."""
  critic = critic_of(net, params, jax.random.fold_in(key, _DROPOUT))
  round = play(critic, batch["real"], batch["fake"])  # in two calls: a TPU then adds up the gradient once, not twice
  value, after = objective.critic.apply(key, terms, round)
  return value, (after, {"loss": value, "wasserstein": round.real_out.mean() - round.fake_out.mean()})


def _handing_over(
  sampling: Synthesis,
  put: Put,
  *,
  stages: int,
  steps: int | None,
  starts: int,
  dtype: PoolType,
) -> Callable[[Array, State], State]:
  """Before the first step of a next stage: the weights are kept, and `starts` of their images are handed over."""

  def hand_over(key: Array, state: State) -> State:
    if state.cascade is None:
      return state

    def ends(state: State) -> State:
      key_climb, key_starts, key_pool = jax.random.split(key, 3)
      params = whole(weights(state))
      images = sampling.climb(key_climb, params, state.bounds, state.cascade, starts)[0].images
      handed = pool.append(key_starts, state.cascade.starts, store(images, dtype), policy="ring")
      return state._replace(
        cascade=cascade.close(state.cascade, params, state.bounds, handed), pool=put(key_pool, state.pool, images)
      )

    stage = jnp.minimum(state.step // steps, stages - 1)
    return lax.cond(stage > state.cascade.ended, ends, lambda state: state, state)

  return hand_over


def _measures(bounds: Array, made: Made) -> Metrics:
  chains = made[0]
  return {
    "f_least": bounds[0],
    "f_greatest": bounds[1],
    "f_synthesis": chains.scores.mean(),
    "moves": chains.moves.mean(dtype=jnp.float32),
    "stopped": chains.stopped.mean(dtype=jnp.float32),
    "gradients_used": gradients_used(made),
  }


def _views(net: nn.Module, sampling: Synthesis) -> dict[str, Callable[..., Any]]:
  return {
    "sample": lambda key, state, n: sampling.sample(key, path_of(state), n),
    "score": lambda state, x: f_of(net, weights(state))(x),
    "stages": partial(_stages, net),
  }


def _stages(net: nn.Module, state: State) -> list[Stage]:
  path = path_of(state)
  one = lambda k: jax.tree.map(lambda leaf: leaf[k], path.params)
  return [Stage(f_of(net, one(k)), path.bounds[k], path.active[k]) for k in range(path.active.shape[0])]


def _kernels(
  net: nn.Module,
  rule: langevin.Rule,
  steps: int,
  start: Callable[[Array], tuple[Any, Array]],
  key: Array,
  batch: Batch,
) -> Mapping[str, Kernel]:
  """All moves of a batch of chains, without a threshold, so that none of them stops; and one gradient of them."""
  params, images = start(key)
  ascend = partial(langevin.ascend, rule=rule, steps=steps)
  run = lambda key, params, images: ascend(key, f_of(net, params), images).images
  sampler = Kernel(run, (key, params, images), images.shape[0] * steps, "image-gradient steps")
  return {"sampler": sampler, "bare gradient": gradient_kernel(net, params, images)}
