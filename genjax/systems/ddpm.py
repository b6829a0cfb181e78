"""A diffusion model: a net that learns to predict the noise in noisy images, and makes images from noise step by step.

Papers   DDPM  Ho, Jain & Abbeel 2020, arXiv:2006.11239: Algorithms 1 and 2, the loss of eq 14, the bound of eq 5
         DDIM  Song, Meng & Ermon 2021, arXiv:2010.02502, eq 12 and 16: `sampler_steps`, `eta`
         cosine schedule, learned variance  Nichol & Dhariwal 2021, arXiv:2102.09672, eq 15 to 17: `variance`
         velocity  Salimans & Ho 2022, arXiv:2202.00512: `prediction`
         guidance without a classifier  Ho & Salimans 2022, arXiv:2207.12598, Algorithms 1 and 2: `guidance`
Departs  The loss is a mean over pixels, as in the released code; the paper writes the sum.
         As in the released code, the image that a step foresees is clipped to [-1, 1]; the paper does not say. The last
         step gives this image; the bound has the discretised decoder of eq 13.
         A learned variance has the loss of Nichol and Dhariwal's code: the squared error, and T / 1000 of the bound in
         bits a dimension, whose gradient does not reach the mean.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}, and "label" [B] int32 of a conditional model. net: (images
         [B, H, W, C], time [B] int32 in 0 ... steps - 1, labels [B] where it is conditional) -> [B, H, W, C], what
         `prediction` names, and as many channels again with a learned variance. The label K stands for none.
Checked  tests/systems/test_ddpm.py: Algorithm 2 in numpy; the exact net of normal data gives its mean and deviation
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.nets.training import mode
from genjax.ops import diffusion
from genjax.ops.diffusion import Predict, Prediction, Steps, Variance, alpha_bar
from genjax.ops.likelihood import Likelihood
from genjax.systems.checks import check_counts, check_images, check_shares, check_words
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
Schedule = Literal["linear", "cosine"]
PUBLISHED = adam(learning_rate=2e-4)
_LABELS = 0x6C6162  # "lab": the key of the labels that are left out, apart from those of time, noise and dropout


def ddpm(
  net: nn.Module,
  *,
  shape: tuple[int, int, int],
  classes: int | None = None,
  steps: int = 1000,
  schedule: Schedule = "linear",
  prediction: Prediction = "noise",
  variance: Variance = "beta_tilde",
  sampler_steps: int | None = None,
  eta: float = 1.0,
  clip: bool = True,
  conditional: bool = False,
  label_dropout: float = 0.1,
  guidance: float = 0.0,
  optimizer: Optimizer = PUBLISHED,
  ema: float = 0.9999,
  accumulate: int = 1,
  remat: bool = False,
  sample_batch: int = 500,
) -> System:
  """A net that predicts noise as a System. Views: `sample`, `log_prob` (a lower bound), `classes` of a conditional one.

  `log_prob` is that of 8-bit images, -eq 5, with one draw of noise for each of the T times and without labels; its key
  is the same in every call.

  Args:
    net: see Shapes; `nets/unet.py`, `nets/dit.py`.
    shape: H, W, C.
    classes: number of labels of the data.
    steps: T, from an image to noise.
    schedule: of the noise, see `ops.diffusion.alpha_bar`.
    prediction: what the net says: the noise, the image without it, or the velocity sqrt(a) noise - sqrt(1 - a) image.
    variance: of a step back: beta or beta tilde, the paper's two choices, or between them as the net says.
    sampler_steps: steps of the sampler, spread evenly over the T; None: all.
    eta: the sampler's own noise, 1 for DDPM's, 0 for none (DDIM).
    clip: whether the image that a step of the sampler foresees is clipped to [-1, 1].
    conditional: whether the net sees labels.
    label_dropout: share of the labels that are left out in training, so that the net knows to do without.
    guidance: w of a conditional model: its samples follow (1 + w) noise(x, label) - w noise(x).
    optimizer: of the net.
    ema: decay of the averaged variables that sample; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.
    sample_batch: images that are sampled together.

  Raises:
    ValueError: a setting that is out of range, or settings that do not go together.
  """
  check_counts({"steps": steps, "sample_batch": sample_batch})
  check_shares({"label_dropout": label_dropout})
  count = steps if sampler_steps is None else sampler_steps
  _check_words(prediction, variance)
  _check_sampler(count, steps, eta, variance)
  _check_labels(conditional, classes, guidance)
  left = alpha_bar(steps, schedule)
  every = diffusion.steps_of(left, diffusion.times_of(steps, steps), 1.0, variance)
  net = _wider(net, 2 * shape[-1]) if variance == "learned" else net
  it = Model(net, shape, classes if conditional else None, left, every, prediction, variance, clip)

  def sample(key: Array, variables: Variables, n: int) -> Array:
    return _sample(it, Sampler(count, eta, guidance, sample_batch), key, variables, n)

  def kernels(key: Array, batch: Batch) -> dict[str, Kernel]:
    variables, n = _init(it, key, batch), batch["image"].shape[0]
    run = lambda key, variables: sample(key, variables, n)
    return {"sampler": Kernel(run, (key, variables), n * count, "image-denoising steps")}

  views: dict[str, Callable] = {"sample": sample, "log_prob": partial(_log_prob, it)}
  views["likelihood"] = lambda variables: Likelihood("bound")
  if conditional:
    views["classes"] = lambda variables: classes
  loss = partial(_loss, it, label_dropout)
  return fit(
    partial(_init, it), loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views, kernels=kernels
  )


def _check_words(prediction: str, variance: str) -> None:
  words = {"prediction": (prediction, "noise", "image", "velocity")}
  check_words({**words, "variance": (variance, "beta_tilde", "beta", "learned")})


def _check_sampler(count: int, steps: int, eta: float, variance: str) -> None:
  if not 1 <= count <= steps:
    raise ValueError(f"sampler_steps {count}; use 1 to {steps} (steps), or None for all")
  if not 0 <= eta <= 1:
    raise ValueError(f"eta {eta} is not in [0, 1]; use 1 for DDPM, 0 for DDIM")
  if eta != 1 and variance != "beta_tilde":
    raise ValueError(f"eta {eta} with variance {variance!r}; use variance 'beta_tilde', or eta 1")


def _check_labels(conditional: bool, classes: int | None, guidance: float) -> None:
  if conditional and classes is None:
    raise ValueError("conditional=True, but the data have no labels (classes is None); set conditional=False")
  if guidance and not conditional:
    raise ValueError(f"guidance {guidance} of a model that sees no labels; set conditional=True, or guidance=0")


def _wider(net: nn.Module, outputs: int) -> nn.Module:
  """The net with as many channels of its result."""
  if not hasattr(net, "outputs"):
    name = type(net).__name__
    raise ValueError(f"variance 'learned' needs a net with a field `outputs`, such as unet; {name} has none")
  return net.clone(outputs=outputs)


# Training -------------------------------------------------------------------------------------------------------------


class Model(NamedTuple):
  """What training, sampler and bound share."""

  net: nn.Module
  shape: tuple[int, int, int]
  classes: int | None  # None: the net sees no labels
  left: np.ndarray
  every: Steps
  prediction: Prediction
  variance: Variance
  clip: bool


def _init(it: Model, key: Array, batch: Batch) -> Variables:
  images = batch["image"][:1]
  check_images(images, it.shape, 1, "1")
  if it.classes is not None and "label" not in batch:
    raise ValueError("conditional=True, but a batch has no 'label'; use data with labels, or conditional=False")
  labels = () if it.classes is None else (jnp.zeros((1,), jnp.int32),)
  return it.net.init(key, images, jnp.zeros((1,), jnp.int32), *labels)


def _loss(
  it: Model, label_dropout: float, key: Array, variables: Variables, batch: Batch
) -> tuple[Array, tuple[Any, Metrics]]:
  images, steps = batch["image"], len(it.left)
  key_time, key_noise, key_dropout = jax.random.split(key, 3)
  time = jax.random.randint(key_time, images.shape[:1], 0, steps)
  noise = jax.random.normal(key_noise, images.shape)
  step = jax.tree.map(lambda row: row[time][:, None, None, None], it.every)
  seen = step.signal * images + step.spread * noise
  said, collections = it.net.apply(
    variables,
    seen,
    time,
    *_labels_seen(it, label_dropout, jax.random.fold_in(key, _LABELS), batch),
    **mode(it.net, True),
    rngs={"dropout": key_dropout},
    mutable=list(collections_of(variables)),
  )
  said, share = _parts(it, said)
  wanted = diffusion.target_of(it.prediction, images, noise, step.signal, step.spread)
  value = ((wanted - said) ** 2).mean()
  if share is None:
    return value, (collections, {})
  fixed = lax.stop_gradient(diffusion.noise_of(it.prediction, said, seen, step.signal, step.spread))
  nats = diffusion.term(images, seen, fixed, share, step, clip=it.clip, variance=it.variance)
  bits = nats.mean() / math.prod(it.shape) / math.log(2)
  return value + steps / 1000 * bits, (collections, {"squared_error": value, "bits_of_a_step": bits})


def _labels_seen(it: Model, label_dropout: float, key: Array, batch: Batch) -> tuple[Array, ...]:
  """The labels of a batch, a share of them replaced by that which stands for none."""
  if it.classes is None:
    return ()
  label = batch["label"]
  return (jnp.where(jax.random.bernoulli(key, label_dropout, label.shape), it.classes, label),)


def _parts(it: Model, said: Array) -> tuple[Array, Array | None]:
  """What a net says, float32, and the share of a learned variance."""
  said = said.astype(jnp.float32)
  return tuple(jnp.split(said, 2, -1)) if it.variance == "learned" else (said, None)


# Views ----------------------------------------------------------------------------------------------------------------


class Sampler(NamedTuple):
  count: int
  eta: float
  guidance: float
  batch: int


def _predict(it: Model, variables: Variables, label: Array | None, guidance: float = 0.0) -> Predict:
  """The net as the sampler and the bound ask it: the noise in images, and the share of a learned variance."""

  def said_of(images: Array, time: Array, *labels: Array) -> tuple[Array, Array | None]:
    said, share = _parts(it, it.net.apply(variables, images, jnp.full(images.shape[:1], time), *labels))
    return diffusion.noise_of(it.prediction, said, images, it.every.signal[time], it.every.spread[time]), share

  if label is None:
    return said_of
  if not guidance:
    return lambda images, time: said_of(images, time, label)

  def guided(images: Array, time: Array) -> tuple[Array, Array | None]:
    labels = jnp.concatenate([label, jnp.full_like(label, it.classes)])
    noise, share = said_of(jnp.concatenate([images, images]), time, labels)
    half = len(images)
    return (1 + guidance) * noise[:half] - guidance * noise[half:], None if share is None else share[:half]

  return guided


def _sample(it: Model, sampler: Sampler, key: Array, variables: Variables, n: int) -> Array:
  """n images, `sampler.batch` at a time; devices that share the images share every batch.

  Of a conditional model image i is of class i modulo their number.
  """
  size = min(n, sampler.batch)
  chunks = -(-n // size)
  label = jnp.arange(size * chunks, dtype=jnp.int32).reshape(size, chunks).swapaxes(0, 1) % (it.classes or 1)
  options = {"count": sampler.count, "eta": sampler.eta, "clip": it.clip, "variance": it.variance}

  def denoise(keyed: tuple[Array, Array]) -> Array:
    predict = _predict(it, variables, None if it.classes is None else keyed[1], sampler.guidance)
    return diffusion.denoised(keyed[0], predict, (size, *it.shape), it.left, **options)

  images = lax.map(denoise, (jax.random.split(key, chunks), label))  # [chunks, size, H, W, C]
  return jnp.clip(images.swapaxes(0, 1).reshape(-1, *it.shape)[:n], -1, 1)


def _log_prob(it: Model, variables: Variables, x: Array) -> Array:
  label = None if it.classes is None else jnp.full(len(x), it.classes, jnp.int32)
  return diffusion.bound(
    jax.random.key(0), _predict(it, variables, label), x, it.left, clip=it.clip, variance=it.variance
  )
