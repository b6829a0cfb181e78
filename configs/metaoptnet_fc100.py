"""MetaOptNet on FC100: ResNet-12 with an SVM, as in Table 4.2 of the dissertation.

Command   genjax train --config metaoptnet_fc100 --config.data.path=FC100 --workdir gs://BUCKET/run
          without a path, from a prepared TFDS cifar100: --config.data.data_dir=TFDS
          the words of metaoptnet_miniimagenet: heads, nets, shots, trainval, released, early, dataparallel, tiny
          genjax study few_shot_heads --config metaoptnet_fc100 --config.data.path=FC100
Machine   1, 2, 4 or 8 accelerator chips; not run here, hours not measured
Expect    svm 41.1 ± 0.6 % at 1 shot and 55.5 ± 0.6 % at 5; ridge 40.5, 55.3; proto 37.5, 52.5; trainval 47.2, 62.5
          (the dissertation)
Paper     Lee, Maji, Ravichandran & Soatto, CVPR 2019; sections 4.4.1 and 4.4.3 of the dissertation: 15 shots in
          training, blocks of 2 dropped, no label smoothing
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  config = load_config(f"metaoptnet_cifarfs:{arg}")
  config.data.name = "fc100"
  if "tiny" not in words and "shot" not in arg and config.net.name == "resnet12":
    config.data.shots = 15
  return config
