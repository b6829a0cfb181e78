"""Modulated convolutions: a kernel for each image, in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jitted import normal, run, start, stirred

from genjax.nets.modulated import ModulatedConv, StyledConv, ToImage
from genjax.ops.resample import up


def _one_kernel_each(x, style, kernel, up, demodulate):
  """The definition: for each image a kernel of its own, scaled, divided by its length, and a loop over pixels."""
  x, style, kernel = (np.asarray(value, np.float64) for value in (x, style, kernel))
  batch, height, width, _ = x.shape
  size, features = kernel.shape[0], kernel.shape[3]
  results = []
  for image, scale in zip(x, style, strict=True):
    own = kernel * scale[None, None, :, None]
    if demodulate:
      own = own / np.sqrt((own**2).sum((0, 1, 2)) + 1e-8)
    if up:  # every pixel adds its kernel at twice its place
      y = np.zeros((2 * height + 1, 2 * width + 1, features))
      for row in range(height):
        for column in range(width):
          y[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += np.einsum("i,hwio->hwo", image[row, column], own)
      y = np.pad(y, ((1, 1), (1, 1), (0, 0)))
      own, size = 4 * np.einsum("hw,io->hwio", np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64, np.eye(features)), 4
    else:
      y = np.pad(image, ((size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    out = np.zeros((y.shape[0] - size + 1, y.shape[1] - size + 1, features))
    for row in range(out.shape[0]):
      for column in range(out.shape[1]):
        out[row, column] = np.einsum("hwi,hwio->o", y[row : row + size, column : column + size], own)
    results.append(out)
  return np.stack(results)


@pytest.mark.parametrize(
  "net",
  [
    ModulatedConv(4),
    ModulatedConv(4, up=True),
    ModulatedConv(4, demodulate=False),
    ModulatedConv(4, up=True, demodulate=False),
    ModulatedConv(3, size=1, demodulate=False),
  ],
)
def test_a_modulated_convolution_is_that_of_one_kernel_for_each_image(net):
  x, w = normal(1, 3, 4, 5, 6), normal(2, 3, 7)
  params = stirred(start(net, x, w))["params"]
  style = np.asarray(w) @ np.asarray(params["style"]["kernel"]) / 7**0.5 + np.asarray(params["style"]["bias"])
  kernel = np.asarray(params["kernel"]) / (net.size**2 * 6) ** 0.5
  expected = _one_kernel_each(x, style, kernel, net.up, net.demodulate)
  np.testing.assert_allclose(run(net, {"params": params}, x, w), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("doubled", [False, True])
def test_a_demodulated_result_of_random_input_has_unit_variance_whatever_the_style(doubled):
  """In the mean over channels and inside the border. A doubling blurs what it spread, which costs some of it:
  the variance there is that of the blurred spread, 4 times the mean square of each phase's 6x6 kernel."""
  net = ModulatedConv(128, up=doubled)
  x, w = normal(1, 8, 12, 12, 64), 2 * normal(2, 8, 8)
  y = run(net, start(net, x, w), x, w)[:, 2:-2, 2:-2]
  taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
  # 9 kernel weights of variance 1/9 each, summed into an output pixel by the taps; a quarter of pixels are not 0
  expected = 1.0
  if doubled:
    expected = np.mean(
      [
        sum(
          (np.array([_tap(taps, p - 2 * i + k, q - 2 * j + m) for k in range(3) for m in range(3)]) ** 2).sum() / 9
          for i in range(-3, 4)
          for j in range(-3, 4)
        )
        for p in range(2)
        for q in range(2)
      ]
    )
  np.testing.assert_allclose((y**2).mean(), expected, rtol=0.05)


def _tap(taps, row, column):
  return taps[row, column] if 0 <= row < 4 and 0 <= column < 4 else 0.0


def test_a_style_times_any_number_changes_nothing_where_it_is_demodulated():
  net, x, w = ModulatedConv(4), normal(1, 2, 4, 4, 6), normal(2, 2, 7)
  params = start(net, x, w)["params"]
  louder = params | {"style": jax.tree.map(lambda leaf: 10 * leaf, params["style"])}
  np.testing.assert_allclose(
    run(net, {"params": louder}, x, w), run(net, {"params": params}, x, w), rtol=1e-4, atol=1e-6
  )


def test_noise_is_off_at_first_fixed_without_a_stream_and_new_for_every_image_with_one():
  net, x, w = StyledConv(4), jnp.ones((2, 4, 4, 3)), jnp.ones((2, 5))
  variables = start(net, x, w)
  assert variables["params"]["strength"] == 0
  generate = lambda variables, **more: np.asarray(run(net, variables, x, w, **more))
  np.testing.assert_array_equal(generate(variables), generate(variables, rngs={"noise": jax.random.key(3)}))
  loud = {"params": variables["params"] | {"strength": jnp.ones(())}}
  np.testing.assert_array_equal(generate(loud), generate(loud))
  fixed, fresh = generate(loud), generate(loud, rngs={"noise": jax.random.key(3)})
  np.testing.assert_allclose(fixed[0], fixed[1], rtol=1e-6, atol=1e-6)
  assert np.abs(fresh[0] - fresh[1]).min() > 0
  assert not np.array_equal(fresh, generate(loud, rngs={"noise": jax.random.key(4)}))
  other = np.asarray(run(net.clone(place=1), loud, x, w))
  assert not np.array_equal(other, fixed)


def test_a_layer_to_the_image_adds_the_doubled_image_of_the_coarser_ones():
  net, x, w, coarser = ToImage(3), normal(1, 2, 4, 4, 5), normal(2, 2, 6), normal(3, 2, 2, 2, 3)
  variables = start(net, x, w)
  np.testing.assert_allclose(run(net, variables, x, w, coarser), run(net, variables, x, w) + up(coarser), rtol=1e-5)
