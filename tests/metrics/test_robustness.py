"""What fools one classifier is classified by the other; every rate is counted here by hand."""

import math
from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.core import Number
from genjax.metrics.card import Card, compare
from genjax.metrics.robustness import (
  Model,
  Robustness,
  correction_rate,
  error,
  gradient_shares,
  robustness,
  spread,
  table,
)
from genjax.ops.attack import Attack, fgsm

KEY = jax.random.key(0)
FGSM = fgsm(0.05)


def linear(params, images):
  return jnp.dot(images.reshape(images.shape[0], -1), params, precision="highest")


def _model(name, seed=0, scale=1.0):
  rng = np.random.default_rng(11)
  weights = rng.normal(0, 0.5, (16, 4)) + np.random.default_rng(seed).normal(0, 0.15, (16, 4))
  return Model(name, linear, jnp.asarray(scale * weights, jnp.float32))


def _data(n=83):
  """Images whose label a linear teacher gave; the models are the teacher with noise on it."""
  images = np.random.default_rng(5).integers(0, 256, (n, 4, 4, 1), dtype=np.uint8)
  teacher = np.random.default_rng(11).normal(0, 0.5, (16, 4))
  return images, (images.reshape(n, 16) / 127.5 - 1).dot(teacher).argmax(axis=1)


def _predicted(model, images):
  return np.asarray(model.classify(model.params, jnp.asarray(images))).argmax(axis=1)


# Counting


def test_rates_are_those_counted_by_hand():
  labels = np.array([0, 1, 2, 3, 0, 1])
  of_a = np.array([1, 1, 0, 0, 0, 0])  # wrong at 0, 2, 3, 5
  of_b = np.array([0, 0, 0, 3, 1, 0])  # of these right at 0 and 3; its own mistakes at 1 and 4 do not count
  assert error(of_a, labels) == pytest.approx(4 / 6)
  assert correction_rate(of_a, of_b, labels) == 0.5
  assert correction_rate(of_a, labels, labels) == 1.0
  assert correction_rate(of_a, of_a, labels) == 0.0


def test_where_nobody_is_fooled_there_is_nothing_to_correct():
  labels = np.array([0, 1])
  assert math.isnan(correction_rate(labels, 1 - labels, labels))


def test_predictions_that_are_not_one_per_label_are_refused():
  for predictions, labels in (([0, 1], [0]), ([], []), ([[0]], [[0]])):
    with pytest.raises(ValueError, match=r"wanted \[N\] both"):
      error(np.array(predictions), np.array(labels))


# Measuring


@pytest.mark.parametrize("batch", [30, 250])
def test_the_three_columns_are_those_of_both_models_on_each_others_images(batch):
  images, labels = _data()
  a, b = _model("baseline"), _model("winn", seed=1)
  result = robustness(KEY, a, b, images, labels, attack=FGSM, split="toy/test", seed=3, batch=batch)
  unit = 2 * images.astype(np.float64) / 255 - 1
  columns = {}
  for name, model in (("a", a), ("b", b)):
    weights = np.asarray(model.params, np.float64)
    logits = unit.reshape(83, 16) @ weights
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gradient = (p - np.eye(4)[labels]) @ weights.T
    columns[name] = np.clip(unit + 0.1 * np.sign(gradient).reshape(unit.shape), -1, 1)
  wrong = lambda model, x: _predicted(model, x) != labels
  fools_a, fools_b = wrong(a, columns["a"]), wrong(b, columns["b"])
  expected = {
    "clean_error_of_baseline": wrong(a, unit).mean(),
    "clean_error_of_method": wrong(b, unit).mean(),
    "adversarial_error_of_baseline": fools_a.mean(),
    "adversarial_error_of_method": fools_b.mean(),
    "correction_by_method": 1 - (fools_a & wrong(b, columns["a"])).sum() / fools_a.sum(),
    "correction_by_baseline": 1 - (fools_b & wrong(a, columns["b"])).sum() / fools_b.sum(),
  }
  assert result.values() == pytest.approx(expected)
  assert 0 < result.correction_by_method.value < 1
  assert result.adversarial_error_of_baseline.value > result.clean_error_of_baseline.value


def test_a_models_own_images_are_not_corrected_by_itself():
  images, labels = _data()
  result = robustness(KEY, _model("one"), _model("two"), images, labels, attack=FGSM, split="toy")
  assert result.correction_by_method.value == 0.0
  assert result.adversarial_error_of_method.value == result.adversarial_error_of_baseline.value


def test_noise_is_drawn_from_the_key_anew_for_every_batch_and_model():
  images, labels = _data(20)
  images[10:], labels[10:] = images[:10], labels[:10]  # both batches are alike
  seen = set()
  attack = Attack(lambda key, classify, images, labels: images + jax.random.normal(key, images.shape), "noise")

  def spying(params, images):
    jax.debug.callback(lambda x: seen.add(np.asarray(x).tobytes()), images)
    return linear(params, images)

  model = Model("a", spying, _model("a").params)
  for key, distinct in ((KEY, 1 + 4), (KEY, 1 + 4), (jax.random.key(1), 1 + 4 + 4)):  # clean, two batches x two models
    robustness(key, model, model, images, labels, attack=attack, split="toy", batch=10)
    jax.effects_barrier()
    assert len(seen) == distinct


