"""What models of a likelihood share: what their number means, grey levels, binary images, means of importance weights.

Papers   dequantisation  Theis, van den Oord & Bethge 2016, arXiv:1511.01844, section 3.1: noise on grey levels makes a
                         density's mean log a lower bound of the levels' log probability
         weights         Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq 8
Shapes   images [B, H, W, C] in [-1, 1]; `levels` L of them, 0 ... L - 1, from black to white.
Checked  tests/ops/test_likelihood_formulae.py
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


class Likelihood(NamedTuple):
  """What the view `log_prob` of a system gives.

  kind: "exact", or "bound" for a lower bound.
  of: "probability" of what is stored (grey levels, black and white, tokens), or "density" of real numbers in [-1, 1].
  dequantisation: of grey levels, "uniform" or "variational"; None: the model has none.
  importance_samples: draws in `log_prob`, of which a bound is the log of the mean weight.
  """

  kind: Literal["exact", "bound"]
  of: Literal["probability", "density"] = "probability"
  dequantisation: Literal["uniform", "variational"] | None = None
  importance_samples: int = 1


def grey_levels(images: Array, levels: int) -> Array:
  """The nearest level of each pixel, 0 ... L - 1, float32."""
  return jnp.clip(jnp.round((images + 1) * ((levels - 1) / 2)), 0, levels - 1)


def from_levels(places: Array, levels: int) -> Array:
  """Images of levels; places between two levels are mapped in proportion."""
  return places * (2 / (levels - 1)) - 1


def binary(uniform: Array, images: Array) -> Array:
  """Black and white images, -1 and 1, white with the probability that a grey level is of white: (x + 1) / 2.

  Args:
    uniform: draws in [0, 1), of the images' shape.
    images: grey.
  """
  return jnp.where(2 * uniform < images + 1, 1.0, -1.0)


def log_normal(x: Array) -> Array:
  """log density of x [B, ...] by the standard normal distribution, [B]."""
  flat = x.reshape(len(x), -1)
  return -((flat**2).sum(1) + flat.shape[1] * math.log(2 * math.pi)) / 2


def log_mean_exp(key: Array, draw: Callable[[Array], Array], count: int) -> Array:
  """log of the mean of exp(draw(key)) over `count` keys, one after the other, so that memory holds one draw [B]."""

  def one(total: Array, key: Array) -> tuple[Array, None]:
    return jnp.logaddexp(total, draw(key)), None

  keys = jax.random.split(key, count)
  total, _ = lax.scan(one, draw(keys[0]), keys[1:])
  return total - math.log(count)
