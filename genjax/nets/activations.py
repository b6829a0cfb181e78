"""Activations of hidden layers by name. Those that rise and are convex are chi-exponentials: v' = chi(v).

    name       v(z)                              chi(v), never falling               v(0)
    relu       max(z, 0)                         0 at 0, then 1                      0
    leaky      z, 0.2 z below 0                  1, 0.2 below 0                      0
    elu        z, exp(z) - 1 below 0             min(1 + v, 1)                       0
    softplus   log(1 + exp z)                    1 - exp(-v)                         log 2
    mu_relu    (z + sqrt(z^2 + (1 - mu)^2)) / 2  4 v^2 / (4 v^2 + (1 - mu)^2)        (1 - mu) / 2, mu = 0
    lsu        0 to z = -1, (1 + z)^2 to 1, 4 z  min(2 sqrt v, 4)                    1

Each determines the other: v is the inverse of the chi-logarithm, z = integral of dt / chi(t) from v(0) to v. The
density of what a generator makes with such layers is a product of escorts of the deformed exponential family of chi;
the condition is that v is smooth, bounded below, increasing and convex (elu, softplus, mu_relu), or on any interval a
limit of such functions (relu, leaky, lsu). tanh and swish are not convex.

Papers   chi   Nock et al. 2017, arXiv:1707.04385 (seed 002 has abstract and reviews, no formula; the pairs are from
               memory, and checked); lsu is its least square unit
         elu   Clevert et al. 2016, arXiv:1511.07289
Departs  The paper's exp_chi starts at 1 and a constant moves it; here v is as nets use it, and a bias does that.
         Its softplus is to the base 2; mu is 0, the other end from relu, which is mu = 1 (at 0, squareplus of 1).
Shapes   any, elementwise.
Checked  tests/nets/test_activations.py: v' = chi(v), the inverse by quadrature, and which condition holds.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Activation = Literal["relu", "leaky", "tanh", "swish", "elu", "softplus", "mu_relu", "lsu"]


def mu_relu(z: Array, mu: float = 0.0) -> Array:
  """(z + sqrt(z^2 + (1 - mu)^2)) / 2: smooth for mu < 1, relu at 1."""
  return jax.nn.squareplus(z, b=(1 - mu) ** 2)


def lsu(z: Array) -> Array:
  """The least square unit: 0 below -1, (1 + z)^2 to 1, then 4 z."""
  return jnp.clip(1 + z, 0, 2) ** 2 + 4 * jax.nn.relu(z - 1)


ACTIVATIONS = {
  "relu": nn.relu,
  "leaky": lambda x: nn.leaky_relu(x, 0.2),
  "tanh": nn.tanh,
  "swish": nn.swish,
  "elu": nn.elu,
  "softplus": nn.softplus,
  "mu_relu": mu_relu,
  "lsu": lsu,
}
