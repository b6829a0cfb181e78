"""What models of a likelihood share: what their number means, the normal density, means of importance weights.

Papers   dequantisation  Theis, van den Oord & Bethge 2016, arXiv:1511.01844, section 3.1: noise on grey levels makes a
                         density's mean log a lower bound of the levels' log probability
         weights         Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq 8
Shapes   x [B, ...]; log densities and log weights [B].
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
