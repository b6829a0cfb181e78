import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from genjax.metrics import texture
from genjax.metrics.card import Card


def _noise(seed, shape=(256, 256, 1), std=0.3):
  """White noise, well inside the range."""
  values = np.clip(np.random.default_rng(seed).normal(0, std, shape), -1, 1)
  return np.rint((values + 1) * 127.5).astype(np.uint8)


def _smooth(seed, shape=(256, 256, 1), length=3.0):
  """A stationary, periodic Gaussian field with a known correlation: white noise blurred in frequency."""
  rng = np.random.default_rng(seed)
  down, right = np.meshgrid(*(np.fft.fftfreq(side) for side in shape[:2]), indexing="ij")
  blur = np.exp(-2 * (np.pi * length) ** 2 * (down**2 + right**2))
  field = np.stack([np.fft.ifft2(np.fft.fft2(rng.normal(size=shape[:2])) * blur).real for _ in range(shape[2])], -1)
  return np.rint(np.clip(field / field.std() * 35 + 128, 0, 255)).astype(np.uint8)


# The spectrum


def test_the_power_of_white_noise_is_its_variance_at_every_frequency():
  power = np.mean([texture.spectrum(_noise(seed)) for seed in range(8)], 0)
  variance = np.mean([(_noise(seed) / 127.5 - 1).var() for seed in range(8)])
  assert power.shape == (64, 64, 1)
  assert abs(power.mean() / variance - 1) < 0.01
  assert (np.abs(power / variance - 1) < 0.5).all()


def test_a_wave_has_its_power_where_its_frequency_is():
  down, right = np.mgrid[:256, :256]
  wave = (0.5 * np.cos(2 * np.pi * (5 * down + 12 * right) / 64))[..., None]
  power = texture.spectrum(wave.astype(np.float32))[..., 0]
  peak = {tuple(place) for place in np.argwhere(power == power.max())}
  assert peak <= {(5, 12), (64 - 5, 64 - 12)}
  window = np.sin(np.pi * (np.arange(64) + 0.5) / 64) ** 2
  expected = 0.25**2 * window.sum() ** 4 / (window**2).sum() ** 2  # |a / 2 * sum of the window|^2 / its energy
  assert abs(power.max() / expected - 1) < 0.01
  ring = texture.rings(power[..., None])
  assert ring.shape == (32, 1)
  assert ring.argmax() == 13  # hypot(5, 12)
  other_way = texture.spectrum(np.ascontiguousarray(wave[::-1]).astype(np.float32))
  assert texture.rings(other_way).argmax() == 13


def test_twice_the_contrast_is_six_decibels():
  field = (_smooth(0) / 127.5 - 1) * 0.4
  noise = np.random.default_rng(1).normal(0, 0.1, field.shape)
  quiet = (field + noise).astype(np.float32)
  apart = texture.spectrum_distance(quiet, 2 * quiet)
  assert abs(apart - 20 * np.log10(2)) < 0.05
  assert abs(texture.spectrum_distance(quiet, 2 * quiet, radial=True) - 20 * np.log10(2)) < 0.05


def test_brightness_alone_is_no_distance():
  dark = _smooth(0) // 2
  assert texture.spectrum_distance(dark, dark + 90) < 1e-9
  assert texture.gradient_distance(dark, dark + 90) == 0


def test_the_radial_distance_ignores_the_direction_and_the_full_one_does_not():
  white = np.random.default_rng(0).normal(size=(256, 256, 1))
  field = sum(np.roll(white, lag, 0) for lag in range(9))
  stripes = np.rint(np.clip(field / field.std() * 35 + 128, 0, 255)).astype(np.uint8)
  turned = stripes.swapaxes(0, 1)
  assert texture.spectrum_distance(stripes, turned, radial=True) < 0.1
  assert texture.spectrum_distance(stripes, turned) > 5
  assert texture.gradient_distance(stripes, turned) > 5


# The gradients


def test_the_gradient_distance_is_scipys_wasserstein_distance():
  a, b = _smooth(0, (40, 50, 2)), _noise(1, (60, 30, 2))
  expected = np.mean(
    [
      wasserstein_distance(
        np.diff(a.astype(int), axis=axis)[..., channel].ravel(), np.diff(b.astype(int), axis=axis)[..., channel].ravel()
      )
      for axis in (0, 1)
      for channel in (0, 1)
    ]
  )
  assert abs(texture.gradient_distance(a, b) - expected) < 1e-9


def test_a_ramp_and_a_flat_picture_are_a_levels_step_apart_in_one_direction():
  ramp = np.broadcast_to(np.arange(0, 240, 3, dtype=np.uint8)[:, None, None], (80, 70, 1))
  assert texture.gradient_distance(ramp, np.zeros_like(ramp)) == pytest.approx(1.5)  # 3 down, 0 right
  assert texture.gradient_distance(ramp, ramp[::-1]) == pytest.approx(3)  # 6 down, 0 right


# Both


@pytest.mark.parametrize("distance", [texture.spectrum_distance, texture.gradient_distance])
def test_a_distance_is_zero_at_itself_symmetric_and_small_for_the_same_texture_and_large_for_noise(distance):
  a, b, noise = _smooth(0), _smooth(1), _noise(2, std=0.27)
  assert distance(a, a) == 0
  assert distance(a, b) == pytest.approx(distance(b, a))
  assert 0 < distance(a, b) < distance(a, noise) / 8


@pytest.mark.parametrize("distance", [texture.spectrum_distance, texture.gradient_distance])
def test_a_shift_of_a_periodic_texture_changes_little(distance):
  field = _smooth(0)
  shifted = np.roll(field, (37, 101), (0, 1))
  assert distance(field, shifted) < distance(field, _smooth(1))


def test_sizes_may_differ_and_floats_are_rounded_to_eight_bit():
  a = _smooth(0)
  assert texture.spectrum_distance(a, a[:128, :200]) < 2.5
  as_floats = jnp.asarray(a.astype(np.float32) / 127.5 - 1)
  assert texture.spectrum_distance(np.asarray(as_floats), a) == 0
  assert texture.gradient_distance(np.asarray(as_floats), a) == 0


def test_pictures_that_cannot_be_compared_are_told_why():
  with pytest.raises(ValueError, match="1 and 3 channels"):
    texture.spectrum_distance(_noise(0), _noise(0, (64, 64, 3)))
  with pytest.raises(ValueError, match=r"wanted \[H, W, C\]"):
    texture.gradient_distance(np.zeros((2, 64, 64, 1)), _noise(0))
  with pytest.raises(ValueError, match="holds no window of 64"):
    texture.spectrum_distance(_noise(0, (63, 80, 1)), _noise(0))


def test_the_anchors_put_real_halves_below_noise_and_every_number_has_its_card():
  source = _smooth(0)
  result = texture.anchors(source, split="smooth")
  own = texture.measure(_smooth(1), source, subject="another draw", split="smooth")
  for metric in ("spectrum", "gradients"):
    assert own[metric].value < result["noise"][metric].value / 8
    assert result["real"][metric].value < result["noise"][metric].value / 8
    assert Card(**own[metric].to_dict()["card"]) == own[metric].card
    assert (own[metric].card.metric, own[metric].card.subject) == (metric, "another draw")
  assert result == texture.anchors(source, split="smooth")
