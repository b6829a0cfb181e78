"""The table of objectives: of each its paper, its formula, and what it needs of the system that trains it.

Equation numbers are given only where the seeds print them. All losses are written as they are minimised; D is the
critic's logit, s its sigmoid, x real, g = G(z) fake, C and G the two losses. No JAX is imported here.

Checked  tests/objectives/test_zoo.py: a row for every builder and the reverse.
"""

from typing import Literal, NamedTuple

from genjax.objectives.needs import (
  BIG_GAN,
  CRAMER,
  DCGAN,
  F_GAN,
  FISHER,
  GMMN,
  R1,
  SN_GAN,
  STYLE_GAN,
  WGAN,
  WGAN_GP,
  Needs,
)


class Row(NamedTuple):
  """One objective."""

  builder: str  # of genjax.objectives.zoo
  paper: str
  equation: str
  needs: Needs  # {} for an objective without a generator
  reads: tuple[str, ...] = ()  # what it asks of the Round besides images and logits; features, reconstruction: of aux
  note: str = ""
  critic: Literal["plain", "spectral", "autoencoder"] = "plain"  # the kind of net that the critic is
  error: Literal["squared", "absolute"] = "squared"  # of an autoencoder's reconstruction
  shifts: bool = False  # its terms shift images by `pad` pixels: take pad=0 for points, which have one pixel


LONG_MEMORY = "a lazy penalty is a rare, large gradient, so StyleGAN2 has b2 0.99; no divergence at 0.9 was seen here"
NS = "C, G of non_saturating"
HINGE = "C, G of hinge"
DIRECT = ("kl", "pearson", "jensen_shannon", "gan")  # whose generator is section 3.2's: objectives/divergences.py


FAILS = {  # on a ring, by the rows' own formulae: tests/objectives/test_divergences.py
  "total_variation": "fails on a ring: both losses have the slope 2 exp(-2 |v|), 9e-5 at |v| = 5, so both players stop "
  "at the first sure critic, and TV is 1 wherever P and Q are apart. hinge has the same divergence (its C is at best "
  "2 - 2 TV) and a generator that goes on",
  "neyman": "fails on a ring: E_P (q / p - 1)^2 is infinite where fakes lie off the data (of Gaussians from twice P's "
  "variance on), so C has no lower end there, and a sure fake's weight exp(-v / 2) is 3e6 at v = -30",
  "hellinger": "fails on a ring: a fake weighs exp(v) for both players, 5e-5 where the critic is sure (v = -10) and "
  "2e4 where it is fooled: at first one fake of 64 has 8 / 10 of the gradient. The direct loss is as steep, exp(-v)",
  "reverse_kl": "sharp, but one or two modes of a ring: KL(Q || P) of one mode of eight is only log 8, and a path to "
  "the next crosses 440 nats",
}
APPENDIX = ("neyman", "total_variation")  # of f-GAN; the others are in its Table 2


def _f_gan(name: str, f: str, activation: str, conjugate: str, threshold: str) -> Row:
  generator = "-E T(g)" if name in DIRECT else "-E f*(T(g))"
  equation = (
    f"C = -E T(x) + E f*(T(g)), G = {generator}, T = {activation}, f*(t) = {conjugate}; f(u) = {f}, f'(1) = {threshold}"
  )
  paper = "Nowozin et al. 2016 arXiv:1606.00709 " + ("appendix" if name in APPENDIX else "Table 2; seed 003 eq 6")
  return Row(f"f_gan_{name}", paper, equation, F_GAN, note=FAILS.get(name, ""))


