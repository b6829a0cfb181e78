"""WINN-single learns one photograph of a texture from its 64x64 patches, then writes it at any size.

Command   genjax train --config winn_texture:brick,small --workdir runs/brick
          genjax sample --workdir runs/brick --config.sample.size=512
Args      brick, grass or gravel (the photographs that ship with scikit-image), then `small` for a laptop: a narrower
          net, fewer and larger moves.
Machine   small: two CPU cores, about ten minutes a texture. Without it the thesis' net: an accelerator
Expect    small, seed 0, one run each, distances to the photograph in decibels and levels (metrics/texture.py), in
          brackets those of two halves of it: brick 5.7, 1.7 (3.5, 0.7), grass 1.7, 3.1 (1.7, 1.1), gravel 1.9, 1.6
          (1.4, 0.5). What did not work for grass and gravel: white noise as p0, and the 900 updates that bricks need
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, sections 2.5.1 and 2.5.2 of the
          thesis: 256x256 photographs, 64x64 patches, the net of Appendix C, 50 + 50 images a minibatch, Adam at 1e-4
          for the net and 0.01 for images, at most 10,000 images a turn; the canvas 320x320, 200 patches a move
Departs   Photographs: the thesis took seven of Gatys et al., which have no licence to ship. Of the thesis' turns only
          the end is said ("until converged"): 100 here, as in the released notebooks.
"""

from ml_collections import ConfigDict, config_dict

TEXTURES = ("brick", "grass", "gravel")


def get_config(arg: str = "brick") -> ConfigDict:
  texture, *sizes = arg.split(",")
  if texture not in TEXTURES or sizes not in ([], ["small"]):
    raise ValueError(f"wanted one of {', '.join(TEXTURES)}, then ',small' for a laptop")
  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = f"textures/{texture}"  # or "folder", with the path of a folder of photographs
  config.data.split = "train"
  config.data.path = config_dict.placeholder(str)
  config.data.data_dir = config_dict.placeholder(str)
  config.data.size = 256
  config.data.channels = config_dict.placeholder(int)
  config.data.batch = 1000  # the one photograph as often; its patches are cut in the step
  config.data.flip = False
  config.data.pad = 0
  config.data.crop = 64

  config.net = ConfigDict({"name": "convnet", "blocks": ((32, 64), (64, 128), (128, 256), (256, 512))})
  config.noise = ConfigDict({"name": "decoder", "width": 512})
  config.objective = ConfigDict({"name": "winn", "weight": 10.0})
  config.sampler = ConfigDict({"name": "adam", "rate": 0.01, "b1": 0.9, "b2": 0.99})

  config.system = ConfigDict()
  config.system.name = "winn"
  config.system.passes = 3
  config.system.minibatch = 50
  config.system.rate = 1e-4
  config.system.b1 = 0.0
  config.system.b2 = 0.9
  config.system.decay_steps = config_dict.placeholder(int)
  config.system.ema = 0.0
  config.system.ascent_steps = 2000
  config.system.stop = "example"
  config.system.synthesis = 1000
  config.system.synthesis_batch = 100
  config.system.initial = 1000
  config.system.capacity = 100_000
  config.system.policy = "reservoir"
  config.system.pool_dtype = "float32"

  config.sample = ConfigDict()  # what `genjax sample` writes; the grids of the training are patches
  config.sample.name = "canvas"
  config.sample.size = 256  # any
  config.sample.margin = 32
  config.sample.cover = 200 * 64**2 / 257**2  # patches over a pixel a move: 200 patches on the thesis' 320x320
  config.sample.steps = 2000
  config.sample.above = 0.0  # thresholds from all of the range of f, as for patches
  config.sample.chunk = 50

  config.train = ConfigDict()
  config.train.steps = 100
  config.train.steps_per_call = 1
  config.train.log_every = 1
  config.train.checkpoint_every = 10
  config.train.sample_every = 10
  config.train.evaluate_every = 0
  config.train.samples = 50
  config.train.keep = 3

  config.metrics = ConfigDict({"name": "", "split": "train", "samples": 0})  # genjax study textures measures these

  if sizes:
    _small(config, texture)
  return config


def _small(config: ConfigDict, texture: str) -> None:
  """For two CPU cores. Bricks need patches of 64x64; blades and stones show in 32x32, at a quarter of the cost."""
  brick = texture == "brick"
  steps = 150 if brick else 300
  config.data.batch = 64 if brick else 128
  config.data.crop = 64 if brick else 32
  config.net.blocks = ((8, 8), (16, 16), (32, 32), (64, 64)) if brick else ((16, 16), (32, 32), (64, 64))
  config.noise.width = 64
  config.sampler.rate = 0.03
  config.system.minibatch = 32
  config.system.rate = 1e-3 if brick else 5e-4
  config.system.decay_steps = steps
  config.system.ema = 0.99 if brick else 0.995
  config.system.ascent_steps = 40 if brick else 60
  config.system.synthesis = 32 if brick else 64
  config.system.synthesis_batch = 32 if brick else 64
  config.system.initial = 256 if brick else 512
  config.system.capacity = 4096 if brick else 8192
  config.sample.steps = 300
  config.sample.above = 1.0  # a canvas that stops lower in the range of f keeps much of p0
  config.train.steps = steps
  config.train.checkpoint_every = 25
  config.train.sample_every = 25
  config.train.samples = 32
