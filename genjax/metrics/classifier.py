"""The extractor's net, and how it is trained: a small classifier whose last hidden layer gives 64 features.

flax and optax are at home here because the net belongs to the metric, not to a model: if it changed together with
genjax/nets, old numbers would lose their meaning. Any change here that changes numbers raises `RECIPE`.

Shapes   B batch, H W C image, at least 2x2; images [B, H, W, C] float32 in [-1, 1]; features [B, 64].
Checked  tests/metrics/test_extractor.py
"""

import functools
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from genjax.core import Array
from genjax.ops import conv
from genjax.ops.augment import pad_crop, to_unit

RECIPE = 1
FEATURES = 64
LABEL_SMOOTHING = 0.1  # on digits, six runs: 99.3 % of held-out ones right with it, 98.8 % without
_SMALLEST_SIDE = 4  # halve images while the shorter side stays at or above this


class Classifier(nn.Module):
  """3x3 convolutions in pairs with mean pooling down to a side of 4 to 7, then 64 features, then the classes."""

  head_classes: int
  width: int = 24

  @nn.compact
  def __call__(self, images: Array) -> tuple[Array, Array]:
    """Returns logits [B, head_classes] and features [B, 64]."""
    convolve = partial(nn.Conv, kernel_size=(3, 3), padding=1, conv_general_dilated=conv.general)
    x, width = images, self.width
    while min(x.shape[1:3]) >= 2 * _SMALLEST_SIDE:
      x = nn.swish(convolve(width)(x))
      x = nn.swish(convolve(width)(x))
      x = nn.avg_pool(x, (2, 2), (2, 2))
      width = 2 * self.width
    x = nn.swish(convolve(width)(x))
    x = nn.swish(convolve(width)(x))
    features = nn.swish(nn.Dense(FEATURES)(x.reshape(x.shape[0], -1)))
    return nn.Dense(self.head_classes)(features), features


def highest(fn):
  """`fn` with every product inside it at HIGHEST precision (a TPU multiplies float32 in bfloat16 passes otherwise)."""

  @functools.wraps(fn)
  def at_highest(*args):
    with jax.default_matmul_precision("highest"):
      return fn(*args)

  return at_highest


@partial(jax.jit, static_argnums=0)
@highest
def forward(net: Classifier, params: Any, images: Array) -> tuple[Array, Array]:
  """Logits and features of uint8 images."""
  return net.apply(params, to_unit(images))


@partial(jax.jit, static_argnums=(0, 2))
@highest
def untrained(net: Classifier, key: Array, size: tuple[int, int, int]) -> Any:
  """Random parameters for images of `size` (height, width, channels)."""
  return net.init(key, jnp.zeros((1, *size)))


@partial(jax.jit, static_argnums=(0, 4, 5, 6))
@highest
def trained(
  net: Classifier, key: Array, images: Array, labels: Array, steps: int, batch: int, learning_rate: float
) -> tuple[Any, Array]:
  """Parameters after `steps` of Adam with a cosine to 0 on cross-entropy (smoothed labels), and the loss of each step.

  Args:
    net: static.
    key: of the initial parameters, the batches and the shifts.
    images: [N, H, W, C] uint8; each is shifted by at most one pixel each way when it is used.
    labels: [N] int32.
    steps, batch, learning_rate: static.
  """
  key_params, key_steps = jax.random.split(key)
  params = net.init(key_params, jnp.zeros((1, *images.shape[1:])))
  optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

  def step(carry, key_step):
    params, moments = carry
    key_batch, key_shift = jax.random.split(key_step)
    chosen = jax.random.randint(key_batch, (batch,), 0, images.shape[0])
    shifted = to_unit(pad_crop(key_shift, images[chosen], 1))

    def loss(params):
      logits, _ = net.apply(params, shifted)
      targets = optax.smooth_labels(jax.nn.one_hot(labels[chosen], net.head_classes), LABEL_SMOOTHING)
      return optax.softmax_cross_entropy(logits, targets).mean()

    value, grads = jax.value_and_grad(loss)(params)
    updates, moments = optimizer.update(grads, moments)
    return (optax.apply_updates(params, updates), moments), value

  (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key_steps, steps))
  return params, losses
