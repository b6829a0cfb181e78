import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from genjax.nets.convnet import ConvNet, uniform

SMALL = ConvNet(((3, 4), (5,)))


def _leaves(params):
  return {"/".join(part.key for part in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _default_shapes():
  return _leaves(jax.eval_shape(ConvNet().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"])


def _count(shapes, part):
  return sum(int(np.prod(leaf.shape)) for path, leaf in shapes.items() if path.startswith(part))


def test_the_default_net_has_the_parameters_of_the_paper():
  shapes = _default_shapes()
  assert _count(shapes, "Conv") == 2_343_168
  assert _count(shapes, "LayerNorm") == 2_816
  assert _count(shapes, "Dense") == 8_193
  assert _count(shapes, "") == 2_354_177


def test_the_first_layer_has_no_norm_and_the_other_seven_have_one_per_channel():
  norms = [leaf.shape for path, leaf in _default_shapes().items() if path.endswith("scale")]
  assert sorted(norms) == sorted([(64,), (64,), (128,), (128,), (256,), (256,), (512,)])


def _shaken(params):
  """Every parameter away from its initial 0 or 1, and weights large enough to matter."""
  keys = iter(jax.random.split(jax.random.key(5), len(jax.tree.leaves(params))))
  return jax.tree.map(lambda leaf: leaf + 0.5 * jax.random.normal(next(keys), leaf.shape), params)


def _by_hand(params, images, blocks):
  """The same net in numpy, float64: an image at a time, scipy's correlation, moments over height, width, channels."""
  params = {name: {k: np.asarray(v, np.float64) for k, v in part.items()} for name, part in params["params"].items()}
  logits = []
  for image in np.asarray(images, np.float64):
    x, place = image, 0
    for widths in blocks:
      for _ in widths:
        kernel, bias = params[f"Conv_{place}"]["kernel"], params[f"Conv_{place}"]["bias"]
        maps = [
          sum(correlate2d(x[..., i], kernel[..., i, o], "same") for i in range(x.shape[2])) + bias[o]
          for o in range(kernel.shape[3])
        ]
        x = np.stack(maps, -1)
        if place:
          norm = params[f"LayerNorm_{place - 1}"]
          x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * norm["scale"] + norm["bias"]
        x = x / (1 + np.exp(-x))
        place += 1
      height, width = x.shape[0] // 2, x.shape[1] // 2
      x = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean((1, 3))
    logits.append(x.ravel() @ params["Dense_0"]["kernel"][:, 0] + params["Dense_0"]["bias"][0])
  return np.array(logits)


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_the_logits_are_those_worked_out_in_numpy(size):
  images = jax.random.uniform(jax.random.key(1), (3, *size, 2), minval=-1.0, maxval=1.0)
  params = _shaken(SMALL.init(jax.random.key(0), images))
  logits, aux = jax.jit(SMALL.apply)(params, images)
  assert logits.shape == (3,)
  assert logits.dtype == jnp.float32
  assert aux["features"].shape == (3, (size[0] // 4) * (size[1] // 4) * 5)
  np.testing.assert_allclose(logits, _by_hand(params, images, SMALL.blocks), rtol=2e-4, atol=2e-4)


def test_an_images_logit_does_not_depend_on_the_others():
  images = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))
  params = _shaken(SMALL.init(jax.random.key(0), images))
  np.testing.assert_allclose(SMALL.apply(params, images)[0][1:2], SMALL.apply(params, images[1:2])[0], rtol=1e-5)


def test_odd_sizes_lose_their_last_row_and_column_when_pooled():
  net = ConvNet(((2,), (2,), (2,)))
  params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))  # 28, 14, 7, 3
  assert params["params"]["Dense_0"]["kernel"].shape == (3 * 3 * 2, 1)


def test_an_image_too_small_for_its_poolings_is_refused():
  with pytest.raises(
    ValueError, match="images 28x8 do not survive 4 poolings; use fewer blocks, or sides of at least 16"
  ):
    ConvNet().init(jax.random.key(0), jnp.zeros((1, 28, 8, 1)))
  assert jax.eval_shape(ConvNet().init, jax.random.key(0), jnp.zeros((1, 16, 16, 1)))


def test_in_bfloat16_the_logits_the_parameters_and_the_gradients_are_float32():
  half = ConvNet(SMALL.blocks, dtype=jnp.bfloat16)
  images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 1), minval=-1.0, maxval=1.0)
  params = half.init(jax.random.key(0), images)
  logits, aux = half.apply(params, images)
  assert logits.dtype == aux["features"].dtype == jnp.float32
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
  params = _shaken(params)
  gradient = lambda net: jax.grad(lambda x: net.apply(params, x)[0].sum())(images)
  assert gradient(half).dtype == jnp.float32
  np.testing.assert_allclose(half.apply(params, images)[0], SMALL.apply(params, images)[0], atol=0.1, rtol=0.05)
  error = jnp.linalg.norm(gradient(half) - gradient(SMALL)) / jnp.linalg.norm(gradient(SMALL))
  assert error < 0.05


def test_the_initial_weights_are_uniform_with_the_stated_deviation():
  weights = np.asarray(uniform(0.02)(jax.random.key(0), (3, 3, 64, 64)), np.float64).ravel()
  bound = 0.02 * 3**0.5
  assert np.abs(weights).max() <= bound * (1 + 1e-6)
  assert np.abs(weights).max() > 0.999 * bound
  assert abs(weights.std() - 0.02) < 4 * 0.02 * np.sqrt(0.8 / 4 / weights.size)  # kurtosis 1.8 of a uniform
  assert abs(weights.mean()) < 4 * 0.02 / np.sqrt(weights.size)


def test_a_new_net_has_zero_biases_unit_scales_and_the_weights_of_its_std():
  params = _leaves(ConvNet(((16, 16),), std=0.1).init(jax.random.key(0), jnp.zeros((1, 8, 8, 16)))["params"])
  for path, leaf in params.items():
    if path.endswith("bias"):
      assert not leaf.any()
    elif path.endswith("scale"):
      assert (leaf == 1).all()
    else:
      assert 0.9 * 0.1 * 3**0.5 < jnp.abs(leaf).max() <= 0.1 * 3**0.5 * (1 + 1e-6)
