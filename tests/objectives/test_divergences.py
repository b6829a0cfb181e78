from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from genjax.data.mixtures import CENTRES, DEVIATION
from genjax.objectives.divergences import (
  DIVERGENCES,
  LIMIT,
  bound,
  d2gan_critics,
  d2gan_generator,
  divergence,
  f_critic,
  f_generator,
  f_generator_direct,
  soften,
)
from genjax.objectives.papers import DIRECT
from genjax.objectives.terms import play
from genjax.objectives.zoo import f_gan

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)
every_row = pytest.mark.parametrize("name", DIVERGENCES)
# T = f'(u) and its logit, v with g(v) = f'(u), at the density ratio u = p / q
OPTIMAL_LOGIT = {
  "kl": lambda u: 1 + np.log(u),
  "reverse_kl": np.log,
  "pearson": lambda u: 2 * (u - 1),
  "neyman": lambda u: 2 * np.log(u),
  "hellinger": lambda u: np.log(u) / 2,
  "jensen_shannon": np.log,
  "gan": np.log,
  "total_variation": lambda u: 1e3 * np.sign(u - 1),
}
# chi of f(u) = -u log_chi(1 / u), but for a multiple of u - 1
SIGNATURES = {
  "kl": lambda t: t,
  "pearson": lambda t: t**2,
  "hellinger": np.sqrt,
  "jensen_shannon": lambda t: 1 / np.log(1 + 1 / t),
  "gan": lambda t: 1 / np.log(1 + 1 / t),
}
# P = N(0.5, 1.2^2), Q = N(0, 1.3^2): the ratio is bounded, so every divergence is finite
P, Q = stats.norm(0.5, 1.2), stats.norm(0, 1.3)


def _integral(function):
  return integrate.quad(function, -25, 25, limit=400, epsabs=1e-11)[0]


def _known(name):
  """The divergence as the textbooks define it, by quadrature."""
  p, q = P.pdf, Q.pdf
  kl = lambda a, b: _integral(lambda x: a(x) * (np.log(a(x)) - np.log(b(x))))
  middle = lambda x: (p(x) + q(x)) / 2
  js = (kl(p, middle) + kl(q, middle)) / 2
  return {
    "kl": lambda: np.log(1.3 / 1.2) + (1.2**2 + 0.5**2) / (2 * 1.3**2) - 0.5,
    "reverse_kl": lambda: np.log(1.2 / 1.3) + (1.3**2 + 0.5**2) / (2 * 1.2**2) - 0.5,
    "pearson": lambda: _integral(lambda x: (p(x) - q(x)) ** 2 / q(x)),
    "neyman": lambda: _integral(lambda x: (p(x) - q(x)) ** 2 / p(x)),
    "hellinger": lambda: 2 - 2 * np.sqrt(2 * 1.2 * 1.3 / (1.2**2 + 1.3**2)) * np.exp(-0.25 / (4 * (1.2**2 + 1.3**2))),
    "jensen_shannon": lambda: 2 * js,
    "gan": lambda: 2 * js - np.log(4),
    "total_variation": lambda: _integral(lambda x: abs(p(x) - q(x))) / 2,
  }[name]()


def test_hellinger_of_two_gaussians_is_its_closed_form():
  by_integral = _integral(lambda x: (np.sqrt(P.pdf(x)) - np.sqrt(Q.pdf(x))) ** 2)
  np.testing.assert_allclose(_known("hellinger"), by_integral, rtol=1e-6)


@every_row
def test_the_threshold_is_the_slope_of_f_at_one_and_a_fixed_point_of_the_conjugate(name):
  with in_float64():
    row = divergence(name)
    if name != "total_variation":  # which has a bend there
      np.testing.assert_allclose(jax.grad(row.f)(1.0), row.threshold, atol=1e-12)
    f_at_one = -2 * np.log(2) if name == "gan" else 0.0
    np.testing.assert_allclose(row.f(jnp.float64(1)), f_at_one, atol=1e-12)
    np.testing.assert_allclose(row.conjugate(jnp.float64(row.threshold)), row.threshold - f_at_one, atol=1e-12)


@every_row
def test_the_conjugate_is_the_supremum_over_ratios(name):
  with in_float64():
    row = divergence(name)
    ratios = jnp.exp(jnp.linspace(-12, 12, 200_001))
    for ratio in (0.3, 1.0, 2.5):
      t = jax.grad(row.f)(jnp.float64(ratio))
      supremum = (t * ratios - row.f(ratios)).max()
      np.testing.assert_allclose(row.conjugate(t), supremum, atol=2e-4)


