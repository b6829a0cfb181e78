"""Table 2.3: adversarial images of WINN, ICN and their baseline, each judged by the other; calibration and detection.

The baseline is the same net on the same batches, without pseudo-negatives. Every model is looked at twice: at the
checkpoint that validation data chose, and at its last step. On digits the choice falls early, for few validation images
tell the steps apart, and WINN has then seen few of its pseudo-negatives. Epsilon is on the [0, 1] scale throughout.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.6, Tables 2.2 to 2.4
Departs  The thesis attacks with one step along the gradient of the cross-entropy. Where the softmax saturates, this
         gradient is rounding noise and hides errors of the attacked model (ops/attack.py), so there are also its exact
         form (log-odds), a margin loss, and PGD. `f` as a detector of images from elsewhere is ours.
Checked  tests/studies/test_robustness_study.py
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from genjax.studies.runs import kept, opened, settings, trained

_BATCH = 500
METHODS = {"WINN": "", "ICN": "icn"}  # and the argument of the config that says so


CHECKPOINTS = {"chosen on validation data": "best", "last step": None}


class Contender(NamedTuple):
  """A trained classifier."""

  name: str
  config: Any
  parts: Any
  state: Any


def robustness(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  on: str = "winn_digits_classifier",
  epsilon: float = 0.125,
  methods: Sequence[str] = tuple(METHODS),
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Trains every model with every seed (or finds them), attacks them; returns tables as text.

  Args:
    workdir: gets a run for each model and seed, and robustness.json.
    seeds: 0, 1, ... of each model.
    quiet: nothing on the terminal but the tables.
    on: the classifier's config, "name[:arg]"; its arguments `baseline` and `icn` give the others.
    epsilon: radius of the L-infinity ball on the [0, 1] scale; that of the L2 ball is 4 times as long.
    methods: "WINN", "ICN".
    overrides: of config keys, for every run.
  """
  from genjax.metrics.robustness import table

  attacks, told, numbers, views = _attacks(epsilon), [], {}, {}
  names = {"baseline": "baseline", **{method: METHODS[method] for method in methods}}
  runs = {
    (name, seed): trained(
      settings(_named(on, arg), overrides, seed=seed), os.path.join(workdir, f"{name}_{seed}"), quiet=quiet
    )
    for seed in range(seeds)
    for name, arg in names.items()
  }
  test = _test(runs["baseline", 0].config)
  for title, step in CHECKPOINTS.items():
    duels, alone = [], []
    for seed in range(seeds):
      found = [Contender(name, runs[name, seed].config, *opened(runs[name, seed], step)) for name in names]
      for one in found:
        views.setdefault(one.name, partial(_classify, one.parts))  # of the first seed for all, so that it compiles once
        alone += [{"model": one.name, "seed": seed, **_alone(one, test, seed)}]
      duels += _duels(found, views, attacks, test, seed)
    attacked = [{"seed": duel.clean_error_of_baseline.card.seed, **_cards(duel)} for duel in duels]
    numbers[title] = {"attacks": attacked, "alone": alone}
    told.append(f"{title}\n\n{table(duels)}\n{_told(alone)}")
  kept(workdir, "robustness", numbers)
  return "\n\n".join(told)


def mnist(workdir: str, *, seeds: int = 5, quiet: bool = False) -> str:
  """Table 2.3 itself, both of its nets; MNIST as TFDS prepared it, in $TFDS_DATA_DIR. For an accelerator."""
  nets = ("vanilla", "resnet32")
  told = [
    robustness(os.path.join(workdir, net), seeds=seeds, quiet=quiet, on=f"winn_mnist_classifier:{net}") for net in nets
  ]
  return "\n\n".join(f"MNIST, {net}\n\n{text}" for net, text in zip(nets, told, strict=True))


def svhn(workdir: str, *, seeds: int = 5, quiet: bool = False) -> str:
  """Table 2.4, epsilon 0.005; SVHN as TFDS prepared it, in $TFDS_DATA_DIR. For an accelerator."""
  return robustness(workdir, seeds=seeds, quiet=quiet, on="winn_svhn_classifier", epsilon=0.005, methods=("WINN",))


