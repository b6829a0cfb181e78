"""Table 2.3: adversarial images of WINN, ICN and their baseline, each classified by the other; calibration, detection.

The baseline is the same net on the same batches, without pseudo-negatives. Every model is measured twice: at the
checkpoint that validation data chose, and at its last step. On digits the choice falls early, for few validation images
differ between the steps, and WINN has then seen few of its pseudo-negatives. Epsilon is on the [0, 1] scale throughout.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.6, Tables 2.2 to 2.4
Departs  The thesis attacks with one step along the gradient of the cross-entropy. Where the softmax saturates, this
         gradient is rounding noise and hides errors of the attacked model (ops/attack.py), so there are also its exact
         form (log-odds), a margin loss, and PGD. `f` as a detector of images from elsewhere is ours.
Checked  tests/studies/test_robustness_study.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from genjax.studies.runs import home_of, kept, opened, settings, trained

_BATCH = 500
METHODS = {"WINN": "", "ICN": "icn"}  # and the argument of the config for each
CHECKPOINTS = {"chosen on validation data": "best", "last step": None}


class Contender(NamedTuple):
  """A trained classifier."""

  name: str
  it: Any  # experiment.Experiment
  state: Any


def robustness(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  base: str = "winn_digits_classifier",
  epsilon: float = 0.125,
  methods: Sequence[str] = tuple(METHODS),
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Trains every model with every seed (or finds its run), attacks it; returns tables as text.

  Args:
    workdir: gets a run of each model and seed, and robustness.json.
    seeds: each model is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal but the tables.
    base: the classifier's config, "name[:arg]"; its arguments `baseline` and `icn` give the others.
    epsilon: radius of the L-infinity ball on the [0, 1] scale; that of the L2 ball is 4 times as long.
    methods: "WINN", "ICN".
    overrides: config keys to set in every run.
  """
  from genjax.metrics.robustness import table

  attacks, texts, numbers, views = _attacks(epsilon), [], {}, {}
  names = {"baseline": "baseline", **{method: METHODS[method] for method in methods}}
  runs = {
    (name, seed): trained(
      settings(_named(base, arg), overrides, seed=seed), os.path.join(workdir, f"{name}_{seed}"), quiet=quiet
    )
    for seed in range(seeds)
    for name, arg in names.items()
  }
  for title, step in CHECKPOINTS.items():
    duels, alone = [], []
    for seed in range(seeds):
      contenders = [Contender(name, *opened(runs[name, seed], step)) for name in names]
      test = _test(contenders[0])
      for one in contenders:
        views.setdefault(one.name, one.it.system.views["classify"])  # of the first seed for all: it compiles once
        alone += [{"model": one.name, "seed": seed, **_alone(one, test, seed)}]
      duels += _duels(contenders, views, attacks, test, seed)
    attacked = [{"seed": duel.clean_error_of_baseline.card.seed, **_cards(duel)} for duel in duels]
    numbers[title] = {"attacks": attacked, "alone": alone}
    texts.append(f"{title}\n\n{table(duels)}\n{_table_alone(alone)}")
  kept(workdir, "robustness", numbers)
  return "\n\n".join(texts)


