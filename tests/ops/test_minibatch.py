import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.minibatch import deviation, discrimination

FEATURES = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
PROJECTION = np.random.default_rng(1).normal(size=(3, 2, 5)).astype(np.float32) / 3


def test_discrimination_is_the_papers_triple_sum():
  rows = np.einsum("ba,akc->bkc", FEATURES, PROJECTION)
  expected = [
    [sum(np.exp(-np.abs(rows[i, k] - rows[j, k]).sum()) for j in range(4)) for k in range(2)] for i in range(4)
  ]
  np.testing.assert_allclose(discrimination(jnp.asarray(FEATURES), jnp.asarray(PROJECTION)), expected, rtol=1e-5)


def test_images_that_are_the_same_score_the_batch_size():
  same = jnp.tile(jnp.asarray(FEATURES[:1]), (4, 1))
  np.testing.assert_allclose(discrimination(same, jnp.asarray(PROJECTION)), 4, rtol=1e-6)
  assert np.isfinite(jax.grad(lambda x: discrimination(x, jnp.asarray(PROJECTION)).sum())(same)).all()


def test_deviation_is_that_of_the_group_that_an_image_is_in():
  images = np.random.default_rng(2).normal(size=(6, 2, 2, 1)).astype(np.float32)
  message = deviation(jnp.asarray(images), group=2)
  expected = [np.sqrt(images[[i % 3, i % 3 + 3]].var(0) + 1e-8).mean() for i in range(6)]
  np.testing.assert_allclose(message, expected, rtol=1e-5)
  assert np.isfinite(jax.grad(lambda x: deviation(x, 2).sum())(jnp.zeros((4, 3)))).all()
  with pytest.raises(ValueError, match="no groups of 4"):
    deviation(jnp.asarray(images))
