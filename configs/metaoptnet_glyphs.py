"""MetaOptNet learns to tell characters apart from one or five examples: rendered glyphs, minutes on a laptop.

Command   genjax train --config metaoptnet_glyphs --workdir runs/metaoptnet_glyphs
          metaoptnet_glyphs:ridge   another head: svm, ridge, r2d2, proto, weston_watkins, matching, relation, maml
          metaoptnet_glyphs:proto,1shot   trained with one support a class (prototypes want the shots of the test)
          genjax evaluate --workdir runs/metaoptnet_glyphs --config.metrics.episodes=2000
          genjax study few_shot_heads   heads, 3 seeds, as a table
Machine   2 CPU cores; any other device works with the same command
Expect    see the table in the README
Paper     Lee, Maji, Ravichandran & Soatto, CVPR 2019; chapter 4 of the dissertation: SVM with C 0.1, SGD with
          Nesterov's momentum 0.9 and decay 5e-4, 6 queries a class. Net, rates and steps are ours, for two cores
"""

from ml_collections import ConfigDict, config_dict

HEADS = ("svm", "ridge", "r2d2", "proto", "weston_watkins", "matching", "relation", "maml")
KERNEL = {"kernel": "linear", "width": 1.0, "degree": 2}  # or rbf, polynomial
SETTINGS = {  # of heads, to be changed by --config.head.KEY=VALUE
  "svm": {"C": 0.1, "ridge": 0.0, **KERNEL},
  "ridge": {"penalty": 50.0, **KERNEL},
  "r2d2": {"penalty": 50.0, **KERNEL},
  "weston_watkins": {"C": 0.1, **KERNEL},
  "matching": {"sharpness": 1.0},
}
STEPS = 300


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  heads, rest = words & set(HEADS), words - set(HEADS)
  if len(heads) > 1 or rest - {"1shot"}:
    raise ValueError(f"wanted one head of {', '.join(HEADS)}, and 1shot, joined by a comma")
  head = next(iter(heads), "svm")

  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "glyphs"
  config.data.split = "train"
  config.data.path = config_dict.placeholder(str)  # of a folder of images: one folder a class, in a folder a split
  config.data.data_dir = config_dict.placeholder(str)  # where TFDS keeps prepared sets
  config.data.size = config_dict.placeholder(int)
  config.data.unseen_faces = False  # test characters in fonts that training does not see
  config.data.batch = 8  # episodes
  config.data.ways = 5
  config.data.shots = 1 if "1shot" in rest else 5
  config.data.queries = 6
  config.data.pad = 0
  config.data.jitter = 0.0
  config.data.flip = False  # a mirrored letter is another letter

  config.net = ConfigDict({"name": "conv4", "width": 32})
  if head != "maml":
    config.head = ConfigDict({"name": head, **SETTINGS.get(head, {})})

  config.system = ConfigDict()
  if head == "maml":
    config.system.name = "maml"
    config.system.inner_steps = 5
    config.system.evaluate_steps = 10
    config.system.inner_rate = 0.05
    config.system.first_order = False
    config.system.rate = 1e-3
  else:
    config.system.name = "metaoptnet"
    config.system.loss = "squared" if head == "relation" else "cross_entropy"
    config.system.smoothing = 0.0
    config.system.rate = 0.1
    config.system.drops = ((STEPS * 2 // 3, 0.1), (STEPS * 5 // 6, 0.01))
    config.system.momentum = 0.9
    config.system.decay = 5e-4
    config.system.scale = 1.0
    config.system.learn_scale = head != "relation"
    config.system.together = False
    config.system.accumulate = 1

  config.train = ConfigDict()
  config.train.steps = STEPS
  config.train.steps_per_call = 10
  config.train.log_every = 10
  config.train.checkpoint_every = 100
  config.train.evaluate_every = 100
  config.train.samples = 0
  config.train.keep = 2
  config.train.best = "validation_error"

  config.metrics = ConfigDict()
  config.metrics.name = "few_shot"
  config.metrics.validation = "validation"
  config.metrics.split = "test"
  config.metrics.shots = (1, 5)
  config.metrics.chosen_at = 5  # shots of the validation episodes that choose the model
  config.metrics.queries = 15
  config.metrics.episodes = 1000
  config.metrics.validation_episodes = 200
  config.metrics.batch = 8
  config.metrics.seed = 0
  return config
