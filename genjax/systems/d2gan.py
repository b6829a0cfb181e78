"""D2GAN: one generator and two critics, of which one rewards the real images and the other the fakes.

Papers   D2GAN  Nguyen et al. 2017, arXiv:1709.03831: KL and reverse KL at once; formulae in objectives/divergences.py
Departs  Two critics are one net with two outputs and no weight in common, so this is systems.gan with an Objective that
         reads both; all that gan says of its steps holds here.
Shapes   critics: images [m, H, W, C] -> (logits [m], aux). The joined net's aux is {"second": logits [m]}.
Checked  tests/systems/test_d2gan.py and tests/systems/contract.py
"""

from typing import Any, Literal

import flax.linen as nn
import jax

from genjax.core import System
from genjax.objectives.divergences import d2gan_critics, d2gan_generator
from genjax.objectives.terms import Objective, Round, read, stateless
from genjax.systems.gan import gan
from genjax.systems.updates import Optimizer

Array = jax.Array


class Twins(nn.Module):
  """Two critics of the same images as one: the first's logits, and the second's in aux["second"].

  Attributes:
    first, second: critics, of which nothing but the logits is told.
  """

  first: nn.Module
  second: nn.Module

  def __call__(self, images: Array) -> tuple[Array, dict[str, Array]]:
    return self.first(images)[0], {"second": self.second(images)[0]}


def d2gan_objective(alpha: float = 0.2, beta: float = 0.1) -> Objective:
  """For a critic like Twins: alpha weighs KL(P || Q), beta KL(Q || P).

  Raises:
    ValueError: one of them is not in (0, 1].
  """
  for name, value in (("alpha", alpha), ("beta", beta)):
    if not 0 < value <= 1:
      raise ValueError(f"{name} {value} is not in (0, 1]")

  def critics(key: Array, round: Round) -> Array:
    real, fake = read(round, "real", "second"), read(round, "fake", "second")
    return d2gan_critics(round.real_out, round.fake_out, real, fake, alpha=alpha, beta=beta)

  def generator(key: Array, round: Round) -> Array:
    return d2gan_generator(round.fake_out, read(round, "fake", "second"), beta=beta)

  return Objective(stateless(critics), stateless(generator))


def d2gan(
  generator: nn.Module,
  first: nn.Module,
  second: nn.Module,
  *,
  shape: tuple[int, int, int],
  alpha: float = 0.2,
  beta: float = 0.1,
  latent: int = 128,
  prior: Literal["normal", "uniform"] = "normal",
  critic_steps: int = 1,
  optimizer: Optimizer = "adam",
  rate: float = 2e-4,
  generator_rate: float | None = None,
  b1: float = 0.5,
  b2: float = 0.999,
  decay_steps: int | None = None,
  ema: float = 0.0,
  sample_batch: int = 500,
) -> System:
  """A generator and two critics as a System; its state is gan's, where the critic is Twins.

  Args:
    generator: latents [m, Z] -> images.
    first, second: critics that share no weight: two modules, which may be of one kind.
    shape: H, W, C.
    alpha, beta: see d2gan_objective.
    latent, prior, critic_steps, optimizer, rate, generator_rate, b1, b2, decay_steps, ema, sample_batch: see gan.

  Raises:
    ValueError: as gan and d2gan_objective do.
  """
  settings: dict[str, Any] = {
    "latent": latent,
    "prior": prior,
    "critic_steps": critic_steps,
    "optimizer": optimizer,
    "rate": rate,
    "generator_rate": generator_rate,
    "b1": b1,
    "b2": b2,
    "decay_steps": decay_steps,
    "ema": ema,
    "sample_batch": sample_batch,
  }
  twins = Twins(first.clone(name=None), second.clone(name=None))
  return gan(generator, twins, shape=shape, objective=d2gan_objective(alpha, beta), **settings)