def _attacks(epsilon: float) -> list[Any]:
  from genjax.ops.attack import fgsm, pgd

  return [
    fgsm(epsilon),  # the thesis'
    fgsm(epsilon, loss="log_odds"),
    fgsm(epsilon, loss="margin"),
    pgd(epsilon, loss="margin", restarts=3),
    pgd(4 * epsilon, norm="l2", loss="margin", restarts=3),
  ]


def _named(on: str, arg: str) -> str:
  name, _, given = on.partition(":")
  words = ",".join(filter(None, (given, arg)))
  return f"{name}:{words}" if words else name


def _test(config: Any) -> Any:
  """The test split of a config, as metrics.classification takes it."""
  from genjax import data
  from genjax.metrics.classification import Split

  where = {key: config.data[key] for key in ("size", "channels", "path", "data_dir")}
  found = data.load(config.data.name, split=config.metrics.split, **where)
  return Split(found.images, found.labels, f"{config.data.name}/{config.metrics.split}")


def _classify(parts: Any, state: Any, images: Any) -> Any:
  return parts.views["classify"](state)(images)


def _duels(
  found: Sequence[Contender], views: Mapping[str, Any], attacks: Sequence[Any], test: Any, seed: int
) -> list[Any]:
  """Every method against the baseline, under every attack."""
  import jax

  from genjax.metrics import robustness

  baseline, *methods = (robustness.Model(one.name, views[one.name], one.state) for one in found)
  where = {"split": test.name, "seed": seed}
  return [
    robustness.robustness(jax.random.key(seed), baseline, method, test.images, test.labels, attack=attack, **where)
    for attack in attacks
    for method in methods
  ]


def _alone(one: Contender, test: Any, seed: int) -> dict[str, float]:
  """Error, calibration, and how well images from elsewhere are told apart: by f, or by the baseline's confidence."""
  import jax
  import numpy as np

  from genjax.metrics.detection import detection, out_sets
  from genjax.ops import calibration
  from genjax.ops.augment import to_uint8, to_unit
  from genjax.parts import NOISES, make

  classify = one.parts.views["classify"](one.state)
  score = one.parts.views["score"](one.state)
  confidence = lambda images: jax.nn.log_softmax(classify(images)).max(-1)
  of_batch = jax.jit(lambda images: classify(to_unit(images)))
  logits = np.concatenate([of_batch(images) for images in np.array_split(test.images, -(-len(test.images) // _BATCH))])
  p0 = make(NOISES, one.config, "noise", one.parts.shape)(jax.random.key(seed), len(test.images))
  others = {"p0": np.asarray(to_uint8(p0)), **out_sets(test.images, seed=seed)}
  detector = confidence if one.name == "baseline" else score
  apart = detection(detector, test.images, others, split=test.name, subject=one.name, seed=seed)
  return {
    "error": float((logits.argmax(-1) != test.labels).mean()),
    "calibration error": calibration.expected_calibration_error(logits, test.labels),
    "negative log-likelihood": calibration.negative_log_likelihood(logits, test.labels),
    **{f"AUROC, {name}": measures["auroc"].value for name, measures in apart.items()},
  }


def _cards(duel: Any) -> dict[str, Any]:
  return {name: part.to_dict() if hasattr(part, "to_dict") else part for name, part in duel._asdict().items()}


def _told(alone: Sequence[Mapping[str, Any]]) -> str:
  """Mean and deviation over the seeds of what was measured of each model alone."""
  import numpy as np

  measures = [key for key in alone[0] if key not in ("model", "seed")]
  models = list(dict.fromkeys(row["model"] for row in alone))
  lines = ["", "| | " + " | ".join(models) + " |", "|---|" + "---:|" * len(models)]
  for measure in measures:
    cells = []
    for model in models:
      values = np.array([row[measure] for row in alone if row["model"] == model])
      cells.append(f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""))
    lines.append(f"| {measure} | " + " | ".join(cells) + " |")
  told = "AUROC: test images against others, by f; of the baseline, by the largest class probability"
  return "\n".join([*lines, told])
