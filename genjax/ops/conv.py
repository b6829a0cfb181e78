"""Convolution, at any stride, whose derivatives stay fast inside a loop on a CPU.

XLA's CPU compiler brings convolutions into the layout of its fast kernel only in a program's outermost computation.
jax writes the two derivatives of a convolution in another layout, so inside a scan or while loop they fall back to a
naive kernel. A convolution, its derivative by the input and its derivative by the weights are the three partial
derivatives of one trilinear form <conv(x, w), g>; so each of them is written here in the fast layout, with the other
two as its own derivatives, to any order. On a GPU or TPU the same three operations are jax's own.

A stride of the convolution is a dilation of g in the other two, and the fast kernel knows dilation. One layer of stride
2 on 2 cores, jax 0.10, its derivatives in a scan against jax's own in the outermost computation: 0.8 to 1.2 times the
time (jax's own in the scan: 7 to 240 times; folding pixels into channels, or stride 1 with most pixels thrown away: 1
to 7 times). Whole critics (genjax/nets), in a scan against the outermost computation: 0.7 to 1.1 times the processor
time, for the value, the gradient by the image and a gradient penalty's gradient alike.

The kernel is slow where its own weights are large, as g is in the derivative by the weights: of large images or many
channels, and of 1x1 weights, that one is a sum of matrix products here. Times of the kernel over those of the products,
one core, jax 0.10.2, 3x3 unless said: 50x32x32x64 to 64 channels 5.9, 50x16x16x160 2.2, 50x8x8x320 1.6, 50x4x4x640 1.4;
50x32x32x3 to 64 2.9; 128x64x64x32 to 64 2.6, and 79 MiB instead of 192; 1x1, 50x32x32x64 to 64 19, and 50x16x16x64 to
160 5.5. Smaller ones (100x8x8x32 to 32 0.87, 64x32x32x64 to 3 0.37) stay with the kernel.

The kernel does not take images that are smaller than its weights; XLA then has only the naive one, also in the
outermost computation. There the value and the derivative by the input are matrix products with patches, see `_patches`:
100x4x4x128 by 5x5 to 256 channels at stride 2, one core, 276 ms and 234 before, 8 and 10 with them; the value of the
vanilla CNN of WINN's classifiers (nets/vanilla.py) 11 times, its gradients 8 and 11 times as fast.

Departs  jax.lax.conv_general_dilated: reverse mode only (custom_vjp); no dilation, no groups.
Shapes   x [B, H, W, I], w [h, w, I, O] -> [B, H', W', O]; padding ((top, bottom), (left, right)); strides two.
         by_input and by_weights: for strides that use every padded pixel, as `exact` makes it.
Checked  tests/ops/test_conv.py: values, first and second derivatives equal those of lax.conv_general_dilated.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

Array = jax.Array
Padding = tuple[tuple[int, int], tuple[int, int]]
Strides = tuple[int, int]
LAYOUT = ("NHWC", "HWIO", "NHWC")
PRODUCT = "product"  # name of what a convolution gives, for whoever chooses what is kept for a gradient
LARGE, WIDE = 256, 32  # pixels of an image and channels out from which on products are quicker,
DEEP = 128 * 128  # as they are with more channels in times channels out than these
ROWS = 768  # rows of a product: enough to outweigh the sum of the products, few enough for the cache


def conv(x: Array, w: Array, padding: Padding, strides: Strides = (1, 1)) -> Array:
  """Cross-correlates images with weights."""
  return checkpoint_name(_conv(x, w, exact(x.shape[1:3], w.shape[:2], padding, strides), strides), PRODUCT)


def transposed(x: Array, w: Array, padding: Padding, strides: Strides = (1, 1)) -> Array:
  """The transposed convolution of x [B, h, w, O] with weights [., ., I, O], as a layer of its own: [B, H, W, I]."""
  return checkpoint_name(by_input(w, x, padding, strides), PRODUCT)


def exact(image: tuple[int, ...], weight: tuple[int, ...], padding: Padding, strides: Strides) -> Padding:
  """The padding, less at the bottom and the right by what no stride reaches (below 0: that much of the image)."""
  left = [(image[i] + sum(padding[i]) - weight[i]) % strides[i] for i in (0, 1)]
  return tuple((low, high - over) for (low, high), over in zip(padding, left, strict=True))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x: Array, w: Array, padding: Padding, strides: Strides) -> Array:
  return _forward(x, w, padding, strides)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_input(w: Array, g: Array, padding: Padding, strides: Strides = (1, 1)) -> Array:
  """The derivative of <conv(x, w), g> by x: [B, H, W, I]."""
  size = [(g.shape[i + 1] - 1) * strides[i] + w.shape[i] - sum(padding[i]) for i in (0, 1)]

  def fast(w, g):
    around = [(w.shape[i] - 1 - padding[i][0], w.shape[i] - 1 - padding[i][1]) for i in (0, 1)]
    if _smaller(g, w):
      return _spread(jnp.einsum("bhwo,ijuo->bhwiju", g, w), size, padding, strides)
    flipped = w[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(g, flipped, (1, 1), around, lhs_dilation=strides, dimension_numbers=LAYOUT)

  def native(w, g):
    like = jax.ShapeDtypeStruct((g.shape[0], *size, w.shape[2]), g.dtype)
    return jax.linear_transpose(lambda x: _native(x, w, padding, strides), like)(g)[0]

  return lax.platform_dependent(w, g, cpu=fast, default=native)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_weights(x: Array, g: Array, padding: Padding, strides: Strides = (1, 1)) -> Array:
  """The derivative of <conv(x, w), g> by w: [h, w, I, O]."""
  size = [x.shape[i + 1] + sum(padding[i]) - (g.shape[i + 1] - 1) * strides[i] for i in (0, 1)]

  def fast(x, g):
    x, g = x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)
    w = lax.conv_general_dilated(x, g, (1, 1), padding, rhs_dilation=strides, dimension_numbers=LAYOUT)
    return w.transpose(1, 2, 0, 3)

  def native(x, g):
    like = jax.ShapeDtypeStruct((*size, x.shape[3], g.shape[3]), g.dtype)
    return jax.linear_transpose(lambda w: _native(x, w, padding, strides), like)(g)[0]

  channels_in, channels_out = x.shape[3], g.shape[3]
  large = channels_out >= WIDE and g.shape[1] * g.shape[2] >= LARGE
  if large or channels_in * channels_out > DEEP or size == [1, 1]:
    fast = partial(_products, size=size, padding=padding, strides=strides)
  return lax.platform_dependent(x, g, cpu=fast, default=native)


def _products(x: Array, g: Array, size: list[int], padding: Padding, strides: Strides) -> Array:
  """`by_weights` as a sum of matrix products, one for each pixel of the weights, over a few rows of g at a time.

  All images are in every product, so that devices that share the images exchange no image.
  """
  (images, height, width), (down, across) = g.shape[:3], strides
  rows = next(n for n in range(1, height + 1) if height % n == 0 and (images * n * width >= ROWS or n == height))
  kind = jnp.promote_types(x.dtype, jnp.float32)
  x = _padded(x, padding)

  def add(w: Array, place: Array) -> tuple[Array, None]:
    near = lax.dynamic_slice_in_dim(x, place * rows * down, (rows - 1) * down + size[0], 1)
    own = lax.dynamic_slice_in_dim(g, place * rows, rows, 1)
    seen = lambda i, j: near[:, i : i + (rows - 1) * down + 1 : down, j : j + (width - 1) * across + 1 : across]
    product = lambda a: lax.dot_general(a, own, (((0, 1, 2), (0, 1, 2)), ((), ())), preferred_element_type=kind)
    products = [product(seen(i, j)) for i in range(size[0]) for j in range(size[1])]
    return w + jnp.stack(products).reshape(w.shape), None

  start = jnp.zeros((*size, x.shape[3], g.shape[3]), kind)
  return lax.scan(add, start, jnp.arange(height // rows))[0].astype(g.dtype)


def _padded(x: Array, padding: Padding) -> Array:
  """Images with zeros around them; below 0, with so much cut off."""
  return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)))


def _smaller(x: Array, w: Array) -> bool:
  """Whether images are smaller than weights, so that XLA's CPU compiler has only its naive kernel for them."""
  return x.shape[1] < w.shape[0] or x.shape[2] < w.shape[1]


