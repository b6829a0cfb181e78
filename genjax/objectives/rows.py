"""What is known of each objective: its paper, its formula, and the settings of the optimiser and the step it needs.

Settings are the paper's own where it names them, else those of its usual implementation; they have the names of
systems.gan. READ says which were read in a seed or in released code, and where. Equation numbers are given only where
the seeds print them. All losses are written as they are minimised; D is the critic's logit, s its sigmoid, x real,
g = G(z) fake, C and G the two losses.

No JAX is imported here: `genjax objectives` and the command line read it.

Checked  tests/objectives/test_zoo.py: a row for every builder and the reverse.
"""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple


class Row(NamedTuple):
  """One objective."""

  builder: str  # of genjax.objectives.zoo
  paper: str
  equation: str
  needs: Mapping[str, float | str]  # of systems.gan: optimizer, rate, generator_rate, b1, b2, critic_steps, clip
  reads: tuple[str, ...] = ()  # what it asks of the Round besides images and logits; features, reconstruction: of aux
  note: str = ""


DCGAN = {"optimizer": "adam", "rate": 2e-4, "b1": 0.5, "b2": 0.999, "critic_steps": 1}
WGAN = {"optimizer": "rmsprop", "rate": 5e-5, "b1": 0.0, "b2": 0.99, "critic_steps": 5, "clip": 0.01}
WGAN_GP = {"optimizer": "adam", "rate": 1e-4, "b1": 0.0, "b2": 0.9, "critic_steps": 5}
SN_GAN = {"optimizer": "adam", "rate": 2e-4, "b1": 0.0, "b2": 0.9, "critic_steps": 5}
BIG_GAN = {"optimizer": "adam", "rate": 2e-4, "generator_rate": 5e-5, "b1": 0.0, "b2": 0.999, "critic_steps": 2}
F_GAN = {"optimizer": "adam", "rate": 1e-4, "b1": 0.5, "b2": 0.999, "critic_steps": 1}
R1 = {"optimizer": "adam", "rate": 1e-4, "b1": 0.0, "b2": 0.99, "critic_steps": 1}
STYLE_GAN = {"optimizer": "adam", "rate": 2e-3, "b1": 0.0, "b2": 0.99, "critic_steps": 1}

LONG_MEMORY = "a lazy penalty is a rare, large gradient, so StyleGAN2 has b2 0.99; no divergence at 0.9 was seen here"
NS = "C, G of non_saturating"
HINGE = "C, G of hinge"


