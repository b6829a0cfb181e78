"""StyleGAN2: a generator of modulated convolutions, a residual critic; and the released ViTGAN's decoder of tokens.

Papers   StyleGAN2  Karras et al. 2020, arXiv:1912.04958: skip generator, residual critic (section 4.1, figure 7)
         deviation  Karras et al. 2018, arXiv:1710.10196: one map of it before the last convolution, groups of 4
         decoder    the released ViTGAN's default ("A"), not in its paper: two styled convolutions a doubling, one layer
                    to the image, no skip
Departs  Any size, also oblong, that doubling leads to from a grid of at least 4: 28 from 7. A batch that 4 does not
         divide has groups of its largest divisor under 4: 1 for a batch of 7, whose deviation is 0.
         Mixing of styles (in training: section 3.1 of StyleGAN) and truncation are for a caller, through `mapping` and
         `synthesis`. Labels: a learned vector behind the latent, normalised with it, as in the published code.
Shapes   latent [B, Z] -> images [B, H, W, C] float32, around [-1, 1] but not bounded; w [B, W];
         images -> (logits [B], aux {"features" [B, D]}); both take labels [B] too.
Checked  tests/nets/test_stylegan2.py: parameter counts by hand, a sharded batch against one device.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.equalised import EqualConv, EqualDense, leaky, pixel_norm
from genjax.nets.labels import check_labels
from genjax.nets.modulated import StyledConv, ToImage
from genjax.ops.latents import each_style
from genjax.ops.minibatch import deviation
from genjax.ops.resample import down

Array = jax.Array
LEAST_SIDE = 4  # of the grid that a generator starts from and a critic ends with


def halvings(shape: tuple[int, ...]) -> int:
  """How often images [H, W, ...] can be halved so that both sides stay whole and at least 4."""
  height, width = shape[:2]
  if min(height, width) < LEAST_SIDE:
    raise ValueError(f"images {height}x{width}; use sides of at least {LEAST_SIDE}")
  count = 0
  while not (height % 2 or width % 2) and min(height, width) >= 2 * LEAST_SIDE:
    height, width, count = height // 2, width // 2, count + 1
  return count


def channels(side: int, base: float, most: int) -> int:
  """Channels of a map whose longer side is this: base / side, between 1 and `most`."""
  return max(1, min(most, int(base / side)))


class Mapping(nn.Module):
  """Latents, with the label's vector behind them, to unit mean square; then equalised layers with leaky ReLU.

  Attributes:
    width: W.
    depth: number of layers.
    multiplier: of their learning rate.
    classes: number of labels, for calls that pass labels.
  """

  width: int = 512
  depth: int = 8
  multiplier: float = 0.01
  classes: int | None = None

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None) -> Array:
    check_labels(labels, self.classes)
    x = latent.astype(jnp.float32)
    if labels is not None:
      start = nn.initializers.normal(1.0)
      embedded = nn.Embed(self.classes, latent.shape[1], embedding_init=start, name="label")(labels)
      x = jnp.concatenate([x, embedded], axis=1)
    x = pixel_norm(x)
    for _ in range(self.depth):
      x = leaky(EqualDense(self.width, self.multiplier)(x))
    return x


class StyleGAN2Generator(nn.Module):
  """Latent to w, and from a learned constant, doubled until it has the size, to an image that each size adds to.

  `apply(variables, latent, labels, method="mapping")` gives w [B, W]; `apply(variables, w, method="synthesis")` images
  of it, or of one w for each of `styles` layers, [B, styles, W]. Noise is new where a stream "noise" is given
  (`rngs={"noise": key}`), else fixed.

  Attributes:
    shape: H, W, C.
    width: W, of the mapping.
    depth: layers of the mapping.
    base, most: a map of side s has min(most, multiplier * base / s) channels; 32768 and 512: configuration F. The
      released 32x32 net ("small32") has base 4096.
    multiplier: of base.
    classes: number of labels of the data, for calls that pass labels.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  width: int = 512
  depth: int = 8
  base: int = 32768
  most: int = 512
  multiplier: float = 1.0
  classes: int | None = None
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    self.to_w = Mapping(self.width, self.depth, classes=self.classes)
    self.painter = _Synthesis(self.shape, self.multiplier * self.base, self.most, self.dtype)

  @property
  def styles(self) -> int:
    """How many w an image may be made of, from coarse to fine. A layer to the image has that of the convolution after
    it, as published; the last one its own."""
    return 2 * halvings(self.shape) + 2

  def __call__(self, latent: Array, labels: Array | None = None) -> Array:
    return self.synthesis(self.mapping(latent, labels))

  def mapping(self, latent: Array, labels: Array | None = None) -> Array:
    """Latents [B, Z] -> w [B, W] float32."""
    return self.to_w(latent, labels)

  def synthesis(self, w: Array) -> Array:
    """w [B, W] or [B, styles, W] -> images [B, H, W, C] float32."""
    return self.painter(each_style(w, self.styles))


