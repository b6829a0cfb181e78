"""ViTGAN on CIFAR-10: generator and critic are vision transformers; every row of Tables 3.2 to 3.5 is an argument.

Command   genjax train --config vitgan_cifar10 --config.data.path=cifar-10-binary.tar.gz --workdir gs://BUCKET/run
          vitgan_cifar10:WORDS        words joined by commas; TABLES below names the words of each row of each table
            pairs (Table 3.2)         stylegan2-stylegan2, stylegan2-vit, stylegan2-vitgan, vitgan-stylegan2, vit-vit
            generator (Table 3.3a)    a-linear, a-neurrep, b-linear, b-neurrep, c-linear, c-neurrep
            critic (Table 3.3b)       r1, r1-overlap, sn, l2-sn, isn, l2-isn, l2-isn-overlap, l2-isn-overlap-proj
            mixing (Table 3.4)        attention, mixer, local; of both nets, the generator's modulated
            augmentation (Table 3.5)  noaug (neither augmentation nor bCR), nobcr
            baselines (Table 3.1)     biggan, transgan
            lecam                     LeCam beside bCR, which the thesis tried and left out
            released                  the numbers of the authors' published code, where they differ
            tiny                      a handful of images in narrow nets, to see that all works
          genjax bench --config vitgan_cifar10 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 128 accelerator chips; hours not measured, as it was not run to its end here.
          --config.generator.remat=True --config.critic.remat=True for less memory,
          --config.dtype=bfloat16 for speed
Expect    the thesis: FID 4.92, IS 9.69, of 50,000 images by Inception's features; no run was made here to see
Paper     Lee, Chang, Jiang, Zhang, Tu & Liu, ICLR 2022, arXiv:2107.04589; sections 3.5.1 and 3.5.3 of the dissertation:
          width 384, MLP 1536, 6 heads, 4 + 4 blocks, patches of 4; non-saturating loss; translation, colour, cutout and
          scaling with p = 0.8; bCR 10, 10; Adam at 0.002 with b1 0, b2 0.99; batch 128; equalised learning rates, an
          average of the generator
          released: github.com/mlpc-ucsd/ViTGAN, its CIFAR-10 command
Departs   The thesis does not give these: the average's half-life (10,000 images, StyleGAN2's), the number of steps (25
          million images, as in the code that it names as its base), the latent (384, as released), R1's weight (10,
          in one of 16 steps, as in that base; Karras et al. 2020), what bCR compares (two draws, as released).
          Style mixing of StyleGAN2's generator: 0.9, as in that base (moono/stylegan2-tf-2.x), whose path length is
          left out; StyleGAN2-ADA has neither on CIFAR-10. ViTGAN's generator does not mix, as released.
          released: its generator has residuals after the norm and spectral normalisation; attention is by products, for
          its "L2" attention is a product with its sign reversed; pixels are implicit, not by its convolutional decoder.
          Tables 3.1 and 3.2 print FID 5.60 for StyleGAN2, which in Table 3.5 is the row without augmentation; with
          DiffAug it has 9.89 there. Here all three tables have the word stylegan2-stylegan2, which augments as the
          other rows of 3.1 and 3.2 do and so stands for 9.89; stylegan2-stylegan2,noaug is the run of 5.60.
          transgan and biggan are trained as ViTGAN is, transgan against ViTGAN's critic.
"""

from ml_collections import ConfigDict

from genjax.config import load_config

IMAGES = 25_000_000
SIZE = {"patch": 4, "width": 384, "depth": 4, "heads": 6, "ratio": 4}
RUN = {"remat": False}
VIT_G = {"name": "vitgan", **SIZE, "trunk": "modulated", "output": "implicit", "mapping_depth": 8, **RUN}
VIT_D = {"name": "vitgan", **SIZE, "embedding": "overlapping", "attention": "l2", "norm": "isn", **RUN}
BARE_D = {"attention": "dot", "norm": "none", "embedding": "patches", "conv_projection": False}
OVERLAP = {"embedding": "overlapping"}
STYLE_G = {"name": "stylegan2", "base": 4096}
STYLE_D = {"name": "stylegan2", "base": 4096}
R1 = {"gamma": 10.0, "interval": 16}

