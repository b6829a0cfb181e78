"""A diffusion model: a net that learns to predict the noise in noisy images, and makes images from noise step by step.

Papers   DDPM  Ho, Jain & Abbeel 2020, arXiv:2006.11239: Algorithms 1 and 2, the loss of eq 14
         DDIM  Song, Meng & Ermon 2021, arXiv:2010.02502, eq 12 and 16: `sampler_steps`, `eta`
         cosine schedule  Nichol & Dhariwal 2021, arXiv:2102.09672, eq 17
Departs  The loss is a mean over pixels, as in the released code; the paper writes the sum.
         The variance of a step is beta tilde, the second of the paper's two choices: DDIM's with eta 1 on all steps.
         As in the released code, the image that a step foresees is clipped to [-1, 1]; the paper does not say. The last
         step gives this image, without a discretised decoder (eq 13).
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. net: (images [B, H, W, C], time [B] int32 in 0 ... steps - 1)
         -> the noise [B, H, W, C]. alpha_bar [steps] is the share of an image's variance that is left.
Checked  tests/systems/test_ddpm.py: Algorithm 2 in numpy; the exact net of normal data gives its mean and deviation
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.nets.training import mode
from genjax.systems.checks import check_counts, check_images, check_words
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
Schedule = Literal["linear", "cosine"]
PUBLISHED = adam(learning_rate=2e-4)


def ddpm(
  net: nn.Module,
  *,
  shape: tuple[int, int, int],
  steps: int = 1000,
  schedule: Schedule = "linear",
  sampler_steps: int | None = None,
  eta: float = 1.0,
  clip: bool = True,
  optimizer: Optimizer = PUBLISHED,
  ema: float = 0.9999,
  accumulate: int = 1,
  remat: bool = False,
  sample_batch: int = 500,
) -> System:
  """A net that predicts noise as a System. The one view is `sample`.

  Args:
    net: see Shapes; `nets/unet.py`.
    shape: H, W, C.
    steps: T, from an image to noise.
    schedule: of the noise, see `alpha_bar`.
    sampler_steps: steps of the sampler, spread evenly over the T; None: all.
    eta: the sampler's own noise, 1 for DDPM's, 0 for none (DDIM).
    clip: whether the image that a step of the sampler foresees is clipped to [-1, 1].
    optimizer: of the net.
    ema: decay of the averaged variables that sample; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.
    sample_batch: images that are sampled together.

  Raises:
    ValueError: a setting that is out of range.
  """
  check_counts({"steps": steps, "sample_batch": sample_batch})
  count = steps if sampler_steps is None else sampler_steps
  if not 1 <= count <= steps:
    raise ValueError(f"sampler_steps {count}; use 1 to {steps} (steps), or None for all")
  if not 0 <= eta <= 1:
    raise ValueError(f"eta {eta} is not in [0, 1]; use 1 for DDPM, 0 for DDIM")
  left = jnp.asarray(alpha_bar(steps, schedule), jnp.float32)

  def init(key: Array, batch: Batch) -> Variables:
    images = batch["image"][:1]
    check_images(images, shape, 1, "1")
    return net.init(key, images, jnp.zeros((1,), jnp.int32))

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    images = batch["image"]
    key_time, key_noise, key_dropout = jax.random.split(key, 3)
    time = jax.random.randint(key_time, images.shape[:1], 0, steps)
    noise = jax.random.normal(key_noise, images.shape)
    share = left[time][:, None, None, None]
    seen, collections = net.apply(
      variables,
      jnp.sqrt(share) * images + jnp.sqrt(1 - share) * noise,
      time,
      **mode(net, True),
      rngs={"dropout": key_dropout},
      mutable=list(collections_of(variables)),
    )
    return ((noise - seen.astype(jnp.float32)) ** 2).mean(), (collections, {})

  def sample(key: Array, variables: Variables, n: int) -> Array:
    """n images, `sample_batch` at a time; devices that share the images share every batch."""
    size = min(n, sample_batch)
    chunks = -(-n // size)
    predict = lambda images, time: net.apply(variables, images, jnp.full((size,), time))
    denoise = lambda key: denoised(key, predict, (size, *shape), alpha_bar(steps, schedule), count, eta, clip)
    images = lax.map(denoise, jax.random.split(key, chunks))  # [chunks, size, H, W, C]
    return jnp.clip(images.swapaxes(0, 1).reshape(-1, *shape)[:n], -1, 1)

  def kernels(key: Array, batch: Batch) -> dict[str, Kernel]:
    variables, n = init(key, batch), batch["image"].shape[0]
    run = lambda key, variables: sample(key, variables, n)
    return {"sampler": Kernel(run, (key, variables), n * count, "image-denoising steps")}

  return fit(
    init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views={"sample": sample}, kernels=kernels
  )


def alpha_bar(steps: int, schedule: Schedule) -> np.ndarray:
  """The share of an image's variance left after each step, [steps] float64.

  "linear": beta rises from 1e-4 to 0.02, for a T of 1000; for another T so that as little is left in the end.
  "cosine": squared cosine, no beta above 0.999.
  """
  check_words({"schedule": (schedule, "linear", "cosine")})
  if schedule == "linear":
    beta = np.linspace(1e-4, 0.02, steps) * (1000 / steps)
  else:
    angle = (np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2
    beta = 1 - np.cos(angle[1:]) ** 2 / np.cos(angle[:-1]) ** 2
  return np.cumprod(1 - np.minimum(beta, 0.999))


def denoised(
  key: Array,
  predict: Any,
  shape: tuple[int, ...],
  left: np.ndarray,
  count: int,
  eta: float,
  clip: bool,
) -> Array:
  """Images [n, H, W, C] from noise, by `count` steps of DDIM's eq 12.

  Args:
    key: of the noise.
    predict: (images, time []) -> the noise in them.
    shape: n, H, W, C.
    left: alpha_bar.
    count, eta, clip: see `ddpm`.
  """
  times = (np.arange(count) + 1) * len(left) // count - 1  # the last is always T - 1
  now, before = left[times], np.concatenate([[1.0], left[times[:-1]]])
  variance = eta**2 * (1 - before) / (1 - now) * (1 - now / before)
  keep = np.sqrt(np.maximum(1 - before - variance, 0))  # of the predicted noise
  rows = np.stack([np.sqrt(now), np.sqrt(1 - now), np.sqrt(before), keep, np.sqrt(variance)], 1).astype(np.float32)

  def step(images: Array, each: tuple[Array, Array, Array]) -> tuple[Array, None]:
    key, time, (signal, spread, signal_before, keep, fresh) = each
    clean = (images - spread * predict(images, time).astype(jnp.float32)) / signal
    clean = jnp.clip(clean, -1, 1) if clip else clean
    noise = (images - signal * clean) / spread
    return signal_before * clean + keep * noise + fresh * jax.random.normal(key, shape), None

  key_start, key_steps = jax.random.split(key)
  backwards = (jnp.asarray(times[::-1], jnp.int32), jnp.asarray(rows[::-1]))
  return lax.scan(step, jax.random.normal(key_start, shape), (jax.random.split(key_steps, count), *backwards))[0]
