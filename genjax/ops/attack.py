"""Attacks on classifiers: one step along the gradient's sign (FGSM) and projected gradient ascent (PGD), in one scan.

Every epsilon and step size is on the [0, 1] scale of pixels, as papers state them. Images here are in [-1, 1], a
range twice as large, so the code doubles both: the thesis' 0.125 moves a pixel by 0.25.

Three losses, to be climbed. The first is the thesis'. Its gradient is sum over k of (p_k - [k = label]) * grad z_k, and
where the classifier is sure, p_label rounds to 1 in float32: the label's own term, which should be -(1 - p_label),
becomes 0 or plus or minus 6e-8. The direction is then rounding noise, and once every other p_k underflows (logits 90
apart) it is 0 and the image does not move. A confident baseline so looks robust without being it. Exactly,

    cross-entropy = softplus(u),   u = logsumexp over k != label of z_k - z_label,   grad = sigmoid(u) * grad u,

and sigmoid(u) > 0 is one number per image, that neither a sign nor a normalised gradient sees. "log_odds" climbs u: it
is the attack on cross-entropy without the rounding, in exact arithmetic the same images. "margin" puts the largest
logit in place of the logsumexp (Carlini & Wagner). `gradient_report` measures how much of a data set this affects.

Papers   FGSM  Goodfellow, Shlens & Szegedy 2015, arXiv:1412.6572; PGD  Madry et al. 2018, arXiv:1706.06083
         margin  Carlini & Wagner 2017, arXiv:1608.04644; protocol  dissertation (UCSD 2022) section 2.5.6
Departs  Carlini & Wagner: the margin is not capped. Restarts keep the image of the largest margin, not of the largest
         loss: a higher cross-entropy need not be a mistake.
Shapes   B batch, K classes, H W C image. images [B, H, W, C] uint8, or float in [-1, 1]; labels [B] int; logits [B, K].
Checked  tests/ops/test_attack_foolbox.py: step by step; test_attack.py: float64 by hand where float32 is noise.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Array
from genjax.ops.augment import to_unit

Classify = Callable[[Array], Array]  # images [B, H, W, C] in [-1, 1] -> class logits [B, K], each from its own image
Loss = Callable[[Array, Array], Array]  # logits [B, K] float32, labels [B] -> [B]

_WIDTH = 2.0  # of [-1, 1], where epsilon is said on [0, 1]


class Attack(NamedTuple):
  """An attack, and its description in words. Pure; to compile it: jax.jit(attack.run, static_argnums=1)."""

  run: Callable[[Array, Classify, Array, Array], Array]
  described: str  # for cards

  def __call__(self, key: Array, classify: Classify, images: Array, labels: Array) -> Array:
    """Adversarial images [B, H, W, C] float32 in [-1, 1], each within epsilon of its image (also if that was wrong)."""
    return self.run(key, classify, images, labels)


# Losses ---------------------------------------------------------------------------------------------------------------


def cross_entropy(logits: Array, labels: Array) -> Array:
  """-log softmax of the label, as everyone computes it: flat, or noise, where float32 takes the label for certain."""
  return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


def log_odds(logits: Array, labels: Array) -> Array:
  """log((1 - p) / p) for p of the label: cross-entropy's direction, with no rounding at certainty."""
  of_label, others = _split(logits, labels)
  return jax.nn.logsumexp(others, axis=1) - of_label


def margin(logits: Array, labels: Array) -> Array:
  """The best other logit over the label's: positive where the classifier is wrong."""
  of_label, others = _split(logits, labels)
  worst = others.max(axis=1) - of_label
  return jnp.where(jnp.isnan(logits).any(axis=1), jnp.nan, worst)  # on a CPU `max` may drop a NaN (jaxlib 0.10)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "log_odds": log_odds, "margin": margin}


def _split(logits: Array, labels: Array) -> tuple[Array, Array]:
  """The label's logit [B], and all logits with -inf in its place [B, K]."""
  chosen = jax.nn.one_hot(labels, logits.shape[1], dtype=bool)
  return jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0], jnp.where(chosen, -jnp.inf, logits)


# Attacks --------------------------------------------------------------------------------------------------------------