# Each word: changes of the generator, of the critic (a `name` begins anew), and of the objective.
NETS = {
  "stylegan2-stylegan2": (STYLE_G, STYLE_D, R1),
  "stylegan2-vit": (STYLE_G, BARE_D, R1),
  "stylegan2-vitgan": (STYLE_G, {}, {}),
  "vitgan-stylegan2": ({}, STYLE_D, R1),
  "vit-vit": ({"trunk": "added", "output": "linear"}, BARE_D, R1),
  **{
    f"{letter}-{name}": ({"trunk": trunk, "output": output}, {"conv_projection": False}, {})
    for letter, trunk in (("a", "added"), ("b", "prepended"), ("c", "modulated"))
    for name, output in (("linear", "linear"), ("neurrep", "implicit"))
  },
  "r1": ({}, BARE_D, R1),
  "r1-overlap": ({}, BARE_D | OVERLAP, R1),
  "sn": ({}, BARE_D | {"norm": "sn"}, {}),
  "l2-sn": ({}, BARE_D | {"norm": "sn", "attention": "l2"}, {}),
  "isn": ({}, BARE_D | {"norm": "isn"}, {}),
  "l2-isn": ({}, BARE_D | {"norm": "isn", "attention": "l2"}, {}),
  "l2-isn-overlap": ({}, BARE_D | OVERLAP | {"norm": "isn", "attention": "l2"}, {}),
  "l2-isn-overlap-proj": ({}, {}, {}),
  "attention": ({"mixing": "global"}, {"mixing": "global", "conv_projection": False}, {}),
  "mixer": ({"mixing": "mlp"}, {"mixing": "mlp", "conv_projection": False}, {}),
  "local": ({"mixing": "local"}, {"mixing": "local", "conv_projection": False}, {}),
  "biggan": ({"name": "biggan"}, {"name": "biggan"}, {}),
  "transgan": ({"name": "transgan"}, {}, {}),
}
OTHERS = ("noaug", "nobcr", "lecam", "released", "tiny")
TABLES = {  # each row of the thesis' tables: its words
  "3.1": {
    "BigGAN + DiffAug": "biggan",
    "StyleGAN2": "stylegan2-stylegan2",
    "TransGAN": "transgan",
    "Vanilla-ViT": "vit-vit",
    "ViTGAN": "",
    "StyleGAN2-D + ViTGAN-G": "vitgan-stylegan2",
  },
  "3.2": {
    "ViTGAN, ViTGAN": "",
    "StyleGAN2, StyleGAN2": "stylegan2-stylegan2",
    "StyleGAN2, Vanilla-ViT": "stylegan2-vit",
    "StyleGAN2, ViTGAN": "stylegan2-vitgan",
    "ViTGAN, StyleGAN2": "vitgan-stylegan2",
  },
  "3.3a": {
    "Fig 3.2 (A), Linear": "a-linear",
    "Fig 3.2 (A), NeurRep": "a-neurrep",
    "Fig 3.2 (B), Linear": "b-linear",
    "Fig 3.2 (B), NeurRep": "b-neurrep",
    "Fig 3.2 (C), Linear": "c-linear",
    "Fig 3.2 (C), NeurRep": "c-neurrep",
  },
  "3.3b": {
    "no aug., R1": "r1,noaug",
    "no aug., R1, overlap": "r1-overlap,noaug",
    "R1, overlap": "r1-overlap",
    "no aug., SN": "sn,noaug",
    "SN": "sn",
    "L2 + SN": "l2-sn",
    "ISN": "isn",
    "L2 + ISN": "l2-isn",
    "L2 + ISN, overlap": "l2-isn-overlap",
    "L2 + ISN, overlap, proj.": "l2-isn-overlap-proj",
  },
  "3.4": {  # in the thesis of LSUN at 32x32: vitgan_lsun64:32,WORDS
    "StyleGAN2": "stylegan2-stylegan2",
    "ViT": "attention",
    "MLP-Mixer": "mixer",
    "ViT-local": "local",
    "ViTGAN": "",
  },
  "3.5": {
    "StyleGAN2, none": "stylegan2-stylegan2,noaug",
    "StyleGAN2, DiffAug": "stylegan2-stylegan2",
    "ViTGAN, none": "l2-isn-overlap,noaug",
    "ViTGAN, DiffAug": "l2-isn-overlap",
    "ViTGAN w/o bCR, DiffAug": "l2-isn-overlap,nobcr",
  },
}


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  nets = words & set(NETS)
  if words - set(NETS) - set(OTHERS) or len(nets) > 1 or {"noaug", "nobcr"} <= words:
    raise ValueError(
      f"wanted one of {', '.join(NETS)}, beside it noaug or nobcr, lecam, released, tiny, joined by commas"
    )
  released = "released" in words
  config = load_config("gan_cifar10:tiny" if "tiny" in words else "gan_cifar10")  # data, metrics, how often it writes
  generator, critic, objective = NETS[nets.pop()] if nets else ({}, STYLE_D, {}) if released else ({}, {}, {})
  more = {"norm": "isn", "residual": "normalised"} if released and "name" not in generator else {}
  config.generator = ConfigDict(_changed(VIT_G | more, generator))
  config.critic = ConfigDict(_changed(VIT_D | {"conv_projection": True, "mixing": "global"}, critic))

  weight = 0.0 if {"noaug", "nobcr"} & words else 1.0 if released else 10.0
  config.objective = ConfigDict({"name": "vitgan", "real": weight, "fake": weight, "gamma": 0.0, "interval": 1})
  config.objective.lecam = 0.3 if "lecam" in words else 0.0
  config.objective.update({"gamma": 0.1} if released else objective)

  config.data.batch = 64 if released else 128
  config.data.flip = released
  config.system.latent = 384
  config.system.critic_steps = 1
  config.optimizer = {
    "name": "adam",
    "learning_rate": 1e-3 if released else 2e-3,
    "b1": 0.0,
    "b2": 0.99,
    "warmup_steps": 3000 if released else 0,
  }
  config.system.ema_half_life = 1e6 if released else 1e4  # images
  config.system.ema_start = 1_000_000 // config.data.batch if released else 0
  config.system.style_mixing = 0.9 if config.generator.name == "stylegan2" else 0.0
  config.system.augment = "" if "noaug" in words else "released" if released else "thesis"

  config.train.steps = 800_000 if released else IMAGES // config.data.batch // 100 * 100
  if "tiny" in words:
    tiny(config)
  return config


def tiny(config: ConfigDict) -> None:
  """Narrow nets on a handful of images, beside what gan_cifar10:tiny has: a step in seconds, to see that all works."""
  few = 8
  for net in (config.generator, config.critic):
    if "heads" in net:
      net.width, net.depth, net.heads, net.ratio = 16, 1, 2, 2
    if "base" in net:
      net.base = 256
    if net.name == "biggan":
      net.width = 16
    if net.name == "transgan":
      net.width, net.depths = 64, (1, 1, 1)
  if "mapping_depth" in config.generator:
    config.generator.mapping_depth = 1
  config.system.latent = 16
  config.optimizer.warmup_steps = config.system.ema_start = 0
  config.data.batch = few
  config.system.sample_batch = 2 * few
  config.train.update({"steps": 1, "checkpoint_every": 1, "samples": few})


def _changed(net: dict, change: dict) -> dict:
  return change if "name" in change else net | change
