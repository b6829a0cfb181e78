"""An autoregressive model of images: the probability of every pixel's channel by all pixels and channels before it.

Papers   PixelRNN, PixelCNN  van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759, eq 1-2
         gated PixelCNN      van den Oord et al. 2016, arXiv:1606.05328
         PixelCNN++          Salimans et al. 2017, arXiv:1701.05517: likelihood "logistic_mixture"
Departs  Adam in place of RMSProp. A pixel that no net has seen yet is zero, grey, as is what lies beside the image.
         "bernoulli": grey images are binarised here, see ops/levels.py; black and white ones stay as they are.
         Samples are the same bits with the cache and without, unless a draw falls between two levels within rounding:
         a pass of one pixel sums the same products in another order.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. net: images -> features [B, H, W, D] of what is before each
         pixel, by masks of channels; with `cache` also (images, at=(row, column)) -> [B, D] by the collection "cache",
         and where the net has it `row` before each row: nets/pixelcnn.py, nets/pixelrnn.py.
Checked  tests/systems/test_pixelcnn.py: probabilities of all images sum to 1, samples have them, cached or not
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.nets.masked import At, MaskedConv
from genjax.nets.training import mode
from genjax.ops.levels import binarised, to_images, to_levels
from genjax.ops.likelihood import Likelihood
from genjax.ops.pixel_likelihood import Name, PixelLikelihood, likelihood_of
from genjax.systems.checks import check_counts, check_images, check_words
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
TIMED = 16  # pixels of the kernel that samples without the cache; each costs as much as any other
OPTIMIZER = adam(learning_rate=1e-3)


class Pixels(nn.Module):
  """A net, and a linear layer from the features of a channel to the numbers that its likelihood takes.

  Attributes:
    net: see Shapes.
    outputs: K, numbers a channel.
    shape: H, W, C.
  """

  net: nn.Module
  outputs: int
  shape: tuple[int, int, int]

  def setup(self):
    channels = self.shape[2]
    self.head = MaskedConv(channels * self.outputs, channels, self.shape[:2])

  def __call__(self, images: Array, at: At | None = None, train: bool = False) -> Array:
    """[B, H, W, C, K] float32; at a place [B, C, K]."""
    place = {} if at is None else {"at": at}
    features = self.net(images, **place, **mode(self.net, train)).astype(jnp.float32)
    out = self.head(nn.relu(features))
    return out.reshape(*out.shape[:-1], self.shape[2], self.outputs)

  def row(self, images: Array, number: Array) -> None:
    if hasattr(self.net, "row"):
      self.net.row(images, number)


def pixelcnn(
  net: nn.Module,
  *,
  shape: tuple[int, int, int],
  likelihood: Name = "categorical",
  levels: int | None = None,
  components: int = 10,
  binarise: Literal["dynamic", "static"] = "dynamic",
  cache: bool = True,
  sample_batch: int = 100,
  optimizer: Optimizer = OPTIMIZER,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """A masked net as a System. Views: `sample`, and `log_prob` in nats an image, exact: of its nearest levels, or of
  the one black and white draw that belongs to it ("bernoulli").

  Args:
    net: see Shapes.
    shape: H, W, C.
    likelihood: of a channel: "bernoulli", "categorical" (a logit for each level) or "logistic_mixture".
    levels: of a channel; None: 2 for "bernoulli", else 256.
    components: of a "logistic_mixture".
    binarise: of grey images in training, for "bernoulli": "dynamic" is drawn anew in every step, "static" is the draw
      that belongs to each image.
    cache: whether `sample` passes one pixel at a time through a net that remembers the others. False: it passes the
      whole image for every pixel.
    sample_batch: images that are sampled together.
    optimizer: of the net.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: settings that do not go together.
  """
  check_counts({"components": components, "sample_batch": sample_batch})
  check_words(
    {
      "likelihood": (likelihood, "bernoulli", "categorical", "logistic_mixture"),
      "binarise": (binarise, "dynamic", "static"),
    }
  )
  of = likelihood_of(likelihood, levels, components)
  height, width, channels = shape
  whole = Pixels(net, of.outputs, shape)

  def level_of(key: Array | None, images: Array) -> Array:
    """What the likelihood is of, [B, H, W, C] in 0 ... L - 1."""
    return to_levels(binarised(key, images) if likelihood == "bernoulli" else images, of.levels)

  def init(key: Array, batch: Batch) -> Variables:
    check_images(batch["image"][:1], shape, 1, "1")
    return whole.init(key, batch["image"][:1])

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    key_binarise, key_dropout = jax.random.split(key)
    level = level_of(key_binarise if binarise == "dynamic" else None, batch["image"])
    outputs, collections = whole.apply(
      variables,
      to_images(level, of.levels),
      train=True,
      rngs={"dropout": key_dropout},
      mutable=list(collections_of(variables)),
    )
    nats = -of.log_prob(outputs, level)
    return nats.mean(), (collections, {"nats": nats.sum((1, 2, 3)).mean()})

  def log_prob(variables: Variables, x: Array) -> Array:
    level = level_of(None, x)
    return of.log_prob(whole.apply(variables, to_images(level, of.levels)), level).sum((1, 2, 3))

  def sample(key: Array, variables: Variables, n: int) -> Array:
    """n images, `sample_batch` at a time; devices that share the images share every batch."""
    size = min(n, sample_batch)
    draw = lambda key: drawn(key, whole, variables, of, size, height, cache)
    images = lax.map(draw, jax.random.split(key, -(-n // size)))  # [chunks, size, H, W, C]
    return images.swapaxes(0, 1).reshape(-1, *shape)[:n]

  def kernels(key: Array, batch: Batch) -> dict[str, Kernel]:
    variables, n = init(key, batch), min(len(batch["image"]), sample_batch)

    def of_rows(rows: int, cached: bool) -> Kernel:
      run = lambda key, variables: drawn(key, whole, variables, of, n, rows, cached)
      return Kernel(run, (key, variables), n * rows * width, "image-pixels")

    return {"sampler": of_rows(height, True), "sampler without its cache": of_rows(-(-TIMED // width), False)}

  views = {"sample": sample, "log_prob": log_prob, "likelihood": lambda variables: Likelihood("exact")}
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views, kernels=kernels)


def drawn(key: Array, net: Pixels, variables: Variables, of: PixelLikelihood, n: int, rows: int, cached: bool) -> Array:
  """n images [n, H, W, C], one channel of one pixel after the other, row by row.

  Args:
    key: of the draws.
    net, variables: of the model.
    of: what the net's outputs mean.
    n: number of images.
    rows: how many are drawn, from above; the others stay grey.
    cached: whether a pass is of one pixel by what the net remembers, or of the whole image.
  """
  height, width, channels = net.shape
  begin, outputs_at = by_cache(net, variables) if cached else by_passes(net, variables)

  def row(carry: tuple[Array, Any], each: tuple[Array, Array]) -> tuple[tuple[Array, Any], None]:
    number, keys = each
    images, memory = carry
    place = jnp.arange(width * channels)
    places = (jnp.full_like(place, number), place // channels, place % channels)
    return lax.scan(pixel, (images, begin(images, memory, number)), (keys, places))

  def pixel(carry: tuple[Array, Any], each: tuple[Array, tuple]) -> tuple[tuple[Array, Any], None]:
    key, (row, column, channel) = each
    images, memory = carry
    outputs, memory = outputs_at(images, memory, (row, column))
    level = of.sample(key, lax.dynamic_index_in_dim(outputs, channel, 1, keepdims=False))
    new = to_images(level, of.levels)[:, None, None, None]
    return (lax.dynamic_update_slice(images, new, (0, row, column, channel)), memory), None

  images = jnp.zeros((n, *net.shape))
  memory = empty(net, variables, images) if cached else None
  keys = jax.random.split(key, (height, width * channels))[:rows]
  return lax.scan(row, (images, memory), (jnp.arange(rows), keys))[0][0]


def empty(net: Pixels, variables: Variables, images: Array) -> Any:
  """What a net remembers before the first pixel: zeros."""

  def kept(variables: Variables, images: Array) -> Any:
    first = jnp.int32(0)
    _, memory = net.apply(variables, images, first, method="row", mutable=["cache"])
    return net.apply({**variables, **memory}, images, at=(first, first), mutable=["cache"])[1]["cache"]

  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(kept, variables, images))


def by_cache(net: Pixels, variables: Variables) -> tuple[Callable, Callable]:
  """(images, memory, row) -> memory for this row, and (images, memory, place) -> outputs [n, C, K] there, memory."""

  def begin(images: Array, memory: Any, number: Array) -> Any:
    return net.apply({**variables, "cache": memory}, images, number, method="row", mutable=["cache"])[1]["cache"]

  def outputs_at(images: Array, memory: Any, at: At) -> tuple[Array, Any]:
    outputs, after = net.apply({**variables, "cache": memory}, images, at=at, mutable=["cache"])
    return outputs, after["cache"]

  return begin, outputs_at


def by_passes(net: Pixels, variables: Variables) -> tuple[Callable, Callable]:
  """As `by_cache`, without a memory: every pixel takes a pass of the whole image."""

  def outputs_at(images: Array, memory: None, at: At) -> tuple[Array, None]:
    outputs = net.apply(variables, images)
    return lax.dynamic_slice(outputs, (0, *at, 0, 0), (len(images), 1, 1, *outputs.shape[3:]))[:, 0, 0], memory

  return lambda images, memory, number: memory, outputs_at
