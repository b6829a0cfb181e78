"""Experiments of several runs: a study trains what it needs, measures it, and leaves a table and a picture.

`genjax study NAME` runs one. A study is a function (workdir, *, seeds, quiet) -> text; what it trained stays in its
workdir, so that the same command again only does what is missing. One with arguments `base` and `overrides` takes
--config and --config.KEY=VALUE too: it is the same experiment on another set.
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
  "vitgan_gradients": ("genjax.studies.vitgan:gradients", 3, "figure 3.4 on digits: gradients of R1, SN and L2 + ISN"),
  "memory": ("genjax.studies.vitgan:memory", 1, "time and memory of a step, with and without bCR and remat"),
  "few_shot_heads": ("genjax.studies.few_shot:heads", 3, "Table 4.3: heads on one embedding, accuracy and time"),
  "few_shot_shots": ("genjax.studies.few_shot:shots", 1, "figure 4.2: accuracy over the shots of training"),
  "few_shot_iterations": ("genjax.studies.few_shot:iterations", 1, "figure 4.3: accuracy over the solver's iterations"),
}
