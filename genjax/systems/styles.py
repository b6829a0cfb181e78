"""Generators in two parts, latents to w and w to images, and how the w of an image's layers are mixed in training.

Papers   StyleGAN  Karras et al. 2019, arXiv:1812.04948, section 3.1: style mixing, in one place a minibatch
Shapes   w [m, W]; one for each of S styles, from coarse to fine: [m, S, W]
Checked  tests/systems/test_styles.py
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.training import mode
from genjax.ops.latents import each_style

Array = jax.Array


def has_w(generator: nn.Module) -> bool:
  """Whether it has both parts, the methods `mapping` and `synthesis`."""
  return hasattr(type(generator), "mapping") and hasattr(type(generator), "synthesis")


def styles_of(generator: nn.Module) -> int:
  """How many w an image of it may be made of."""
  return getattr(generator, "styles", 1) if has_w(generator) else 1


def mixed(key: Array, w: Array, other: Array, styles: int, probability: float) -> Array:
  """With this probability, `other` from a style on that is drawn evenly, never the first; else w for all."""
  key_mix, key_place = jax.random.split(key)
  place = jax.random.randint(key_place, (), 1, styles)
  place = jnp.where(jax.random.bernoulli(key_mix, probability), place, styles)
  return jnp.where((jnp.arange(styles) < place)[None, :, None], each_style(w, styles), each_style(other, styles))


def trained(
  net: nn.Module,
  variables: Mapping[str, Any],
  rngs: Mapping[str, Array],
  *inputs: Array,
  method: str | None = None,
) -> tuple:
  """What a net, or one of its methods, gives in training, and its collections but "params" after this pass."""
  collections = [name for name in variables if name != "params"]
  return net.apply(variables, *inputs, **mode(net, True, method), rngs=rngs, mutable=collections, method=method)
