"""The residual nets of WGAN-GP's and SN-GAN's CIFAR-10: one generator in two widths, and SN-GAN's critic.

WGAN-GP's own critics are in nets/wgan_gp.py; SN-GAN's has the layers of its 32x32 one, every weight spectrally
normalised, and sums over the maps where that takes their mean.

Papers   WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028, `gan_cifar_resnet`: width 128
         SN-GAN   Miyato et al. 2018, arXiv:1802.05957, table 4: generator of width 256, critic of 128
Departs  Any size that doubling leads to from a grid of 4 (or what `stages` halvings leave). Labels, which enter
         the papers' nets by conditional batch normalisation, go beside the latent. SN-GAN's last layer has a bias here.
Shapes   latent [B, Z] -> images [B, H, W, C] in [-1, 1]; images -> (logits [B], aux {"features" [B, width]});
         both take labels [B] too.
Checked  tests/nets/test_resnet_gan.py: parameter counts by hand, singular values by numpy.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv
from genjax.nets.dcgan import BatchNorm, grid_of
from genjax.nets.labels import beside, check_labels
from genjax.nets.pooling import check_sides, mean_pool
from genjax.nets.spectral import SpectralConv, SpectralDense

Array = jax.Array
GLOROT = nn.initializers.glorot_uniform()
HE = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class ResNetGenerator(nn.Module):
  """A grid from one linear layer, then residual units that each double it.

  Attributes:
    shape: H, W, C.
    width: of every convolution: 128 (WGAN-GP) or 256 (SN-GAN).
    stages: doublings.
    classes: number of labels of the data, for calls that pass labels.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  width: int = 128
  stages: int = 3
  classes: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None, *, train: bool = False) -> Array:
    height, width = grid_of(self.shape, self.stages)
    x = nn.Dense(height * width * self.width, kernel_init=GLOROT)(beside(latent, labels, self.classes))
    x = x.reshape(-1, height, width, self.width).astype(self.dtype)
    for _ in range(self.stages):
      x = Up(self.width, dtype=self.dtype)(x, train)
    x = nn.relu(BatchNorm()(x, train))
    x = Conv(self.shape[2], (3, 3), kernel_init=GLOROT, dtype=self.dtype)(x)
    return jnp.tanh(x.astype(jnp.float32))


class Up(nn.Module):
  """Norm, ReLU, doubling, convolution, norm, ReLU, convolution; beside it the doubled input through 1x1.

  Attributes:
    width: of both convolutions.
    dtype: of them.
  """

  width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    y = doubled(nn.relu(BatchNorm()(x, train)))
    y = Conv(self.width, (3, 3), kernel_init=HE, dtype=self.dtype)(y)
    y = Conv(self.width, (3, 3), kernel_init=HE, dtype=self.dtype)(nn.relu(BatchNorm()(y, train)))
    return y + doubled(Conv(self.width, (1, 1), kernel_init=GLOROT, dtype=self.dtype)(x))  # 1x1 and doubling commute


class SpectralResNetCritic(nn.Module):
  """SN-GAN's critic: four residual units, the first two halve the image.

  Attributes:
    width: of every convolution.
    classes: number of labels of the data, for calls that pass labels; they enter by projection.
    dtype: of the convolutions.
  """

  width: int = 128
  classes: int | None = None
  dtype: jnp.dtype = jnp.float32
  per_image = True

  @nn.compact
  def __call__(
    self, images: Array, labels: Array | None = None, *, train: bool = False
  ) -> tuple[Array, dict[str, Array]]:
    check_labels(labels, self.classes)
    check_sides(images, 2, "another critic")
    x = images.astype(self.dtype)
    for place in range(4):
      x = _Unit(self.width, place == 0, place < 2, train, self.dtype)(x)
    features = nn.relu(x).astype(jnp.float32).sum((1, 2))
    dense = partial(SpectralDense, kernel_init=GLOROT, train=train)
    logits = dense(1)(features)[:, 0]
    if labels is not None:
      embedded = dense(self.width, name="embedding")(jax.nn.one_hot(labels, self.classes))
      logits += (embedded * features).sum(1)
    return logits, {"features": features}


class _Unit(nn.Module):
  width: int
  opening: bool
  down: bool
  train: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    conv = partial(SpectralConv, self.width, dtype=self.dtype, train=self.train)
    pool = mean_pool if self.down else lambda x: x
    y = conv(kernel_init=HE)(x if self.opening else nn.relu(x))
    y = pool(conv(kernel_init=HE)(nn.relu(y)))
    shortcut = pool(x)
    if self.down or self.opening:
      shortcut = conv((1, 1), kernel_init=GLOROT)(shortcut)  # commutes with the mean
    return y + shortcut


def doubled(x: Array) -> Array:
  """Every pixel four times: [B, H, W, C] -> [B, 2 H, 2 W, C]."""
  batch, height, width, channels = x.shape
  spread = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
  return spread.reshape(batch, 2 * height, 2 * width, channels)
