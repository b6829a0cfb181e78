"""Makes the objects that a config names (data, system, metrics), and opens the trained state of a workdir.

Checked  tests/test_run.py, test_run_own.py
"""

import os
import traceback
from collections.abc import Collection, Mapping
from typing import Any, Literal

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from genjax import workdir as workdirs
from genjax.config import OTHERS, SECTIONS, WORDS, kept_config
from genjax.core import Batch, Experiment, Metric, State, System
from genjax.evaluate import Evaluation, named
from genjax.make import Maker, check_plain, check_range, checked, function_of, is_ours, make, parameters
from genjax.registry import TRAIN, UsageError, load, origin
from genjax.train.compiled import jit_sample
from genjax.train.mesh import make_mesh

Allow = Collection[str] | None  # packages whose code names in a config may import; None: any
Precision = Literal["float32", "bfloat16"]
ON_A_GRID = ("winn", "winn_classifier", "metaoptnet", "vae", "gpt")  # whose numbers on one are tested


def experiment(
  config: ConfigDict, *, allow: Allow = None, trust: Collection[str] = (), devices: int | None = None
) -> Experiment:
  """Opens the data and makes the system of a config; compiles nothing.

  Args:
    config: from config.load_config, with its overrides.
    allow: packages whose code the config's names may import; None: any.
    trust: further packages, whose code the configs of other runs may import, from whose workdirs it takes nets.
    devices: that the system will run on; None: those that are here.

  Raises:
    UsageError: one line that names the key.
  """
  missing = [name for name in SECTIONS if config.get(name) is None]
  if missing:
    raise UsageError(f"config.{missing[0]} is missing")
  check_range("seed", checked(config.seed, int, at="config.seed"), at="config.seed")
  check_plain(load(TRAIN), config.train, at="config.train")
  special = {"weights": _with_weights(allow), "run": _of_another_run({*(allow or ()), *trust})}
  here = {"seed": config.seed, "process": jax.process_index(), "processes": jax.process_count()}
  here |= {"batch": config.data.batch} if "batch" in config.data else {}
  data = make("data", config.data, Maker(here, allow, special))
  facts = {**data.facts, "decay_steps": config.train.get("steps"), "queues": devices or jax.device_count()}
  beside = {key: config[key] for key in config if key not in (*SECTIONS, *OTHERS, *WORDS)}
  maker = Maker({**facts, **_of_nets(config)}, allow, special)
  system = make("system", config.system, maker, beside=beside)
  sections = {"config.system": config.system, **{f"config.{key}": section for key, section in beside.items()}}
  return Experiment(config, data, answering(system, sections, allow), facts, maker)


def mesh_of(config: ConfigDict) -> Mesh:
  """All devices, as config.mesh arranges them. Raises UsageError, or BadSetting where they do not make such a grid."""
  section = config.get("mesh") or {}
  check_plain(make_mesh, section, at="config.mesh")
  if config.system.get("name") not in ON_A_GRID and max(section.get("fsdp", 1), section.get("model", 1)) > 1:
    raise UsageError(
      f"config.mesh.fsdp and .model stay 1 with the system {config.system.get('name')}: XLA gave a GAN wrong gradients "
      f"on such a grid, so it is for {', '.join(ON_A_GRID)}; all devices share the examples of a step"
    )
  return make_mesh(**section)


def _of_nets(config: ConfigDict) -> dict[str, Any]:
  """Arguments of every net that its section leaves out: config.dtype, in which nets multiply. Raises UsageError."""
  if config.get("dtype") is None:
    return {}
  return {"dtype": checked(config.dtype, Precision, at="config.dtype")}


def answering(system: System, sections: Mapping[str, Any], allow: Allow = None) -> System:
  """The system, whose `init` raises UsageError for settings that make no state: one line that names their section.

  A net's settings meet the images when `init` is traced, which is before anything is compiled. What a user's file
  raises is named with the file and the line.

  Args:
    system: as `make` gave it.
    sections: where they stand -> the sections that it was made of.
    allow: packages whose code names in a config may import; None: any.
  """
  classes = {}
  for at, section in sections.items():
    if isinstance(section, ConfigDict) and not {"weights", "run"} & set(section.keys()):
      function = function_of(at.rpartition(".")[2], section, allow, at=at)
      classes |= {function: at} if isinstance(function, type) else {}

  def init(key: jax.Array, batch: Batch) -> State:
    try:
      return system.init(key, batch)
    except Exception as error:  # JAX, Flax and a user's net have errors of their own
      selves = [type(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)]
      at = next((f"{classes[one]}: " for one in reversed(selves) if one in classes), "")
      text = str(error) if type(error) is ValueError and is_ours(system.init) else origin(error)
      raise UsageError(f"{at}{text}") from error

  return system._replace(init=init)


