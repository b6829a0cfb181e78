"""The VAE: its bounds against the exact likelihood of a linear Gaussian model, and that it learns digits."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from genjax.core import Dataset, Split
from genjax.metrics.likelihood import nats
from genjax.nets.coder import MLPDecoder, MLPEncoder
from genjax.systems.optimizers import adam
from genjax.systems.vae import vae
from tests.systems.learning import digits, learned

SHAPE = (8, 8, 1)
Z, PIXELS = 2, 5


class Flat(nn.Module):
  """The pixels are the features."""

  @nn.compact
  def __call__(self, images):
    return images.reshape(len(images), -1)


class Linear(nn.Module):
  @nn.compact
  def __call__(self, latents):
    return nn.Dense(PIXELS)(latents).reshape(-1, 1, PIXELS, 1)


class Fixture:
  """x = W z + b + s * noise: its exact log p(x), and a state whose encoder is its exact posterior."""

  rng = np.random.default_rng(0)
  w, b, s = rng.normal(size=(Z, PIXELS)), rng.normal(size=PIXELS) / 3, 0.6
  images = rng.uniform(-1, 1, (4, 1, PIXELS, 1)).astype(np.float32)
  covariance = np.linalg.inv(np.eye(Z) + w @ w.T / s**2)

  @classmethod
  def log_prob(cls):
    away = cls.images.reshape(4, PIXELS) - cls.b
    full = cls.w.T @ cls.w + cls.s**2 * np.eye(PIXELS)
    squares = np.einsum("bi,ij,bj->b", away, np.linalg.inv(full), away)
    return -(squares + np.linalg.slogdet(full)[1] + PIXELS * np.log(2 * np.pi)) / 2

  @classmethod
  def posterior_mean(cls):
    return (cls.images.reshape(4, PIXELS) - cls.b) @ cls.w.T @ cls.covariance / cls.s**2

  @classmethod
  def state(cls, system):
    """The mean of q(z|x) is exact. q has no covariances, so each variance is that which is best: 1 / precision."""
    state = jax.jit(system.init)(jax.random.key(0), {"image": cls.images})
    to_mean = cls.w.T @ cls.covariance / cls.s**2
    variance = 1 / np.diag(np.linalg.inv(cls.covariance))
    params = {
      "decoder": {"Dense_0": {"kernel": cls.w, "bias": cls.b}},
      "mean": {"kernel": to_mean, "bias": -cls.b @ to_mean},
      "log_variance": {"kernel": np.zeros((PIXELS, Z)), "bias": np.log(variance)},
      "log_deviation": np.log(cls.s),
    }
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    assert jax.tree.structure(dict(state.params)) == jax.tree.structure(params)
    return state._replace(params=params)

  @classmethod
  def bound(cls):
    """log p(x) - KL(q, posterior), the exact mean of the ELBO."""
    precision = np.linalg.inv(cls.covariance)
    variance = np.diag(1 / np.diag(precision))
    return cls.log_prob() - (np.linalg.slogdet(cls.covariance)[1] - np.linalg.slogdet(variance)[1]) / 2


def linear(**settings):
  return vae(Flat(), Linear(), shape=(1, PIXELS, 1), latent=Z, likelihood="gaussian", **settings)


def test_the_bound_is_log_p_less_the_divergence_of_the_encoder_from_the_posterior():
  system = linear()
  state = Fixture.state(system)
  step = jax.jit(system.step)
  losses = [step(jax.random.key(i), state, {"image": Fixture.images})[1]["loss"] for i in range(2000)]
  np.testing.assert_allclose(-np.mean(losses), Fixture.bound().mean(), atol=4 * np.std(losses) / 2000**0.5)
  np.testing.assert_allclose(system.views["encode"](state, Fixture.images), Fixture.posterior_mean(), rtol=1e-4)


def test_many_importance_samples_reach_the_exact_likelihood():
  system = linear(importance_samples=5000)
  result = system.views["log_prob"](Fixture.state(system), Fixture.images)
  np.testing.assert_allclose(result, Fixture.log_prob(), atol=0.05)
  assert Fixture.bound().max() < Fixture.log_prob().max() - 0.1  # the bound of one sample is no such number


def test_the_metric_of_many_weights_lies_between_the_bound_of_one_and_the_exact_likelihood():
  system = linear()
  state, data = Fixture.state(system), Dataset(lambda step: {}, split=lambda name: Split(name, "", images))
  images = {"image": Fixture.images}
  of = lambda count: -nats(importance_samples=count).measure(jax.random.key(1), system.views, state, data)["nats"].value
  exact = Fixture.log_prob().mean()
  assert Fixture.bound().mean() < of(50) < exact + 0.02
  np.testing.assert_allclose(of(5000), exact, atol=0.02)


def test_the_bernoulli_likelihood_is_the_cross_entropy_of_grey_levels():
  system = vae(Flat(), Linear(), shape=(1, PIXELS, 1), latent=Z)
  state = jax.jit(system.init)(jax.random.key(0), {"image": Fixture.images})
  logits = np.linspace(-2, 2, PIXELS)
  params = jax.tree.map(jnp.zeros_like, dict(state.params))  # q is the prior, the decoder only its bias
  params["decoder"]["Dense_0"]["bias"] = jnp.asarray(logits, jnp.float32)
  state = state._replace(params=params)
  white, p = (Fixture.images.reshape(4, PIXELS) + 1) / 2, 1 / (1 + np.exp(-logits))
  wanted = (white * np.log(p) + (1 - white) * np.log(1 - p)).sum(1)
  np.testing.assert_allclose(system.views["log_prob"](state, Fixture.images), wanted, rtol=1e-5)
  np.testing.assert_allclose(system.views["sample"](jax.random.key(0), state, 2)[1, 0, :, 0], 2 * p - 1, rtol=1e-5)


def test_the_kl_term_is_weighted_by_beta():
  values = {}
  for beta in (1.0, 4.0):
    system = linear(beta=beta)
    values[beta] = jax.jit(system.step)(jax.random.key(1), Fixture.state(system), {"image": Fixture.images})[1]
  kl = values[1.0]["kl"]
  assert values[4.0]["kl"] == kl  # as it is, not as it is weighted
  np.testing.assert_allclose(values[4.0]["loss"] - values[1.0]["loss"], 3 * kl, rtol=1e-4)
  np.testing.assert_allclose(values[1.0]["loss"], values[1.0]["reconstruction"] + kl, rtol=1e-5)
  variance = 1 / np.diag(np.linalg.inv(Fixture.covariance))
  divergence = (variance + Fixture.posterior_mean() ** 2 - 1 - np.log(variance)).sum(1) / 2
  np.testing.assert_allclose(kl, divergence.mean(), rtol=1e-4)


def of_digits(likelihood):
  """The views of a VAE of 8 latents, and its state after 600 steps."""
  coder = (MLPEncoder((128,)), MLPDecoder(SHAPE, (128,)))
  system = vae(*coder, shape=SHAPE, latent=8, likelihood=likelihood, optimizer=adam(learning_rate=3e-3))
  return system.views, learned(system, {"image": digits()[0]}, batch=64, steps=600)


def test_held_out_digits_are_likelier_than_by_the_best_linear_model_with_as_many_latents():
  """Probabilistic PCA, whose exact likelihood at its maximum scikit-learn gives, against a bound."""
  views, state = of_digits("gaussian")
  train, test = (images.reshape(len(images), -1) for images in digits())
  assert views["log_prob"](state, digits()[1]).mean() > PCA(8).fit(train).score(test) + 5


def test_held_out_digits_are_likelier_than_by_independent_pixels():
  """A decoder that does not use its latents is no better than these."""
  views, state = of_digits("bernoulli")
  train, test = digits()
  white, p = (test + 1) / 2, np.clip((train.mean(0) + 1) / 2, 1e-3, 1 - 1e-3)
  independent = (white * np.log(p) + (1 - white) * np.log(1 - p)).sum((1, 2, 3)).mean()
  assert views["log_prob"](state, test).mean() > independent + 1
  given_back = views["decode"](state, views["encode"](state, test))
  assert ((given_back - test) ** 2).mean() < 0.5 * test.var(0).mean()


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"likelihood": "poisson"}, "'poisson'; use 'bernoulli' or 'gaussian'"),
    ({"beta": 2.0, "importance_samples": 5}, "beta 2.0"),
    ({"latent": 0}, "latent 0"),
  ],
)
def test_settings_that_do_not_go_together_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    vae(Flat(), Linear(), **({"shape": SHAPE} | settings))


def test_a_decoder_of_other_images_is_refused():
  system = vae(Flat(), Linear(), shape=SHAPE, latent=Z)
  with pytest.raises(ValueError, match=r"decoder's images are \(1, 5, 1\), the data's are \(8, 8, 1\)"):
    system.init(jax.random.key(0), {"image": jnp.zeros((2, *SHAPE))})