def fgsm(epsilon: float, *, loss: str | Loss = "cross_entropy") -> Attack:
  """clip(x + epsilon * sign(gradient), -1, 1), once; a pixel whose gradient is 0 stays. The key is not used.

  Args:
    epsilon: on the [0, 1] scale; the thesis has 0.125 for MNIST and 0.005 for SVHN.
    loss: "cross_entropy" (the thesis), "log_odds", "margin", or a function of logits and labels.
  """
  name, climbed = _loss(loss)
  radius = _WIDTH * _checked(epsilon, "linf")

  def run(key: Array, classify: Classify, images: Array, labels: Array) -> Array:
    del key
    images = _images(images, labels)
    return _clipped(images + radius * jnp.sign(_gradient(classify, images, labels, climbed)))

  return Attack(run, f"FGSM, loss {name}, epsilon {epsilon:g} on [0, 1]")


def pgd(
  epsilon: float,
  *,
  norm: Literal["linf", "l2"] = "linf",
  steps: int = 40,
  step_size: float | None = None,
  random_start: bool = True,
  restarts: int = 1,
  loss: str | Loss = "cross_entropy",
) -> Attack:
  """Steps along the gradient's direction, each projected on the ball round the image and clipped to [-1, 1].

  Restart i has its own key, whatever their number, so more restarts never do worse. Noise is drawn for the batch.

  Args:
    epsilon: radius of the ball on the [0, 1] scale; of "l2" the length over all pixels of an image.
    norm: "linf" steps along the sign, "l2" along the gradient over its length (0 where that is 0).
    steps: of the ascent.
    step_size: on the [0, 1] scale; None: 2.5 epsilon / steps, which reaches any point of the ball.
    random_start: begin at a uniform point of the ball, else at the image.
    restarts: the result of each image is that of its restart with the largest margin.
    loss: "cross_entropy", "log_odds", "margin", or a function of logits and labels.
  """
  if norm not in _BALLS:
    raise ValueError(f"norm is {norm!r}; use 'linf' or 'l2'")
  name, climbed = _loss(loss)
  ball, radius = _BALLS[norm], _WIDTH * _checked(epsilon, norm)
  if steps < 1 or restarts < 1:
    raise ValueError(f"{steps} steps and {restarts} restarts; it takes one at least of each")
  if restarts > 1 and not random_start:
    raise ValueError(f"{restarts} restarts without random_start are all the same; use restarts=1 or random_start=True")
  size = 2.5 * epsilon / steps if step_size is None else step_size
  if not (math.isfinite(size) and size >= 0):
    raise ValueError(f"step_size is {size}; wanted a number from 0 up, on the [0, 1] scale of pixels")

  def run(key: Array, classify: Classify, images: Array, labels: Array) -> Array:
    images = _images(images, labels)

    def step(x: Array, _: None) -> tuple[Array, None]:
      x = x + _WIDTH * size * ball.direction(_gradient(classify, x, labels, climbed))
      return _clipped(images + ball.project(x - images, radius)), None

    def attempt(index: Array | int) -> Array:
      drawn = ball.draw(jax.random.fold_in(key, index), images.shape) if random_start else 0.0
      return lax.scan(step, _clipped(images + radius * drawn), length=steps)[0]

    def keep(best: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], None]:
      x = attempt(index)
      worst = margin(_logits(classify(x), labels), labels)
      better = (worst > best[1]) | jnp.isnan(worst)  # and a NaN, once there, stays
      return (jnp.where(_over(better, x), x, best[0]), jnp.where(better, worst, best[1])), None

    if restarts == 1:
      return attempt(0)
    nothing = (images, jnp.full(labels.shape, -jnp.inf))
    return lax.scan(keep, nothing, jnp.arange(restarts, dtype=jnp.int32))[0][0]

  start = f"{restarts} random start{'s' * (restarts > 1)}" if random_start else "from the image"
  return Attack(run, f"PGD {norm}, loss {name}, epsilon {epsilon:g} on [0, 1], {steps} steps of {size:.4g}, {start}")


ATTACKS: dict[str, Callable[..., Attack]] = {"fgsm": fgsm, "pgd": pgd}


# What float32 leaves of the gradient ----------------------------------------------------------------------------------


class GradientReport(NamedTuple):
  """What becomes of cross-entropy's gradient at each image."""

  zero: Array  # [B] bool: it is 0 in every pixel, so that the attack does nothing
  zero_pixels: Array  # [B] share of pixels where it is 0
  saturated: Array  # [B] bool: 1 - p of the label is below float32's spacing at 1 (6e-8): the label's term is rounding
  agreement: Array  # [B] share of pixels where its sign is that of the exact gradient


