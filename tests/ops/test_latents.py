import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.latents import CENTRE, Latents, arc, interpolated, mixed, sampled

KEY = jax.random.key(0)
SHAPE = (2, 2, 1)


def _draw(key, n):
  return jax.random.normal(key, (n, 4))


def _show(points, labels):
  return points.reshape(-1, *SHAPE) / 10


PLAIN = Latents(_draw, lambda latent, labels: latent, _show, has_w=False, normal=True)
WITH_W = PLAIN._replace(mapping=lambda latent, labels: latent**2, has_w=True)


def _by_class(latent, labels):
  return latent + 3.0 * labels[:, None]


def _styles(points, labels):
  """Pixel s is the first number of style s."""
  return (points[:, :, 0] / 10).reshape(-1, *SHAPE)


STYLES = WITH_W._replace(generate=_styles, styles=4, mapping=lambda latent, labels: latent)


def _flat(images):
  return np.asarray(images).reshape(-1, 4) * 10


def test_truncation_without_w_scales_latents_and_with_w_goes_towards_its_mean():
  latents = np.asarray(_draw(KEY, 5))
  np.testing.assert_allclose(_flat(sampled(KEY, PLAIN, 5)), latents, rtol=1e-5)
  np.testing.assert_allclose(_flat(sampled(KEY, PLAIN, 5, 0.5)), latents / 2, rtol=1e-5)
  mean = (np.asarray(_draw(jax.random.fold_in(KEY, CENTRE), CENTRE)) ** 2).mean(0)
  np.testing.assert_allclose(mean, 1, atol=0.15)
  np.testing.assert_allclose(
    _flat(sampled(KEY, WITH_W, 5, 0.3)), mean + 0.3 * (latents**2 - mean), rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(_flat(sampled(KEY, WITH_W, 5, 0.0)), np.broadcast_to(mean, (5, 4)), rtol=1e-4)


def test_each_class_has_a_mean_of_its_own():
  images = _flat(sampled(KEY, WITH_W._replace(mapping=_by_class, classes=3), 7, 0.0))
  np.testing.assert_allclose(images.mean(1), [0, 3, 6, 0, 3, 6, 0], atol=0.1)


def test_interpolation_is_linear_in_w_and_ends_where_it_should():
  rows = _flat(interpolated(KEY, WITH_W, 3, 5)).reshape(3, 5, 4)
  start, end = (np.asarray(_draw(key, 3)) ** 2 for key in jax.random.split(KEY))
  for place in range(5):
    np.testing.assert_allclose(rows[:, place], start + place / 4 * (end - start), rtol=1e-4, atol=1e-5)
  by_class = _flat(interpolated(KEY, WITH_W._replace(mapping=_by_class, classes=2), 2, 3)).reshape(2, 3, 4)
  assert by_class[1].mean() - by_class[0].mean() > 1


def test_an_arc_keeps_the_length_of_its_ends_and_turns_evenly():
  start, end = jnp.array([3.0, 0.0, 0.0]), jnp.array([0.0, 3.0, 0.0])
  for share in (0.0, 0.25, 0.5, 1.0):
    angle = share * np.pi / 2
    np.testing.assert_allclose(arc(start, end, share), [3 * np.cos(angle), 3 * np.sin(angle), 0], atol=1e-6)
  np.testing.assert_allclose(arc(start, 2 * start, 0.5), 1.5 * start, rtol=1e-5)
  rows = _flat(interpolated(KEY, PLAIN, 2, 3)).reshape(2, 3, 4)
  start, end = (_draw(key, 2) for key in jax.random.split(KEY))
  np.testing.assert_allclose(rows[:, 1], arc(start, end, 0.5), rtol=1e-4)
  np.testing.assert_allclose(rows[:, 2], end, rtol=1e-4, atol=1e-5)


def test_a_mixture_has_coarse_styles_of_its_row_and_fine_ones_of_its_column():
  images = _flat(mixed(KEY, STYLES, 2, 3, coarse=1)).reshape(3, 4, 4)
  sources = np.asarray(_draw(KEY, 5))[:, 0]
  np.testing.assert_allclose(images[0, 0], 10)  # white
  for row in range(2):
    np.testing.assert_allclose(images[row + 1, 0], sources[row], rtol=1e-5)
    for column in range(3):
      np.testing.assert_allclose(images[0, column + 1], sources[2 + column], rtol=1e-5)
      np.testing.assert_allclose(images[row + 1, column + 1], [sources[row]] + 3 * [sources[2 + column]], rtol=1e-5)


def test_one_style_cannot_be_mixed():
  for latents, coarse in ((WITH_W, 1), (STYLES, 0), (STYLES, 4)):
    with pytest.raises(ValueError, match="use a generator of several"):
      mixed(KEY, latents, 2, 2, coarse)
