"""The supervised WINN: a classifier that also learns to separate its classes from pseudo-negatives that it makes.

The loss is the cross-entropy of real images and their classes, plus alpha times an objective over f of real images
and of pseudo-negatives of the same classes. With `inn_objective()` it is ICN; with alpha 0 and synthesis 0 it is the
baseline, a plain classifier, from the same weights and the same batches for the same keys.

Papers   WINN  Lee, Xu, Fan & Tu, CVPR 2018; dissertation (UCSD 2022) section 2.5.6
         ICN   Jin, Lazarow & Tu, NeurIPS 2017
Departs  One `step` is `passes` over the batch in minibatches, then synthesis. Released code: an epoch of updates, then
         synthesis, as here where the batch is the whole set. The thesis writes sums over the two sets; means here, as
         in the released code. The goal t of a chain, its |f - t| and its stop are each image's own (`stop="example"`,
         the thesis); released code: those of the mean f of a batch, t between the least and greatest batch mean
         (`stop="batch"`). The range of f is taken over all positives of the step after its last update (released code:
         during the updates). The pool has a capacity. `ema` is ours, as in winn.py.
         Not in the thesis, and from the released code: chains minimise |f - t| and 0.5 (`class_weight`) times the
         cross-entropy with their class, and stop at |f - t| of 1e-3 (`tolerance`).
Shapes   n positives a step, m a minibatch, K classes; r new pseudo-negatives of each class a step. m divides n, r, the
         initial number and the capacity (both of one class), and is a multiple of the devices. Net: images -> (f [B],
         aux) with aux["class_logits"] [B, K].
Checked  tests/systems/test_winn_classifier.py, test_winn_classifier_loss.py, test_winn_classifier_refusals.py and
         tests/systems/contract.py.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from genjax.core import Batch, Kernel, Metrics, System, whole
from genjax.nets.noise import Noise
from genjax.objectives.terms import Objective, play, to_float32
from genjax.objectives.zoo import winn_objective
from genjax.ops import langevin, pool
from genjax.ops.canvas import Stage
from genjax.systems.checks import check_average, check_counts, check_images
from genjax.systems.class_synthesis import Synthesis, read, synthesis_of
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

Array = jax.Array
OBJECTIVE = winn_objective()  # eq 2.6 with lambda 10
OPTIMIZER = adam(learning_rate=1e-3, b1=0.0, b2=0.9)
SAMPLER = langevin.adam(learning_rate=0.02, b1=0.9, b2=0.9)
METRICS = ("loss", "cross_entropy", "error")  # of an update
_DROPOUT = 0x6472  # "dr": keys of an update apart from those of the objective


class State(NamedTuple):
  step: Array  # [] int32, finished steps
  params: Any  # the net's variables
  ema: Any  # the average of params, or None
  optimizer: optax.OptState
  terms: Any  # of the objective; None in the baseline, like what follows
  pool: pool.Pool | None  # pseudo-negatives by class: slot j * K + c for class c at position j of a minibatch
  bounds: Array | None  # [2] least and greatest f over positives, of the weights that sample


def winn_classifier(
  net: nn.Module,
  noise: Noise,
  *,
  shape: tuple[int, int, int],
  classes: int,
  objective: Objective = OBJECTIVE,
  optimizer: Optimizer = OPTIMIZER,
  sampler: langevin.Rule = SAMPLER,
  alpha: float = 0.01,
  passes: int = 1,
  minibatch: int = 100,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
  ascent_steps: int = 2000,
  class_weight: float = 0.5,
  tolerance: float = 1e-3,
  stop: Stop = "example",
  synthesis: int = 100,
  synthesis_batch: int = 100,
  initial: int = 100,
  capacity: int = 20_100,
  policy: pool.Policy = "reservoir",
  pool_dtype: PoolType = "float32",
  queues: int | None = None,
) -> System:
  """The supervised WINN as a System.

  Views: score (f), classify and, unless it is the baseline, sample (image i is of class i modulo K) and stages.

  Args:
    net: images [B, H, W, C] -> (f [B], aux) with aux["class_logits"] [B, K]. A net whose head_classes is None gets K.
    noise: p0, (key, n) -> images; see nets/noise.py.
    shape: H, W, C.
    classes: K.
    objective: over f of real images and of pseudo-negatives of their classes.
    optimizer: of the net.
    sampler: how images move.
    alpha: weight of the objective; 0 together with synthesis 0: the baseline, without pool and without samples.
    passes: how often a step goes over its positives.
    minibatch: m positives, and m pseudo-negatives, an update.
    ema: decay per update of averaged weights, which are then those that sample and classify; 0: none.
    accumulate, remat: as `winn` has them.
    ascent_steps: at most this many moves of a chain.
    class_weight: of the cross-entropy with the wanted class in what chains minimise.
    tolerance: a chain stops when |f - t| is at most this.
    stop: f, t and the stop of each image (thesis), or of the mean over a synthesis batch (released code).
    synthesis: r, new pseudo-negatives of each class a step.
    synthesis_batch: as `winn` has it.
    initial: p0 images of each class in the pool at the start.
    capacity: of the pool, for each class; the default holds 200 steps, as in the released code.
    policy, pool_dtype: of the pool.
    queues: as `winn` has them.

  Raises:
    ValueError: sizes that do not divide, with the sizes to use, or a net with other classes.
  """
  net = _with_classes(net, classes)
  check_counts({"passes": passes, "minibatch": minibatch})
  check_average(ema)
  check_parts(accumulate, {"minibatch": minibatch})
  check_pool(stop, policy, pool_dtype)
  introspective = _check_synthesis(alpha, synthesis, synthesis_batch, initial, capacity, classes, minibatch)
  settings = {"steps": ascent_steps, "stop": stop, "class_weight": class_weight, "tolerance": tolerance}
  settings |= {"classes": classes, "together": synthesis_batch, "positions": minibatch}
  sampling = synthesis_of(net, noise, sampler, **settings, queues=math.gcd(queues or minibatch, minibatch))
  put = lambda key, into, images: pool.append(key, into, store(images, pool_dtype), policy=policy)

  def init(key: Array, batch: Batch) -> State:
    _check_batch(batch, shape, minibatch)
    key_net, key_noise, key_pool = jax.random.split(key, 3)
    params = initial_variables(net, key_net, shape, classes)
    filled = None
    if introspective:
      room = pool.empty(minibatch * classes, capacity // minibatch, shape, jnp.dtype(pool_dtype))
      filled = put(key_pool, room, sampling.start(key_noise, classes * initial))
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
    reals = {name: minibatches(batch[name], minibatch) for name in ("image", "label")}
    fakes = _drawn(key_draw, state.pool, shape) if introspective else None
    count = reals["image"].shape[0]
    learner, metrics = learn(
      key_update,
      Learner(state.params, state.ema, state.optimizer, state.terms),
      partial(_minibatch, reals, fakes),
      partial(_loss, net, objective, alpha) if introspective else partial(_baseline_loss, net),
      optimizer(passes * count),
      count=passes * count,
      ema=ema,
      metrics=METRICS + ("wasserstein",) * introspective,
      accumulate=accumulate,
      remat=remat,
    )
    if not introspective:
      return State(state.step + 1, *learner, None, None), metrics
    params = whole(learner.params)
    bounds = range_of_f(f_of(net, params), reals["image"], stop)
    made = sampling.move(key_synthesise, params, bounds, _each_class(minibatch, classes, synthesis))
    filled = put(key_pool, state.pool, made[0].images)
    metrics = {**metrics, **_measures(bounds, made)}
    if ema:
      bounds = range_of_f(f_of(net, whole(learner.ema)), reals["image"], stop)
    return State(state.step + 1, *learner, filled, bounds), metrics

  def kernels(key: Array, batch: Batch) -> Mapping[str, Kernel]:
    return {"bare gradient": gradient_kernel(net, initial_variables(net, key, shape), noise(key, synthesis_batch))}

  return System(init, step, _views(net, sampling if introspective else None, classes), kernels)


# Settings -------------------------------------------------------------------------------------------------------------


def _with_classes(net: nn.Module, classes: int) -> nn.Module:
  """The net with class logits of the data's classes."""
  if classes < 2:
    raise ValueError(f"classes {classes}; a classifier takes 2 at least")
  head = getattr(net, "head_classes", classes)
  if head is None:
    return net.clone(head_classes=classes)
  if head != classes:
    raise ValueError(f"the net has head_classes {head}, the data have {classes} classes; leave head_classes out")
  return net


