"""MetaOptNet learns to classify characters by one or five examples each: rendered glyphs, minutes on a laptop.

Command   genjax train --config metaoptnet_glyphs --workdir runs/metaoptnet_glyphs
          metaoptnet_glyphs:ridge   another head: svm, ridge, r2d2, proto, weston_watkins, matching, relation, maml
          metaoptnet_glyphs:proto,1shot   trained with one support a class (prototypes want the shots of the test)
          genjax evaluate --workdir runs/metaoptnet_glyphs --config.metrics.test.episodes=2000
          genjax study few_shot_heads   heads, 3 seeds, as a table
Machine   2 CPU cores, about three minutes; any other device works with the same command
Expect    66.6 +- 0.2 % at 1 shot and 82.4 +- 0.3 % at 5 with the SVM, over three seeds; all heads are in
          notebooks/README.md
Paper     Lee, Maji, Ravichandran & Soatto, CVPR 2019; chapter 4 of the dissertation: SVM with C 0.1, SGD with
          Nesterov's momentum 0.9 and decay 5e-4, 6 queries a class. Net, learning rate and steps are ours, for two
          cores
"""

from ml_collections import ConfigDict

from genjax import registry

HEADS = (*registry.HEADS, "maml")
STEPS = 300


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  heads, rest = words & set(HEADS), words - set(HEADS)
  if len(heads) > 1 or rest - {"1shot"}:
    raise ValueError(f"wanted one head of {', '.join(HEADS)}, and 1shot, joined by a comma")
  head = next(iter(heads), "svm")

  config = ConfigDict({"seed": 0})
  # batch: episodes. A mirrored letter is another letter, so nothing is flipped.
  config.data = {"name": "glyphs", "batch": 8, "ways": 5, "shots": 1 if "1shot" in rest else 5, "queries": 6}

  config.net = {"name": "conv4", "width": 32}
  if head == "maml":
    config.system = {"name": "maml", "inner_learning_rate": 0.05}
    config.optimizer = {"name": "adam", "learning_rate": 1e-3}
  else:
    config.system = {"name": "metaoptnet"}
    config.head = {"name": head}
    if head == "relation":
      config.system.update({"loss": "squared", "learn_scale": False})
    config.optimizer = {
      "name": "sgd",
      "learning_rate": 0.1,
      "momentum": 0.9,
      "nesterov": True,
      "weight_decay": 5e-4,
      "schedule": "steps",
      "drops": ((STEPS * 2 // 3, 0.1), (STEPS * 5 // 6, 0.01)),
    }
  config.train = {
    "steps": STEPS,
    "steps_per_call": 10,
    "log_every": 10,
    "checkpoint_every": 100,
    "evaluate_every": 100,
    "keep": 2,
    "best": "validation_error",
  }
  few_shot = {"name": "few_shot", "shots": (1, 5), "queries": 15, "batch": 8}
  config.metrics = {  # the error of a section is that of its last number of shots
    "validation": {**few_shot, "split": "validation", "episodes": 200, "chosen_at": 5},
    "test": {**few_shot, "split": "test", "episodes": 1000, "chosen_at": 5, "final": True},
  }
  return config
