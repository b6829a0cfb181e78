"""The tangent space of a manifold of images, by the Jacobian of a code: the directions that change the code most.

Papers   contractive autoencoders' tangents  Rifai et al. 2011, "The manifold tangent classifier", NIPS, section 3
         tangent propagation  Simard et al. 1992, "Tangent prop", NIPS, eq 3
Shapes   images [B, H, W, C]; encode: images -> codes [B, ...], of D numbers an image that depends on no other image.
         Jacobians [B, D, P] with P = H W C; tangents [B, k, H, W, C] are orthonormal.
Checked  tests/ops/test_tangents.py: against jax.jacobian; the plane that data lie in
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Encode = Callable[[Array], Array]


def jacobian(encode: Encode, images: Array) -> Array:
  """dc/dx of every image, exact, [B, D, P], by D passes backwards."""
  of_one = lambda image: encode(image[None])[0].reshape(-1)
  each = jax.vmap(jax.jacrev(of_one))(images)
  return each.reshape(*each.shape[:2], math.prod(images.shape[1:]))


def tangents(encode: Encode, images: Array, count: int) -> tuple[Array, Array]:
  """The `count` greatest singular values of dc/dx [B, count], falling, and the directions in the image that have them.

  Raises ValueError for more directions than a code or an image has numbers.
  """
  each = jacobian(encode, images).astype(jnp.float32)
  if not 1 <= count <= min(each.shape[1:]):
    raise ValueError(f"{count} tangents of codes of {each.shape[1]} numbers; use 1 to {min(each.shape[1:])}")
  _, values, directions = jnp.linalg.svd(each, full_matrices=False)
  return values[:, :count], directions[:, :count].reshape(len(images), count, *images.shape[1:])


def along(function: Encode, images: Array, directions: Array) -> Array:
  """How fast the outputs [B, ...] of a function change along each direction [B, k, H, W, C]: [B, k, ...].

  The derivative forwards is that of the derivative backwards: our convolutions (ops/conv.py) have no other.
  """
  outputs, back = jax.vjp(function, images)
  forwards = jax.vjp(lambda cotangent: back(cotangent)[0], jnp.zeros_like(outputs))[1]
  return jax.vmap(lambda direction: forwards(direction)[0], 1, 1)(directions)
