"""What an objective needs of the system that trains it: sections of a config, and where their numbers were read.

    {"optimizer": {"name": "adam", "learning_rate": 2e-4, "b1": 0.5, "b2": 0.999}, "critic_steps": 1}

Keys are arguments of systems.gan: optimizer, generator_optimizer where the generator has its own, critic_steps, clip.
The numbers are the paper's own where it names them, else those of its usual implementation. No JAX is imported here.

Checked  tests/objectives/test_zoo.py
"""

from collections.abc import Mapping
from typing import Any

Needs = Mapping[str, Any]


def _adam(learning_rate: float, b1: float, b2: float) -> dict[str, Any]:
  return {"name": "adam", "learning_rate": learning_rate, "b1": b1, "b2": b2}


def _needs(optimizer: dict[str, Any], critic_steps: int, **more: Any) -> Needs:
  return {"optimizer": optimizer, **more, "critic_steps": critic_steps}


DCGAN = _needs(_adam(2e-4, 0.5, 0.999), 1)
FISHER = _needs(_adam(2e-4, 0.5, 0.999), 2)
WGAN = _needs({"name": "rmsprop", "learning_rate": 5e-5, "decay": 0.99, "momentum": 0.0}, 5, clip=0.01)
WGAN_GP = _needs(_adam(1e-4, 0.0, 0.9), 5)
CRAMER = _needs(_adam(1e-4, 0.5, 0.9), 5)
SN_GAN = _needs(_adam(2e-4, 0.0, 0.9), 5)
BIG_GAN = _needs(_adam(2e-4, 0.0, 0.999), 2, generator_optimizer=_adam(5e-5, 0.0, 0.999))
F_GAN = _needs(_adam(1e-4, 0.5, 0.999), 1)
R1 = _needs(_adam(1e-4, 0.0, 0.99), 1)
STYLE_GAN = _needs(_adam(2e-3, 0.0, 0.99), 1)
GMMN = _needs(_adam(1e-3, 0.9, 0.999), 1)

# Where the settings of a row were read, and what is different there. Those of the other rows are from memory: their
# papers were not at hand.
READ = {
  "wgan_gp": "all: seed 001, Algorithm 1",
  "dudley": "those of wgan_gp: metric and penalty are of no paper on GANs",
  "wasserstein": "all: martinarjovsky/WassersteinGAN main.py",
  "dragan": "b1, critic_steps: kodalinaveen3/DRAGAN DRAGAN.ipynb; learning_rate 1e-4 and b2 0.9 there",
  "mmd_gan": "all: OctoberChang/MMD-GAN mmd_gan.py, util.py, where only the encoder is clipped, as here; seed 002 "
  "clips all. There 100 updates of the critic in the first 25 steps and in one of 500",
  "hinge": "all: pfnet-research/sngan_projection configs/sn_cifar10_unconditional.yml",
  "sn_gan": "all: pfnet-research/sngan_projection configs/sn_cifar10_unconditional.yml",
  "relativistic": "all: AlexiaJM/RelativisticGAN code/stable.sh",
  "relativistic_average": "all: AlexiaJM/RelativisticGAN code/stable.sh",
  "relativistic_hinge": "all: AlexiaJM/RelativisticGAN code/stable.sh",
  "began": "all: carpedm20/BEGAN-tensorflow config.py, which is not the authors'",
  "r1": "LMescheder/GAN_stability configs/default.yaml: RMSprop there, which is Adam with b1 0 but for its start",
  "r2": "LMescheder/GAN_stability configs/default.yaml: RMSprop there, which is Adam with b1 0 but for its start",
  "mode_seeking": "all: HelenMao/MSGAN DCGAN-Mode-Seeking/model.py; there with weight decay 1e-4",
  "regularised": "all but gamma: rothk/Stabilizing_GANs igul222_GANs/gan_64x64.py; gamma is 0.1 there",
  "r1_lazy": "NVlabs/stylegan2 training/training_loop.py; learning_rate and b2 are adjusted to the lazy steps there",
  "style_gan": "NVlabs/stylegan2 training/training_loop.py; there as r1_lazy, and path length in one of 4 steps",
  "big_gan": "critic_steps, b1, b2: google/compare_gan example_configs/biggan_imagenet128.gin; learning rates 1e-4, "
  "5e-4 there",
  "lecam": "weight: google/lecam-gan biggan_cifar/scripts/lc-biggan-cifar10.sh; both learning rates 2e-4, critic_steps "
  "4 there",
  "local_stability": "b1: locuslab/gradient_regularized_gan gaussian-toy.py; learning_rate 1e-4 and weight 0.5 there",
  "fisher": "rho and the multiplier's step: tomsercu/FisherGAN main.py; RMSprop, learning_rate 5e-5, critic_steps 5 "
  "there",
}
