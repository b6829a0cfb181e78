"""Jacobians of codes and their largest directions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.tangents import along, jacobian, tangents

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 2, 3, 1)).astype(np.float32)


def test_the_jacobian_is_that_of_the_formula():
  w = RNG.normal(size=(6, 4)).astype(np.float32)
  encode = lambda images: jnp.sin(images.reshape(len(images), -1) @ w)
  ours = jax.jit(lambda images: jacobian(encode, images))(IMAGES)
  flat = IMAGES.reshape(3, 6)
  wanted = np.cos(flat @ w)[:, :, None] * w.T[None]
  np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)


def test_tangents_are_the_directions_that_the_code_sees_longest_first():
  basis = np.linalg.qr(RNG.normal(size=(6, 6)))[0][:, :3].astype(np.float32)
  encode = lambda images: images.reshape(len(images), -1) @ basis * jnp.array([[1.0, 5.0, 2.0]])
  values, vectors = tangents(encode, IMAGES, 2)
  np.testing.assert_allclose(values, np.tile([5, 2], (3, 1)), rtol=1e-5)
  aligned = np.abs(np.einsum("bkp,pk->bk", vectors.reshape(3, 2, 6), basis[:, [1, 2]]))
  np.testing.assert_allclose(aligned, 1, rtol=1e-5)
  with pytest.raises(ValueError, match="4 tangents of codes of 3 numbers; use 1 to 3"):
    tangents(encode, IMAGES, 4)


def test_slopes_along_directions_are_finite_differences():
  function = lambda images: jnp.stack([jnp.sin(images).sum((1, 2, 3)), (images**2).sum((1, 2, 3))], 1)
  directions = RNG.normal(size=(3, 4, 2, 3, 1)).astype(np.float32)
  step = 1e-3
  moved = [(function(IMAGES + step * directions[:, k]) - function(IMAGES - step * directions[:, k])) for k in range(4)]
  np.testing.assert_allclose(along(function, IMAGES, directions), np.stack(moved, 1) / (2 * step), atol=2e-2)
