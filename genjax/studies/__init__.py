"""Experiments of several runs: a study trains what it needs, measures it, and leaves a table and a picture.

`genjax study NAME` runs one. A study is a function (workdir, *, seeds, quiet) -> text; what it trained stays in its
workdir, so that the same command again only does what is missing.
"""

STUDIES = {  # name -> function, number of seeds unless told, what it shows
  "digits": ("genjax.studies.digits:digits", 3, "INN, WINN-single and WINN with cascades on digits: Frechet distances"),
  "textures": ("genjax.studies.textures:textures", 1, "pictures of brick, grass and gravel, and their distances"),
  "critic_samples": ("genjax.studies.critic_samples:critic_samples", 1, "the sampler on a WGAN-GP critic (figure 2.3)"),
  "robustness": ("genjax.studies.robustness:robustness", 5, "Table 2.3 on digits, calibration, detection by f"),
  "robustness_mnist": ("genjax.studies.robustness:mnist", 5, "Table 2.3 itself, for an accelerator"),
  "robustness_svhn": ("genjax.studies.robustness:svhn", 5, "Table 2.4, for an accelerator"),
  "modes": ("genjax.studies.modes:modes", 5, "modes covered on ring and grid by every objective"),
  "dynamics": ("genjax.studies.dynamics:dynamics", 1, "the Dirac-GAN under every update rule, beside theory"),
  "vanishing": ("genjax.studies.vanishing:vanishing", 3, "the generator's gradient as its critic nears the optimum"),
}
