"""WINN learns faces: CelebA at 64x64, with the plain network or any that the thesis tried in its place.

Command   genjax train --config winn_celeba --config.data.data_dir=TFDS --workdir gs://BUCKET/run
          winn_celeba:wgan_gp                    WGAN-GP's critic (figure 2.3)
          winn_celeba:resnet13, :densenet20      figure 2.8
          winn_celeba:cascades                   four stages; words are joined by commas, `exact`: the thesis' minibatch
          winn_celeba:tiny           a handful of images, to see that all works
          genjax bench --config winn_celeba --config.data.name=mock   what a turn takes, without the data
Machine   an accelerator; not run to its end here. Each turn climbs 1,280 images by up to 2,000 moves
Expect    faces; the thesis shows pictures (figures 2.3, 2.5 and 2.8) and no number
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, sections 2.5.1, 2.5.3 and 2.5.7 of
          the dissertation; the network of its Appendix C
Departs   Minibatches of 64 + 64 and 1,280 new images a turn; the thesis has 50 + 50 and 1,000. So they divide
          over 1 to 64 devices. The word `exact` brings its numbers back, for 1, 2, 5, 10, 25 or 50 devices. The first
          turns see 1/5, 2/5 ... of the positives, as in the released code; so are the 100 turns of a stage.
          The thesis does not say how faces were cut; here the centre square of 178 pixels, brought to 64. The number
          of stages behind its "WINN" pictures of faces is not said either.
"""

from ml_collections import ConfigDict, config_dict

NETS = {
  "convnet": {"name": "convnet"},  # Appendix C, 2,354,177 parameters
  "wgan_gp": {"name": "wgan_gp_64"},
  "resnet13": {"name": "resnet13"},
  "densenet20": {"name": "densenet20"},
}


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  nets = words & set(NETS)
  if words - set(NETS) - {"single", "cascades", "exact", "tiny"} or {"single", "cascades"} <= words or len(nets) > 1:
    raise ValueError(f"wanted one of {', '.join(NETS)}, single or cascades, exact, tiny, joined by commas")
  m, stages = 50 if "exact" in words else 64, 4 if "cascades" in words else 1

  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "celeb_a"
  config.data.split = "train"
  config.data.path = config_dict.placeholder(str)
  config.data.data_dir = config_dict.placeholder(str)
  config.data.size = 64
  config.data.channels = config_dict.placeholder(int)
  config.data.batch = 100 * m  # positives a turn; as many pseudo-negatives
  config.data.flip = False
  config.data.pad = 0
  config.data.crop = 0

  config.net = ConfigDict(NETS[nets.pop() if nets else "convnet"])
  config.noise = ConfigDict({"name": "decoder", "width": 512})
  config.objective = ConfigDict({"name": "winn", "weight": 10.0})
  config.sampler = ConfigDict({"name": "adam", "rate": 0.01, "b1": 0.9, "b2": 0.99})

  config.system = ConfigDict()
  config.system.name = "winn"
  config.system.passes = 3
  config.system.minibatch = m
  config.system.rate = 1e-4
  config.system.b1 = 0.0
  config.system.b2 = 0.9
  config.system.decay_steps = config_dict.placeholder(int)
  config.system.ramp = 5
  config.system.ema = 0.0
  config.system.ascent_steps = 2000
  config.system.stop = "example"
  config.system.synthesis = 20 * m
  config.system.synthesis_batch = 2 * m
  config.system.initial = 200 * m
  config.system.capacity = 2400 * m  # released code: 119,000 after a stage, on disk; here on the devices
  config.system.policy = "reservoir"
  config.system.pool_dtype = "uint8"
  config.system.cascades = stages
  config.system.cascade_steps = 100
  config.system.starts = 200 * m

  config.train = ConfigDict()
  config.train.steps = 100 * stages
  config.train.steps_per_call = 1
  config.train.log_every = 1
  config.train.checkpoint_every = 5
  config.train.sample_every = 10
  config.train.evaluate_every = 0
  config.train.samples = 64
  config.train.keep = 3

  config.metrics = ConfigDict(
    {"name": "", "split": "test", "samples": 0}
  )  # a streamed set: no images to measure against
  if "tiny" in words:
    _tiny(config)
  return config


def _tiny(config: ConfigDict) -> None:
  """The same net on a handful of images: a turn in seconds or minutes, to see that all works, and for bench."""
  few = 8
  config.data.batch = config.system.synthesis = config.system.synthesis_batch = 2 * few
  config.system.minibatch = config.system.initial = few
  config.system.starts = 2 * few
  config.system.capacity = 8 * few
  config.system.ramp = 1
  config.system.ascent_steps = 10
  config.system.cascade_steps = 2
  config.train.steps = 2 * config.system.cascades
  config.train.checkpoint_every = 2
  config.train.sample_every = 0
  config.train.evaluate_every = 0
  config.metrics.name = ""
