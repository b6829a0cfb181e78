"""Images from few measurements of them, by a generator: the latents whose image has measured what was measured.

The same search serves for compressed sensing (random projections), for in-painting (the pixels that are left), for
super-resolution (means of pixels), and for a reconstruction (all pixels); what is measured is a function of images.

Papers   CSGM  Bora, Jalal, Price & Dimakis 2017, arXiv:1703.03208: |A G(z) - y|^2 + lambda |z|^2, Adam, 10 restarts
         projection, constrained editing  Zhu et al. 2016, arXiv:1609.03552
Shapes   latents [B, Z]; images [B, H, W, C] in [-1, 1]; measurements [B, m].
Checked  tests/ops/test_recovery.py: a linear generator, whose latents least squares find
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.langevin import adam

Array = jax.Array


class Recovered(NamedTuple):
  """Of each example the best of all restarts: latents [B, Z], images [B, H, W, C], |A G(z) - y|^2 [B]."""

  latents: Array
  images: Array
  error: Array


def recovered(
  key: Array,
  generate: Callable[[Array], Array],
  draw: Callable[[Array, int], Array],
  measure: Callable[[Array], Array],
  measurements: Array,
  *,
  penalty: float = 0.001,
  steps: int = 500,
  restarts: int = 10,
  learning_rate: float = 0.05,
) -> Recovered:
  """Searches latents by Adam, from several starts at once.

  Args:
    key: of the starts.
    generate: latents -> images; differentiable.
    draw: (key, n) -> latents of the prior.
    measure: images [B, H, W, C] -> [B, m]; differentiable.
    measurements: of the examples that are looked for.
    penalty: lambda.
    steps: of Adam.
    restarts: starts of each example; the one that fits best is kept.
    learning_rate: of Adam, which falls to 0 as a cosine.

  Raises:
    ValueError: counts below 1.
  """
  if min(steps, restarts) < 1:
    raise ValueError(f"steps {steps}, restarts {restarts}; use at least 1")
  count, rule = len(measurements), adam(learning_rate=learning_rate, b1=0.9, b2=0.999)
  start = draw(key, count * restarts)
  wanted = jnp.tile(measurements, (restarts, 1))

  def errors(latents: Array) -> Array:
    return ((measure(generate(latents)) - wanted) ** 2).sum(1)

  def step(carry: tuple[Array, Any], index: Array) -> tuple[tuple[Array, Any], None]:
    latents, moment = carry
    uphill = jax.grad(lambda latents: -errors(latents).sum() - penalty * (latents**2).sum())(latents)
    move, moment = rule.move(key, uphill, moment, index)
    return (latents + 0.5 * (1 + jnp.cos(jnp.pi * index / steps)) * move, moment), None

  latents = lax.scan(step, (start, rule.init(start)), jnp.arange(steps))[0][0]
  every = errors(latents).reshape(restarts, count)
  best = every.argmin(0)
  chosen = latents.reshape(restarts, count, -1)[best, jnp.arange(count)]
  return Recovered(chosen, generate(chosen), every.min(0))