class _Synthesis(nn.Module):
  shape: tuple[int, int, int]
  base: float
  most: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, ws: Array) -> Array:
    doublings = halvings(self.shape)
    height, width = (side >> doublings for side in self.shape[:2])
    side = max(height, width)
    start = self.param("constant", nn.initializers.normal(1.0), (height, width, channels(side, self.base, self.most)))
    x = jnp.broadcast_to(start.astype(self.dtype)[None], (ws.shape[0], *start.shape))
    image = None
    for place in range(doublings + 1):
      count, layer = channels(side << place, self.base, self.most), 2 * place
      if place:
        x = StyledConv(count, layer - 1, up=True, dtype=self.dtype, name=f"up_{place}")(x, ws[:, layer - 1])
      x = StyledConv(count, layer, dtype=self.dtype, name=f"conv_{place}")(x, ws[:, layer])
      image = ToImage(self.shape[2], dtype=self.dtype, name=f"image_{place}")(x, ws[:, layer + 1], image)
    return image


class StyleDecoder(nn.Module):
  """Tokens on a grid to an image: two styled convolutions a doubling, then one layer to the image (decoder A).

  Attributes:
    shape: H, W, C, the grid's sides times a power of 2.
    base, most: a map of side s has min(most, base / s) channels; the released 384 up to 64, then 192 at 128.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  base: int = 24576
  most: int = 384
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, tokens: Array, w: Array) -> Array:
    """tokens [B, h, w, D], w [B, W] or, for each layer, [B, 2 doublings + 1, W] -> images [B, H, W, C] float32."""
    doublings = doublings_of(self.shape, tokens.shape[1:3])
    ws = each_style(w, 2 * doublings + 1)
    x, side = tokens.astype(self.dtype), max(tokens.shape[1:3])
    for place in range(doublings):
      count, layer = channels(side << (place + 1), self.base, self.most), 2 * place
      x = StyledConv(count, layer, up=True, dtype=self.dtype, name=f"up_{place}")(x, ws[:, layer])
      x = StyledConv(count, layer + 1, dtype=self.dtype, name=f"conv_{place}")(x, ws[:, layer + 1])
    return ToImage(self.shape[2], dtype=self.dtype, name="image")(x, ws[:, -1])


class StyleGAN2Critic(nn.Module):
  """Residual blocks that halve the image, the batch's deviation as one more map, a convolution, two linear layers.

  With labels the last layer has a number for each class, and an image's logit is its label's, as published.

  Attributes:
    base, most, multiplier: of channels, as in the generator; base 4096: the released 32x32 net.
    group: images that a deviation is of.
    classes: number of labels of the data, for calls that pass labels.
    dtype: of the convolutions; the deviation and the logits are float32.
  """

  base: int = 32768
  most: int = 512
  multiplier: float = 1.0
  group: int = 4
  classes: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, labels: Array | None = None) -> tuple[Array, dict[str, Array]]:
    check_labels(labels, self.classes)
    side = max(images.shape[1:3])
    count = lambda place: channels(side >> place, self.multiplier * self.base, self.most)
    x = leaky(EqualConv(count(0), 1, dtype=self.dtype, name="from_image")(images))
    for place in range(halvings(images.shape[1:])):
      x = _Residual(count(place + 1), self.dtype, name=f"block_{place}")(x)
    width = x.shape[-1]
    x = jnp.concatenate([x, batch_deviation(x, self.group).astype(self.dtype)], axis=-1)
    x = leaky(EqualConv(width, dtype=self.dtype, name="last")(x))
    x = EqualDense(width, dtype=self.dtype, name="hidden")(x.reshape(x.shape[0], -1))
    features = leaky(x.astype(jnp.float32))
    logits = EqualDense(1 if labels is None else self.classes, name="logit")(features)
    if labels is not None:
      logits = logits * jax.nn.one_hot(labels, self.classes)
    return logits.sum(1), {"features": features}


class _Residual(nn.Module):
  features: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    y = leaky(EqualConv(x.shape[-1], dtype=self.dtype, name="conv")(x))
    y = leaky(EqualConv(self.features, down=True, dtype=self.dtype, name="down")(y))
    return (y + EqualConv(self.features, 1, bias=False, dtype=self.dtype, name="skip")(down(x))) * 0.5**0.5


def batch_deviation(x: Array, group: int) -> Array:
  """ops.minibatch.deviation as a map [B, H, W, 1] float32, in groups of the batch's largest divisor up to `group`."""
  size = max(count for count in range(1, group + 1) if x.shape[0] % count == 0)
  spread = deviation(x.astype(jnp.float32), size)
  return jnp.broadcast_to(spread[:, None, None, None], (*x.shape[:3], 1))


def doublings_of(shape: tuple[int, ...], grid: tuple[int, ...]) -> int:
  """How many doublings lead from a grid to the sides of an image [H, W, C]."""
  count = (shape[0] // grid[0]).bit_length() - 1
  if tuple(side << max(count, 0) for side in grid) != tuple(shape[:2]):
    raise ValueError(f"no doublings lead from a grid {grid[0]}x{grid[1]} to images {shape[0]}x{shape[1]}")
  return count