def test_one_compilation_serves_every_seed():
  traced = []

  def counting(params, images):
    traced.append(images.shape)
    return linear(params, images)

  images, labels = _data()
  for seed in range(3):
    a, b = (_model(name, seed=s)._replace(classify=counting) for name, s in (("a", seed), ("b", 10 + seed)))
    robustness(KEY, a, b, images, labels, attack=FGSM, split="toy", batch=40)
  assert set(traced) == {(40, 4, 4, 1)}
  first = len(traced)
  robustness(jax.random.key(5), a, b, images, labels, attack=FGSM, split="toy", batch=40)
  assert len(traced) == first <= 4


def test_cards_say_how_the_images_were_made_and_of_whom():
  images, labels = _data()
  run = lambda attack: robustness(
    KEY, _model("cnn"), _model("winn", 1), images, labels, attack=attack, split="toy/test", seed=3
  )
  one, other = run(FGSM), run(fgsm(0.05, loss="margin"))
  card = one.correction_by_method.card
  assert card.attack == "FGSM, loss cross_entropy, epsilon 0.05 on [0, 1]"
  assert card.subject == "adversarial images of cnn, classified by winn"
  assert (card.split, card.generated, card.seed) == ("toy/test", 83, 3)
  assert card.quantisation.startswith("none")
  assert one.clean_error_of_method.card.attack is None
  assert one.clean_error_of_method.card.quantisation.startswith("8 bit")
  assert Card(**asdict(card)) == card
  with pytest.raises(ValueError, match=r"measured alike: attack: .*cross_entropy.*margin"):
    compare(one.adversarial_error_of_method, other.adversarial_error_of_method)
  compare(one.adversarial_error_of_method, one.adversarial_error_of_baseline)
  assert compare(one.clean_error_of_method, other.clean_error_of_method) == 0.0


def test_the_share_of_images_that_cross_entropy_says_nothing_about_is_counted():
  images, labels = _data()
  shares = lambda model: {
    name: number.value for name, number in gradient_shares(model, images, labels, split="toy", batch=50).items()
  }
  unsure, sure = shares(_model("a", scale=1.0)), shares(_model("a", scale=400.0))
  assert unsure == {"zero images": 0.0, "zero pixels": 0.0, "saturated": 0.0, "sign agreement": 1.0}
  assert sure["saturated"] > 0.7
  assert 0.3 < sure["zero images"] <= sure["saturated"]
  assert sure["sign agreement"] < 1 - sure["zero images"] / 2


def test_a_network_that_diverged_is_named():
  images, labels = _data(10)
  broken = _model("winn")._replace(params=jnp.full((16, 4), jnp.nan))
  with pytest.raises(ValueError, match="winn gives NaN or infinite logits for 10 of 10 images"):
    robustness(KEY, _model("cnn"), broken, images, labels, attack=FGSM, split="toy")


def test_images_and_labels_that_do_not_fit_are_refused():
  images, labels = _data(10)
  run = lambda x, y: robustness(KEY, _model("a"), _model("b"), x, y, attack=FGSM, split="toy")
  with pytest.raises(ValueError, match=r"images are \[10, 4, 4, 1\] and labels \[9\]"):
    run(images, labels[:9])
  with pytest.raises(ValueError, match="labels are float64; wanted integers"):
    run(images, labels.astype(float))


# Tables


def _results(method, attack, rates, baseline="Baseline CNN"):
  """One Robustness for each row of (error, error, adversarial, adversarial, correction, correction)."""

  card = Card(
    metric="error", subject="x", generated=500, reference=500, split="digits/test", data_digest="", attack=attack
  )
  return [Robustness(baseline, method, *(Number(level, card) for level in row)) for row in rates]


def test_the_table_has_mean_and_deviation_over_seeds():
  rows = [(0.01, 0.02, 0.30, 0.10, 0.90, 0.50), (0.03, 0.02, 0.34, 0.12, 0.80, 0.40)]
  text = table(_results("WINN", "FGSM", rows) + _results("ICN", "FGSM", [(0.01, 0.01, 0.30, 0.2, 0.5, 0.6)] * 2))
  assert text.splitlines() == [
    "FGSM; 500 images of digits/test; 2 seeds, in %",
    "",
    "| method | clean error | adversarial error | correction by method | correction by baseline |",
    "| --- | ---: | ---: | ---: | ---: |",
    "| Baseline CNN | 2.00 ± 1.41 | 32.00 ± 2.83 | - | - |",
    "| WINN | 2.00 ± 0.00 | 11.00 ± 1.41 | 85.00 ± 7.07 | 45.00 ± 7.07 |",
    "| ICN | 1.00 ± 0.00 | 20.00 ± 0.00 | 50.00 ± 0.00 | 60.00 ± 0.00 |",
  ]


def test_every_attack_has_its_table_and_every_baseline_its_row():
  row = [(0.01, 0.02, 0.30, 0.10, 0.90, 0.50)]
  groups = [("WINN", "FGSM", "CNN"), ("WINN", "PGD", "CNN"), ("WINN ResNet", "FGSM", "ResNet")]
  text = table([r for method, attack, baseline in groups for r in _results(method, attack, row, baseline)])
  first, second = text.split("\n\nPGD")
  assert [line.split(" | ")[0] for line in first.splitlines()[4:]] == ["| CNN", "| WINN", "| ResNet", "| WINN ResNet"]
  assert second.startswith("; 500 images of digits/test; 1 seed, in %")
  assert len(second.splitlines()) == 6


def test_a_rate_that_is_not_there_is_said_in_words():
  nan = float("nan")
  assert spread([nan, nan]) == "none fooled"
  assert spread([0.5, nan, 0.7]) == "60.00 ± 14.14 (2 of 3 seeds)"
  assert spread([0.0799]) == "7.99"
  with pytest.raises(ValueError, match="a table of no results"):
    table([])