@every_row
def test_conjugated_is_the_conjugate_of_the_activation_which_reaches_the_optimum(name):
  with in_float64():
    row, logits = divergence(name), jnp.linspace(-8.0, 8.0, 101)
    np.testing.assert_allclose(row.conjugated(logits), row.conjugate(row.activation(logits)), rtol=1e-6, atol=1e-9)
    slopes = jax.vmap(jax.grad(row.activation))(logits)
    assert (slopes > 0).all()
    ratios = jnp.array([0.2, 0.9, 1.1, 5.0])
    best = row.activation(jnp.asarray(OPTIMAL_LOGIT[name](np.asarray(ratios))))
    np.testing.assert_allclose(best, jax.vmap(jax.grad(row.f))(ratios), rtol=1e-9)


@every_row
def test_the_curvature_is_the_conjugates_second_derivative_by_the_activations_slope_squared(name):
  with in_float64():
    row, logits = divergence(name), jnp.linspace(-3.0, 3.0, 13)
    second = jax.vmap(jax.grad(jax.grad(row.conjugate)))(row.activation(logits))
    slopes = jax.vmap(jax.grad(row.activation))(logits)
    np.testing.assert_allclose(row.curvature(logits), second * slopes**2, rtol=1e-6, atol=1e-9)


@every_row
def test_the_best_critic_recovers_the_divergence_of_two_gaussians(name):
  """E_P and E_Q are integrals over a fine grid of quantiles, so that only the formula is tested."""
  with in_float64():
    quantiles = (np.arange(400_000) + 0.5) / 400_000
    real, fake = P.ppf(quantiles), Q.ppf(quantiles)
    logit = lambda x: jnp.asarray(OPTIMAL_LOGIT[name](np.exp(P.logpdf(x) - Q.logpdf(x))))
    np.testing.assert_allclose(bound(divergence(name), logit(real), logit(fake)), _known(name), rtol=2e-3)


@every_row
def test_any_other_critic_gives_less(name):
  with in_float64():
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    real, fake = P.ppf(quantiles), Q.ppf(quantiles)
    for a, b, c in [(0, 0, 0), (0, 0.3, -0.1), (0.5, -0.5, 0), (0.1, 0.5, 0.05)]:
      values = bound(divergence(name), jnp.asarray(a + b * real + c * real**2), jnp.asarray(a + b * fake + c * fake**2))
      assert values < _known(name)


@every_row
def test_a_trained_critic_comes_near_the_divergence_from_below(name):
  """Gaussians have a quadratic log ratio; of each row the critic is the optimal logit of exp(quadratic), trained."""
  if name in ("pearson", "total_variation", "neyman"):
    pytest.skip("its best critic is no polynomial of degree 2, or its loss is not convex in one")
  with in_float64():
    quantiles = (np.arange(4000) + 0.5) / 4000
    real, fake = jnp.asarray(P.ppf(quantiles)), jnp.asarray(Q.ppf(quantiles))
    row = divergence(name)
    logits = lambda w, x: w[0] + w[1] * x + w[2] * x**2
    loss = lambda w: f_critic(row, logits(w, real), logits(w, fake))

    def newton(w, _):  # these rows' losses are convex in the logits
      gradient, curvature = jax.grad(loss)(w), jax.hessian(loss)(w)
      return w - 0.5 * jnp.linalg.solve(curvature + 1e-3 * jnp.eye(3), gradient), None

    weights, _ = jax.lax.scan(newton, jnp.zeros(3), length=60)
    reached = -loss(weights)
    assert reached <= _known(name) + 2e-3
    np.testing.assert_allclose(reached, _known(name), atol=4e-3)


@every_row
@pytest.mark.parametrize("size", [40.0, 1e4])
def test_saturated_logits_are_finite_with_a_slope_in_the_right_direction(name, size):
  row = divergence(name)
  logits = jnp.array([size, -size], jnp.float32)
  for loss in (f_critic, f_generator, f_generator_direct):
    value, slopes = jax.value_and_grad(partial(loss, row), (0, 1))(logits, logits)
    assert np.isfinite(value)
    assert np.isfinite(slopes).all()
  critic = jax.grad(partial(f_critic, row), (0, 1))(logits, logits)
  assert (critic[0] <= 0).all()  # reals up
  assert (critic[1] >= 0).all() or name == "pearson"  # fakes down, in Pearson's to -2
  assert np.isfinite(row.curvature(logits)).all()


