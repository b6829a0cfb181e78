"""Equalised layers: the effective weight and its gradient by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jitted import normal, run, start

from genjax.nets.equalised import EqualConv, EqualDense, leaky, pixel_norm
from genjax.ops.resample import down


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_an_equalised_layers_effective_weight_is_rate_times_weight_over_the_root_of_its_inputs(rate):
  layer, x = EqualDense(3, rate, bias=0.5), normal(1, 4, 16)
  params = start(layer, x)["params"]
  kernel, bias = np.asarray(params["kernel"], np.float64), np.asarray(params["bias"])
  np.testing.assert_allclose(bias, 0.5 / rate, rtol=1e-6)
  expected = np.asarray(x, np.float64) @ (kernel * rate / 4) + 0.5
  np.testing.assert_allclose(run(layer, {"params": params}, x), expected, rtol=1e-4, atol=1e-5)


def test_the_rate_and_the_root_scale_the_gradient_too_so_that_weights_start_at_their_scale_and_learn_at_it():
  layer, x = EqualDense(200, 0.01), normal(1, 4, 100)
  params = start(layer, x)["params"]
  np.testing.assert_allclose(params["kernel"].std(), 100, rtol=0.02)  # 1 / rate, which the rate takes back
  gradient = jax.grad(lambda params: layer.apply({"params": params}, x).sum())(params)
  np.testing.assert_allclose(gradient["kernel"], np.tile(x.sum(0)[:, None], (1, 200)) * 0.01 / 10, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(gradient["bias"], 4 * 0.01, rtol=1e-6)


def test_an_equalised_convolution_is_that_of_its_scaled_kernel_and_its_strided_form_blurs_first():
  x = normal(1, 2, 4, 6, 3)
  for layer in (EqualConv(5), EqualConv(5, down=True)):
    params = start(layer, x)["params"]
    scaled = params["kernel"] / 27**0.5
    same = partial(jax.lax.conv_general_dilated, rhs=scaled, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    taps = jnp.outer(jnp.array([1, 3, 3, 1.0]), jnp.array([1, 3, 3, 1.0]))[:, :, None, None] / 64
    blurred = jax.lax.conv_general_dilated(
      x,
      jnp.tile(taps, (1, 1, 1, 3)),
      (1, 1),
      ((2, 2), (2, 2)),
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=3,
    )
    expected = (
      same(blurred, window_strides=(2, 2), padding=((0, 0), (0, 0)))
      if layer.down
      else same(x, window_strides=(1, 1), padding=((1, 1), (1, 1)))
    )
    np.testing.assert_allclose(run(layer, {"params": params}, x), expected, rtol=1e-4, atol=1e-5)


def test_a_1x1_convolution_of_a_halved_image_is_the_published_strided_one():
  """The shortcut of the critic filters and halves, then mixes channels; the published one strides in the mixing."""
  x, layer = normal(1, 1, 6, 6, 3), EqualConv(2, 1, down=True, bias=False)
  variables = start(layer, x)
  np.testing.assert_allclose(run(layer, variables, x), run(EqualConv(2, 1, bias=False), variables, down(x)), rtol=1e-4)


def test_pixel_norm_gives_unit_mean_square_and_the_leaky_gain_keeps_the_second_moment():
  x = 3 * normal(1, 4, 1000)
  np.testing.assert_allclose((pixel_norm(x) ** 2).mean(1), 1, rtol=1e-5)
  np.testing.assert_allclose((leaky(normal(2, 200_000)) ** 2).mean(), 1.04, rtol=0.02)  # 2 (1 + 0.2^2) / 2
  assert jnp.isfinite(jax.grad(lambda x: pixel_norm(x).sum())(jnp.zeros(4))).all()