def _check_synthesis(
  alpha: float, synthesis: int, together: int, initial: int, capacity: int, classes: int, minibatch: int
) -> bool:
  """Whether there are pseudo-negatives at all. Raises ValueError for sizes that do not go together."""
  if (alpha == 0) != (synthesis == 0):
    raise ValueError(f"alpha {alpha} with synthesis {synthesis}; use 0 for both (the baseline) or for neither")
  if not synthesis:
    return False
  check_sizes({"synthesis": synthesis, "initial": initial, "capacity": capacity}, minibatch, " of a class")
  every = classes * synthesis
  if together < 1 or every % together or together % minibatch:
    raise ValueError(
      f"synthesis_batch {together} must divide classes * synthesis, {every}, and be a multiple of minibatch "
      f"{minibatch}; use {minibatch}"
    )
  return True


def _check_batch(batch: Batch, shape: tuple[int, int, int], minibatch: int) -> None:
  if "label" not in batch:
    raise ValueError("the batch has no labels; a classifier takes a data set with labels (config.data.name)")
  check_images(batch["image"], shape, minibatch, "the minibatch")


# Losses ---------------------------------------------------------------------------------------------------------------


def _minibatch(reals: Batch, fakes: Callable[[Array, Array], Array] | None, index: Array) -> Batch:
  """The examples of an update: positives, of those [minibatches, m, ...], and pseudo-negatives of their classes."""
  place = index % reals["image"].shape[0]
  own = {name: rows[place] for name, rows in reals.items()}
  return own if fakes is None else {**own, "fake": fakes(place, own["label"])}


