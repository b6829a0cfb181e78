"""The VQ-VAE: its codes by averages in numpy, a gradient that passes the rounding, and that it learns digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from genjax.nets.grid_coder import GridDecoder, GridEncoder
from genjax.systems.optimizers import adam
from genjax.systems.vqvae import LEAST, Tokeniser, nearest, vqvae
from tests.systems.learning import digits, learned

SHAPE = (4, 4, 1)
K, D, DECAY = 3, 2, 0.8
NET = Tokeniser(GridEncoder((4,), 1), GridDecoder(SHAPE, (4,), 1), K, D, DECAY)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, *SHAPE)).astype(np.float32)


def wild(codes):
  """Variables with these codes, each of which has an even share."""
  variables = jax.jit(NET.init)(jax.random.key(0), IMAGES)
  book = {"codes": codes, "shares": np.full(K, 1 / K), "sums": codes / K}
  return {**variables, "codebook": jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), book)}


def test_the_nearest_code_is_that_of_the_least_distance():
  rng = np.random.default_rng(0)
  features, codes = rng.normal(size=(5, 2, 3, 4)).astype(np.float32), rng.normal(size=(7, 4)).astype(np.float32)
  distances = ((features[..., None, :] - codes) ** 2).sum(-1)
  np.testing.assert_array_equal(nearest(features, codes), distances.argmin(-1))


def test_codes_move_to_the_average_of_their_features_and_rare_ones_restart_at_a_feature():
  features = np.asarray(jax.jit(NET.apply, static_argnames="method")(wild(np.zeros((K, D))), IMAGES, method="features"))
  flat = features.reshape(-1, D)
  codes = np.stack([flat.mean(0) - 0.01, flat.mean(0) + 0.01, flat.mean(0) + 1000])  # nothing is near the last
  variables = wild(codes)
  book, shares = variables["codebook"], None
  step = jax.jit(lambda v: NET.apply(v, IMAGES, True, rngs={"restart": jax.random.key(1)}, mutable=["codebook"]))
  coded, after = step(variables)
  tokens = np.asarray(coded.tokens).reshape(-1)
  shares = DECAY / K + (1 - DECAY) * np.bincount(tokens, minlength=K) / len(tokens)
  sums = DECAY * codes / K + (1 - DECAY) * np.stack([flat[tokens == k].sum(0) for k in range(K)]) / len(tokens)
  np.testing.assert_allclose(after["codebook"]["shares"], shares, rtol=1e-5)
  np.testing.assert_allclose(after["codebook"]["codes"], sums / shares[:, None], rtol=1e-4, atol=1e-5)
  rare = {**book, "shares": book["shares"].at[2].set(LEAST / K)}
  restarted = step({**variables, "codebook": rare})[1]["codebook"]
  assert np.isclose(restarted["codes"][2], flat, atol=1e-5).all(1).any()
  np.testing.assert_allclose(restarted["shares"][2], 1 / K)


def test_the_first_codes_are_features_of_the_first_batch():
  variables = jax.jit(NET.init)(jax.random.key(0), IMAGES)
  features = NET.apply(variables, IMAGES, method="features").reshape(-1, D)
  for code in variables["codebook"]["codes"]:
    assert np.isclose(code, features, atol=1e-5).all(1).any()


def test_the_reconstruction_s_gradient_passes_the_rounding_unchanged():
  """The encoder's linear layer gets the gradient that the rounded features have."""
  variables = wild(np.random.default_rng(1).normal(size=(K, D)))

  def error(offset):
    params = {**variables["params"], "linear": {**variables["params"]["linear"], "bias": offset}}
    return NET.apply({**variables, "params": params}, IMAGES).reconstruction

  def of_rounded(offset):
    codes = variables["codebook"]["codes"][NET.apply(variables, IMAGES, method="encode")]
    out = NET.apply(variables, codes + offset[None, None, None], False, method="_pixels")
    return ((out - IMAGES) ** 2).mean()

  passed = jax.jit(jax.grad(error))(variables["params"]["linear"]["bias"])
  assert np.abs(passed).max() > 1e-4
  np.testing.assert_allclose(passed, jax.jit(jax.grad(of_rounded))(jnp.zeros(D)), rtol=1e-3, atol=1e-6)


def test_held_out_digits_are_given_back_from_their_tokens_and_most_codes_are_used():
  """16 tokens of 32 codes are 80 bits; four principal components, not rounded at all, give back less."""
  train, test = digits()
  coder = (GridEncoder((32,), 1), GridDecoder((8, 8, 1), (32,), 1))
  made = vqvae(*coder, shape=(8, 8, 1), codes=32, latent=8, decay=0.95, optimizer=adam(learning_rate=3e-3))
  state = learned(made, {"image": train}, batch=32, steps=200)
  tokens = jax.jit(made.views["encode"])(state, test)
  assert (tokens.shape, tokens.dtype) == ((len(test), 4, 4), jnp.int32)
  assert len(np.unique(tokens)) > 24
  error = ((jax.jit(made.views["decode"])(state, tokens) - test) ** 2).mean()
  components = PCA(4).fit(train.reshape(len(train), -1))
  flat = test.reshape(len(test), -1)
  assert error < 0.8 * ((components.inverse_transform(components.transform(flat)) - flat) ** 2).mean()


@pytest.mark.parametrize(
  ("settings", "said"), [({"codes": 0}, "codes 0"), ({"decay": 1.0}, "decay 1.0"), ({"beta": -1.0}, "beta -1.0")]
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    vqvae(NET.encoder, NET.decoder, shape=SHAPE, **settings)


def test_a_decoder_of_other_images_is_refused():
  made = vqvae(GridEncoder((4,), 0), GridDecoder(SHAPE, (4, 4), 0), shape=SHAPE)
  with pytest.raises(ValueError, match=r"decoder's images are \(8, 8, 1\), the data's are \(4, 4, 1\)"):
    jax.eval_shape(made.init, jax.random.key(0), {"image": IMAGES})
