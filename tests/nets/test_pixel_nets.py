"""Nets of autoregressive models: who sees whom, by gradients, and one pixel a pass against the whole pass."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.masked import channel_mask
from genjax.nets.pixelcnn import GatedPixelCNN, PixelCNN
from genjax.nets.pixelrnn import DiagonalBiLSTM, RowLSTM, skewed, unskewed
from genjax.systems.pixelcnn import Pixels, by_cache, empty

SHAPE = (4, 5, 2)
FIRST, SIDE = 2, 1  # halves of the kernels
SMALL = {"width": 4, "layers": 3, "first_kernel": 2 * FIRST + 1, "hidden": 8}
NETS = {kind.__name__: kind(SHAPE, **SMALL) for kind in (PixelCNN, GatedPixelCNN, RowLSTM, DiagonalBiLSTM)}
WITH_A_BLIND_SPOT = ("PixelCNN", "RowLSTM")
PLACES = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)  # row, column, channel


@cache
def wild(name):
  """The model of a net with two outputs a channel, and variables so large that whatever is seen matters."""
  model, rng = Pixels(NETS[name], 2, SHAPE), np.random.default_rng(0)
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *SHAPE)))
  return model, jax.tree.map(lambda leaf: 0.5 * rng.normal(size=leaf.shape).astype(np.float32), shapes)


@cache
def seen(name):
  """Which channels of which pixels, by their number, the outputs of each depend on: [place, place] bool."""
  model, variables = wild(name)
  images = np.random.default_rng(1).uniform(-1, 1, (8, *SHAPE)).astype(np.float32)
  of = lambda image: model.apply(variables, image[None]).sum(-1).reshape(-1)
  slopes = jax.jit(jax.vmap(jax.jacrev(of)))(images)
  return np.abs(slopes.reshape(len(images), len(PLACES), len(PLACES))).max(0) > 0


def before():
  number = np.arange(len(PLACES))
  return number[None] < number[:, None]


def in_the_triangle():
  """Of the row r above, no more than FIRST + (r - 1) SIDE pixels to the right."""
  rows, right = (PLACES[:, None, i] - PLACES[None, :, i] for i in (0, 1))
  return (rows == 0) | (-right <= FIRST + (rows - 1) * SIDE)


@pytest.mark.parametrize("name", NETS)
def test_no_channel_of_a_pixel_sees_itself_or_a_later_one(name):
  assert not (seen(name) & ~before()).any()


@pytest.mark.parametrize("name", [name for name in NETS if name not in WITH_A_BLIND_SPOT])
def test_without_a_blind_spot_every_earlier_channel_and_pixel_is_seen(name):
  np.testing.assert_array_equal(seen(name), before())


@pytest.mark.parametrize("name", WITH_A_BLIND_SPOT)
def test_the_blind_spot_is_what_lies_to_the_right_of_a_triangle_above(name):
  np.testing.assert_array_equal(seen(name), before() & in_the_triangle())
  assert (before() & ~in_the_triangle()).any()


@pytest.mark.parametrize("name", NETS)
def test_one_pixel_a_pass_gives_the_outputs_of_the_whole_pass(name):
  """A pixel's own channels come one after the other: the same place is passed once for each."""
  model, variables = wild(name)
  images = jnp.asarray(np.random.default_rng(2).uniform(-1, 1, (2, *SHAPE)), jnp.float32)
  whole = jax.jit(model.apply)(variables, images)
  begin, outputs_at = map(jax.jit, by_cache(model, variables))
  memory, so_far = empty(model, variables, images), np.zeros_like(images)
  for row, column, channel in PLACES:
    if not column and not channel:
      memory = begin(so_far, memory, row)
    outputs, memory = outputs_at(so_far, memory, (row, column))
    np.testing.assert_allclose(outputs[:, channel], whole[:, row, column, channel], atol=1e-5 * np.abs(whole).max())
    so_far[:, row, column, channel] = images[:, row, column, channel]


def test_a_channel_has_a_share_of_the_features_and_sees_the_shares_before_its_own():
  strict = channel_mask(3, 6, 3, strict=True)
  np.testing.assert_array_equal(strict, [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]])
  with_own = channel_mask(2, 4, 2, strict=False, parts=2)  # two gates, each with a feature of both channels
  np.testing.assert_array_equal(with_own, [[1, 1, 1, 1], [0, 1, 0, 1]])
  assert channel_mask(4, 6, 1, strict=False).all()
  assert not channel_mask(1, 6, 1, strict=True).any()


def test_skewed_rows_move_to_the_right_by_their_number():
  x = np.arange(1, 7).reshape(1, 2, 3, 1)
  moved = skewed(jnp.asarray(x))
  np.testing.assert_array_equal(moved[0, :, :, 0], [[1, 2, 3, 0], [0, 4, 5, 6]])
  np.testing.assert_array_equal(unskewed(moved), x)


@pytest.mark.parametrize("kernel", [1, 4])
def test_a_kernel_without_a_middle_or_without_neighbours_is_refused(kernel):
  for net in (PixelCNN(SHAPE, kernel=kernel), DiagonalBiLSTM(SHAPE, first_kernel=kernel)):
    with pytest.raises(ValueError, match=f"kernel {kernel}; a masked convolution has a middle"):
      net.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))


def test_they_drop_in_training_alone():
  images = jnp.ones((1, *SHAPE))
  for kind in (PixelCNN, GatedPixelCNN):
    net = kind(SHAPE, **{**SMALL, "layers": 1}, dropout=0.5)
    variables = net.init(jax.random.key(0), images)
    drop = lambda seed, net=net, variables=variables: net.apply(
      variables, images, train=True, rngs={"dropout": jax.random.key(seed)}
    )
    assert not np.allclose(drop(0), drop(1))