def test_softening_changes_nothing_up_to_the_limit_and_is_smooth_and_monotone_beyond():
  inside = jnp.linspace(-LIMIT, LIMIT, 31)
  np.testing.assert_array_equal(soften(inside), inside)
  np.testing.assert_allclose(soften(jnp.array([LIMIT + 9, -LIMIT - 9])), [LIMIT + np.log(10), -LIMIT - np.log(10)])
  slopes = jax.vmap(jax.grad(soften))(jnp.array([0.0, 29.9, 30.1, -30.1, 1e4]))
  np.testing.assert_allclose(slopes, [1, 1, 1 / 1.1, 1 / 1.1, 1 / 9971], rtol=1e-4)


def test_the_direct_generator_of_the_gan_row_is_the_non_saturating_loss():
  fake = jnp.array([-2.0, 0.5, 3.0])
  np.testing.assert_allclose(
    f_generator_direct(divergence("gan"), fake, fake), jax.nn.softplus(-fake).mean(), rtol=1e-6
  )


def test_a_row_whose_bound_fails_its_generator_descends_the_direct_loss_and_pearsons_bound_has_no_lower_end():
  """At T = -20, where the critic is sure, Pearson's bound pushes the generator away, the others' leaves it still."""
  sure = jnp.array([-20.0])
  for name, row in DIVERGENCES.items():
    slope = {
      word: float(jax.grad(lambda fake, loss=loss, row=row: loss(row, fake, fake))(sure)[0])
      for word, loss in (("bound", f_generator), ("direct", f_generator_direct))
    }
    objective = f_gan(divergence=name).generator
    round = play(lambda images: (images, None), sure, sure)
    value = lambda fake, round=round, term=objective: term.apply(None, (), round._replace(fake_out=fake))[0]
    assert float(jax.grad(value)(sure)[0]) == slope["direct" if row.direct else "bound"]
    if row.direct:  # the sound one makes fakes look more real, and a step of the literal one does not
      assert slope["direct"] < -0.1
      assert slope["bound"] > 1 if name == "pearson" else abs(slope["bound"]) < 1e-8
  assert [name for name, row in DIVERGENCES.items() if row.direct] == list(DIRECT)
  assert float(f_generator(divergence("pearson"), sure * 50, sure * 50)) < -1e5
  literal = f_gan(divergence="pearson", generator_loss="bound").generator
  assert float(literal.apply(None, (), play(lambda images: (images, None), sure, sure))[0]) == -80.0


def test_d2gans_best_critics_give_kl_and_reverse_kl():
  alpha, beta = 0.4, 0.7
  with in_float64():
    quantiles = (np.arange(100_000) + 0.5) / 100_000
    real, fake = P.ppf(quantiles), Q.ppf(quantiles)
    ratio = lambda x: np.exp(P.logpdf(x) - Q.logpdf(x))
    logit = lambda d: jnp.asarray(np.log(np.expm1(d)))  # softplus of it is d
    sides = [
      logit(alpha * ratio(real)),
      logit(alpha * ratio(fake)),
      logit(beta / ratio(real)),
      logit(beta / ratio(fake)),
    ]
    value = -d2gan_critics(*sides, alpha=alpha, beta=beta)
    constant = alpha * (np.log(alpha) - 1) + beta * (np.log(beta) - 1)
    np.testing.assert_allclose(value, constant + alpha * _known("kl") + beta * _known("reverse_kl"), rtol=1e-3)
    slopes = jax.grad(partial(d2gan_critics, alpha=alpha, beta=beta), (0, 1, 2, 3))(*sides)
    for r, f in ((0, 1), (2, 3)):  # at each point of a shared grid the gradients of reals and fakes cancel
      grads = np.interp(0.3, real, np.asarray(slopes[r]) * P.pdf(real)) + np.interp(0.3, fake, slopes[f] * Q.pdf(fake))
      np.testing.assert_allclose(grads, 0, atol=1e-8)


