"""The losses of every row written again in numpy, for the linear players of players.py: what test_zoo compares with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from players import SHAPE

Array = np.ndarray


class Numbers(NamedTuple):
  """Everything that the linear players say, in float64."""

  x: Array  # [B, 4] reals
  g: Array  # [B, 4] fakes
  z: Array  # [B, 3]
  hx: Array  # [B, 3] features
  hg: Array
  r: Array  # [B] logits of reals
  f: Array  # of fakes
  slope: float  # of the logits by the image, everywhere
  critic: dict[str, Array]
  generator: dict[str, Array]
  states: Any

  @classmethod
  def of(cls, both, real, latent, states) -> "Numbers":
    critic, generator = ({k: np.asarray(v, np.float64) for k, v in each.items()} for each in both)
    x, z = np.asarray(real, np.float64).reshape(len(real), -1), np.asarray(latent, np.float64)
    g = z @ generator["C"] + generator["c"]
    hx, hg = (side @ critic["A"] + critic["a"] for side in (x, g))
    r, f = (side @ critic["w"] + critic["b"] for side in (hx, hg))
    return cls(x, g, z, hx, hg, r, f, np.linalg.norm(critic["A"] @ critic["w"]), critic, generator, states)


def sigmoid(v):
  return 1 / (1 + np.exp(-v))


def pos(v):
  return np.maximum(v, 0)


def cross_entropy(r, f):
  return -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean()


def ns(n):
  return cross_entropy(n.r, n.f), -np.log(sigmoid(n.f)).mean()


def hinge(n):
  return pos(1 - n.r).mean() + pos(1 + n.f).mean(), -n.f.mean()


def wasserstein(n):
  return n.f.mean() - n.r.mean(), -n.f.mean()


def add(base: Callable, critic: Callable = lambda n: 0, generator: Callable = lambda n: 0) -> Callable:
  return lambda n, update: (base(n)[0] + critic(n), base(n)[1] + generator(n))


def relativistic_average(loss):
  return lambda n, update: (loss(n.r - n.f.mean(), n.f - n.r.mean()), loss(n.f - n.r.mean(), n.r - n.f.mean()))


def f_gan(activation, conjugate, direct=False):
  """Table 2, as it is printed, with the generator of Algorithm 1 or of section 3.2."""
  return lambda n, update: (
    conjugate(activation(n.f)).mean() - activation(n.r).mean(),
    -(activation(n.f) if direct else conjugate(activation(n.f))).mean(),
  )


def f_gan_regularised(n, update):
  t = np.log(sigmoid(n.f))  # g(v); f*''(t) = e^t / (1 - e^t)^2; dg / dv = 1 - sigmoid(v)
  weight = np.exp(t) / (1 - np.exp(t)) ** 2 * (1 - sigmoid(n.f)) ** 2
  return cross_entropy(n.r, n.f) + (weight * n.slope**2).mean(), -np.log(sigmoid(n.f)).mean()


def pulling_away(n):
  total, count = 0.0, len(n.hg)
  for i in range(count):
    for j in range(count):
      if i != j:
        total += (n.hg[i] @ n.hg[j] / np.linalg.norm(n.hg[i]) / np.linalg.norm(n.hg[j])) ** 2
  return total / (count * (count - 1))


def began(n, update):
  real, fake = -n.r.mean(), -n.f.mean()
  k = 0.0 if update == 0 else np.clip(0.5 * (0.5 * real - fake), 0, 1)
  return real - k * fake, fake


def fisher(n, update):
  gap, moment = n.r.mean() - n.f.mean(), (np.mean(n.r**2) + np.mean(n.f**2)) / 2
  m = 0.0 if update == 0 else -0.5 * (1 - moment)
  return -(gap + m * (1 - moment) - 0.25 * (1 - moment) ** 2), -n.f.mean()


def kernel(a, b):
  return sum(np.exp(-((a - b) ** 2).sum() / (2 * s**2)) for s in (1.0, 2.0))


def mmd_squared(x, y, unbiased):
  def within(points):
    values = [kernel(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if i != j or not unbiased]
    return np.mean(values)

  return within(x) + within(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def mmd_gan(n, update):
  distance = mmd_squared(n.hx, n.hg, True)
  gaps = [((side - h @ n.critic["R"]) ** 2).mean() for side, h in ((n.x, n.hx), (n.g, n.hg))]
  return -distance + 8 * sum(gaps), distance


def cramer(n, update):
  length = lambda v: np.linalg.norm(v, axis=-1)
  others = np.roll(n.hg, -1, axis=0)
  f = lambda h: length(h - others) - length(h)
  alphas = (np.arange(2000) + 0.5) / 2000
  h = alphas[:, None, None] * n.hx + (1 - alphas[:, None, None]) * n.hg
  unit = lambda v: v / length(v)[..., None]
  slopes = length((unit(h - others) - unit(h)) @ n.critic["A"].T)
  critic = f(n.hg).mean() - f(n.hx).mean() + 10 * ((slopes - 1) ** 2).mean()
  return critic, (length(n.hx - n.hg) + length(n.hx - others) - length(n.hg - others)).mean()


def symmetric(n):
  return (((1 - sigmoid(n.r)) ** 2 + sigmoid(n.f) ** 2) * n.slope**2).mean()


def critic_slope(n):
  count = len(n.r)
  grads = np.concatenate([-(1 - sigmoid(n.r)), sigmoid(n.f)]) / count  # of the loss by each logit
  points, features, w = np.concatenate([n.x, n.g]), np.concatenate([n.hx, n.hg]), n.critic["w"]
  parts = [np.outer(grads @ points, w), grads.sum() * w, grads @ features, grads.sum()]
  return sum((part**2).sum() for part in parts)


def lecam(n, update):
  real, fake = (0.0, 0.0) if update == 0 else (0.01 * n.r.mean(), 0.01 * n.f.mean())
  critic, generator = hinge(n)
  return critic + 0.3 * ((pos(n.r - fake) ** 2).mean() + (pos(real - n.f) ** 2).mean()), generator


def columns(n):
  products = n.generator["C"].T @ n.generator["C"]
  return (products**2).sum() - (np.diag(products) ** 2).sum()


def style_gan(n, update):
  if update:
    return None  # the mean length is now that of one draw
  critic, generator = ns(n)
  return critic + 5 * n.slope**2, generator + 2 * (n.generator["C"] ** 2).sum() / 4


def augmented(n, points):
  """The mean of (f(x) - f(T(x)))^2 over both mirrors and all nine shifts by up to a pixel."""
  images, total = points.reshape(-1, *SHAPE), 0.0
  says = lambda flat: (flat @ n.critic["A"] + n.critic["a"]) @ n.critic["w"]
  for mirrored in (images, images[:, :, ::-1]):
    padded = np.pad(mirrored, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
    for top in range(3):
      for left in range(3):
        moved = padded[:, top : top + 2, left : left + 2].reshape(len(points), -1)
        total += ((says(points) - says(moved)) ** 2).mean()
  return total / 18


def latent_slope(n):
  return 0.3**2 * ((n.generator["C"] @ n.critic["A"] @ n.critic["w"]) ** 2).sum()


def latent_spread(n):
  return 0.3**2 * (n.generator["C"] ** 2).sum() / 4


def denoising(n, update):
  if update:
    return None  # the denoiser has learned from noise
  inner, inner_bias, outer, outer_bias = (np.asarray(leaf, np.float64) for leaf in n.states[1][1])
  target = pos(n.hg @ inner + inner_bias) @ outer + outer_bias
  critic, generator = ns(n)
  return critic, generator + 0.5 * ((n.hg - target) ** 2).mean()


def mode_seeking(n):
  other = np.roll(n.z, -1, axis=0)
  images = np.abs(n.g - (other @ n.generator["C"] + n.generator["c"])).mean(1)
  return 1 / ((images / np.abs(n.z - other).mean(1)).mean() + 1e-5)


VALUES: dict[str, Callable[[Numbers, int], tuple | None]] = {
  "winn": lambda n, update: (wasserstein(n)[0] + 10 * (n.slope - 1) ** 2,),
  "inn": lambda n, update: (cross_entropy(n.r, n.f),),
  "minimax": lambda n, update: (cross_entropy(n.r, n.f), np.log(1 - sigmoid(n.f)).mean()),
  "non_saturating": add(ns),
  "least_squares": lambda n, update: (((n.r - 1) ** 2).mean() / 2 + (n.f**2).mean() / 2, ((n.f - 1) ** 2).mean() / 2),
  "hinge": add(hinge),
  "sn_gan": add(hinge),
  "relativistic": lambda n, update: (-np.log(sigmoid(n.r - n.f)).mean(), -np.log(sigmoid(n.f - n.r)).mean()),
  "relativistic_average": relativistic_average(cross_entropy),
  "relativistic_least_squares": relativistic_average(lambda r, f: ((r - 1) ** 2).mean() + ((f + 1) ** 2).mean()),
  "relativistic_hinge": relativistic_average(lambda r, f: pos(1 - r).mean() + pos(1 + f).mean()),
  "ebgan": lambda n, update: (-n.r.mean() + pos(10 + n.f).mean(), -n.f.mean()),
  "ebgan_pull_away": lambda n, update: (-n.r.mean() + pos(10 + n.f).mean(), -n.f.mean() + 0.1 * pulling_away(n)),
  "began": began,
  "f_gan_kl": f_gan(lambda v: v, lambda t: np.exp(t - 1), True),
  "f_gan_reverse_kl": f_gan(lambda v: -np.exp(-v), lambda t: -1 - np.log(-t)),
  "f_gan_pearson": f_gan(lambda v: v, lambda t: t**2 / 4 + t, True),
  "f_gan_neyman": f_gan(lambda v: 1 - np.exp(-v), lambda t: 2 - 2 * np.sqrt(1 - t)),
  "f_gan_hellinger": f_gan(lambda v: 1 - np.exp(-v), lambda t: t / (1 - t)),
  "f_gan_jensen_shannon": f_gan(lambda v: np.log(2) - np.log(1 + np.exp(-v)), lambda t: -np.log(2 - np.exp(t)), True),
  "f_gan_gan": f_gan(lambda v: -np.log(1 + np.exp(-v)), lambda t: -np.log(1 - np.exp(t)), True),
  "f_gan_total_variation": f_gan(lambda v: np.tanh(v) / 2, lambda t: t),
  "f_gan_regularised": f_gan_regularised,
  "wasserstein": add(wasserstein),
  "wgan_gp": add(wasserstein, lambda n: 10 * (n.slope - 1) ** 2),
  "wgan_lp": add(wasserstein, lambda n: 10 * pos(n.slope - 1) ** 2),
  "dudley": add(wasserstein, lambda n: 10 * pos(max(abs(n.r).max(), abs(n.f).max()) + n.slope - 1) ** 2),
  "fisher": fisher,
  "gmmn": lambda n, update: (0.0, np.sqrt(mmd_squared(n.x, n.g, False))),
  "mmd_gan": mmd_gan,
  "cramer": cramer,
  "dragan": add(ns, lambda n: 10 * (n.slope - 1) ** 2),
  "r1": add(ns, lambda n: 5 * n.slope**2),
  "r1_lazy": add(ns, lambda n: 5 * n.slope**2),
  "r2": add(ns, lambda n: 5 * n.slope**2),
  "regularised": add(ns, symmetric),
  "local_stability": add(ns, generator=lambda n: 0.5 * critic_slope(n)),
  "big_gan": add(hinge, generator=lambda n: 0.5 * columns(n)),
  "lecam": lecam,
  "style_gan": style_gan,
  "cr": add(hinge, lambda n: 10 * augmented(n, n.x)),
  "bcr": add(hinge, lambda n: 10 * (augmented(n, n.x) + augmented(n, n.g))),
  "vitgan": add(ns, lambda n: 10 * (augmented(n, n.x) + augmented(n, n.g))),
  "zcr": add(hinge, lambda n: 5 * latent_slope(n), lambda n: -0.5 * latent_spread(n)),
  "icr": add(
    hinge,
    lambda n: 10 * (augmented(n, n.x) + augmented(n, n.g)) + 5 * latent_slope(n),
    lambda n: -0.5 * latent_spread(n),
  ),
  "feature_matching": lambda n, update: (cross_entropy(n.r, n.f), ((n.hx.mean(0) - n.hg.mean(0)) ** 2).sum()),
  "denoising": denoising,
  "mode_seeking": add(ns, generator=mode_seeking),
}
RANDOM = ("cramer", "style_gan", "cr", "bcr", "vitgan", "zcr", "icr")  # the value is the mean over keys
