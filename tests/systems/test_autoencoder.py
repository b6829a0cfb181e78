"""Autoencoders: principal components, noise and masks, the exact penalty, and that a contractive code is flat."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from genjax.nets.coder import MLPDecoder, MLPEncoder
from genjax.ops.tangents import jacobian
from genjax.systems.autoencoder import Codes, autoencoder
from genjax.systems.optimizers import adam, sgd
from tests.systems.learning import digits, learned

SHAPE = (8, 8, 1)


class Flat(nn.Module):
  @nn.compact
  def __call__(self, images):
    return images.reshape(len(images), -1)


class Linear(nn.Module):
  @nn.compact
  def __call__(self, codes):
    return nn.Dense(64)(codes).reshape(-1, *SHAPE)


def test_a_linear_one_spans_the_principal_components():
  train, test = digits()
  rule = adam(learning_rate=2e-2, schedule="cosine", decay_steps=1500)
  system = autoencoder(Flat(), Linear(), shape=SHAPE, code=8, optimizer=rule)
  state = learned(system, {"image": train}, batch=128, steps=1500)
  again = system.views["decode"](state, system.views["encode"](state, test))
  pca = PCA(8).fit(train.reshape(len(train), -1))
  best = pca.inverse_transform(pca.transform(test.reshape(len(test), -1)))
  error = lambda images: ((np.asarray(images).reshape(len(test), -1) - test.reshape(len(test), -1)) ** 2).sum(1).mean()
  assert error(again) < 1.05 * error(best)


def test_the_loss_is_the_error_and_the_exact_penalty_of_the_undisturbed_images():
  images = jnp.asarray(digits()[0][:6])
  given = {"shape": SHAPE, "code": 3, "optimizer": sgd(learning_rate=1e-9)}
  nets = (MLPEncoder((5,)), MLPDecoder(SHAPE, (4,)))
  system = autoencoder(*nets, **given, noise=0.3, contraction=0.5)
  state = jax.jit(system.init)(jax.random.key(0), {"image": images})
  _, metrics = jax.jit(system.step)(jax.random.key(1), state, {"image": images})
  encode = lambda x: system.views["encode"](state, x)
  full = jax.jacobian(lambda x: encode(x))(images)  # [6, 3, 6, 8, 8, 1]
  norm = np.mean([np.sum(np.square(full[i, :, i])) for i in range(6)])
  np.testing.assert_allclose(metrics["jacobian"], norm, rtol=1e-4)
  np.testing.assert_allclose(metrics["loss"], metrics["squared_error"] + 0.5 * norm, rtol=1e-5)
  plain = autoencoder(*nets, **given)
  _, without = jax.jit(plain.step)(jax.random.key(1), state, {"image": images})
  again = Codes(*nets, 3).apply({"params": state.params}, images)
  np.testing.assert_allclose(without["loss"], ((again - images) ** 2).sum((1, 2, 3)).mean(), rtol=1e-3)
  assert metrics["squared_error"] > 1.001 * without["loss"]  # it had to see through noise


def test_a_mask_blackens_its_share_of_the_pixels_the_encoder_sees():
  seen = []

  class Looks(nn.Module):
    @nn.compact
    def __call__(self, images):
      jax.debug.callback(lambda x: seen.append(np.asarray(x)), images)
      return images.reshape(len(images), -1)

  system = autoencoder(Looks(), Linear(), shape=SHAPE, code=2, masked=0.3)
  batch = {"image": jnp.full((64, *SHAPE), 0.5)}
  state = system.init(jax.random.key(0), batch)
  seen.clear()
  jax.jit(system.step)(jax.random.key(1), state, batch)
  jax.effects_barrier()
  (images,) = {image.tobytes(): image for image in seen}.values()
  assert set(np.unique(images)) == {-1.0, 0.5}
  assert abs((images == -1).mean() - 0.3) < 4 * (0.3 * 0.7 / images.size) ** 0.5


def test_a_contractive_code_changes_less_where_it_need_not():
  train, test = digits()
  norms = []
  for contraction in (0.0, 0.3):
    nets = (MLPEncoder((64,)), MLPDecoder(SHAPE, (64,)))
    system = autoencoder(*nets, shape=SHAPE, code=16, contraction=contraction, optimizer=adam(learning_rate=3e-3))
    state = learned(system, {"image": train}, batch=64, steps=400)
    each = jax.jit(lambda x, view=system.views["encode"], state=state: jacobian(lambda x: view(state, x), x))(test[:50])
    values = np.linalg.svd(each, compute_uv=False)
    norms.append((values**2).sum(1).mean())
  assert norms[1] < norms[0] / 2


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"code": 0}, "code 0"),
    ({"masked": 1.0}, "masked 1.0"),
    ({"contraction": -1.0}, "contraction -1.0; use 0 or more"),
  ],
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    autoencoder(Flat(), Linear(), shape=SHAPE, **settings)
