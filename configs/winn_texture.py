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
          for the net and 0.01 for images, at most 10,000 images a step; the canvas 320x320, 200 patches a move
Departs   Photographs: the thesis took seven of Gatys et al., which have no licence to ship. The thesis trains
          "until converged"; here it is 100 steps, as in the released notebooks.
          A step has 1,000 patches and the pool starts with 1,000 images of p0, for one photograph has far fewer patches
          that differ than a set of faces; section 2.5.2 says "as in 2.5.1": at most 10,000 images a step, so 5,000
          patches and as many pseudo-negatives, and 10,000 of p0 in the released code:
          --config.data.batch=5000 --config.system.initial=10000, with 1 GB of host memory for a batch.
          The pool keeps its images in 8 bit, as the released code does in PNG files; `small`, whose numbers are above,
          keeps float32. Only the negatives are rounded, by at most 1/255: chains start from p0.
"""

from ml_collections import ConfigDict

TEXTURES = ("brick", "grass", "gravel")


def get_config(arg: str = "brick") -> ConfigDict:
  texture, *sizes = arg.split(",")
  if texture not in TEXTURES or sizes not in ([], ["small"]):
    raise ValueError(f"wanted one of {', '.join(TEXTURES)}, then ',small' for a laptop")
  config = ConfigDict({"seed": 0})
  # The one photograph as often as a batch is large; its patches are cut in the step.
  config.data = {"name": "textures", "texture": texture, "size": 256, "batch": 1000, "crop": 64}

  config.net = {"name": "convnet", "blocks": ((32, 64), (64, 128), (128, 256), (256, 512))}
  config.noise = {"name": "decoder", "width": 512}
  config.objective = {"name": "winn", "weight": 10.0}
  config.sampler = {"name": "adam", "learning_rate": 0.01, "b1": 0.9, "b2": 0.99}
  config.optimizer = {"name": "adam", "learning_rate": 1e-4, "b1": 0.0, "b2": 0.9}
  config.system = {
    "name": "winn",
    "passes": 3,
    "minibatch": 50,
    "ema": 0.0,
    "ascent_steps": 2000,
    "stop": "example",
    "synthesis": 1000,
    "synthesis_batch": 100,
    "initial": 1000,
    "capacity": 100_000,
    "policy": "reservoir",
    "pool_dtype": "uint8",  # 1.2 GB; four times as much in float32
  }
  config.sample = {  # what `genjax sample` writes; the grids of the training are patches
    "name": "canvas",
    "size": 256,  # any
    "margin": 32,
    "cover": 200 * 64**2 / 257**2,  # patches over a pixel a move: 200 patches on the thesis' 320x320
    "steps": 2000,
    "above": 0.0,  # thresholds from all of the range of f, as for patches
    "chunk": 50,
  }
  config.train = {
    "steps": 100,
    "steps_per_call": 1,
    "log_every": 1,
    "checkpoint_every": 10,
    "sample_every": 10,
    "evaluate_every": 0,  # genjax study textures measures these
    "samples": 50,
    "keep": 3,
  }
  if sizes:
    _small(config, texture)
  return config


def _small(config: ConfigDict, texture: str) -> None:
  """For two CPU cores. Bricks need patches of 64x64; blades and stones show in 32x32, at a quarter of the cost."""
  brick = texture == "brick"
  config.data.batch = 64 if brick else 128
  config.data.crop = 64 if brick else 32
  config.net.blocks = ((8, 8), (16, 16), (32, 32), (64, 64)) if brick else ((16, 16), (32, 32), (64, 64))
  config.noise.width = 64
  config.sampler.learning_rate = 0.03
  config.optimizer.learning_rate = 1e-3 if brick else 5e-4
  config.optimizer.schedule = "cosine"
  config.system.minibatch = 32
  config.system.ema = 0.99 if brick else 0.995
  config.system.ascent_steps = 40 if brick else 60
  config.system.synthesis = 32 if brick else 64
  config.system.synthesis_batch = 32 if brick else 64
  config.system.initial = 256 if brick else 512
  config.system.capacity = 4096 if brick else 8192
  config.system.pool_dtype = "float32"
  config.sample.steps = 300
  config.sample.above = 1.0  # a canvas that stops lower in the range of f keeps much of p0
  config.train.steps = 150 if brick else 300
  config.train.checkpoint_every = 25
  config.train.sample_every = 25
  config.train.samples = 32
