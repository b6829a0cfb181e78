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

from ml_collections import ConfigDict

from genjax.command import load_config

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
  stages = 4 if "cascades" in words else 1
  config = load_config(f"winn_cifar10:{','.join(words & {'exact', 'tiny'})}").unlock()  # all but what follows
  config.data.name = "celeb_a"
  config.data.size = 64
  config.data.flip = False
  config.net = ConfigDict(NETS[nets.pop() if nets else "convnet"])
  config.train.steps *= stages
  config.train.evaluate_every = 0
  config.system.cascades = stages
  config.metrics.name = ""  # a streamed set: no images to measure against
  config.metrics.samples = 0
  return config
