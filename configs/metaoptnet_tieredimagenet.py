"""MetaOptNet on tieredImageNet: ResNet-12 with an SVM, as in Table 4.1 of the dissertation.

Command   genjax train --config metaoptnet_tieredimagenet --config.data.path=tieredImageNet --workdir gs://BUCKET/run
          the words of metaoptnet_miniimagenet: heads, nets, shots, trainval, released, early, dataparallel, tiny
          genjax study few_shot_heads --config metaoptnet_tieredimagenet --config.data.path=tieredImageNet
Machine   1, 2, 4 or 8 accelerator chips on a host of 24 GB of memory or more; not run here, hours not measured
Expect    svm 65.99 ± 0.72 % at 1 shot and 81.56 ± 0.53 % at 5; ridge 65.36, 81.34; proto 61.74, 80.00; trainval 65.81,
          81.75 (the dissertation)
Paper     Lee, Maji, Ravichandran & Soatto, CVPR 2019; sections 4.4.1 and 4.4.2 of the dissertation: 10 shots in
          training, no label smoothing; trainval stops after 52 epochs
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  config = load_config(f"metaoptnet_miniimagenet:{arg}")
  config.data.name = "tieredimagenet"
  if "tiny" not in words and "shot" not in arg:
    config.data.shots = 10
  if "smoothing" in config.system:
    del config.system["smoothing"]
  if "trainval" in words and "tiny" not in words:
    config.train.steps = 52_000
  return config
