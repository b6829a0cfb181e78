"""At which steps a run logs, saves, draws samples and evaluates, and which settings cannot work.

Checked  tests/train/test_loop.py, test_loop_refusals.py
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from genjax.train.errors import BadSetting


class Every(NamedTuple):
  """Steps between two of each; the last step has all of them, but samples where `sample` is 0."""

  log: int
  checkpoint: int
  sample: int  # 0: never
  evaluate: int  # 0: at the last step only


def is_time(step: int, every: int, last: int) -> bool:
  """Whether what happens `every` so many steps is due at this one."""
  return step == last or bool(every and step % every == 0)


def is_due(step: int, every: Every, last: int) -> bool:
  """Whether anything is due at this step."""
  return any(is_time(step, one, last) for one in every)


def check_steps(steps: int, steps_per_call: int, every: Every, keep: int) -> None:
  """Raises BadSetting for numbers that cannot work; the message names the setting."""
  if steps < 1 or steps_per_call < 1:
    raise BadSetting(f"config.train.steps={steps} and config.train.steps_per_call={steps_per_call}; both start at 1")
  for name, value in {"steps": steps, **{f"{name}_every": value for name, value in every._asdict().items()}}.items():
    if value < 0 or value % steps_per_call:
      low = max(value // steps_per_call * steps_per_call, 0)
      raise BadSetting(
        f"config.train.{name}={value} is not a multiple of config.train.steps_per_call={steps_per_call}; "
        f"use {low} or {low + steps_per_call}"
      )
  for name in ("log", "checkpoint"):
    if not getattr(every, name):
      raise BadSetting(f"config.train.{name}_every=0; use at least config.train.steps_per_call={steps_per_call}")
  if keep < 1:
    raise BadSetting(f"config.train.keep={keep}; keep at least 1 checkpoint")


def check_samples(every: int, samples: int, *, drawn: bool, shown: bool) -> None:
  """Raises BadSetting where samples are asked for that nobody can draw or show.

  Args:
    every: steps between samples, 0 for none.
    samples: examples drawn each time.
    drawn: whether the system has the view `sample`.
    shown: whether the data set has a `show`.
  """
  if not every:
    return
  if samples < 1:
    raise BadSetting(f"config.train.samples={samples}; use at least 1, or config.train.sample_every=0")
  if not drawn:
    raise BadSetting("this system has no view `sample`, so it draws no samples; set config.train.sample_every=0")
  if not shown:
    raise BadSetting("this data set cannot show samples (Dataset.show is None); set config.train.sample_every=0")


def check_evaluation(every: int, evaluators: Collection[str], best: str, better: Mapping[str, str]) -> None:
  """Raises BadSetting where there is nothing to evaluate, or `best` names no number that has a better direction.

  Args:
    every: steps between evaluations, 0 for the last step only.
    evaluators: their names.
    best: the number that chooses a state, "" for none.
    better: number to "lower", "higher" or "neither".
  """
  if every and not evaluators:
    raise BadSetting(f"config.train.evaluate_every={every}, but there is nothing to evaluate; use 0")
  if best and not evaluators:
    raise BadSetting(f"config.train.best={best!r}, but there is nothing to evaluate; use ''")
  known = ", ".join(name for name, direction in better.items() if direction in ("lower", "higher"))
  if best and better.get(best) not in ("lower", "higher"):
    why = "is measured, but neither lower nor higher is better" if best in better else "is not measured"
    raise BadSetting(f"config.train.best={best!r} {why}; use {f'one of {known}, or ' if known else ''}''")


def check_start(start: int, steps: int) -> None:
  """Raises BadSetting for a workdir whose newest checkpoint is beyond the end of this run."""
  if start > steps:
    raise BadSetting(
      f"the workdir is at step {start}, beyond config.train.steps={steps}; use {start} or more, or another --workdir"
    )