def metrics_of(it: Experiment, *, seed: int | None = None, check: bool = True) -> Evaluation:
  """The metrics that a config asks for, after a check that the system has their views and that the data suit them.

  Args:
    it: from `experiment`.
    seed: of the samples, for the cards; None: config.seed.
    check: whether the data suit them, which may read all of the data.

  Raises:
    UsageError: an unknown metric, a view that the system does not have, or data that it cannot measure.
  """
  config = it.config
  sections = config.get("metrics") or {}
  averaged = bool(config.system.get("ema") or config.system.get("ema_half_life"))
  maker = it.maker._replace(facts={**it.facts, "seed": config.seed if seed is None else seed, "ema": averaged})
  metrics: dict[str, Metric] = {}
  for key, section in sections.items():
    if section is None:  # --config.metrics.copies=none
      continue
    if not isinstance(section, ConfigDict):
      raise UsageError(f"config.metrics.{key} is no section; a metric is one: config.metrics.frechet.samples=500")
    call = {"name": key, **{name: value for name, value in section.items() if name != "final"}}
    metrics[key] = make("metrics", call, maker, at=f"config.metrics.{key}")
    lacking = [view for view in metrics[key].needs if view not in it.system.views]
    if lacking:
      raise UsageError(
        f"config.metrics.{key} needs the view {lacking[0]!r}, which system {config.system.name} does not have; "
        f"it has {', '.join(it.system.views) or 'none'}; --config.metrics.{key}=none leaves the metric out"
      )
    try:
      if check:
        metrics[key].check(it.data)
    except (ValueError, OSError) as error:
      raise UsageError(f"config.metrics.{key}: {error}") from error
  final = frozenset(key for key in metrics if sections[key].get("final"))
  names = {key: sections[key].get("name", key) for key in metrics}
  return Evaluation(metrics, names, final)


def refuse_best_of_test(it: Experiment, measured: Evaluation) -> None:
  """Raises UsageError where the number that chooses a state is measured on the test split."""
  best = it.config.train.get("best")
  for key, metric in measured.metrics.items():
    if best not in (named(measured, key, number) for number in metric.better):
      continue
    section = it.config.metrics[key]
    function = function_of("metrics", {"name": measured.names[key]}, it.maker.allow, at=f"config.metrics.{key}")
    default = parameters(function).get("split")
    split = str(section.get("split", default.default if default else ""))
    if split.partition("[")[0].strip() == "test":
      raise UsageError(
        f"config.train.best={best!r} is measured on split={split}: what chooses a state says nothing of it any more; "
        f"choose by a section of its own, config.metrics.validation.name={measured.names[key]} with split=train[90%:], "
        "while data.split=train[:90%]"
      )


def sampler(system: System, mesh: Mesh) -> Any:
  """The compiled view "sample", or None where the system has none."""
  view = system.views.get("sample")
  return view and jit_sample(view, mesh)


def join_hosts() -> None:
  """Connects the hosts of a slice, before the first array is made; one host alone does nothing. Raises UsageError."""
  hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
  several = "," in hosts or {"JAX_COORDINATOR_ADDRESS", "GENJAX_SEVERAL_HOSTS"} & set(os.environ)
  if several and not jax.distributed.is_initialized():
    try:
      jax.distributed.initialize(initialization_timeout=300)
    except Exception as error:
      raise UsageError(f"the hosts did not meet ({error}); was the command started with --worker=all?") from error


# Nets of another run, and of a file -----------------------------------------------------------------------------------


def opened(workdir: str, step: int | str | None = None, *, allow: Allow = None) -> tuple[Experiment, Any, int]:
  """The experiment of a workdir, the state of a checkpoint, and its step. Raises UsageError."""
  config = kept_config(workdir)
  if config is None:
    raise UsageError(f"there is no config.json in {workdir}; train first: genjax train --workdir {workdir} ...")
  it = experiment(config, allow=allow)
  return it, *workdirs.restored(it.system, it.data, workdir, step, seed=config.seed)


def starting_from(workdir: str, trust: Collection[str]) -> Any:
  """A fresh state -> the same state with the newest weights of another run, whose config may import `trust`."""
  _, other, _ = opened(workdir, allow=trust)
  return lambda fresh: workdirs.with_weights_of(other, fresh)


def _with_weights(allow: Allow) -> Any:
  """Makes a section with `weights`: the net that it names, which starts from the variables of that file."""

  def build(section: Mapping[str, Any], kind: str, at: str) -> Any:
    from genjax.convert import load_variables
    from genjax.systems.pretrained import with_weights

    rest = {key: value for key, value in section.items() if key != "weights"}
    net = make(kind, rest, Maker(allow=allow), at=at)
    try:
      return with_weights(net, load_variables(section["weights"]).variables)
    except (OSError, ValueError) as error:
      raise UsageError(f"{at}.weights={section['weights']!r}: {error}") from error

  return build


def _of_another_run(trust: Collection[str]) -> Any:
  """Makes {"run": workdir, "view": name, "step": ...}: that view of the run's state, a function of examples."""

  def build(section: Mapping[str, Any], kind: str, at: str) -> Any:
    wrong = set(section.keys()) - {"run", "view", "step"}
    if wrong or "view" not in section:
      raise UsageError(f"{at} of another run takes run, view and step, and needs view; not {', '.join(sorted(wrong))}")
    it, state, step = opened(section["run"], section.get("step"), allow=trust)
    view = it.system.views.get(section["view"])
    if view is None:
      raise UsageError(f"{at}.view={section['view']!r}; the run's system has {', '.join(it.system.views)}")
    of_run = lambda *examples: view(state, *examples)
    if kind == "extractor":  # for the card, and for metrics of logits
      of_run.description = f"the view {section['view']} of {section['run']} at step {step}, not Inception"
      of_run.logits = section["view"] == "classify"
    return of_run

  return build
