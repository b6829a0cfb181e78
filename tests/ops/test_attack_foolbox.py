"""Attacks step by step against those of foolbox."""

import warnings

import numpy as np
import pytest
from small_classifier import EPSILON, attacked, data, net

from genjax.ops.attack import fgsm, pgd

with warnings.catch_warnings():  # foolbox 3.3.4 imports a name that scipy moved
  warnings.simplefilter("ignore", DeprecationWarning)
  foolbox = pytest.importorskip("foolbox")


def _foolbox(attack, images, labels, epsilon=EPSILON):
  model = foolbox.models.JAXModel(net, bounds=(-1, 1))
  return attack(model, images, foolbox.criteria.Misclassification(labels), epsilons=2 * epsilon)[1]


def _from(start, kind, **options):
  """Foolbox's attack, begun at `start`."""
  made = type("FromStart", (kind,), {"get_random_start": lambda self, x0, epsilon: x0 - x0 + start})
  return made(random_start=True, **options)


def test_fgsm_is_that_of_foolbox():
  images, labels = data()
  oracle = _foolbox(foolbox.attacks.LinfFastGradientAttack(random_start=False), images, labels)
  np.testing.assert_allclose(attacked(fgsm(EPSILON), net, images, labels), oracle, atol=1e-5)


@pytest.mark.parametrize(("norm", "kind"), [("linf", "LinfPGD"), ("l2", "L2PGD")])
@pytest.mark.parametrize(("random_start", "epsilon"), [(False, 0.02), (True, 0.5)])
def test_pgd_is_that_of_foolbox_from_the_same_start(norm, kind, random_start, epsilon):
  images, labels = data()
  how = {"norm": norm, "random_start": random_start}
  start = attacked(pgd(epsilon, steps=1, step_size=0.0, **how), net, images, labels)
  ours = attacked(pgd(epsilon, steps=6, step_size=epsilon / 3, **how), net, images, labels)
  theirs = _foolbox(
    _from(start, getattr(foolbox.attacks, kind), steps=6, rel_stepsize=1 / 3), images, labels, epsilon=epsilon
  )
  assert np.abs(ours - images).max() > 0.1 * epsilon
  assert np.array_equal(start, images) != random_start
  np.testing.assert_allclose(ours, theirs, atol=1e-5)