def _patches(x: Array, w: Array, padding: Padding, strides: Strides) -> Array:
  """The convolution as one product: what each pixel of the weights sees, side by side, times the weights."""
  x = _padded(x, padding)
  (height, width), (down, across) = x.shape[1:3], strides
  bottom, right = height - w.shape[0] + 1, width - w.shape[1] + 1
  seen = [x[:, i : i + bottom : down, j : j + right : across] for i in range(w.shape[0]) for j in range(w.shape[1])]
  return jnp.einsum("bhwki,kio->bhwo", jnp.stack(seen, 3), w.reshape(-1, *w.shape[2:]))


def _spread(patches: Array, size: Sequence[int], padding: Padding, strides: Strides) -> Array:
  """The sum of what patches [B, h, w, i, j, C] say of every pixel of images [B, *size, C].

  Pixels that are a whole number of strides apart are summed together. (XLA 0.10 breaks down where it has to split zeros
  between pixels over devices.)
  """
  (images, height, width, tall, broad, channels), (down, across) = patches.shape, strides
  most = (-(-tall // down) - 1, -(-broad // across) - 1)  # strides from a patch to its last pixel

  def beginning(i: int, j: int) -> Array:
    total = jnp.zeros((images, height + most[0], width + most[1], channels), patches.dtype)
    for a, row in enumerate(range(i, tall, down)):
      for b, column in enumerate(range(j, broad, across)):
        total += _padded(patches[:, :, :, row, column], ((a, most[0] - a), (b, most[1] - b)))
    return total

  every = jnp.stack([jnp.stack([beginning(i, j) for j in range(across)], 3) for i in range(down)], 2)
  whole = every.reshape(images, every.shape[1] * down, every.shape[3] * across, channels)
  return _padded(whole, tuple((-padding[i][0], size[i] + padding[i][0] - whole.shape[i + 1]) for i in (0, 1)))


def _forward(x: Array, w: Array, padding: Padding, strides: Strides) -> Array:
  native = partial(_native, padding=padding, strides=strides)
  if not _smaller(x, w):
    return native(x, w)
  return lax.platform_dependent(x, w, cpu=partial(_patches, padding=padding, strides=strides), default=native)


def _native(x: Array, w: Array, padding: Padding, strides: Strides) -> Array:
  return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=LAYOUT)


def _keep(f):
  return lambda a, b, padding, strides: (f(a, b, padding, strides), (a, b))


_conv.defvjp(_keep(_conv), lambda p, s, xw, g: (by_input(xw[1], g, p, s), by_weights(xw[0], g, p, s)))
by_input.defvjp(_keep(by_input), lambda p, s, wg, x: (by_weights(x, wg[1], p, s), _conv(x, wg[0], p, s)))
by_weights.defvjp(_keep(by_weights), lambda p, s, xg, w: (by_input(w, xg[1], p, s), _conv(xg[0], w, p, s)))


def general(x: Array, w: Array, strides, padding, **more) -> Array:
  """flax's `conv_general_dilated` argument: the operation above where it applies, jax's own elsewhere.

  Args:
    x, w: images and weights, as `LAYOUT` says where the operation above is to apply.
    strides, padding: as `lax.conv_general_dilated` takes them.
    more: its further arguments, by name; passed to it as they are where it is called.
  """
  if x.ndim != 4 or not _plain(x, w, **more):
    return lax.conv_general_dilated(x, w, strides, padding, **more)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(x.shape[1:3], w.shape[:2], strides, padding)
  return conv(x, w, tuple((int(low), int(high)) for low, high in padding), tuple(map(int, strides)))


def _plain(x: Array, w: Array, *, dimension_numbers=None, lhs_dilation=None, rhs_dilation=None, **rest) -> bool:
  """Whether a convolution has this file's layout, no dilation, and every other argument at its default."""
  defaults = {"feature_group_count": 1, "batch_group_count": 1}
  return (
    set(lhs_dilation or (1,)) | set(rhs_dilation or (1,)) == {1}
    and all(value == defaults.get(name) for name, value in rest.items())
    and lax.conv_dimension_numbers(x.shape, w.shape, dimension_numbers)
    == lax.conv_dimension_numbers(x.shape, w.shape, LAYOUT)
  )