def test_d2gan_is_finite_at_saturated_logits():
  far = jnp.array([-1e4, 1e4], jnp.float32)
  for value in (d2gan_critics(far, far, far, far), d2gan_generator(far, far)):
    assert np.isfinite(value)
  assert all(np.isfinite(g).all() for g in jax.grad(d2gan_critics, (0, 1, 2, 3))(far, far, far, far))
  exact = np.log(np.log1p(np.exp(np.array([-14.0, -16.0]))))
  values = [float(d2gan_generator(jnp.zeros(1), jnp.full(1, v), beta=1.0)) + np.log(2) for v in (-14.0, -16.0)]
  np.testing.assert_allclose(values, exact, rtol=1e-5)


def test_an_unknown_divergence_is_answered_with_those_there_are():
  with pytest.raises(ValueError, match="jensen_shannon"):
    divergence("js")


# What README.md and the notes of papers.py say ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_divergence_is_the_expected_chi_logarithm_of_the_other_ratio(name):
  row, chi = DIVERGENCES[name], SIGNATURES[name]
  with in_float64():
    f = np.asarray(row.f(jnp.array([1.0, 0.2, 0.7, 3.0])))
  for u, value in zip((0.2, 0.7, 3.0), f[1:], strict=True):
    logarithm = integrate.quad(lambda t: 1 / chi(t), 1, 1 / u)[0]
    np.testing.assert_allclose(f[0] + (row.threshold - 1 / chi(1.0)) * (u - 1) - u * logarithm, value, rtol=1e-6)


def test_a_gan_measures_what_an_image_tells_of_its_side():
  """I(X; Z) = H(Z) - H(Z | X) of a fair coin Z: half of Jensen-Shannon's row, log 2 + half of GAN's value."""
  p, q = P.pdf, Q.pdf
  entropy = lambda s: -s * np.log(s) - (1 - s) * np.log(1 - s)
  unsure = _integral(lambda x: (p(x) + q(x)) / 2 * entropy(p(x) / (p(x) + q(x))))
  np.testing.assert_allclose(np.log(2) - unsure, _known("jensen_shannon") / 2, rtol=1e-6)
  np.testing.assert_allclose(np.log(2) - unsure, np.log(2) + _known("gan") / 2, rtol=1e-6)


def test_hinges_critic_is_at_best_two_minus_twice_total_variation():
  logits = np.linspace(-2, 2, 81)
  for p, q in ((0.3, 1.1), (0.8, 0.2)):
    losses = p * np.maximum(1 - logits, 0) + q * np.maximum(1 + logits, 0)
    np.testing.assert_allclose(losses.min(), p + q - abs(p - q))  # 2 min(p, q); its integral is 2 - 2 TV


def test_rows_that_fail_on_a_ring_fail_for_the_reason_that_their_notes_give():
  """The weight of a fake is what its logit changes in the generator's loss; fakes start as N(0, 0.3^2)."""
  weight = lambda name, v: np.abs(jax.vmap(jax.grad(DIVERGENCES[name].conjugated))(jnp.asarray(v, jnp.float32)))
  np.testing.assert_allclose(weight("total_variation", [-5, 5]), 2 * np.exp(-10), rtol=1e-2)
  np.testing.assert_allclose(weight("neyman", [-10, -30]), np.exp([5, 15]), rtol=1e-4)
  np.testing.assert_allclose(weight("hellinger", [-10, 10]), np.exp([-10, 10]), rtol=1e-4)

  random = np.random.default_rng(0)
  points = lambda mean, deviation, n: mean + deviation * random.normal(size=(n, 2))
  log_normal = lambda x, mean, s: -((x - mean) ** 2).sum(-1) / (2 * s**2) - np.log(2 * np.pi * s**2)
  log_ring = lambda x: np.logaddexp.reduce(log_normal(x[:, None], CENTRES["ring"], DEVIATION), 1) - np.log(8)
  fakes = points(0, 0.3, 2048)
  ratio = log_ring(fakes) - log_normal(fakes, 0, 0.3)
  of_batches = weight("hellinger", ratio / 2).reshape(-1, 64)
  assert 0.8 < (of_batches.max(1) / of_batches.sum(1)).mean() < 1
  first, second = CENTRES["ring"][:2]
  half = np.linalg.norm(first - second) / 2 / DEVIATION
  between = np.log(8) + half**2 / 2 - half * np.sqrt(2 / np.pi)  # a point is nearer to one of the two modes
  assert 440 < between < 450
  for mean, nats in ((first, np.log(8)), ((first + second) / 2, between)):
    mode = points(mean, DEVIATION, 2048)
    np.testing.assert_allclose((log_normal(mode, mean, DEVIATION) - log_ring(mode)).mean(), nats, rtol=0.02)
