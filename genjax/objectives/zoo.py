"""Objectives by name: a row names the paper and puts the parts together.

Checked  tests/objectives/test_zoo.py runs the family's contract over every row.
"""

from genjax.objectives.logits import cross_entropy_critic, wasserstein_critic
from genjax.objectives.penalties import gradient_penalty
from genjax.objectives.terms import Objective, on_logits, total


def winn_objective(weight: float = 10.0) -> Objective:
  """Lee et al., CVPR 2018, eq 2.6: Wasserstein with a two-sided gradient penalty, lambda = 10. No generator."""
  return Objective(critic=total((1.0, on_logits(wasserstein_critic)), (weight, gradient_penalty())))


def inn_objective() -> Objective:
  """Lazarow, Jin & Tu, ICCV 2017 (INN): the cross-entropy of real against pseudo-negative. No generator."""
  return Objective(critic=total((1.0, on_logits(cross_entropy_critic))))


def wgan_gp(weight: float = 10.0) -> Objective:
  """Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1: Wasserstein, a two-sided gradient penalty, lambda = 10."""
  return Objective(critic=winn_objective(weight).critic, generator=on_logits(lambda real, fake: -fake.mean()))


OBJECTIVES = {"winn": winn_objective, "inn": inn_objective, "wgan_gp": wgan_gp}
