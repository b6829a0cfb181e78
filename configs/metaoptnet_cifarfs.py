"""MetaOptNet on CIFAR-FS: ResNet-12 with an SVM, as in Table 4.2 of the dissertation.

Command   genjax train --config metaoptnet_cifarfs --config.data.path=CIFAR-FS --workdir gs://BUCKET/run
          without a path, from a prepared TFDS cifar100: --config.data.data_dir=TFDS
          the words of metaoptnet_miniimagenet: heads, nets, shots, trainval, released, early, dataparallel, tiny
          genjax study few_shot_heads --config metaoptnet_cifarfs --config.data.path=CIFAR-FS
Machine   1, 2, 4 or 8 accelerator chips; not run here, hours not measured
Expect    svm 72.0 ± 0.7 % at 1 shot and 84.2 ± 0.5 % at 5; ridge 72.6, 84.3; proto 72.2, 83.5; trainval 72.8, 85.0
          (the dissertation)
Paper     Lee, Maji, Ravichandran & Soatto, CVPR 2019; sections 4.4.1 and 4.4.3 of the dissertation: 5 shots in
          training, blocks of 2 dropped, no label smoothing
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  config = load_config(f"metaoptnet_miniimagenet:{arg}")
  config.data.name = "cifarfs"
  config.data.pad = 4
  if "tiny" not in words and "shot" not in arg:
    config.data.shots = 5
  if "block" in config.net:
    config.net.block = 2
  if "smoothing" in config.system:
    del config.system["smoothing"]
  return config
