import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.ops.diffaugment import POLICIES, Policy, coloured, cut, diffaugment, moved, policy_of

KEY = jax.random.key(0)
ALL = Policy(colour=0.8, flip=0.5, scaling=0.8, translation=0.8, cutout=0.8)
apply = jax.jit(diffaugment, static_argnums=2)
MARKED = np.zeros((4000, 8, 8, 1), np.float32)
MARKED[:, 4, 4] = 1


def _images(count=64, side=8, channels=3, seed=1):
  return np.random.default_rng(seed).uniform(-1, 1, (count, side, side, channels)).astype(np.float32)


def test_with_probability_0_images_are_the_same_to_the_last_bit():
  images = _images()
  np.testing.assert_array_equal(apply(KEY, images, Policy()), images)
  tiny = Policy(*(1e-12 for _ in Policy._fields))  # every map is there, none is on
  np.testing.assert_array_equal(apply(KEY, images, tiny), images)


def test_colours_are_the_formulae_of_numpy():
  images, rng = _images(5).astype(np.float64), np.random.default_rng(2)
  brightness, saturation, contrast = rng.uniform(-0.5, 0.5, 5), rng.uniform(0, 2, 5), rng.uniform(0.5, 1.5, 5)
  got = coloured(*(jnp.asarray(value, jnp.float32) for value in (images, brightness, saturation, contrast)))
  for image, b, s, c, message in zip(images, brightness, saturation, contrast, got, strict=True):
    image = image + b
    grey = image.mean(2, keepdims=True)
    image = (image - grey) * s + grey
    image = (image - image.mean()) * c + image.mean()
    np.testing.assert_allclose(message, image, atol=1e-6)


def test_an_image_of_one_channel_has_nothing_to_saturate():
  images = _images(32, channels=1)
  np.testing.assert_allclose(apply(KEY, images, Policy(saturation=1.0)), images, atol=1e-6)
  assert np.abs(apply(KEY, images, Policy(contrast=1.0)) - images).max() > 0.05


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (0, -2), (-3, 2), (8, 0)])
def test_a_shift_by_whole_pixels_moves_them_and_lets_grey_in(down, right):
  images = _images(3, 5)
  got = np.asarray(moved(images, jnp.array([[down, right]] * 3), jnp.ones(3), jnp.zeros(3, bool)))
  for i in range(5):
    for j in range(5):
      inside = 0 <= i - down < 5 and 0 <= j - right < 5
      np.testing.assert_array_equal(got[:, i, j], images[:, i - down, j - right] if inside else 0)


def test_a_mirrored_image_is_turned_left_to_right_before_it_is_moved():
  images = _images(2)
  turned = moved(images, jnp.zeros((2, 2)), jnp.ones(2), jnp.array([True, False]))
  np.testing.assert_array_equal(turned[0], images[0, :, ::-1])
  np.testing.assert_array_equal(turned[1], images[1])


def test_a_larger_image_is_its_bilinear_interpolation_about_the_middle():
  images, factor, shift = _images(1, 6), 1.7, (1, -2)
  got = moved(images, jnp.array([shift]), jnp.array([factor]), jnp.zeros(1, bool))[0]
  padded, middle = np.pad(images[0].astype(np.float64), ((9, 9), (9, 9), (0, 0))), 2.5
  for i in range(6):
    for j in range(6):
      y, x = (i - shift[0] - middle) / factor + middle, (j - shift[1] - middle) / factor + middle
      top, left = int(np.floor(y)), int(np.floor(x))
      v, h = y - top, x - left
      corners = padded[top + 9 : top + 11, left + 9 : left + 11]
      wanted = (1 - v) * ((1 - h) * corners[0, 0] + h * corners[0, 1]) + v * (
        (1 - h) * corners[1, 0] + h * corners[1, 1]
      )
      np.testing.assert_allclose(got[i, j], wanted, atol=1e-6)


def test_a_square_is_cut_where_it_is_told_and_its_part_outside_is_no_loss():
  images = np.ones((3, 6, 6, 2), np.float32)
  holes = cut(images, jnp.array([[1, 2], [-2, 0], [5, 5]]), (3, 3)) == 0
  assert holes[0, 1:4, 2:5].all()
  np.testing.assert_array_equal(holes[..., 0].sum((1, 2)), [9, 3, 1])


def test_half_squares_are_at_every_place_and_a_quarter_of_the_image_at_most():
  holes = np.asarray(apply(KEY, np.ones((4000, 8, 8, 1), np.float32), Policy(cutout=1.0)) == 0)[..., 0]
  areas = holes.sum((1, 2))
  assert areas.max() == 16
  # a side of 4 about 0..8: 2, 3, 4 (five times), 3, 2 of 8 rows are inside
  mean = np.mean([2, 3, 4, 4, 4, 4, 4, 3, 2]) ** 2
  assert abs(areas.mean() - mean) < 5 * areas.std() / np.sqrt(4000)
  assert holes.any(0).all()


def test_shifts_and_factors_are_spread_as_they_should_be():
  places = np.argwhere(np.asarray(apply(KEY, MARKED, Policy(translation=1.0)))[..., 0] == 1)[:, 1:]
  counts = np.histogram2d(*places.T, bins=(np.arange(2.5, 7), np.arange(2.5, 7)))[0]
  assert (counts > 0).sum() == 9  # one pixel each way: an eighth of the side
  assert np.abs(counts[counts > 0] - 4000 / 9).max() < 5 * np.sqrt(4000 / 9)
  ramp = np.broadcast_to(np.linspace(-1, 1, 9)[None, :, None, None], (4000, 9, 9, 1)).astype(np.float32)
  slope = np.asarray(apply(KEY, ramp, Policy(scaling=1.0)))[:, 5, 4, 0] / 0.25  # 1 / factor
  logarithms = -np.log2(slope)
  assert abs(logarithms.mean()) < 5 * 0.2 / np.sqrt(4000)
  np.testing.assert_allclose(logarithms.std(), 0.2, rtol=0.05)


