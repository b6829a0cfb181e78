"""D2GAN: one generator and two critics, of which one rewards the real images and the other the fakes.

Papers   D2GAN  Nguyen et al. 2017, arXiv:1709.03831: KL and reverse KL at once; formulae in objectives/divergences.py
Departs  Two critics are one net with two outputs and no weight in common, so this is systems.gan with an Objective that
         reads both; all that gan says of its steps holds here.
Shapes   critics: images [m, H, W, C] -> (logits [m], aux). The joined net's aux is {"second": logits [m]}.
Checked  tests/systems/test_d2gan.py and tests/systems/contract.py
"""

import flax.linen as nn
import jax

from genjax.core import System
from genjax.nets.training import mode
from genjax.objectives.divergences import d2gan_critics, d2gan_generator
from genjax.objectives.terms import Objective, Round, read, stateless
from genjax.systems.gan import Prior, gan
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array


class Twins(nn.Module):
  """Two critics of the same images as one: the logits of the first, and those of the second in aux["second"].

  Attributes:
    first, second: critics, of which the logits alone are used.
  """

  first: nn.Module
  second: nn.Module

  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    logits = [net(images, **mode(net, train))[0] for net in (self.first, self.second)]
    return logits[0], {"second": logits[1]}


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
  critic: nn.Module,
  second_critic: nn.Module | None = None,
  *,
  shape: tuple[int, int, int],
  alpha: float = 0.2,
  beta: float = 0.1,
  optimizer: Optimizer = adam(learning_rate=2e-4, b1=0.5, b2=0.999),  # noqa: B008 - a function
  generator_optimizer: Optimizer | None = None,
  latent: int = 128,
  prior: Prior = "normal",
  critic_steps: int = 1,
  ema: float = 0.0,
  sample_batch: int = 500,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """A generator and two critics as a System; its state is that of gan, where the critic is Twins.

  Args:
    generator: latents [m, Z] -> images.
    critic: the critic that rewards real images; the view "score" is its.
    second_critic: the one that rewards fakes, with weights of its own; None: a net of the same kind.
    shape: H, W, C.
    alpha, beta: see d2gan_objective.
    optimizer: of all nets; generator_optimizer: of the generator, where it has its own.
    latent, prior, critic_steps, ema, sample_batch, accumulate, remat: see gan.

  Raises:
    ValueError: as gan and d2gan_objective do.
  """
  second = critic if second_critic is None else second_critic
  return gan(
    generator,
    Twins(critic.clone(name=None), second.clone(name=None)),
    shape=shape,
    objective=d2gan_objective(alpha, beta),
    optimizer=optimizer,
    generator_optimizer=generator_optimizer,
    latent=latent,
    prior=prior,
    critic_steps=critic_steps,
    ema=ema,
    sample_batch=sample_batch,
    accumulate=accumulate,
    remat=remat,
  )
