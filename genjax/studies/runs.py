"""The runs of a study: trained once, found again, opened.

Checked  tests/studies/test_runs.py
"""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from genjax import main
from genjax.build import Parts, build
from genjax.command import load_config, override
from genjax.train.log import read_json, write_json


class Run(NamedTuple):
  """A finished run."""

  config: ConfigDict
  workdir: str
  summary: Mapping[str, Any]


def settings(name: str, overrides: Mapping[str, Any] | None = None, *, seed: int = 0) -> ConfigDict:
  """Config `name[:arg]` with `overrides` of its keys ("train.steps": 10) and a seed."""
  config = load_config(name)
  for key, value in {**(overrides or {}), "seed": seed}.items():
    override(config, key, str(value))
  return config


def trained(config: ConfigDict, workdir: str, *, quiet: bool = False) -> Run:
  """Trains `config` in `workdir`, goes on there, or finds it finished."""
  summary = read_json(os.path.join(workdir, "summary.json"))
  if summary is None or summary["steps"] < config.train.steps or not main.holds(config, workdir):
    summary = main.train(config, workdir, quiet=quiet)
  return Run(config, workdir, summary)


def opened(run: Run, step: int | str | None = None) -> tuple[Parts, Any]:
  """Its parts and the state of a checkpoint: of `step`, "best", or the newest."""
  parts = build(run.config)
  return parts, main.restored(run.config, run.workdir, parts, step)[0]


def kept(workdir: str, name: str, value: Any) -> None:
  """Writes a study's numbers as JSON beside its runs."""
  write_json(os.path.join(workdir, f"{name}.json"), json.loads(json.dumps(value)))