def _f_gan(name: str, f: str, activation: str, conjugate: str, threshold: str, note: str = "") -> Row:
  equation = f"C = -E T(x) + E f*(T(g)), T = {activation}, f*(t) = {conjugate}; f(u) = {f}, f'(1) = {threshold}"
  paper = "Nowozin et al. 2016 arXiv:1606.00709 " + ("appendix" if note else "Table 2; seed 003 eq 6")
  return Row(f"f_gan_{name}", paper, equation, F_GAN, note=note)


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
  "sn_gan": Row(
    "hinge",
    "Miyato et al. 2018 arXiv:1802.05957; seed 003 eq 13",
    HINGE,
    SN_GAN,
    note="the critic's weights are spectrally normalised (ops.spectral)",
  ),
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
    note="the critic is an autoencoder; without one its energy has no floor. The margin fits its energies",
  ),
  "ebgan_pull_away": Row(
    "ebgan_pull_away",
    "Zhao et al. 2017 arXiv:1609.03126",
    "ebgan; G + 0.1 mean of cos^2(h(g_i), h(g_j)), i /= j",
    DCGAN,
    ("features",),
    "the critic is an autoencoder",
  ),
  "began": Row(
    "began",
    "Berthelot et al. 2017 arXiv:1703.10717",
    "C = E e(x) - k E e(g), G = E e(g), k += r (gamma E e(x) - E e(g)), k in [0, 1], e = -D >= 0",
    F_GAN,
    note="the critic is an autoencoder",
  ),
  "f_gan_kl": _f_gan("kl", "u log u", "v", "exp(t - 1)", "1"),
  "f_gan_reverse_kl": _f_gan("reverse_kl", "-log u", "-exp(-v)", "-1 - log(-t)", "-1"),
  "f_gan_pearson": _f_gan("pearson", "(u - 1)^2", "v", "t^2 / 4 + t", "0"),
  "f_gan_neyman": _f_gan("neyman", "(1 - u)^2 / u", "1 - exp(-v)", "2 - 2 sqrt(1 - t)", "0", "not in Table 2"),
  "f_gan_hellinger": _f_gan("hellinger", "(sqrt u - 1)^2", "1 - exp(-v)", "t / (1 - t)", "0"),
  "f_gan_jensen_shannon": _f_gan(
    "jensen_shannon", "u log u - (u + 1) log((u + 1) / 2)", "log 2 - log(1 + exp(-v))", "-log(2 - exp t)", "0"
  ),
  "f_gan_gan": _f_gan("gan", "u log u - (u + 1) log(u + 1)", "-log(1 + exp(-v))", "-log(1 - exp t)", "-log 2"),
  "f_gan_total_variation": _f_gan("total_variation", "|u - 1| / 2", "tanh(v) / 2", "t", "0", "not in Table 2"),
  "f_gan_regularised": Row(
    "f_gan_regularised",
    "Roth et al. 2017 arXiv:1705.09367 eq 19",
    "f-GAN + gamma / 2 E f*''(T(g)) |grad T(g)|^2",
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
  "fisher": Row(
    "fisher",
    "Mroueh & Sercu 2017 arXiv:1705.09675",
    "C = -(E D(x) - E D(g)) - m (1 - O) + rho / 2 (1 - O)^2, O = (E D(x)^2 + E D(g)^2) / 2, "
    "m -= rho (1 - O), G = -E D(g)",
    DCGAN | {"critic_steps": 2},
  ),
  "gmmn": Row(
    "gmmn",
    "Li et al. 2015 arXiv:1502.02761; seed 003 eq 18",
    "G = MMD(x, g), Gaussian kernels of the images; no critic",
    {"optimizer": "adam", "rate": 1e-3, "b1": 0.9, "b2": 0.999, "critic_steps": 1},
    note="batches of about 1000; widths in units of the image's length",
  ),
  "mmd_gan": Row(
    "mmd_gan",
    "Li et al. 2017 arXiv:1705.08584, Algorithm 1 (seed 002); seed 003 eq 19",
    "G = MMD^2(h(x), h(g)), C = -G + 8 (E|x - r(x)|^2 + E|g - r(g)|^2)",
    WGAN,
    ("features", "reconstruction"),
    "weights must be clipped",
  ),
  "cramer": Row(
    "cramer",
    "Bellemare et al. 2017 arXiv:1705.10743, Algorithm 1",
    "G = E|h(x) - h(g)| + E|h(x) - h(g')| - E|h(g) - h(g')|, C = E f(g) - E f(x) + 10 E(|grad f| - 1)^2, "
    "f = |h(.) - h(g')| - |h(.)|",
    WGAN_GP | {"b1": 0.5},
    ("features",),
  ),
  "dragan": Row("dragan", "Kodali et al. 2017 arXiv:1705.07215", f"{NS}; C + 10 E(|grad D| - 1)^2 near x", DCGAN),
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
    "published with a critic of spectrally normalised weights",
  ),
  "lecam": Row(
    "lecam_hinge",
    "Tseng et al. 2021 arXiv:2104.03310",
    f"{HINGE}; C + 0.3 (E((D(x) - a_g)+)^2 + E((a_x - D(g))+)^2), a moving means of logits, from step 1000",
    BIG_GAN,
  ),
  "style_gan": Row(
    "style_gan",
    "Karras et al. 2020 arXiv:1912.04958",
    "r1_lazy; G + 2 E(|J'y| - a)^2 in one of 8 steps, a the moving mean of lengths",
    STYLE_GAN,
    ("generator", "latent"),
    LONG_MEMORY,
  ),
  "cr": Row("consistent", "Zhang et al. 2020 arXiv:1910.12027", f"{HINGE}; C + 10 E(D(x) - D(T(x)))^2", SN_GAN),
  "bcr": Row(
    "balanced_consistent",
    "Zhao et al. 2021 arXiv:2002.04724",
    f"{HINGE}; C + 10 E(D(x) - D(T(x)))^2 + 10 E(D(g) - D(T(g)))^2",
    SN_GAN,
  ),
  "vitgan": Row(
    "vitgan",
    "Lee et al. 2022 arXiv:2107.04589",
    f"{NS}; C + 10 E(D(T(x)) - D(T'(x)))^2 + 10 E(D(T(g)) - D(T'(g)))^2, T and T' draws of config.system.augment",
    STYLE_GAN,
    note="without config.system.augment T is nothing and T' is that of cr",
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


# Where the settings of a row were read, and what is different there. Those of the other rows are from memory: their
# papers were not at hand.
READ = {
  "wgan_gp": "all: seed 001, Algorithm 1",
  "wasserstein": "all: martinarjovsky/WassersteinGAN main.py",
  "mmd_gan": "all: OctoberChang/MMD-GAN mmd_gan.py, util.py; there only the encoder is clipped, in seed 002 all is",
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
  "r1_lazy": "NVlabs/stylegan2 training/training_loop.py; there rate and b2 are adjusted to the lazy steps",
  "style_gan": "NVlabs/stylegan2 training/training_loop.py; there as r1_lazy, and path length in one of 4 steps",
  "big_gan": "critic_steps, b1, b2: google/compare_gan example_configs/biggan_imagenet128.gin; rates 1e-4, 5e-4 there",
  "lecam": "weight: google/lecam-gan biggan_cifar/scripts/lc-biggan-cifar10.sh; both rates 2e-4, critic_steps 4 there",
  "local_stability": "b1: locuslab/gradient_regularized_gan gaussian-toy.py; rate 1e-4 and weight 0.5 there",
  "fisher": "rho and the multiplier's step: tomsercu/FisherGAN main.py; RMSprop, rate 5e-5, critic_steps 5 there",
}


def table() -> str:
  """All rows as text, each with its paper, its formula, and what it needs; for `genjax objectives`."""
  return "\n".join(_told(name, row) for name, row in ROWS.items())


def _told(name: str, row: Row) -> str:
  needs = " ".join(
    f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.needs.items()
  )
  lines = {
    "paper": row.paper,
    "loss": row.equation,
    "needs": needs,
    "from": READ.get(name, "memory") if needs else "",
    "reads": ", ".join(row.reads),
    "note": row.note,
  }
  body = (f"  {label:<6}{text}" for label, text in lines.items() if text)
  wrapped = (textwrap.fill(line, 118, subsequent_indent=" " * 8, break_long_words=False) for line in body)
  return "\n".join([name, *wrapped])
