"""BigGAN at the size of CIFAR-10: residual nets with conditional norms, and attention between all places.

Papers   BigGAN    Brock et al. 2019, arXiv:1809.11096: shared embedding of labels, latent in parts (section 3.1)
         its 32x32 the authors' released code: a generator and a critic of three and four units, 256 channels each (4
                   times "ch" 64), latent of 128, weights N(0, 0.02^2), no attention, the latent whole
         norms     de Vries et al. 2017, arXiv:1707.00683: scale and offset of batch normalisation from the label
         attention SAGAN, Zhang et al. 2019, arXiv:1805.08318: keys and values of pooled places, gamma from 0
         critic    Miyato & Koyama 2018, arXiv:1802.05637: projection on the label's vector; for the hinge loss
Departs  Labels have one embedding for all norms, as in the paper (its CIFAR-10 script: one for each norm). Without
         labels and `hierarchical`, norms have a scale and an offset of their own.
Shapes   latent [B, Z] -> images [B, H, W, C] float32 in [-1, 1]; images -> (logits [B], aux {"features" [B, D]}); both
         take labels [B] too.
State    "batch_stats" and "spectral", which training writes; see nets/spectral.py.
Checked  tests/nets/test_biggan.py: parameter counts by hand, attention and norms against numpy.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.dcgan import grid_of
from genjax.nets.labels import check_labels
from genjax.nets.pooling import check_sides, mean_pool
from genjax.nets.resnet_gan import doubled
from genjax.nets.spectral import SpectralConv, SpectralDense, divided

Array = jax.Array
START = nn.initializers.normal(0.02)


class BigGANGenerator(nn.Module):
  """A grid from one linear layer, then units that double it; labels, and parts of the latent, enter by the norms.

  Attributes:
    shape: H, W, C.
    width: of every convolution.
    stages: doublings.
    classes: number of labels of the data, for calls that pass labels.
    shared: width of the labels' embedding.
    hierarchical: whether the latent is cut into stages + 1 parts: one for the grid, one for the norms of each unit.
    attention: sides of the map, its longer one, after whose unit attention stands; None: nowhere.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  width: int = 256
  stages: int = 3
  classes: int | None = None
  shared: int = 128
  hierarchical: bool = False
  attention: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None, *, train: bool = False) -> Array:
    height, width = grid_of(self.shape, self.stages)
    check_attention(self.attention, [max(height, width) << stage for stage in range(1, self.stages + 1)])
    first, parts = self._parts(latent)
    embedded = self._embedded(labels)
    x = SpectralDense(height * width * self.width, START, train, name="grid")(first)
    x = x.reshape(-1, height, width, self.width).astype(self.dtype)
    for number, part in enumerate(parts):
      known = [each for each in (embedded, part) if each is not None]
      condition = jnp.concatenate(known, axis=1) if known else None
      x = _Up(self.width, self.dtype, train, name=f"up_{number}")(x, condition)
      if max(x.shape[1:3]) == self.attention:
        x = Attention(train, name="attention")(x)
    x = nn.relu(ConditionalNorm(train, name="norm")(x))
    x = SpectralConv(self.shape[2], kernel_init=START, dtype=self.dtype, train=train, name="image")(x)
    return jnp.tanh(x.astype(jnp.float32))

  def _parts(self, latent: Array) -> tuple[Array, list[Array | None]]:
    """The part of the latent that makes the grid, and the part that enters the norms of each unit."""
    if not self.hierarchical:
      return latent, [None] * self.stages
    count = self.stages + 1
    if latent.shape[1] % count:
      raise ValueError(f"a latent of {latent.shape[1]} has no {count} equal parts; use a multiple of {count}")
    first, *rest = jnp.split(latent, count, axis=1)
    return first, rest

  def _embedded(self, labels: Array | None) -> Array | None:
    check_labels(labels, self.classes)
    if labels is None:
      return None
    return nn.Embed(self.classes, self.shared, embedding_init=START, name="embedding")(labels)


class BigGANCritic(nn.Module):
  """Four residual units, the first two halve the image, the last does not change its size either; sum over places.

  Attributes:
    width: of every convolution.
    classes: number of labels of the data, for calls that pass labels; they enter by projection.
    attention: sides of the map, its longer one, after whose unit attention stands; None: nowhere.
    dtype: of the convolutions.
  """

  width: int = 256
  classes: int | None = None
  attention: int | None = None
  dtype: jnp.dtype = jnp.float32
  per_image = True

  @nn.compact
  def __call__(
    self, images: Array, labels: Array | None = None, *, train: bool = False
  ) -> tuple[Array, dict[str, Array]]:
    check_labels(labels, self.classes)
    check_sides(images, 2, "another critic")
    check_attention(self.attention, [max(images.shape[1:3]) >> halving for halving in (1, 2)])
    x = images.astype(self.dtype)
    for number in range(4):
      x = _Down(self.width, number == 0, number < 2, self.dtype, train, name=f"unit_{number}")(x)
      if number < 2 and max(x.shape[1:3]) == self.attention:
        x = Attention(train, name="attention")(x)
    features = nn.relu(x).astype(jnp.float32).sum((1, 2))
    logits = SpectralDense(1, START, train, name="logit")(features)[:, 0]
    if labels is not None:
      embedded = SpectralMatrix(self.width, train, name="embedding")(jax.nn.one_hot(labels, self.classes))
      logits += (embedded * features).sum(1)
    return logits, {"features": features}


