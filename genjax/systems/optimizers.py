"""Optimisers of a config: a rule of optax with its schedule, its clipping and its weight decay, as one object.

Papers   adam     Kingma & Ba 2015, arXiv:1412.6980; AdamW  Loshchilov & Hutter 2019, arXiv:1711.05101
         rmsprop  Tieleman & Hinton 2012, lecture 6.5
         sgd      with the momentum of Polyak 1964 or Nesterov 1983
Departs  rmsprop adds epsilon to the root, as PyTorch and so the code of WGAN and MMD-GAN do; optax has it under the
         root, where clipped weights, whose gradients are far below sqrt(epsilon), hardly move: `eps_in_sqrt`.
         A rule that is unrolled (Metz et al. 2017, arXiv:1611.02163) needs a derivative everywhere, and the root of a
         moment that is exactly 0 (a dead unit) has none: Adam adds 1e-16 under it, rmsprop moves epsilon under it.
Checked  tests/systems/test_optimizers.py: each rule, schedule and clipping in numpy.

An Optimizer is built without knowing in what system it will serve. The system says how many updates it makes in one of
its steps, so that `decay_steps`, `warmup_steps` and `drops` count steps of the run in every system:

    optimizer = adam(learning_rate=2e-4, schedule="linear", decay_steps=10_000)
    rule = optimizer(5)  # an optax.GradientTransformation for five updates a step
"""

import math
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
import optax

from genjax.systems.checks import check_shares, check_words

Optimizer = Callable[..., optax.GradientTransformation]  # (updates_per_step: int = 1, *, unrolled: bool = False)
Schedule = Literal["constant", "linear", "cosine", "steps"]
Drops = tuple[tuple[int, float], ...]
UNROLLED = 1e-16  # added under Adam's root where the update is differentiated


def adam(
  *,
  learning_rate: float = 1e-3,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  schedule: Schedule = "constant",
  decay_steps: int | None = None,
  warmup_steps: int = 0,
  drops: Drops = (),
  clip_norm: float | None = None,
  weight_decay: float = 0.0,
) -> Optimizer:
  """Adam; AdamW where there is weight decay.

  Args:
    learning_rate: the greatest value that the schedule takes.
    b1: decay of the mean of the gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the squares.
    schedule: "constant"; "linear" or "cosine" to 0 over `decay_steps`; "steps" at `drops`.
    decay_steps: steps of the run over which the learning rate falls to 0. Unused by "constant" and "steps".
    warmup_steps: in the first steps, the learning rate is multiplied by a factor that rises linearly to 1.
    drops: (step, factor) in rising order; from that step on, the learning rate is `learning_rate` times the factor.
    clip_norm: gradients whose norm over all leaves is greater are scaled to this norm. None does not clip.
    weight_decay: multiplied by the weights and the learning rate, and subtracted from the weights.

  Raises:
    ValueError: a setting that is out of range, or settings that do not go together.
  """
  scheduled = _scheduled(learning_rate, schedule, decay_steps, warmup_steps, drops)
  _check_changes(clip_norm, weight_decay)
  check_shares({"b1": b1, "b2": b2})

  def build(updates_per_step: int = 1, *, unrolled: bool = False) -> optax.GradientTransformation:
    moments = {"b1": b1, "b2": b2, "eps": eps, "eps_root": UNROLLED if unrolled else 0.0}
    if weight_decay:
      rule = optax.adamw(scheduled(updates_per_step), weight_decay=weight_decay, **moments)
    else:
      rule = optax.adam(scheduled(updates_per_step), **moments)
    return _chained(clip_norm, 0.0, rule)

  return build


def rmsprop(
  *,
  learning_rate: float = 1e-3,
  decay: float = 0.9,
  momentum: float = 0.0,
  eps: float = 1e-8,
  eps_in_sqrt: bool = False,
  schedule: Schedule = "constant",
  decay_steps: int | None = None,
  warmup_steps: int = 0,
  drops: Drops = (),
  clip_norm: float | None = None,
  weight_decay: float = 0.0,
) -> Optimizer:
  """RMSProp.

  Args:
    decay: of the mean of the squared gradients.
    momentum: of the scaled gradients; 0 keeps none.
    eps: added to the root of the mean of the squares.
    eps_in_sqrt: True adds `eps` to the mean instead, under the root, as optax does.
    weight_decay: multiplied by the weights and added to the gradient.
    learning_rate, schedule, decay_steps, warmup_steps, drops, clip_norm: as those of `adam`.

  Raises:
    ValueError: as `adam` does.
  """
  scheduled = _scheduled(learning_rate, schedule, decay_steps, warmup_steps, drops)
  _check_changes(clip_norm, weight_decay)
  check_shares({"decay": decay, "momentum": momentum})

  def build(updates_per_step: int = 1, *, unrolled: bool = False) -> optax.GradientTransformation:
    moved = unrolled and not eps_in_sqrt
    rule = optax.rmsprop(
      scheduled(updates_per_step),
      decay=decay,
      momentum=momentum or None,
      eps=eps**2 if moved else eps,  # the same divisor where the moment is 0
      eps_in_sqrt=eps_in_sqrt or moved,
    )
    return _chained(clip_norm, weight_decay, rule)

  return build


