"""Attacks against numbers by hand, what every attack keeps, and what it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_classifier import EPSILON, KEY, attacked, data, net

from genjax.ops.attack import ATTACKS, LOSSES, fgsm, gradient_report, pgd
from genjax.ops.augment import to_unit


def _linear(weights):
  """Logits x @ weights, of images [B, H, W, C] with H W C rows of weights."""
  return lambda images: jnp.dot(images.reshape(images.shape[0], -1), weights, precision="highest")


def _lengths(images):
  return np.sqrt((np.asarray(images, np.float64) ** 2).sum((1, 2, 3)))


# Against numbers by hand


def _linear_gradient(loss, logits, weights, label):
  """The gradient of a loss through logits x @ weights, in float64."""
  others = np.delete(np.arange(len(logits)), label)
  over = logits[others] - logits[label]
  if loss == "margin":
    return weights[:, others[over.argmax()]] - weights[:, label]
  shares = np.exp(over - over.max()) / np.exp(over - over.max()).sum()
  return (weights[:, others] - weights[:, [label]]) @ shares  # of log_odds; cross-entropy's times a positive number


@pytest.mark.parametrize("loss", ["cross_entropy", "log_odds", "margin"])
def test_fgsm_moves_each_pixel_by_twice_epsilon_along_the_sign(loss):
  weights, (images, labels) = np.random.default_rng(5).normal(0, 0.2, (36, 5)).astype(np.float32), data()
  moved = attacked(fgsm(0.125, loss=loss), _linear(weights), images, labels)
  for image, label, result in zip(np.asarray(images, np.float64), np.asarray(labels), np.asarray(moved), strict=True):
    gradient = _linear_gradient(loss, image.ravel() @ weights, weights.astype(np.float64), label).reshape(image.shape)
    np.testing.assert_allclose(result, np.clip(image + 0.25 * np.sign(gradient), -1, 1), atol=1e-6)


def _sure(scale):
  """A linear classifier that is right by some 5 * `scale`, and its data: 6 images, 5 classes, 16 pixels."""
  rng = np.random.default_rng(8)
  weights = rng.normal(size=(16, 5))
  images = rng.uniform(-1, 1, (200, 4, 4, 1))
  logits = images.reshape(200, 16) @ weights
  gaps = np.sort(logits, axis=1)
  chosen = np.argsort(gaps[:, -2] - gaps[:, -1])[:6]
  return (scale * weights).astype(np.float32), images[chosen].astype(np.float32), logits[chosen].argmax(axis=1)


@pytest.mark.parametrize("scale", [8.0, 60.0])
def test_where_the_classifier_is_sure_cross_entropy_goes_astray_and_log_odds_keeps_its_direction(scale):
  weights, images, labels = _sure(scale)
  exact = np.stack([
    np.sign(_linear_gradient("log_odds", x.astype(np.float64).ravel() @ weights, weights.astype(np.float64), y))
    for x, y in zip(images, labels, strict=True)
  ]).reshape(images.shape)  # fmt: skip
  run = lambda loss: attacked(
    fgsm(0.05, loss=loss), _linear(weights), jnp.asarray(images), jnp.asarray(labels, jnp.int32)
  )
  np.testing.assert_allclose(run("log_odds"), np.clip(images + 0.1 * exact, -1, 1), atol=1e-6)
  plain = np.sign(np.asarray(run("cross_entropy")) - images)
  agreement = (plain == exact).mean((1, 2, 3))
  report = jax.jit(gradient_report, static_argnums=0)(
    _linear(weights), jnp.asarray(images), jnp.asarray(labels, jnp.int32)
  )
  assert report.saturated.all()
  if scale == 8:
    assert not report.zero.any()
    assert agreement.mean() < 0.9  # the label's own term is lost, those of the others are left
  else:
    assert report.zero.all()
    np.testing.assert_array_equal(run("cross_entropy"), images)
  np.testing.assert_allclose(report.zero_pixels, report.zero.astype(np.float32))
  assert abs(float(report.agreement.mean()) - agreement.mean()) < 0.1  # pixels that the clip holds look like zeros


def test_an_unsure_classifier_has_nothing_to_report():
  images, labels = data()
  report = jax.jit(gradient_report, static_argnums=0)(net, images, labels)
  assert not report.zero.any()
  assert not report.saturated.any()
  assert float(report.agreement.min()) == 1.0


@pytest.mark.parametrize("labels", [[0, 1, 2], [2, 2, 0]])
def test_losses_are_those_of_float64_and_so_are_their_gradients(labels):
  logits = np.array([[2.0, -1.0, 0.5], [0.3, 0.1, -0.7], [-4.0, 5.0, 6.0]])
  labels = np.array(labels)
  rows = np.arange(3)

  def expected(name, z):
    others = np.stack([np.delete(row, label) for row, label in zip(z, labels, strict=True)])
    odds = np.log(np.exp(others).sum(axis=1)) - z[rows, labels]
    if name == "cross_entropy":
      return np.log1p(np.exp(odds))
    return odds if name == "log_odds" else others.max(axis=1) - z[rows, labels]

  for name, loss in LOSSES.items():
    summed = jax.jit(jax.value_and_grad(lambda z, loss=loss: loss(z, jnp.asarray(labels)).sum()))
    value, gradient = summed(jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(value, expected(name, logits).sum(), rtol=1e-5)
    for i, k in np.ndindex(3, 3):
      bump = np.zeros((3, 3))
      bump[i, k] = 1e-6
      slope = (expected(name, logits + bump).sum() - expected(name, logits - bump).sum()) / 2e-6
      np.testing.assert_allclose(gradient[i, k], slope, atol=1e-5)


def test_cross_entropy_climbs_along_log_odds_where_float32_still_sees_it():
  images, labels = data()
  for attack in (fgsm, partial(pgd, steps=4, norm="l2", random_start=False)):
    plain, exact = (attacked(attack(EPSILON, loss=loss), net, images, labels) for loss in ("cross_entropy", "log_odds"))
    np.testing.assert_allclose(plain, exact, atol=1e-5)


# What every attack keeps


@pytest.mark.parametrize(("norm", "loss"), [("linf", "cross_entropy"), ("l2", "log_odds")])
def test_images_stay_in_their_ball_and_range(norm, loss):
  images, labels = data()
  moved = attacked(pgd(0.2, norm=norm, steps=5, restarts=2, loss=loss), net, images, labels)
  assert moved.dtype == jnp.float32
  assert float(jnp.abs(moved).max()) <= 1.0
  far = _lengths(moved - images) if norm == "l2" else np.abs(moved - images).max()
  assert np.all(far <= 0.4 + 1e-6)
  assert np.all(far > 0.1)


def test_attacks_raise_the_loss_they_climb():
  images, labels = data()
  before = LOSSES["margin"](net(images), labels)
  for attack in (fgsm(0.02, loss="margin"), pgd(0.1, norm="l2", loss="margin", random_start=False)):
    assert np.all(LOSSES["margin"](net(attacked(attack, net, images, labels)), labels) > before)


def test_a_pixel_that_plays_no_part_stays():
  weights = np.array([[1.0, -1.0], [0.0, 0.0], [-2.0, 1.0], [0.0, 0.0]], np.float32)
  images = jnp.array([0.5, 0.25, -0.5, 0.0]).reshape(1, 2, 2, 1)
  labels = jnp.array([0])
  moved = attacked(fgsm(0.125), _linear(weights), images, labels)
  np.testing.assert_allclose(moved.ravel(), [0.25, 0.25, -0.25, 0.0], atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_a_gradient_an_image_stays(norm):
  images, labels = data()
  flat = lambda x: jnp.zeros((x.shape[0], 5)) + 0.0 * x.sum((1, 2, 3))[:, None]
  moved = attacked(pgd(EPSILON, norm=norm, random_start=False), flat, images, labels)
  np.testing.assert_array_equal(moved, images)


def test_a_gradient_of_1e_minus_30_has_a_direction():
  images, labels = data()
  faint = lambda x: 1e-30 * net(x)
  how = {"norm": "l2", "random_start": False, "steps": 1, "step_size": 0.05}
  moved = attacked(pgd(EPSILON, **how, loss="margin"), faint, images, labels)
  np.testing.assert_allclose(moved, attacked(pgd(EPSILON, **how, loss="margin"), net, images, labels), atol=1e-5)


def test_bytes_are_attacked_like_the_images_that_they_stand_for():
  labels = data()[1]
  pixels = jnp.asarray(np.random.default_rng(0).integers(0, 256, (7, 6, 6, 1), dtype=np.uint8))
  for attack in (fgsm(EPSILON), pgd(EPSILON, steps=2, random_start=False)):
    as_floats = attacked(attack, net, to_unit(pixels), labels)
    np.testing.assert_allclose(attacked(attack, net, pixels, labels), as_floats, atol=1e-6)


def test_bfloat16_logits_are_attacked_in_float32():
  images, labels = data()
  half = lambda x: net(x).astype(jnp.bfloat16)
  moved = attacked(fgsm(EPSILON, loss="log_odds"), half, images, labels)
  assert moved.dtype == jnp.float32
  full = attacked(fgsm(EPSILON, loss="log_odds"), net, images, labels)
  assert float((moved == full).mean()) > 0.98  # cotangents are rounded to 8 bits


@pytest.mark.parametrize("attack", [fgsm(EPSILON), pgd(EPSILON, steps=3, restarts=2)])
def test_a_nan_stays_visible_and_leaves_the_others_alone(attack):
  images, labels = data()
  broken = lambda x: jnp.where((jnp.arange(7) == 2)[:, None], jnp.nan, 1.0) * net(x)
  moved = attacked(attack, broken, images, labels)
  assert np.isnan(moved[2]).all()
  rest = np.arange(7) != 2
  np.testing.assert_allclose(moved[rest], attacked(attack, net, images, labels)[rest], atol=1e-6)


def test_more_restarts_never_do_worse_and_keep_what_fools():
  images, labels = data(40)
  labels = net(images).argmax(axis=1)
  attacks = [pgd(0.03, steps=1, step_size=0.01, restarts=n, loss="margin") for n in (1, 4)]
  margins = [np.asarray(LOSSES["margin"](net(attacked(a, net, images, labels)), labels)) for a in attacks]
  assert np.all(margins[0] <= margins[1] + 1e-6)
  assert (margins[1] > margins[0] + 1e-4).any()


def test_a_restart_that_fools_is_kept_though_another_has_a_higher_loss():
  # label 0: at x < 0 the best other logit wins by little, at x > 0 many others nearly reach it and the sum is larger
  def classify(images):
    x = images.reshape(-1, 1)
    one = jnp.where(x < 0, 0.1, -5.0)
    many = jnp.where(x > 0, -0.05, -5.0)
    return jnp.concatenate([0.0 * x, one, jnp.repeat(many, 20, axis=1)], axis=1)

  images, labels = jnp.zeros((64, 1, 1, 1)), jnp.zeros((64,), jnp.int32)
  moved = attacked(pgd(0.5, steps=1, restarts=10), classify, images, labels)
  assert np.all(moved < 0)


def test_random_starts_fill_the_ball_evenly():
  images, labels = jnp.zeros((4000, 2, 2, 1)), jnp.zeros((4000,), jnp.int32)
  still = lambda x: jnp.zeros((x.shape[0], 2)) + 0.0 * x.sum((1, 2, 3))[:, None]
  start = lambda norm: np.asarray(attacked(pgd(0.25, norm=norm, steps=1), still, images, labels))
  box, ball = start("linf"), start("l2")
  np.testing.assert_allclose(box.var(axis=0), 0.25 / 3, rtol=0.1)
  volumes = np.sort((_lengths(ball) / 0.5) ** 4)  # share of the ball within reach: uniform
  np.testing.assert_allclose(volumes, (np.arange(4000) + 0.5) / 4000, atol=0.035)
  np.testing.assert_allclose(ball.mean(axis=0), 0, atol=0.02)


def test_an_attack_is_compiled_once_and_takes_one_image():
  images, labels = data()
  run = jax.jit(pgd(EPSILON, steps=3).run, static_argnums=1)
  assert not np.array_equal(run(KEY, net, images, labels), run(jax.random.key(1), net, images, labels))
  assert run._cache_size() == 1
  assert run(KEY, net, images[:1], labels[:1]).shape == (1, 6, 6, 1)


@pytest.mark.parametrize("attack", [fgsm(EPSILON), pgd(EPSILON, norm="l2", steps=3, random_start=False)])
def test_images_are_attacked_alone_as_together_under_vmap(attack):
  images, labels = data()
  alone = jax.vmap(lambda x, y: attacked(attack, net, x[None], y[None])[0])(images, labels)
  np.testing.assert_allclose(alone, attacked(attack, net, images, labels), atol=1e-5)


def test_no_epsilon_moves_nothing():
  images, labels = data()
  for attack in (fgsm(0.0), pgd(0.0, norm="l2")):
    np.testing.assert_array_equal(attacked(attack, net, images, labels), images)


def test_a_loss_of_ones_own_is_a_function_of_logits_and_labels():
  def target_three(logits, labels):
    del labels
    return logits[:, 3]

  images, labels = data()
  attack = pgd(0.3, loss=target_three, random_start=False)
  assert "loss target_three" in attack.described
  moved = net(attacked(attack, net, images, labels))
  assert np.all(moved[:, 3] > net(images)[:, 3] + 0.5)


# Cards and errors


def test_an_attack_says_what_it_is():
  assert set(ATTACKS) == {"fgsm", "pgd"}
  assert fgsm(0.125).described == "FGSM, loss cross_entropy, epsilon 0.125 on [0, 1]"
  assert pgd(0.1, norm="l2", steps=20, restarts=3, loss="margin").described == (
    "PGD l2, loss margin, epsilon 0.1 on [0, 1], 20 steps of 0.0125, 3 random starts"
  )
  assert pgd(0.1, random_start=False, step_size=0.01).described.endswith("40 steps of 0.01, from the image")


@pytest.mark.parametrize(
  ("make", "match"),
  [
    (lambda: fgsm(8), r"epsilon is 8; .*divide by 255"),
    (lambda: fgsm(-0.1), "wanted a number from 0 up"),
    (lambda: pgd(float("nan"), norm="l2"), "epsilon is nan"),
    (lambda: fgsm(0.1, loss="hinge"), "use one of cross_entropy, log_odds, margin"),
    (lambda: pgd(0.1, norm="l1"), "norm is 'l1'; use 'linf' or 'l2'"),
    (lambda: pgd(0.1, steps=0), "0 steps and 1 restarts"),
    (lambda: pgd(0.1, restarts=2, random_start=False), "are all the same"),
    (lambda: pgd(0.1, step_size=-1.0), "step_size is -1.0"),
  ],
)
def test_a_setting_that_cannot_be_is_refused(make, match):
  with pytest.raises(ValueError, match=match):
    make()


def test_arrays_that_do_not_fit_are_refused():
  images, labels = data()
  with pytest.raises(ValueError, match=r"one integer per image"):
    attacked(fgsm(0.1), net, images, labels[:3])
  with pytest.raises(ValueError, match=r"one integer per image"):
    attacked(fgsm(0.1), net, images, jax.nn.one_hot(labels, 5))
  with pytest.raises(ValueError, match=r"classify returned \[7\] .*class_logits"):
    fgsm(0.1)(KEY, lambda x: net(x)[:, 0], images, labels)
  with pytest.raises(ValueError, match="K at least 2"):
    fgsm(0.1)(KEY, lambda x: net(x)[:, :1], images, labels)