def gradient_report(classify: Classify, images: Array, labels: Array) -> GradientReport:
  """Compares the gradient of `cross_entropy` with the exact direction, that of `log_odds`."""
  images = _images(images, labels)
  plain = _gradient(classify, images, labels, cross_entropy)
  exact = _gradient(classify, images, labels, log_odds)
  wrong = jax.nn.sigmoid(log_odds(_logits(classify(images), labels), labels))
  zero = plain == 0
  axes = tuple(range(1, images.ndim))
  return GradientReport(
    zero.all(axes), zero.mean(axes), wrong < 2.0**-24, (jnp.sign(plain) == jnp.sign(exact)).mean(axes)
  )


# Balls ----------------------------------------------------------------------------------------------------------------


class _Ball(NamedTuple):
  direction: Callable[[Array], Array]  # gradient -> the move of unit size that climbs fastest
  project: Callable[[Array, float], Array]  # displacement, radius -> the nearest in the ball
  draw: Callable[[Array, tuple[int, ...]], Array]  # key, shape -> uniform in the ball of radius 1


def _unit(gradient: Array) -> Array:
  """Each image's gradient over its length. Squares of 1e-23 are 0 in float32, so the largest entry goes out first."""
  axes = tuple(range(1, gradient.ndim))
  largest = jnp.abs(gradient).max(axes, keepdims=True)
  flat = (gradient == 0).all(axes, keepdims=True)
  scaled = gradient / jnp.where(flat, 1.0, largest)
  return jnp.where(flat, 0.0, scaled / jnp.where(flat, 1.0, _length(scaled)))


def _length(x: Array) -> Array:
  return jnp.sqrt(jnp.sum(x**2, tuple(range(1, x.ndim)), keepdims=True))


def _shorten(displacement: Array, radius: float) -> Array:
  return displacement * jnp.minimum(1.0, radius / jnp.maximum(_length(displacement), 1e-12))


def _draw_round(key: Array, shape: tuple[int, ...]) -> Array:
  key_direction, key_length = jax.random.split(key)
  lengths = jax.random.uniform(key_length, shape[:1] + (1,) * (len(shape) - 1)) ** (1 / math.prod(shape[1:]))
  return _unit(jax.random.normal(key_direction, shape)) * lengths


_BALLS = {
  "linf": _Ball(
    jnp.sign,
    lambda displacement, radius: jnp.clip(displacement, -radius, radius),
    lambda key, shape: jax.random.uniform(key, shape, minval=-1.0, maxval=1.0),
  ),
  "l2": _Ball(_unit, _shorten, _draw_round),
}


# Doors ----------------------------------------------------------------------------------------------------------------


def _gradient(classify: Classify, images: Array, labels: Array, loss: Loss) -> Array:
  return jax.grad(lambda x: loss(_logits(classify(x), labels), labels).sum())(images)


def _logits(logits: Array, labels: Array) -> Array:
  if logits.ndim != 2 or logits.shape[0] != labels.shape[0] or logits.shape[1] < 2:
    raise ValueError(
      f"classify returned {list(logits.shape)} for {labels.shape[0]} images; wanted class logits [B, K], K at least 2 "
      "(of a net's (logits, aux) they are aux['class_logits'])"
    )
  return logits.astype(jnp.float32)


def _images(images: Array, labels: Array) -> Array:
  if images.ndim < 2 or labels.shape != images.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
    raise ValueError(
      f"images are {list(images.shape)} and labels {labels.dtype}{list(labels.shape)}; "
      "wanted [B, H, W, C] and one integer per image"
    )
  return to_unit(images)


def _clipped(images: Array) -> Array:
  return jnp.clip(images, -1.0, 1.0)


def _over(flags: Array, images: Array) -> Array:
  return flags.reshape(flags.shape + (1,) * (images.ndim - 1))


def _loss(loss: str | Loss) -> tuple[str, Loss]:
  if callable(loss):
    return getattr(loss, "__name__", repr(loss)), loss
  if loss not in LOSSES:
    raise ValueError(f"loss is {loss!r}; use one of {', '.join(LOSSES)}, or a function of logits and labels")
  return loss, LOSSES[loss]


def _checked(epsilon: float, norm: str) -> float:
  if not (math.isfinite(epsilon) and epsilon >= 0):
    raise ValueError(f"epsilon is {epsilon}; wanted a number from 0 up, on the [0, 1] scale of pixels")
  if norm == "linf" and epsilon > 1:
    raise ValueError(f"epsilon is {epsilon:g}; wanted the [0, 1] scale of pixels: of 0..255 divide by 255")
  return epsilon