class _Up(nn.Module):
  width: int
  dtype: jnp.dtype
  train: bool

  @nn.compact
  def __call__(self, x: Array, condition: Array | None) -> Array:
    conv = partial(SpectralConv, self.width, kernel_init=START, dtype=self.dtype, train=self.train)
    y = nn.relu(ConditionalNorm(self.train, name="norm_0")(x, condition))
    y = conv(name="conv_0")(doubled(y))
    y = conv(name="conv_1")(nn.relu(ConditionalNorm(self.train, name="norm_1")(y, condition)))
    return y + doubled(conv((1, 1), name="beside")(x))  # 1x1 and doubling commute


class _Down(nn.Module):
  width: int
  opening: bool
  down: bool
  dtype: jnp.dtype
  train: bool

  @nn.compact
  def __call__(self, x: Array) -> Array:
    conv = partial(SpectralConv, self.width, kernel_init=START, dtype=self.dtype, train=self.train)
    pool = mean_pool if self.down else lambda x: x
    y = conv(name="conv_0")(x if self.opening else nn.relu(x))
    y = pool(conv(name="conv_1")(nn.relu(y)))
    return y + (conv((1, 1), name="beside")(pool(x)) if self.opening or self.down else x)  # 1x1 and the mean commute


class ConditionalNorm(nn.Module):
  """Batch normalisation of x [B, H, W, C] in float32, with scale and offset linear in a condition [B, D].

  The scale is 1 + A condition, the offset B condition; without a condition both are parameters.

  Attributes:
    train: by the statistics of the batch, which update the running ones; else by the running ones.
  """

  train: bool = False

  @nn.compact
  def __call__(self, x: Array, condition: Array | None = None) -> Array:
    own = condition is None
    norm = nn.BatchNorm(not self.train, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, use_scale=own, use_bias=own)
    y = norm(x)
    if condition is not None:
      scale, offset = (SpectralMatrix(x.shape[-1], self.train, name=name)(condition) for name in ("scale", "offset"))
      y = y * (1 + scale[:, None, None]) + offset[:, None, None]
    return y.astype(x.dtype)


class Attention(nn.Module):
  """Non-local block: to every place a weighted mean of values of all places, pooled 2x2, times gamma (from 0).

  x [B, H, W, C] -> the same shape. Queries and keys have C / 8 channels, values C / 2; logits are not scaled, as
  published. The softmax is float32.

  Attributes:
    train: see nets/spectral.py.
  """

  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, height, width, channels = x.shape
    few, half = max(channels // 8, 1), max(channels // 2, 1)
    flat = lambda y: y.reshape(batch, -1, y.shape[-1])
    query = flat(SpectralMatrix(few, self.train, name="query")(x))
    key = flat(_max_pool(SpectralMatrix(few, self.train, name="key")(x)))
    value = flat(_max_pool(SpectralMatrix(half, self.train, name="value")(x)))
    logits = jnp.einsum("bqc,bkc->bqk", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(logits, axis=-1).astype(x.dtype)
    seen = jnp.einsum("bqk,bkc->bqc", weights, value).reshape(batch, height, width, half)
    gamma = self.param("gamma", nn.initializers.zeros, ())
    return x + gamma.astype(x.dtype) * SpectralMatrix(channels, self.train, name="output")(seen)


class SpectralMatrix(nn.Module):
  """A spectrally normalised linear layer along the last axis, without bias.

  Attributes:
    features: of the result.
    train: see nets/spectral.py.
  """

  features: int
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = self.param("kernel", START, (x.shape[-1], self.features))
    return x @ divided(self, kernel, self.train).astype(x.dtype)


def check_attention(attention: int | None, sides: list[int]) -> None:
  """Refuses a side that no map has after which attention may stand."""
  if attention is not None and attention not in sides:
    raise ValueError(f"attention {attention}; maps here have sides {', '.join(map(str, sides))}: use one, or None")


def _max_pool(x: Array) -> Array:
  """Maxima of 2x2 places; an odd last row or column is left out."""
  batch, height, width, channels = x.shape
  x = x[:, : height // 2 * 2, : width // 2 * 2]
  return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
