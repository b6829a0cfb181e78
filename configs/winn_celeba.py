"""WINN learns faces: CelebA at 64x64, with the plain network or any that the thesis tried in its place.

Command   genjax train --config winn_celeba --config.data.data_dir=TFDS --workdir gs://BUCKET/run
          winn_celeba:wgan_gp                    WGAN-GP's critic (figure 2.3)
          winn_celeba:resnet13, :densenet20      figure 2.8
          winn_celeba:cascades                   four stages; words are joined by commas, `exact`: the thesis' minibatch
          winn_celeba:tiny           a handful of images, to see that all works
          genjax bench --config winn_celeba --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 64 accelerator chips; hours not measured, as it was not run to its end here. In each step 1,280
          images climb, by up to 2,000 moves
Expect    faces; the thesis shows pictures (figures 2.3, 2.5 and 2.8) and no number
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, sections 2.5.1, 2.5.3 and 2.5.7 of
          the dissertation; the network of its Appendix C
Departs   Minibatches of 64 + 64 and 1,280 new images a step, which divide over 1 to 64 devices; the thesis has 50 + 50
          and 1,000. The word `exact` brings its numbers back, for 1, 2, 5, 10, 25 or 50 devices. As in the released
          code, the first steps see 1/5, 2/5 ... of the positives, and a stage has 100 steps.
          The thesis does not say how faces were cut; here the centre square of 178 pixels, brought to 64. Nor does
          it say how many stages its "WINN" pictures of faces have.
"""

from ml_collections import ConfigDict

from genjax.config import load_config

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
  config = load_config(f"winn_cifar10:{','.join(words & {'exact', 'tiny'})}")  # all but what follows
  config.data = {"name": "tfds", "dataset": "celeb_a", "size": 64, "batch": config.data.batch}
  config.net = ConfigDict(NETS[nets.pop() if nets else "convnet"])
  config.train.steps *= stages
  config.train.evaluate_every = 0
  config.system.cascades = stages
  config.metrics = {}  # a streamed set: no images to measure against
  return config