def mnist(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  base: str | None = None,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Table 2.3 itself, of both nets or of one: base "winn_mnist_classifier:vanilla". See `robustness`."""
  both = [f"winn_mnist_classifier:{net}" for net in ("vanilla", "resnet32")]
  texts = [
    f"{name}\n\n{robustness(home_of(workdir, name), seeds=seeds, quiet=quiet, base=name, overrides=overrides)}"
    for name in ([base] if base else both)
  ]
  return "\n\n".join(texts)


def svhn(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  base: str = "winn_svhn_classifier",
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Table 2.4, epsilon 0.005; SVHN as TFDS prepared it, in $TFDS_DATA_DIR. For an accelerator."""
  return robustness(workdir, seeds=seeds, quiet=quiet, base=base, epsilon=0.005, methods=("WINN",), overrides=overrides)


def _attacks(epsilon: float) -> list[Any]:
  from genjax.ops.attack import fgsm, pgd

  return [
    fgsm(epsilon),  # the thesis'
    fgsm(epsilon, loss="log_odds"),
    fgsm(epsilon, loss="margin"),
    pgd(epsilon, loss="margin", restarts=3),
    pgd(4 * epsilon, norm="l2", loss="margin", restarts=3),
  ]


def _named(base: str, arg: str) -> str:
  name, _, given = base.partition(":")
  words = ",".join(filter(None, (given, arg)))
  return f"{name}:{words}" if words else name


def _test(of: Contender) -> Any:
  """The test split that the config of a model names."""
  return of.it.data.split(of.it.config.metrics.test.split)


def _duels(
  contenders: Sequence[Contender], views: Mapping[str, Any], attacks: Sequence[Any], test: Any, seed: int
) -> list[Any]:
  """Every method against the baseline, under every attack."""
  import jax

  from genjax.metrics import robustness

  baseline, *methods = (robustness.Model(one.name, views[one.name], one.state) for one in contenders)
  images, labels = test.examples["image"], test.examples["label"]
  card = {"split": test.name, "seed": seed}
  return [
    robustness.robustness(jax.random.key(seed), baseline, method, images, labels, attack=attack, **card)
    for attack in attacks
    for method in methods
  ]


def _alone(one: Contender, test: Any, seed: int) -> dict[str, float]:
  """Error, calibration, and how well images from elsewhere are detected: by f, or by the baseline's confidence."""
  import jax
  import numpy as np

  from genjax.metrics.detection import confidence, separation
  from genjax.ops import calibration
  from genjax.ops.augment import to_unit

  views, images, labels = one.it.system.views, test.examples["image"], test.examples["label"]
  classify = lambda images: views["classify"](one.state, images)
  score = lambda images: views["score"](one.state, images)
  of_batch = jax.jit(lambda images: classify(to_unit(images)))
  logits = np.concatenate([of_batch(part) for part in np.array_split(images, -(-len(images) // _BATCH))])
  detector = confidence(classify) if one.name == "baseline" else score
  apart = separation(detector, images, _elsewhere(one, images, seed), split=test.name, subject=one.name, seed=seed)
  return {
    "error": float((logits.argmax(-1) != labels).mean()),
    "calibration error": calibration.expected_calibration_error(logits, labels),
    "negative log-likelihood": calibration.negative_log_likelihood(logits, labels),
    **{f"AUROC, {name}": measures["auroc"].value for name, measures in apart.items()},
  }


def _elsewhere(one: Contender, images: Any, seed: int) -> dict[str, Any]:
  """p0, the sets that are made of the images, and the data set of config.metrics.detection.against, if there is one."""
  import jax
  import numpy as np

  from genjax.make import make
  from genjax.metrics.detection import out_sets
  from genjax.ops.augment import to_uint8

  p0 = make("noise", one.it.config.noise, one.it.maker)(jax.random.key(seed), len(images))
  sets = {"p0": np.asarray(to_uint8(p0)), **out_sets(images, seed=seed)}
  if section := (one.it.config.metrics.get("detection") or {}).get("against"):
    other = make("data", section, one.it.maker, at="config.metrics.detection.against")
    sets[other.facts["name"]] = other.split("test").examples["image"]
  return sets


def _cards(duel: Any) -> dict[str, Any]:
  return {name: part.to_dict() if hasattr(part, "to_dict") else part for name, part in duel._asdict().items()}


def _table_alone(alone: Sequence[Mapping[str, Any]]) -> str:
  """Mean and deviation over the seeds of all that was measured of each model alone, as text."""
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
  lines.append("AUROC: test images against others, by f; of the baseline, by the largest class probability")
  return "\n".join(lines)