def _baseline_loss(
  net: nn.Module, key: Array, params: Any, terms: Any, batch: Batch
) -> tuple[Array, tuple[Any, Metrics]]:
  """The cross-entropy alone."""
  logits = read(net, params, batch["image"], jax.random.fold_in(key, _DROPOUT))[1]
  crossed, metrics = _classified(logits, batch["label"])
  return crossed, (terms, {**metrics, "loss": crossed})


def _loss(
  net: nn.Module, objective: Objective, alpha: float, key: Array, params: Any, terms: Any, batch: Batch
) -> tuple[Array, tuple[Any, Metrics]]:
  """The cross-entropy of a minibatch, plus alpha times the objective."""
  critic = critic_of(net, params, jax.random.fold_in(key, _DROPOUT))
  round = play(critic, batch["image"], batch["fake"], labels=batch["label"], critic_params=params)
  crossed, metrics = _classified(to_float32(round.real_aux["class_logits"]), batch["label"])
  between, terms = objective.critic.apply(key, terms, round)
  value = crossed + alpha * between
  distance = round.real_out.mean() - round.fake_out.mean()
  return value, (terms, {**metrics, "loss": value, "wasserstein": distance})


def _drawn(key: Array, filled: pool.Pool, shape: tuple[int, int, int]) -> Callable[[Array, Array], Array]:
  """(place, labels [m]) -> a pseudo-negative of each label; the same ones whenever a pass comes to a place."""
  draw = lambda place, label: pool.draw_class(jax.random.fold_in(key, place), filled, label[:, None])[:, 0]
  return lambda place, label: recall(draw(place, label), shape)


def _each_class(minibatch: int, classes: int, synthesis: int) -> Array:
  """The classes [m, columns] of a step's pseudo-negatives: as many of each at each position."""
  columns = jnp.repeat(jnp.arange(classes, dtype=jnp.int32), synthesis // minibatch)
  return jnp.broadcast_to(columns, (minibatch, columns.size))


def _classified(logits: Array, label: Array) -> tuple[Array, Metrics]:
  """The mean cross-entropy, as a loss, and the metrics of a classification."""
  crossed = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
  return crossed, {"cross_entropy": crossed, "error": (logits.argmax(-1) != label).mean()}


def _views(net: nn.Module, sampling: Synthesis | None, classes: int) -> dict[str, Callable[..., Any]]:
  """What a state can do; only with a synthesis it has samples."""
  views: dict[str, Callable[..., Any]] = {
    "score": lambda state, x: f_of(net, weights(state))(x),
    "classify": lambda state, x: critic_of(net, weights(state))(x)[1]["class_logits"],
  }
  if sampling is not None:
    views["sample"] = lambda key, state, n: sampling.sample(key, weights(state), state.bounds, n)
    views["classes"] = lambda state: classes
    views["stages"] = lambda state: [Stage(f_of(net, weights(state)), state.bounds)]
  return views


def _measures(bounds: Array, made: Made) -> Metrics:
  chains = made[0]
  return {
    "f_least": bounds[0],
    "f_greatest": bounds[1],
    "off": -chains.scores.mean(),
    "moves": chains.moves.mean(dtype=jnp.float32),
    "stopped": chains.stopped.mean(dtype=jnp.float32),
    "gradients_used": gradients_used(made),
  }
