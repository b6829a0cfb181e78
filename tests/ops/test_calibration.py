import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from genjax.ops.calibration import brier, expected_calibration_error, negative_log_likelihood, reliability

MEASURES = (reliability, expected_calibration_error, negative_log_likelihood, brier)


def _data(n=600, classes=4, seed=0, scale=2.0):
  rng = np.random.default_rng(seed)
  logits = rng.normal(0, scale, (n, classes))
  labels = np.array([rng.choice(classes, p=p) for p in softmax(logits / 2, axis=1)])
  return logits, labels


def _confidence(logits, labels):
  p = softmax(logits, axis=1)
  return p.max(axis=1), p.argmax(axis=1) == labels


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_bins_of_equal_width_are_those_of_a_loop_over_the_images(bins):
  logits, labels = _data()
  confidence, right = _confidence(logits, labels)
  result, error = reliability(logits, labels, bins=bins), 0.0
  for i in range(bins):
    inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
    assert result.count[i] == inside.sum()
    if inside.any():
      assert result.confidence[i] == pytest.approx(confidence[inside].mean())
      assert result.accuracy[i] == pytest.approx(right[inside].mean())
      error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    else:
      assert np.isnan(result.confidence[i])
      assert np.isnan(result.accuracy[i])
  assert expected_calibration_error(logits, labels, bins=bins) == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize(("spacing", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_bins_are_those_of_scikit_learn(spacing, strategy):
  logits, labels = _data()
  confidence, right = _confidence(logits, labels)
  accuracy, mean = calibration_curve(right, confidence, n_bins=12, strategy=strategy)
  result = reliability(logits, labels, bins=12, spacing=spacing)
  kept = result.count > 0
  np.testing.assert_allclose(result.accuracy[kept], accuracy)
  np.testing.assert_allclose(result.confidence[kept], mean)
  if spacing == "mass":
    assert result.count.tolist() == [50] * 12


def test_bins_of_equal_mass_do_not_depend_on_the_order_of_images():
  logits, labels = _data(301)
  logits[:150] = np.array([60.0, 0, 0, 0])  # sure to the last digit, as many classifiers are, and half of them wrong
  labels[:150] = np.arange(150) % 2
  result = reliability(logits, labels, bins=4, spacing="mass")
  assert sorted(result.count.tolist()) == [75, 75, 75, 76]
  assert result.accuracy[3] == pytest.approx(0.5)
  order = np.random.default_rng(1).permutation(301)
  for a, b in zip(result, reliability(logits[order], labels[order], bins=4, spacing="mass"), strict=True):
    np.testing.assert_allclose(a, b)


def test_more_bins_than_images_leave_bins_empty():
  for spacing in ("width", "mass"):
    result = reliability([[0.0, 1.0], [3.0, 0.0]], [1, 0], bins=5, spacing=spacing)
    assert result.count.sum() == 2
    assert np.isnan(result.accuracy[result.count == 0]).all()
    assert expected_calibration_error([[0.0, 1.0], [3.0, 0.0]], [1, 0], bins=5, spacing=spacing) > 0


def test_likelihood_and_brier_are_those_of_scikit_learn():
  logits, labels = _data(classes=5)
  p = softmax(logits, axis=1)
  assert negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, p), abs=1e-12)
  by_hand = np.mean([sum((p[i, k] - (k == y)) ** 2 for k in range(5)) for i, y in enumerate(labels)])
  assert brier(logits, labels) == pytest.approx(by_hand, abs=1e-12)
  two, labels = logits[:, :2], labels % 2
  assert brier(two, labels) == pytest.approx(2 * brier_score_loss(labels, softmax(two, axis=1)[:, 1]), abs=1e-12)


def test_a_classifier_that_keeps_its_word_has_a_small_error_and_a_boaster_a_large_one():
  logits, labels = _data(20_000)  # labels are drawn from the softmax of logits / 2
  for spacing in ("width", "mass"):
    honest = expected_calibration_error(logits / 2, labels, spacing=spacing)
    boastful = expected_calibration_error(logits * 2, labels, spacing=spacing)
    assert honest < 0.015
    assert boastful > 0.2
  assert negative_log_likelihood(logits / 2, labels) < negative_log_likelihood(logits, labels)
  assert brier(logits / 2, labels) < brier(logits, labels)


def test_the_sure_are_measured_beyond_float32():
  sure = np.array([[90.0, 0.0, 0.0]], np.float32)
  assert negative_log_likelihood(sure, [0]) == pytest.approx(2 * np.exp(-90.0), abs=1e-16)
  assert negative_log_likelihood(sure, [1]) == pytest.approx(90.0)
  assert negative_log_likelihood([[1e4, -1e4]], [1]) == pytest.approx(2e4)
  assert expected_calibration_error(sure, [0]) == pytest.approx(0.0, abs=1e-12)


def test_a_class_that_is_ruled_out_and_half_precision_are_read():
  assert brier([[0.0, -np.inf]], [0]) == 0.0
  assert brier(jnp.array([[0.0, 0.0]], jnp.bfloat16), jnp.array([1])) == 0.5


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
  ("logits", "labels", "match"),
  [
    ([[0.0, np.nan], [1.0, 0.0]], [0, 1], "1 of 2 rows of logits hold NaN"),
    ([[0.0, np.inf]], [0], "hold NaN or \\+inf"),
    ([[0.0, 1.0]], [2], "from 2 to 2; wanted integers below 2"),
    ([[0.0, 1.0]], [-1], "from -1 to -1"),
    ([[0.0, 1.0]], [0.0], "wanted integers"),
    ([0.0, 1.0], [0, 1], r"wanted \[N, K\] and \[N\]"),
    (np.zeros((0, 2)), np.zeros((0,), int), "N over 0"),
  ],
)
def test_what_cannot_be_measured_is_refused(measure, logits, labels, match):
  with pytest.raises(ValueError, match=match):
    measure(logits, labels)


def test_unknown_bins_are_refused():
  for how in ({"bins": 0}, {"spacing": "log"}):
    with pytest.raises(ValueError, match="wanted one at least, of equal 'width' or 'mass'"):
      reliability([[0.0, 1.0]], [0], **how)
