"""The Inception v3 whose features define FID: TensorFlow's graph of 2015-12-05, in inference only.

Layers have the names of its public ports for PyTorch (pytorch-fid, torch-fidelity), so that a file of theirs is the
parameters but for the order of axes (`from_port`). A block is a table of branches, a branch a row of layers.

Papers   Inception v3  Szegedy et al. 2016, arXiv:1512.00567; FID  Heusel et al. 2017, arXiv:1706.08500
Departs  The paper's and torchvision's net, as the graph does: means of neighbours leave out what lies outside the
         image, the last block takes the greatest of them in place of the mean, and there are 1,008 logits. No
         auxiliary head, no dropout.
Shapes   images [B, H, W, 3] float32, (pixel - 128) / 128, 299x299 for FID, 75x75 at least -> features [B, 2048], the
         mean over places of the last block, and logits [B, 1008]. 23,885,392 parameters, 17,216 of them statistics.
Checked  tests/nets/test_inception.py: every block against torch-fidelity's net with the same weights.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax import lax

Array = jax.Array
SIDE, FEATURES, LOGITS = 299, 2048, 1008
EPSILON = 1e-3
LEAST = 75  # the side of images of which the last blocks keep one place
_he = nn.initializers.he_uniform()


class Layer(NamedTuple):
  """A convolution without bias, its batch norm and a ReLU; `name` is the port's."""

  name: str
  width: int
  kernel: tuple[int, int] = (1, 1)
  stride: int = 1
  padding: str = "SAME"


def greatest_by_two(x: Array) -> Array:
  return nn.max_pool(x, (3, 3), (2, 2))


def greatest(x: Array) -> Array:
  return nn.max_pool(x, (3, 3), padding="SAME")


def mean(x: Array) -> Array:
  return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


# The tables -----------------------------------------------------------------------------------------------------------

Step = Layer | Callable[[Array], Array] | tuple[Layer, ...]  # layers in a tuple see the same input
Branches = tuple[tuple[Step, ...], ...]


def _a(pool: int) -> Branches:
  return (
    (Layer("branch1x1", 64),),
    (Layer("branch5x5_1", 48), Layer("branch5x5_2", 64, (5, 5))),
    (Layer("branch3x3dbl_1", 64), Layer("branch3x3dbl_2", 96, (3, 3)), Layer("branch3x3dbl_3", 96, (3, 3))),
    (mean, Layer("branch_pool", pool)),
  )


def _c(width: int) -> Branches:
  return (
    (Layer("branch1x1", 192),),
    (Layer("branch7x7_1", width), Layer("branch7x7_2", width, (1, 7)), Layer("branch7x7_3", 192, (7, 1))),
    (
      Layer("branch7x7dbl_1", width),
      Layer("branch7x7dbl_2", width, (7, 1)),
      Layer("branch7x7dbl_3", width, (1, 7)),
      Layer("branch7x7dbl_4", width, (7, 1)),
      Layer("branch7x7dbl_5", 192, (1, 7)),
    ),
    (mean, Layer("branch_pool", 192)),
  )


def _e(pool: Callable[[Array], Array]) -> Branches:
  crossed = lambda name: (Layer(f"{name}a", 384, (1, 3)), Layer(f"{name}b", 384, (3, 1)))
  return (
    (Layer("branch1x1", 320),),
    (Layer("branch3x3_1", 384), crossed("branch3x3_2")),
    (Layer("branch3x3dbl_1", 448), Layer("branch3x3dbl_2", 384, (3, 3)), crossed("branch3x3dbl_3")),
    (pool, Layer("branch_pool", 192)),
  )


