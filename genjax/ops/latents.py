"""Pictures by their latents: truncation, interpolation, mixing of styles, for any generator that has latents.

Papers   truncation  Karras et al. 2019 (StyleGAN), arXiv:1812.04948, appendix B: w towards its mean by a factor psi
         mixing      the same, section 3.1 and figure 3: coarse layers by one w, the others by another
         spherical   White 2016, arXiv:1609.04468: between normal latents along the great circle
Departs  A generator without w: its latents are scaled by psi, towards the prior's mean. BigGAN's truncation, which
         draws them from a truncated normal distribution, is another. Along an arc between ends of different lengths
         the length is not kept.
Shapes   latent [n, Z], w [n, W] or [n, S, W], labels [n] int32 or None; images [n, H, W, C] in [-1, 1].
Checked  tests/ops/test_latents.py
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Labels = Array | None
CENTRE = 4096  # latents whose w make the mean
TOGETHER = 100  # images generated at once


class Latents(NamedTuple):
  """A generator in two parts. Without w, `mapping` returns the latents, and `generate` takes those."""

  draw: Callable[[Array, int], Array]  # key, n -> latents [n, Z]
  mapping: Callable[[Array, Labels], Array]  # -> w
  generate: Callable[[Array, Labels], Array]  # w, labels -> images
  has_w: bool
  normal: bool  # latents are standard normal, not uniform
  styles: int = 1  # how many w an image may be made of
  classes: int | None = None


def each_style(w: Array, styles: int) -> Array:
  """One w for each layer, [B, styles, W]: those given, or the only one [B, W] for all of them.

  Raises:
    ValueError: neither shape, with what is wanted.
  """
  if w.ndim == 2:
    return jnp.broadcast_to(w[:, None], (w.shape[0], styles, w.shape[1]))
  if w.ndim != 3 or w.shape[1] != styles:
    raise ValueError(f"w has shape {w.shape}; this net takes [B, W] or, one for each layer, [B, {styles}, W]")
  return w


def sampled(key: Array, latents: Latents, n: int, psi: float = 1.0) -> Array:
  """n images, image i of class i modulo their number; the latents of a generator of the same key are the same."""
  labels = _labels(latents, jnp.arange(n))
  return _generated(latents, _points(key, latents, latents.draw(key, n), labels, psi), labels)


def interpolated(key: Array, latents: Latents, rows: int, columns: int, psi: float = 1.0) -> Array:
  """rows * columns images: in each row from one image to another; linear in w, else along an arc of normal latents.

  With classes each row is of one.
  """
  labels = _labels(latents, jnp.arange(rows))
  key_start, key_end = jax.random.split(key)
  ends = [latents.draw(key, rows)[:, None] for key in (key_start, key_end)]
  share = jnp.linspace(0.0, 1.0, columns)[None, :, None]
  if latents.normal and not latents.has_w:
    points = arc(*ends, share)
    labels = None if labels is None else jnp.repeat(labels, columns)
    flat = _points(key, latents, points.reshape(rows * columns, -1), labels, psi)
  else:
    first, last = (_points(key, latents, end[:, 0], labels, psi)[:, None] for end in ends)
    flat = (first + share * (last - first)).reshape(rows * columns, -1)
    labels = None if labels is None else jnp.repeat(labels, columns)
  return _generated(latents, flat, labels)


def mixed(key: Array, latents: Latents, rows: int, columns: int, coarse: int, psi: float = 1.0) -> Array:
  """(rows + 1) * (columns + 1) images: sources in the first row and column, a white corner, and their mixtures.

  A mixture has its `coarse` first styles from the source at the left of its row, the others from that above it.

  Raises:
    ValueError: the generator has one style, or not as many.
  """
  if not 0 < coarse < latents.styles:
    raise ValueError(
      f"{coarse} coarse styles of {latents.styles}; use a generator of several, and at least one of each"
    )
  labels = _labels(latents, jnp.arange(rows + columns))
  points = _points(key, latents, latents.draw(key, rows + columns), labels, psi)
  left, above = points[:rows], points[rows:]
  fine = jnp.arange(latents.styles)[None, None, :, None] >= coarse
  both = jnp.where(fine, above[None, :, None], left[:, None, None])  # [rows, columns, S, W]
  sources = jnp.broadcast_to(points[:, None], (rows + columns, latents.styles, points.shape[1]))
  every = jnp.concatenate([sources, both.reshape(rows * columns, *both.shape[2:])])
  labels = None if labels is None else jnp.concatenate([labels, jnp.repeat(labels[:rows], columns)])
  images = _generated(latents, every, labels)
  shape = images.shape[1:]
  top = jnp.concatenate([jnp.ones((1, *shape)), images[rows : rows + columns]])
  body = jnp.concatenate([images[:rows, None], images[rows + columns :].reshape(rows, columns, *shape)], 1)
  return jnp.concatenate([top[None], body]).reshape(-1, *shape)


def arc(start: Array, end: Array, share: Array) -> Array:
  """Points on the great circle from start to end [..., Z], `share` of the way; on the line where they point alike."""
  unit = lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)
  cosine = jnp.clip((unit(start) * unit(end)).sum(-1, keepdims=True), -1.0, 1.0)
  angle = jnp.arccos(cosine)
  sine = jnp.sin(angle)
  alike = sine < 1e-4
  safe = jnp.where(alike, 1.0, sine)
  weights = [jnp.sin((1 - share) * angle) / safe, jnp.sin(share * angle) / safe]
  straight = [1 - share, share]
  first, last = (jnp.where(alike, line, curve) for line, curve in zip(straight, weights, strict=True))
  return first * start + last * end


def _labels(latents: Latents, places: Array) -> Labels:
  return None if latents.classes is None else places.astype(jnp.int32) % latents.classes


def _points(key: Array, latents: Latents, drawn: Array, labels: Labels, psi: float) -> Array:
  """w of latents, psi of the way from its mean, over the latents of the same class; without w psi times the latents."""
  points = latents.mapping(drawn, labels)
  if psi == 1.0:
    return points
  if not latents.has_w:
    return psi * points
  others = latents.draw(jax.random.fold_in(key, CENTRE), CENTRE)
  if labels is None:
    centre = latents.mapping(others, None).mean(0, keepdims=True)
  else:
    each = lambda label: latents.mapping(others, jnp.full((CENTRE,), label, jnp.int32)).mean(0)
    centre = lax.map(each, jnp.arange(latents.classes))[labels]
  return centre + psi * (points - centre)


def _generated(latents: Latents, points: Array, labels: Labels) -> Array:
  """Images of w, some at a time."""
  one = lambda item: latents.generate(*jax.tree.map(lambda leaf: leaf[None], item))[0]
  return jnp.clip(lax.map(one, (points, labels), batch_size=TOGETHER), -1.0, 1.0)