ROWS = {
  "winn": Row(
    "winn_objective",
    "Lee et al. 2018, dissertation eq 2.6",
    "C = E D(g) - E D(x) + 10 E(|grad D| - 1)^2 between; no generator",
    {},
  ),
  "inn": Row("inn_objective", "Lazarow et al. 2017", "C = -E log s(x) - E log(1 - s(g)); no generator", {}),
  "minimax": Row(
    "minimax",
    "Goodfellow et al. 2014 arXiv:1406.2661; seed 003 eq 1",
    "C = -E log s(x) - E log(1 - s(g)), G = E log(1 - s(g))",
    DCGAN,
    note="its generator's gradient vanishes where the critic is sure",
  ),
  "non_saturating": Row(
    "non_saturating",
    "Goodfellow et al. 2014 arXiv:1406.2661",
    "C = -E log s(x) - E log(1 - s(g)), G = -E log s(g)",
    DCGAN,
  ),
  "least_squares": Row(
    "least_squares",
    "Mao et al. 2017 arXiv:1611.04076",
    "C = E(D(x) - 1)^2 / 2 + E D(g)^2 / 2, G = E(D(g) - 1)^2 / 2; on logits",
    DCGAN,
  ),
  "hinge": Row(
    "hinge",
    "Lim & Ye 2017 arXiv:1705.02894; Miyato et al. 2018 arXiv:1802.05957",
    "C = E(1 - D(x))+ + E(1 + D(g))+, G = -E D(g)",
    SN_GAN,
  ),
  "sn_gan": Row("hinge", "Miyato et al. 2018 arXiv:1802.05957; seed 003 eq 13", HINGE, SN_GAN, critic="spectral"),
  "relativistic": Row(
    "relativistic",
    "Jolicoeur-Martineau 2019 arXiv:1807.00734",
    "C = -E log s(D(x) - D(g)), G = -E log s(D(g) - D(x)), in pairs",
    DCGAN,
  ),
  "relativistic_average": Row(
    "relativistic_average",
    "Jolicoeur-Martineau 2019 arXiv:1807.00734",
    "C of non_saturating, of D(x) - E D(g) and D(g) - E D(x); G the same with sides changed",
    DCGAN,
  ),
  "relativistic_least_squares": Row(
    "relativistic_least_squares",
    "Jolicoeur-Martineau 2019 arXiv:1807.00734",
    "C = E(D(x) - E D(g) - 1)^2 + E(D(g) - E D(x) + 1)^2, G with sides changed",
    DCGAN,
  ),
  "relativistic_hinge": Row(
    "relativistic_hinge",
    "Jolicoeur-Martineau 2019 arXiv:1807.00734",
    "C of hinge, of D(x) - E D(g) and D(g) - E D(x); G with sides changed",
    DCGAN,
  ),
  "ebgan": Row(
    "ebgan",
    "Zhao et al. 2017 arXiv:1609.03126; seed 002",
    "C = E e(x) + E(m - e(g))+, G = E e(g), energy e = -D >= 0",
    DCGAN,
    note="without an autoencoder the energy has no floor. The margin fits its energies",
    critic="autoencoder",
  ),
  "ebgan_pull_away": Row(
    "ebgan_pull_away",
    "Zhao et al. 2017 arXiv:1609.03126",
    "ebgan; G + 0.1 mean of cos^2(h(g_i), h(g_j)), i /= j",
    DCGAN,
    ("features",),
    critic="autoencoder",
  ),
  "began": Row(
    "began",
    "Berthelot et al. 2017 arXiv:1703.10717",
    "C = E e(x) - k E e(g), G = E e(g), k += r (gamma E e(x) - E e(g)), k in [0, 1], e = -D >= 0",
    F_GAN,
    critic="autoencoder",
    error="absolute",
  ),
  "f_gan_kl": _f_gan("kl", "u log u", "v", "exp(t - 1)", "1"),
  "f_gan_reverse_kl": _f_gan("reverse_kl", "-log u", "-exp(-v)", "-1 - log(-t)", "-1"),
  "f_gan_pearson": _f_gan("pearson", "(u - 1)^2", "v", "t^2 / 4 + t", "0"),
  "f_gan_neyman": _f_gan("neyman", "(1 - u)^2 / u", "1 - exp(-v)", "2 - 2 sqrt(1 - t)", "0"),
  "f_gan_hellinger": _f_gan("hellinger", "(sqrt u - 1)^2", "1 - exp(-v)", "t / (1 - t)", "0"),
  "f_gan_jensen_shannon": _f_gan(
    "jensen_shannon", "u log u - (u + 1) log((u + 1) / 2)", "log 2 - log(1 + exp(-v))", "-log(2 - exp t)", "0"
  ),
  "f_gan_gan": _f_gan("gan", "u log u - (u + 1) log(u + 1)", "-log(1 + exp(-v))", "-log(1 - exp t)", "-log 2"),
  "f_gan_total_variation": _f_gan("total_variation", "|u - 1| / 2", "tanh(v) / 2", "t", "0"),
  "f_gan_regularised": Row(
    "f_gan_regularised",
    "Roth et al. 2017 arXiv:1705.09367 eq 19",
    "f-GAN + gamma / 2 E f*''(T(g)) |grad T(g)|^2, G = -E T(g)",
    F_GAN,
    note="any f: config.objective.divergence",
  ),
  "wasserstein": Row(
    "wasserstein",
    "Arjovsky et al. 2017 arXiv:1701.07875; seed 003 eq 11",
    "C = E D(g) - E D(x), G = -E D(g)",
    WGAN,
    note="weights must be clipped",
  ),
  "wgan_gp": Row(
    "wgan_gp",
    "Gulrajani et al. 2017 arXiv:1704.00028, Algorithm 1 (seed 001)",
    "C = E D(g) - E D(x) + 10 E(|grad D| - 1)^2 between, G = -E D(g)",
    WGAN_GP,
    note="no batch normalisation in the critic",
  ),
  "wgan_lp": Row(
    "wgan_lp",
    "Petzka et al. 2018 arXiv:1709.08894",
    "C = E D(g) - E D(x) + 10 E((|grad D| - 1)+)^2 between, G = -E D(g)",
    WGAN_GP,
    note="no batch normalisation in the critic",
  ),
  "dudley": Row(
    "dudley",
    "Sriperumbudur et al. 2009 arXiv:0901.2698 (the metric; the penalty is ours)",
    "C = E D(g) - E D(x) + 10 ((max |D| + max |grad D| between - 1)+)^2, greatest of a batch; G = -E D(g)",
    WGAN_GP,
    note="never above 2, however far the fakes: a far fake's pull fades as 1 / distance^2. No batch normalisation",
  ),
  "fisher": Row(
    "fisher",
    "Mroueh & Sercu 2017 arXiv:1705.09675",
    "C = -(E D(x) - E D(g)) - m (1 - O) + rho / 2 (1 - O)^2, O = (E D(x)^2 + E D(g)^2) / 2, "
    "m -= rho (1 - O), G = -E D(g)",
    FISHER,
    note="rho 1e-6 is the authors'; in runs of some thousand updates O stays far above 1 with it, and near 1 with 1e-3",
  ),
  "gmmn": Row(
    "gmmn",
    "Li et al. 2015 arXiv:1502.02761; seed 003 eq 18",
    "G = MMD(x, g), Gaussian kernels of the images; no critic",
    GMMN,
    note="batches of about 1000; widths in units of the image's length",
  ),
  "mmd_gan": Row(
    "mmd_gan",
    "Li et al. 2017 arXiv:1705.08584, Algorithm 1 (seed 002); seed 003 eq 19",
    "G = MMD^2(h(x), h(g)), C = -G + 8 (E|x - r(x)|^2 + E|g - r(g)|^2), |.|^2 the mean over an image's values",
    WGAN,
    ("features", "reconstruction"),
    "the encoder's weights must be clipped",
    critic="autoencoder",
  ),
  "cramer": Row(
    "cramer",
    "Bellemare et al. 2017 arXiv:1705.10743, Algorithm 1",
    "G = E|h(x) - h(g)| + E|h(x) - h(g')| - E|h(g) - h(g')|, C = E f(g) - E f(x) + 10 E(|grad f| - 1)^2, "
    "f = |h(.) - h(g')| - |h(.)|",
    CRAMER,
    ("features",),
  ),
  "dragan": Row(
    "dragan",
    "Kodali et al. 2017 arXiv:1705.07215",
    f"{NS}; C + 10 E(|grad D| - 1)^2 at x + a d, a uniform of each image, d uniform noise of half a deviation",
    DCGAN,
  ),
  "r1": Row("r1", "Mescheder et al. 2018 arXiv:1801.04406", f"{NS}; C + gamma / 2 E|grad D(x)|^2", R1),
  "r1_lazy": Row(
    "r1_lazy",
    "Karras et al. 2020 arXiv:1912.04958",
    f"{NS}; C + 16 gamma / 2 E|grad D(x)|^2 in one of 16 steps",
    STYLE_GAN,
    note=LONG_MEMORY,
  ),
  "r2": Row("r2", "Mescheder et al. 2018 arXiv:1801.04406", f"{NS}; C + gamma / 2 E|grad D(g)|^2", R1),
  "regularised": Row(
    "regularised",
    "Roth et al. 2017 arXiv:1705.09367 eq 20",
    f"{NS}; C + gamma / 2 (E(1 - s(x))^2 |grad D(x)|^2 + E s(g)^2 |grad D(g)|^2)",
    DCGAN,
  ),
  "local_stability": Row(
    "local_stability",
    "Nagarajan & Kolter 2017 arXiv:1706.04156",
    f"{NS}; G + w |grad of C by the critic's parameters|^2",
    DCGAN,
    ("critic_params", "critic_at"),
  ),
  "big_gan": Row(
    "big_gan",
    "Brock et al. 2019 arXiv:1809.11096",
    f"{HINGE}; G + 1e-4 |W'W (1 - I)|_F^2 over the generator's kernels",
    BIG_GAN,
    ("generator_params",),
    critic="spectral",
  ),
  "lecam": Row(
    "lecam_hinge",
    "Tseng et al. 2021 arXiv:2104.03310",
    f"{HINGE}; C + 0.3 (E((D(x) - a_g)+)^2 + E((a_x - D(g))+)^2), a running means of logits, from step 1000",
    BIG_GAN,
  ),
  "style_gan": Row(
    "style_gan",
    "Karras et al. 2020 arXiv:1912.04958",
    "r1_lazy; G + 2 E(|J'y| - a)^2 in one of 8 steps, a the running mean of lengths",
    STYLE_GAN,
    ("styles", "synthesis"),
    LONG_MEMORY,
  ),
  "cr": Row(
    "consistent", "Zhang et al. 2020 arXiv:1910.12027", f"{HINGE}; C + 10 E(D(x) - D(T(x)))^2", SN_GAN, shifts=True
  ),
  "bcr": Row(
    "balanced_consistent",
    "Zhao et al. 2021 arXiv:2002.04724",
    f"{HINGE}; C + 10 E(D(x) - D(T(x)))^2 + 10 E(D(g) - D(T(g)))^2",
    SN_GAN,
    shifts=True,
  ),
  "vitgan": Row(
    "vitgan",
    "Lee et al. 2022 arXiv:2107.04589",
    f"{NS}; C + 10 E(D(T(x)) - D(T'(x)))^2 + 10 E(D(T(g)) - D(T'(g)))^2, T and T' draws of config.system.augment",
    STYLE_GAN,
    note="without config.system.augment T is nothing and T' is that of cr",
    shifts=True,
  ),
  "zcr": Row(
    "latent_consistent",
    "Zhao et al. 2021 arXiv:2002.04724",
    f"{HINGE}; C + 5 E(D(G(z)) - D(G(z + d)))^2, G - 0.5 E(G(z) - G(z + d))^2",
    SN_GAN,
    ("generator", "latent"),
  ),
  "icr": Row(
    "improved_consistent",
    "Zhao et al. 2021 arXiv:2002.04724",
    "bcr and zcr together",
    SN_GAN,
    ("generator", "latent"),
    shifts=True,
  ),
  "feature_matching": Row(
    "matched_features",
    "Salimans et al. 2016 arXiv:1606.03498",
    "C of non_saturating, G = |E h(x) - E h(g)|^2",
    DCGAN,
    ("features",),
  ),
  "denoising": Row(
    "denoised_features",
    "Warde-Farley & Bengio 2017 (seed 002)",
    f"{NS}; G + 0.03 E|h(g) - r(h(g))|^2, r a denoiser of h(x)",
    DCGAN,
    ("features",),
    "config.objective.features is the width of the critic's features",
  ),
  "mode_seeking": Row(
    "mode_seeking",
    "Mao et al. 2019 arXiv:1903.05628",
    f"{NS}; G + 1 / E(|G(z) - G(z')|_1 / |z - z'|_1)",
    DCGAN,
    ("generator", "latent"),
  ),
}