_B: Branches = (
  (Layer("branch3x3", 384, (3, 3), 2, "VALID"),),
  (Layer("branch3x3dbl_1", 64), Layer("branch3x3dbl_2", 96, (3, 3)), Layer("branch3x3dbl_3", 96, (3, 3), 2, "VALID")),
  (greatest_by_two,),
)
_D: Branches = (
  (Layer("branch3x3_1", 192), Layer("branch3x3_2", 320, (3, 3), 2, "VALID")),
  (
    Layer("branch7x7x3_1", 192),
    Layer("branch7x7x3_2", 192, (1, 7)),
    Layer("branch7x7x3_3", 192, (7, 1)),
    Layer("branch7x7x3_4", 192, (3, 3), 2, "VALID"),
  ),
  (greatest_by_two,),
)
STEM: tuple[Step, ...] = (
  Layer("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
  Layer("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
  Layer("Conv2d_2b_3x3", 64, (3, 3)),
  greatest_by_two,
  Layer("Conv2d_3b_1x1", 80),
  Layer("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),
  greatest_by_two,
)
BLOCKS: dict[str, Branches] = {
  "Mixed_5b": _a(32),
  "Mixed_5c": _a(64),
  "Mixed_5d": _a(64),
  "Mixed_6a": _B,
  "Mixed_6b": _c(128),
  "Mixed_6c": _c(160),
  "Mixed_6d": _c(160),
  "Mixed_6e": _c(192),
  "Mixed_7a": _D,
  "Mixed_7b": _e(mean),
  "Mixed_7c": _e(greatest),
}

# The net --------------------------------------------------------------------------------------------------------------


class ConvNormReLU(nn.Module):
  """See `Layer`; the statistics of the norm are parameters like the others."""

  layer: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    layer, shape = self.layer, (self.layer.width,)
    kernel = self.param("kernel", _he, (*layer.kernel, x.shape[-1], layer.width))
    scale, var = (self.param(name, nn.initializers.ones, shape) for name in ("scale", "var"))
    bias, average = (self.param(name, nn.initializers.zeros, shape) for name in ("bias", "mean"))
    y = lax.conv_general_dilated(
      x,
      kernel,
      (layer.stride, layer.stride),
      layer.padding,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      precision=lax.Precision.HIGHEST,
    )
    factor = scale * lax.rsqrt(var + EPSILON)
    return nn.relu((y - average[None, None, None]) * factor[None, None, None] + bias[None, None, None])


class Block(nn.Module):
  """What its branches make of the same images, side by side in the channels."""

  branches: Branches

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return jnp.concatenate([_through(branch, x) for branch in self.branches], -1)


class Inception(nn.Module):
  """Images -> features and logits; see the file's header.

  What each block gave comes with `capture_intermediates`, by the block's name.

  Attributes:
    biased: whether the logits have their bias.
  """

  biased: bool = True

  @nn.compact
  def __call__(self, images: Array) -> tuple[Array, Array]:
    if images.ndim != 4 or images.shape[3] != 3 or min(images.shape[1:3]) < LEAST:
      raise ValueError(f"images have shape {images.shape}; Inception takes [B, H, W, 3] from {LEAST}x{LEAST} on")
    x = _through(STEM, images.astype(jnp.float32))
    for name, branches in BLOCKS.items():
      x = Block(branches, name=name)(x)
    features = x.mean((1, 2))
    fc = nn.Dense(LOGITS, use_bias=self.biased, precision=lax.Precision.HIGHEST, name="fc")
    return features, fc(features)


def _through(steps: tuple[Step, ...], x: Array) -> Array:
  """Steps one after the other; called inside a module, which gets the layers."""
  for step in steps:
    if isinstance(step, Layer):
      x = ConvNormReLU(step, name=step.name)(x)
    elif isinstance(step, tuple):
      x = jnp.concatenate([_through((layer,), x) for layer in step], -1)
    else:
      x = step(x)
  return x


# The public ports' parameters -----------------------------------------------------------------------------------------

_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def port_shapes() -> dict[str, tuple[int, ...]]:
  """Name in a port's state dict -> shape: "Mixed_5b.branch1x1.conv.weight" -> (64, 192, 1, 1)."""
  shapes: dict[str, tuple[int, ...]] = {}
  channels = _add_shapes(shapes, "", STEM, 3)
  for name, branches in BLOCKS.items():
    channels = sum(_add_shapes(shapes, f"{name}.", branch, channels) for branch in branches)
  return {**shapes, "fc.weight": (LOGITS, channels), "fc.bias": (LOGITS,)}


def _add_shapes(shapes: dict[str, tuple[int, ...]], at: str, steps: tuple[Step, ...], channels: int) -> int:
  """Adds those of the steps' layers, which see so many channels; gives the number of channels that come out."""
  for step in steps:
    if isinstance(step, Layer):
      shapes[f"{at}{step.name}.conv.weight"] = (step.width, channels, *step.kernel)
      shapes |= {f"{at}{step.name}.bn.{part}": (step.width,) for part in _NORM}
      channels = step.width
    elif isinstance(step, tuple):
      channels = sum(_add_shapes(shapes, at, (layer,), channels) for layer in step)
  return channels


def from_port(state: Mapping[str, np.ndarray]) -> dict[str, dict]:
  """The parameters of `Inception` from the state dict of a port, without its counts of batches.

  Raises:
    ValueError: a parameter is missing, too much, of another shape or no float; the text names it.
  """
  named = {name: value for name, value in state.items() if not str(name).endswith(".num_batches_tracked")}
  wanted = port_shapes()
  for verb, names in (("lacks", wanted.keys() - named.keys()), ("has", named.keys() - wanted.keys())):
    if names:
      more = f" and {len(names) - 1} more" if len(names) > 1 else ""
      raise ValueError(f"it {verb} {min(map(str, names))}{more}; wanted the Inception v3 of FID, as pytorch-fid has it")
  flat = {}
  for name, shape in wanted.items():
    value = np.asarray(named[name])
    if value.shape != shape or value.dtype.kind != "f":
      raise ValueError(f"its {name} is {value.dtype}{list(value.shape)}; Inception v3 has floats {list(shape)} there")
    *layer, part = name.split(".")
    if layer == ["fc"]:
      path = ("fc", "kernel" if part == "weight" else part)
    else:
      path = (*layer[:-1], "kernel" if layer[-1] == "conv" else _NORM[part])
    flat[path] = np.ascontiguousarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T, np.float32)
  return unflatten_dict(flat)
