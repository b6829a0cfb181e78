"""From a config to its parts: data, system, metrics.

Below this file and parts.py there are no configs: every section of one becomes the keyword arguments of one function.

Checked  tests/test_main.py
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from genjax.command import UsageError, arguments, pick
from genjax.parts import EPISODIC, NOISES, SAMPLERS, SAMPLES, SYSTEMS, Made, Parts, make, resolve

_AUGMENT = 0x617567  # "aug": the preparation's key of a step, apart from those that the system splits off


def build(config: ConfigDict) -> Parts:
  """Opens the data and makes the system of a config; compiles nothing. Raises UsageError."""
  if config.system.name in EPISODIC:
    return resolve("genjax.build_episodes:build_episodes")(config)
  import jax

  from genjax import data
  from genjax.ops.augment import prepare

  augment = {key: config.data[key] for key in ("flip", "pad", "crop") if key in config.data}
  section = ConfigDict(
    {"split": _splits(config)[0], **{k: v for k, v in config.data.items() if k not in (*augment, "split")}}
  )
  try:
    opened = data.open_data(
      config.data.name,
      seed=config.seed,
      process=jax.process_index(),
      processes=jax.process_count(),
      **arguments(section, data.open_data, "data"),
    )
    crop = augment.get("crop", 0)
    shape = (crop, crop, opened.shape[2]) if crop else tuple(opened.shape)
    made = pick({**SYSTEMS, **EPISODIC}, config.system, "system")(config, shape, opened.classes)
    canvas = _canvas(config, shape, made) if "sample" in config else None
  except UsageError:
    raise
  except (ValueError, TypeError, OSError) as error:
    raise UsageError(str(error)) from error

  def prepared(key, raw):
    return prepare(jax.random.fold_in(key, _AUGMENT), raw, **augment)

  system = made.system
  whole = system._replace(
    init=lambda key, raw: system.init(key, prepared(key, raw)),
    step=lambda key, state, raw: system.step(key, state, prepared(key, raw)),
    evaluate=system.evaluate and (lambda key, state, raw: system.evaluate(key, state, prepared(key, raw))),
  )
  return Parts(whole, opened, shape, made.kernels, made.views, canvas)


def _canvas(config: ConfigDict, shape: tuple[int, int, int], made: Made) -> Callable[..., Any]:
  """Pictures of the size that section `sample` says; the work of each is split over the devices of a mesh."""
  from jax import lax

  from genjax.ops.canvas import Stage
  from genjax.train.mesh import batch_sharding

  noise, rule = make(NOISES, config, "noise", shape), make(SAMPLERS, config, "sampler")
  draw = make(SAMPLES, config, "sample", noise, rule, shape)
  stages = made.views.get("stages") or (lambda state: [Stage(made.views["score"](state), state.bounds)])

  def canvas(key, state, n, mesh):
    spread = lambda lanes: lax.with_sharding_constraint(lanes, batch_sharding(mesh))
    return draw(key, stages(state), n, mesh.size, spread)

  return canvas


def by_latents(latents: Any, options: Mapping[str, Any]) -> tuple[Callable[[Any], Any], int | None, int]:
  """Of `genjax sample`: key -> images of --truncation, --interpolate or --mix; the columns of their grid, their number.

  Raises:
    UsageError: numbers that make no picture, or a generator of one style to be mixed.
  """
  from genjax.ops import latents as draw

  psi, across, mix = options.get("truncation", 1.0), options.get("interpolate"), options.get("mix", False)
  if psi < 0 or (across is not None and (across < 2 or mix)):
    raise UsageError("--truncation takes 0 or more, --interpolate 2 or more; --mix is another picture")
  if mix and latents.styles < 2:
    raise UsageError("--mix is for generators whose images are made of several w; this one has one style")
  if psi != 1:
    print("truncated " + ("towards the mean of w" if latents.has_w else f"by latents times {psi:g}: no w here"))
  rows = options.get("n", 64 if across is None and not mix else 8)
  if across is not None:
    return lambda key: draw.interpolated(key, latents, rows, across, psi), across, rows * across
  if mix:
    return lambda key: draw.mixed(key, latents, rows, rows, latents.styles // 2, psi), rows + 1, (rows + 1) ** 2
  return lambda key: draw.sampled(key, latents, rows, psi), None, rows


def _averaged(config: ConfigDict) -> bool:
  """Whether an average of weights is what samples."""
  return bool(config.system.get("ema") or config.system.get("ema_half_life"))


def _splits(config: ConfigDict) -> tuple[str, str]:
  """Splits to train on and to measure against. A folder has one part only: its last tenth is held out."""
  if config.data.name == "folder" and (config.data.split, config.metrics.split) == ("train", "test"):
    return "train[:90%]", "train[90%:]"
  return config.data.split, config.metrics.split


class Judge(NamedTuple):
  """Metrics of samples bound to the real images of a config; `real` [N, H, W, C] uint8 are training images."""

  metrics: Any
  real: Any
  seed: int
  ema: bool
  samples: int

  def __call__(self, key, state, sample) -> dict[str, float]:
    return self.measure(key, state, sample)[1].values()

  def measure(self, key, state, sample):
    import numpy as np

    images = np.asarray(sample(key, state, self.samples))
    return images, self.metrics.measure(images, ema=self.ema, seed=self.seed)

  def numbers(self, key, state, sample) -> dict[str, Any]:
    """Every number with its card."""
    return self.measure(key, state, sample)[1].numbers

  @property
  def anchors(self) -> dict[str, Any]:
    return self.metrics.anchors


class ErrorJudge(NamedTuple):
  """Errors of a classifier. A run sees those of the validation split only; those of the test split come at its end."""

  metrics: Any
  seed: int
  ema: bool

  def __call__(self, key, state, sample) -> dict[str, float]:
    del key, sample
    return {name: number.value for name, number in self._measure(state, ("validation",)).items()}

  def numbers(self, key, state, sample) -> dict[str, Any]:
    """Every number with its card."""
    del key, sample
    return self._measure(state, self.metrics.roles)

  @property
  def anchors(self) -> dict[str, Any]:
    return {}

  def _measure(self, state, roles):
    return self.metrics.measure(state, roles, ema=self.ema, seed=self.seed)


class ModeJudge(NamedTuple):
  """The modes of a mixture that samples cover."""

  name: str  # of the mixture
  seed: int
  ema: bool
  samples: int

  def __call__(self, key, state, sample) -> dict[str, float]:
    return {name: number.value for name, number in self.numbers(key, state, sample).items()}

  def numbers(self, key, state, sample) -> dict[str, Any]:
    """Every number with its card."""
    import numpy as np

    from genjax.data.mixtures import CENTRES, DEVIATION
    from genjax.metrics.card import Card, Number, digest
    from genjax.metrics.modes import WITHIN, modes

    centres = CENTRES[self.name]
    found = modes(np.asarray(sample(key, state, self.samples)).reshape(-1, 2), centres, DEVIATION)
    card = lambda name: Card(
      metric=f"{name}, within {WITHIN:g} deviations",
      subject="samples",
      generated=self.samples,
      reference=len(centres),
      split=f"centres of {self.name}",
      data_digest=digest(centres),
      quantisation="none",
      ema=self.ema,
      seed=self.seed,
      precision=None,
    )
    values = {"modes": float(found.covered), "good": found.good, "balance": found.balance}
    return {name: Number(value, card(name)) for name, value in values.items()}

  @property
  def anchors(self) -> dict[str, Any]:
    return {}


def judge(config: ConfigDict, parts: Parts) -> Any:
  """The metrics of a config (Judge, ErrorJudge, ModeJudge, EpisodeJudge), or None where it asks for none.

  Raises:
    UsageError: metrics that do not fit the system or the data.
  """
  name, best = config.metrics.name, config.train.get("best", "")
  if name not in ("", "frechet", "error", "modes", "few_shot"):
    raise UsageError(f"no config.metrics.name={name!r}; there is frechet, error, modes, few_shot, or '' for none")
  if name and (name == "few_shot") != (config.system.name in EPISODIC):
    raise UsageError(
      f"config.metrics.name={name!r} does not measure system {config.system.name}; "
      f"few_shot is for {', '.join(EPISODIC)}, the rest for the others"
    )
  allowed = {"error": ("validation_error", "validation_cross_entropy"), "few_shot": ("validation_error",)}.get(name, ())
  if best and best not in allowed:
    known = ", ".join(allowed) or "'', for config.metrics.name='error' and 'few_shot' alone have validation data"
    raise UsageError(f"config.train.best={best!r}: a model is chosen on validation data; use {known}")
  if not name:
    return None
  if name == "few_shot":
    return resolve("genjax.build_episodes:judge_episodes")(config, parts)
  return {"frechet": _frechet, "error": _errors, "modes": _modes}[name](config, parts)


def _frechet(config: ConfigDict, parts: Parts) -> Judge:
  if parts.data.images is None or parts.shape != tuple(parts.data.shape):
    raise UsageError(
      "metrics need whole images that fit in memory; set config.metrics.name='' for a streamed or cropped set"
    )
  from genjax import data
  from genjax.metrics import evaluator

  train = parts.data.images
  where = {key: config.data[key] for key in ("size", "channels", "path", "data_dir")}
  try:
    held_out = data.load(config.data.name, split=_splits(config)[1], **where)
    extractor = evaluator.make_extractor(
      {"image": train.images, "label": train.labels},
      {"image": held_out.images, "label": held_out.labels},
      classes=parts.data.classes,
      data_name=config.data.name,
    )
    metrics = evaluator.sample_metrics(
      extractor,
      train.images,
      held_out.images,
      n=config.metrics.samples,
      split=f"{config.data.name}/{_splits(config)[1]}",
    )
  except (ValueError, OSError) as error:
    raise UsageError(str(error)) from error
  return Judge(metrics, train.images, config.seed, _averaged(config), config.metrics.samples)


def _modes(config: ConfigDict, parts: Parts) -> ModeJudge:
  from genjax.data.mixtures import CENTRES

  if config.data.name not in CENTRES:
    raise UsageError(f"config.metrics.name='modes' needs a mixture; set config.data.name to {' or '.join(CENTRES)}")
  del parts
  return ModeJudge(config.data.name, config.seed, _averaged(config), config.metrics.samples)


def _errors(config: ConfigDict, parts: Parts) -> ErrorJudge:
  """Errors on config.metrics.validation, which chooses a model, and on config.metrics.split, which judges it."""
  if "classify" not in parts.views:
    raise UsageError(f"system {config.system.name} does not classify; config.metrics.name='error' takes one that does")
  if parts.shape != tuple(parts.data.shape):
    raise UsageError(f"errors are of whole images; set config.data.crop=0, not {config.data.crop}")
  from genjax import data
  from genjax.metrics import classification

  where = {key: config.data[key] for key in ("size", "channels", "path", "data_dir")}
  view = parts.views["classify"]
  try:
    splits = {}
    for role, split in (("validation", config.metrics.validation), ("test", config.metrics.split)):
      held_out = data.load(config.data.name, split=split, **where)
      _check_apart(config, parts, held_out, role, split)
      splits[role] = classification.Split(held_out.images, held_out.labels, f"{config.data.name}/{split}")
    metrics = classification.error_metrics(lambda state, images: view(state)(images), splits)
  except (ValueError, OSError) as error:
    raise UsageError(str(error)) from error
  return ErrorJudge(metrics, config.seed, _averaged(config))


def _check_apart(config: ConfigDict, parts: Parts, held_out: Any, role: str, split: str) -> None:
  """A split that was trained on says nothing. Some sets have a few images twice, so only most of them count."""
  if parts.data.images is None:
    return
  trained = {image.tobytes() for image in parts.data.images.images}
  shared = sum(image.tobytes() in trained for image in held_out.images)
  if shared > len(held_out.images) / 2:
    raise ValueError(
      f"{shared} of {len(held_out.images)} {role} images of {split!r} are trained on ({config.data.split!r}); "
      'keep them apart: config.data.split="train[:80%]" and config.metrics.validation="train[80%:]"'
    )
