"""An autoencoder: a code of few numbers from which images are reconstructed. Plain, denoising, or contractive.

Papers   denoising    Vincent et al. 2008, ICML, and 2010, JMLR 11:3371: `noise`, `masked`
         contractive  Rifai et al. 2011, "Contractive auto-encoders", ICML, eq 7: `contraction`
Departs  The code is linear in the encoder's features. The Jacobian is that of the whole encoder, exact at any depth;
         Rifai et al. have one layer of sigmoids with tied weights, whose norm has a closed form. The penalty is the
         mean over the batch, of the undisturbed images. A masked pixel is black.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. encoder: images -> features [B, D]; decoder: codes [B, Z]
         -> [B, H, W, C]. A net with batch statistics has no Jacobian of one image: use none with `contraction`.
Checked  tests/systems/test_autoencoder.py: the principal components; the penalty against jax.jacobian
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.core import Batch, Metrics, System
from genjax.nets.training import mode
from genjax.ops.tangents import jacobian
from genjax.systems.checks import check_counts, check_images, check_shares
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
OPTIMIZER = adam(learning_rate=1e-3)


class Codes(nn.Module):
  """Both nets as one.

  Attributes:
    encoder, decoder: see Shapes.
    code: Z.
  """

  encoder: nn.Module
  decoder: nn.Module
  code: int

  def setup(self):
    self.linear = nn.Dense(self.code)

  def encode(self, images: Array, train: bool = False) -> Array:
    """Codes [B, Z]."""
    return self.linear(self.encoder(images, **mode(self.encoder, train)).astype(jnp.float32))

  def decode(self, codes: Array, train: bool = False) -> Array:
    """Images [B, H, W, C], not clipped."""
    return self.decoder(codes, **mode(self.decoder, train)).astype(jnp.float32)

  def __call__(self, images: Array, train: bool = False) -> Array:
    return self.decode(self.encode(images, train), train)


def autoencoder(
  encoder: nn.Module,
  decoder: nn.Module,
  *,
  shape: tuple[int, int, int],
  code: int = 32,
  noise: float = 0.0,
  masked: float = 0.0,
  contraction: float = 0.0,
  optimizer: Optimizer = OPTIMIZER,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """An encoder and a decoder as a System. Views: `encode`, `decode`.

  The loss is the squared error, the sum over pixels and the mean over images, and `contraction` times the squared
  Frobenius norm of dc/dx.

  Args:
    encoder, decoder: see Shapes.
    shape: H, W, C.
    code: Z.
    noise: deviation of the Gaussian noise of the images that the encoder sees in training.
    masked: share of their pixels that are black.
    contraction: weight of the penalty on the Jacobian of the code.
    optimizer: of both nets.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a setting that is out of range.
  """
  check_counts({"code": code})
  check_shares({"masked": masked})
  if noise < 0 or contraction < 0:
    raise ValueError(f"noise {noise}, contraction {contraction}; use 0 or more")
  net = Codes(encoder, decoder, code)

  def disturbed(key: Array, images: Array) -> Array:
    key_noise, key_mask = jax.random.split(key)
    noisy = images + noise * jax.random.normal(key_noise, images.shape)
    return jnp.where(jax.random.bernoulli(key_mask, masked, (*images.shape[:3], 1)), -1.0, noisy)

  def init(key: Array, batch: Batch) -> Variables:
    check_images(batch["image"], shape, 1, "1")
    return net.init(key, batch["image"][:1])

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Variables, Metrics]]:
    images, (key_disturb, key_dropout) = batch["image"], jax.random.split(key)
    seen = disturbed(key_disturb, images) if noise or masked else images
    mutable, rngs = list(collections_of(variables)), {"dropout": key_dropout}
    again, collections = net.apply(variables, seen, train=True, rngs=rngs, mutable=mutable)
    error = ((again - images) ** 2).sum((1, 2, 3)).mean()
    if not contraction:
      return error, (collections, {"squared_error": error})
    encode = lambda images: net.apply(variables, images, method="encode")
    norm = (jacobian(encode, images) ** 2).sum((1, 2)).mean()
    return error + contraction * norm, (collections, {"squared_error": error, "jacobian": norm})

  views = {
    "encode": lambda variables, x: net.apply(variables, x, method="encode"),
    "decode": lambda variables, codes: jnp.clip(net.apply(variables, codes, method="decode"), -1, 1),
  }
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views)