def sgd(
  *,
  learning_rate: float = 1e-2,
  momentum: float = 0.0,
  nesterov: bool = False,
  schedule: Schedule = "constant",
  decay_steps: int | None = None,
  warmup_steps: int = 0,
  drops: Drops = (),
  clip_norm: float | None = None,
  weight_decay: float = 0.0,
) -> Optimizer:
  """Gradient descent.

  Args:
    momentum: the share of the previous update that is kept; 0 keeps none.
    nesterov: whether the gradient is looked at one update ahead.
    weight_decay: multiplied by the weights and added to the gradient, before the momentum.
    learning_rate, schedule, decay_steps, warmup_steps, drops, clip_norm: as those of `adam`.

  Raises:
    ValueError: as `adam` does.
  """
  scheduled = _scheduled(learning_rate, schedule, decay_steps, warmup_steps, drops)
  _check_changes(clip_norm, weight_decay)
  check_shares({"momentum": momentum})

  def build(updates_per_step: int = 1, *, unrolled: bool = False) -> optax.GradientTransformation:
    del unrolled  # a linear rule has a derivative everywhere
    rule = optax.sgd(scheduled(updates_per_step), momentum=momentum or None, nesterov=nesterov)
    return _chained(clip_norm, weight_decay, rule)

  return build


def _scheduled(
  peak: float, schedule: Schedule, decay_steps: int | None, warmup_steps: int, drops: Drops
) -> Callable[[int], float | optax.Schedule]:
  """Updates per step -> the learning rate: a number, or a function of the count of updates. Raises ValueError."""
  if not 0 < peak < math.inf:
    raise ValueError(f"learning_rate {peak}; use a number above 0")
  check_words({"schedule": (schedule, "constant", "linear", "cosine", "steps")})
  if warmup_steps < 0:
    raise ValueError(f"warmup_steps {warmup_steps}; use 0 for none, or more")
  if (decay_steps is not None and decay_steps < 1) or (decay_steps is None and schedule in ("linear", "cosine")):
    raise ValueError(f"schedule {schedule!r} with decay_steps {decay_steps}; set decay_steps to at least 1")
  if drops and schedule != "steps":
    raise ValueError(f"drops {drops} with schedule {schedule!r}; use schedule='steps', or drops=()")
  places = [step for step, _ in drops]
  if places != sorted(set(places)) or any(step < 1 for step in places):
    raise ValueError(f"drops {drops}; use (step, factor) with steps that rise from 1")

  def of(updates_per_step: int) -> float | optax.Schedule:
    rise = warmup_steps * updates_per_step
    if schedule == "constant" and not rise:
      return peak
    full = optax.constant_schedule(peak)
    if schedule == "linear":
      full = optax.linear_schedule(peak, 0.0, decay_steps * updates_per_step)
    elif schedule == "cosine":
      full = optax.cosine_decay_schedule(peak, decay_steps * updates_per_step)
    elif schedule == "steps":
      pieces = [optax.constant_schedule(peak * factor) for factor in (1.0, *(factor for _, factor in drops))]
      full = optax.join_schedules(pieces, [step * updates_per_step for step in places])
    return (lambda count: full(count) * jnp.minimum(1.0, (count + 1) / rise)) if rise else full

  return of


def _check_changes(clip_norm: float | None, weight_decay: float) -> None:
  if clip_norm is not None and clip_norm <= 0:
    raise ValueError(f"clip_norm {clip_norm}; use a number above 0, or None to clip nothing")
  if weight_decay < 0:
    raise ValueError(f"weight_decay {weight_decay}; use 0 for none, or more")


def _chained(
  clip_norm: float | None, weight_decay: float, rule: optax.GradientTransformation
) -> optax.GradientTransformation:
  """The rule, after clipping and after weight decay in the gradient where they are asked for."""
  before = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
  before += [optax.add_decayed_weights(weight_decay)] if weight_decay else []
  return optax.chain(*before, rule) if before else rule
