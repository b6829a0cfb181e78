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
SMALL = {"width": 8, "layers": 3, "first_kernel": 2 * FIRST + 1, "hidden": 16}
NETS = {kind.__name__: kind(SHAPE, **SMALL) for kind in (PixelCNN, GatedPixelCNN, RowLSTM, DiagonalBiLSTM)}
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


def apart(axis):
  """How many rows a place is above another, or columns to its right."""
  sign = 1 if axis == 0 else -1
  return sign * (PLACES[:, None, axis] - PLACES[None, :, axis])


def beside_the_triangle():
  """Of the row r above, what is more than FIRST + (r - 1) SIDE pixels to the right."""
  return (apart(0) > 0) & (apart(1) > FIRST + (apart(0) - 1) * SIDE)


def end_of_the_row_above():
  """The last channel of the row above: the state from the right begins with what comes before it."""
  last = (PLACES[:, 1:] == np.array(SHAPE[1:]) - 1).all(1)
  return (apart(0) == 1) & (apart(1) > FIRST) & last[None]


BLIND = {
  "PixelCNN": beside_the_triangle(),
  "RowLSTM": beside_the_triangle(),
  "GatedPixelCNN": np.zeros((len(PLACES),) * 2, bool),
  "DiagonalBiLSTM": end_of_the_row_above(),
}


@pytest.mark.parametrize("name", NETS)
def test_no_channel_of_a_pixel_sees_itself_or_a_later_one(name):
  assert not (seen(name) & ~before()).any()


@pytest.mark.parametrize("name", NETS)
def test_every_earlier_channel_and_pixel_is_seen_but_for_the_blind_spot_and_the_gated_net_has_none(name):
  np.testing.assert_array_equal(seen(name), before() & ~BLIND[name])
  assert (before() & BLIND[name]).any() == (name != "GatedPixelCNN")


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
  for name in ("PixelCNN", "GatedPixelCNN"):
    model, variables = wild(name)
    model = model.clone(net=model.net.clone(dropout=0.5))
    drop = jax.jit(lambda key: model.apply(variables, images, train=True, rngs={"dropout": key}))  # noqa: B023
    assert not np.allclose(drop(jax.random.key(0)), drop(jax.random.key(1)))