@pytest.mark.parametrize("name", Policy._fields)
def test_each_change_comes_to_its_share_of_the_images(name):
  images = _images(2000, 8)
  changed = (np.asarray(apply(KEY, images, Policy(**{name: 0.3}))) != images).any((1, 2, 3))
  at_rest = {"translation": 1 / 9}.get(name, 0.0)  # a shift of nothing
  assert abs(changed.mean() - 0.3 * (1 - at_rest)) < 5 * np.sqrt(0.21 / 2000)


def test_the_changes_of_an_image_are_drawn_independently_of_each_other_and_over_their_whole_range():
  """Amounts are read from images that meet one change alone: by its key an image draws the same in every policy."""
  n, images = 2000, _images(2000, 8)
  gates = [(np.asarray(apply(KEY, images, Policy(**{name: 0.3}))) != images).any((1, 2, 3)) for name in Policy._fields]
  coloured, mean = np.asarray(apply(KEY, images, Policy(colour=1.0))), lambda x: x.mean((1, 2, 3))
  slope = lambda y, x: (y * x).sum((1, 2)) / (x * x).sum((1, 2))
  grey = lambda x: x.mean(3) - mean(x)[:, None, None]
  brightness, contrast = mean(coloured) - mean(images), slope(grey(coloured), grey(images))
  saturation = slope(*(np.diff(x)[..., 0] for x in (coloured, images))) / contrast
  for amount, (low, high) in ((brightness, (-0.5, 0.5)), (saturation, (0, 2)), (contrast, (0.5, 1.5))):
    np.testing.assert_allclose([amount.min(), amount.max()], [low, high], atol=0.01)
  shifts = np.argwhere(np.asarray(apply(KEY, MARKED, Policy(translation=1.0)))[:n, ..., 0] == 1)[:, 1:].T
  holes = np.asarray(apply(KEY, np.ones_like(MARKED), Policy(cutout=1.0)))[:n, ..., 0] == 0
  middles = [(holes.any(3 - axis) * np.arange(8)).sum(1) / holes.any(3 - axis).sum(1) for axis in (1, 2)]
  draws = np.corrcoef([*gates, brightness, saturation, contrast, *shifts, *middles])
  assert np.abs(draws - np.eye(len(draws))).max() < 5 / np.sqrt(n)


def test_the_same_augmentation_of_a_mixture_is_the_mixture_of_augmented_images():
  one, two = _images(seed=1), _images(seed=2)
  mixed = apply(KEY, 0.3 * one + 0.7 * two, ALL)
  np.testing.assert_allclose(mixed, 0.3 * apply(KEY, one, ALL) + 0.7 * apply(KEY, two, ALL), atol=1e-5)


def test_the_gradient_is_that_of_differences():
  images, weight = _images(6, 6).astype(np.float32), _images(6, 6, seed=3)
  loss = lambda x: (diffaugment(KEY, x, ALL) * weight).sum()
  gradient = jax.jit(jax.grad(loss))(images)
  way = _images(6, 6, seed=4)
  # affine in the images: a step as long as we like
  slope = (apply(KEY, images + way, ALL) * weight).sum() - (apply(KEY, images, ALL) * weight).sum()
  np.testing.assert_allclose((gradient * way).sum(), slope, rtol=1e-4)
  assert (np.abs(gradient).sum((1, 2, 3)) > 0).all()


def test_an_image_is_augmented_alike_in_any_batch_and_on_any_number_of_devices():
  images = _images(16)
  whole = np.asarray(apply(KEY, images, ALL))
  rounding = 5e-7 * 2 * 3  # of places up to 8, times how much neighbours differ, times what colours do to that
  np.testing.assert_allclose(apply(KEY, images[:4], ALL), whole[:4], atol=rounding)
  spread = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
  message = apply(KEY, jax.device_put(images, spread), ALL)
  assert message.sharding.is_equivalent_to(spread, 4)
  np.testing.assert_allclose(message, whole, atol=rounding)


def test_other_keys_draw_otherwise_and_so_do_other_images():
  images = np.broadcast_to(_images(1), (8, 8, 8, 3))
  drawn = np.asarray(apply(KEY, images, POLICIES["stock"]))
  assert len(np.unique(drawn.sum((1, 2, 3)))) == 8
  assert not np.array_equal(drawn, apply(jax.random.key(1), images, POLICIES["stock"]))


def test_policies_are_read_from_words():
  assert policy_of("thesis") == Policy(colour=0.8, scaling=0.8, translation=0.8, cutout=0.8)
  assert policy_of("translation=0.8, cutout=0.3") == Policy(translation=0.8, cutout=0.3)
  for text in ("rotation=0.5", "cutout", "cutout=2", "cutout=x", ""):
    with pytest.raises(ValueError, match="is no change; use thesis, stock, released, or NAME=PROBABILITY"):
      policy_of(text)
  with pytest.raises(ValueError, match="colour is brightness, saturation and contrast together"):
    policy_of("colour=0.8,contrast=0.8")
  with pytest.raises(ValueError, match=r"wanted \[B, H, W, C\]"):
    diffaugment(KEY, jnp.zeros((8, 8, 3)), ALL)
