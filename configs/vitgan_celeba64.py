"""ViTGAN on faces: CelebA at 64x64, aligned.

Command   genjax train --config vitgan_celeba64 --config.data.data_dir=TFDS --workdir gs://BUCKET/run
          vitgan_celeba64:WORDS   those of vitgan_cifar10: pairs, ablations, released, tiny
          genjax bench --config vitgan_celeba64 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 128 accelerator chips; hours not measured, as it was not run to its end here
Expect    the thesis: FID 3.74, by Inception's features; no run was made here to see
Paper     Lee, Chang, Jiang, Zhang, Tu & Liu, ICLR 2022, arXiv:2107.04589; section 3.5.1 of the dissertation: 6 + 6
          blocks, patches of 8, the rest as on CIFAR-10; the aligned set, 162,770 images to train on
Departs   As vitgan_cifar10. The thesis does not say how the aligned images were cut: here their middle square, brought
          to 64.
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  config = load_config(f"vitgan_cifar10:{arg}")  # all but what follows
  config.data = {"name": "tfds", "dataset": "celeb_a", "size": 64, "batch": config.data.batch, "flip": config.data.flip}
  for net in (config.generator, config.critic):
    if "patch" in net:
      net.patch = 8
    if "depth" in net and "tiny" not in arg.split(","):
      net.depth = 6
    if net.name == "stylegan2" and "tiny" not in arg.split(","):
      net.base = 32768  # that of its paper, not of the released net for 32x32
  config.metrics = {}  # a streamed set: no images to measure against
  config.train.evaluate_every = 0
  return config
