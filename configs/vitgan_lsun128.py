"""ViTGAN on bedrooms: LSUN at 128x128.

Command   genjax train --config vitgan_lsun128 --config.data.data_dir=TFDS --workdir gs://BUCKET/run
          vitgan_lsun128:WORDS   those of vitgan_cifar10: pairs, ablations, released, tiny
          genjax bench --config vitgan_lsun128 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 128 accelerator chips; hours not measured, as it was not run to its end here.
          --config.generator.remat=True and --config.critic.remat=True
          for less memory
Expect    the thesis: FID 2.48 (1.87 with StyleGAN2's critic), by Inception's features against the training images; no
          run was made here to see
Paper     Lee, Chang, Jiang, Zhang, Tu & Liu, ICLR 2022, arXiv:2107.04589; section 3.5.1 of the dissertation: generator
          of 8 blocks and patches of 8; critic of 4 blocks on 64 tokens, made by 3x3 convolutions of stride 2
Departs   As vitgan_lsun64. The stem of the critic takes the place of its overlapping patches.
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  config = load_config(f"vitgan_lsun64:{arg}")  # all but what follows
  if "32" in arg.split(","):
    raise ValueError("32 is a word of vitgan_lsun64")
  config.data.size = 128
  if "embedding" in config.critic:
    config.critic.patch, config.critic.embedding = 16, "stem"
  if "tiny" not in arg.split(","):
    for net, depth in ((config.generator, 8), (config.critic, 4)):
      if "depth" in net:
        net.depth = depth
  return config
