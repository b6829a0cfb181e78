"""Experiments of several runs: a study trains what it needs, measures it, and leaves a table and a picture.

`genjax study NAME` runs one. A study is a function (workdir, *, seeds, quiet) -> text; its runs stay in its workdir, so
that the same command again only does what is missing. One with arguments `base` and `overrides` takes --config and
--config.KEY=VALUE too: it is the same experiment on another set.
"""

from typing import NamedTuple


class Study(NamedTuple):
  """Where a study is, its number of seeds where none is asked for, and what it shows."""

  home: str
  seeds: int
  shows: str


_FEW_SHOT, _GENERATORS = "genjax.studies.few_shot", "genjax.studies.generators"
_ROBUSTNESS, _VITGAN = "genjax.studies.robustness", "genjax.studies.vitgan"

STUDIES = {
  "digits": Study(f"{_GENERATORS}:digits", 3, "INN, WINN-single and WINN with cascades: Frechet distances"),
  "mnist": Study(f"{_GENERATORS}:mnist", 1, "the same on MNIST, beside WGAN-GP, R1, SN-GAN and ViTGAN"),
  "textures": Study("genjax.studies.textures:textures", 1, "pictures of brick, grass and gravel, and their distances"),
  "critic_samples": Study(
    "genjax.studies.critic_samples:critic_samples", 1, "the sampler on a WGAN-GP critic (figure 2.3)"
  ),
  "robustness": Study(f"{_ROBUSTNESS}:robustness", 5, "Table 2.3 on digits, calibration, detection by f"),
  "robustness_mnist": Study(f"{_ROBUSTNESS}:mnist", 5, "Table 2.3 itself, for an accelerator"),
  "robustness_svhn": Study(f"{_ROBUSTNESS}:svhn", 5, "Table 2.4, for an accelerator"),
  "modes": Study("genjax.studies.modes:modes", 5, "modes covered on ring and grid, each objective at its own settings"),
  "modes_shared": Study("genjax.studies.modes:shared", 5, "the same at settings that all objectives share"),
  "modes_choice": Study("genjax.studies.modes:choice", 2, "all settings of each objective, on seeds of their own"),
  "dynamics": Study("genjax.studies.dynamics:dynamics", 1, "the Dirac-GAN under every update rule, beside theory"),
  "vanishing": Study(
    "genjax.studies.vanishing:vanishing", 3, "the generator's gradient as its critic nears the optimum"
  ),
  "vitgan_gradients": Study(f"{_VITGAN}:gradients", 3, "figure 3.4 on digits: gradients of R1, SN and L2 + ISN"),
  "memory": Study(f"{_VITGAN}:memory", 1, "time and memory of a step, with and without bCR and remat"),
  "tangents": Study("genjax.studies.tangents:tangents", 3, "tangents of autoencoders, and a classifier that uses them"),
  "sensing": Study("genjax.studies.sensing:sensing", 1, "images from few measurements, by a generator and by Lasso"),
  "few_shot_heads": Study(f"{_FEW_SHOT}:heads", 3, "Table 4.3: heads on one embedding, accuracy and time"),
  "few_shot_omniglot": Study(f"{_FEW_SHOT}:omniglot", 1, "Omniglot: seven heads, 5 and 20 ways, 1 and 5 shots"),
  "few_shot_svm": Study(f"{_FEW_SHOT}:sweep", 1, "what decides how good the SVM is: C, scale, shots, features"),
  "few_shot_shots": Study(f"{_FEW_SHOT}:shots", 1, "figure 4.2: accuracy over the shots of training"),
  "few_shot_iterations": Study(f"{_FEW_SHOT}:iterations", 1, "figure 4.3: accuracy over the solver's iterations"),
}
