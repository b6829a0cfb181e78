"""Omniglot from one or five examples of each of 5 or 20 characters, by any head: the benchmark of Vinyals et al.

Command   genjax train --config few_shot_omniglot --config.data.path=omniglot --workdir runs/few_shot_omniglot
          path: the folder of images_background and images_evaluation, as folders or as the published zips
          ...:ridge            another head: svm, ridge, r2d2, proto, weston_watkins, matching, relation, maml
          ...:20way ...:1shot  ways (5way, 20way) and shots of training (1shot, 5shot): proto,20way,1shot
          ...:lake             trained on Lake's background set, tested on his evaluation set
          ...:tiny             a handful of images, to see that all works; words are joined by commas
          genjax evaluate --workdir runs/few_shot_omniglot --config.metrics.test.episodes=5000
Machine   2 CPU cores: 1.2 steps a second (proto, 5 ways) while others used them too, so an hour or more; the first
          reading of the drawings takes two minutes; any other device works with the same command
Expect    not measured. Others, 5 ways at 1 and 5 shots, then 20 ways: MAML 98.7, 99.9, 95.8, 98.9 %; from memory:
          matching 98.1, 98.9, 93.8, 98.5; proto 98.8, 99.7, 96.0, 98.9; relation 99.6, 99.8, 97.6, 99.1;
          r2d2 98.6, 99.7, 94.7, 98.9
Paper     Vinyals et al. 2016, arXiv:1606.04080; Snell et al. 2017, arXiv:1703.05175: four rotations as classes, Conv-4
          of 64 filters, Adam at 1e-3 halved every 2,000 episodes, 5 queries a class; Sung et al. 2018,
          arXiv:1711.06025; MAML  Finn et al. 2017, arXiv:1703.03400: 32 and 16 episodes a step; an inner step of 0.4
          in training and three in the test at 5 ways, five of 0.1 at 20
Departs   Training has the ways of the test; Snell et al. train prototypes at 60 ways. A step is eight episodes of 5
          ways or two of 20; that code's is one of 60. Characters: data/omniglot.py. The SVM is that of chapter 4: C 0.1
"""

from ml_collections import ConfigDict

from genjax import registry
from genjax.config import load_config

HEADS = (*registry.HEADS, "maml")
WAYS = {"5way": 5, "20way": 20}
SHOTS = {"1shot": 1, "5shot": 5}
OTHERS = ("lake", "tiny")
STEPS = 5000
MAML = {  # ways -> episodes of a step and settings of the system
  5: (32, {"inner_learning_rate": 0.4, "inner_steps": 1, "evaluate_steps": 3}),
  20: (16, {"inner_learning_rate": 0.1, "inner_steps": 5, "evaluate_steps": 5}),
}


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  picked = [words & set(group) for group in (HEADS, WAYS, SHOTS)]
  if any(len(group) > 1 for group in picked) or words - {*HEADS, *WAYS, *SHOTS, *OTHERS}:
    known = ", ".join((*HEADS, *WAYS, *SHOTS, *OTHERS))
    raise ValueError(f"wanted one head, one number of ways and of shots, and the rest of {known}, joined by commas")
  head, way, shot = ((*group, default)[0] for group, default in zip(picked, ("svm", "5way", "5shot"), strict=True))
  ways = WAYS[way]
  config = load_config(f"metaoptnet_glyphs:{head}")  # all but what follows
  config.data.update({"name": "omniglot", "ways": ways, "shots": SHOTS[shot], "queries": 5, "batch": 40 // ways})
  config.data.characters = "lake" if "lake" in words else "vinyals"
  config.net.width = 64
  config.optimizer = {"name": "adam", "learning_rate": 1e-3}
  if head == "maml":
    config.data.batch, settings = MAML[ways]
    config.system.update(settings)
  else:
    config.optimizer.schedule = "steps"
    config.optimizer.drops = tuple((2000 * number, 0.5**number) for number in range(1, STEPS // 2000 + 1))
  config.train.update({"steps": STEPS, "checkpoint_every": 500, "evaluate_every": 500})
  for metric in config.metrics.values():
    metric.chosen_at = SHOTS[shot]
  if "tiny" in words:
    _tiny(config)
  return config


def _tiny(config: ConfigDict) -> None:
  config.data.batch = config.data.queries = 1
  config.train.steps = config.train.checkpoint_every = config.train.evaluate_every = 2
  config.train.steps_per_call = config.train.log_every = 1
  for metric in config.metrics.values():
    metric.update({"batch": 1, "queries": 1, "episodes": 2})
