"""The machine that a run is on, in words: what a number of speed, and the last bits of any other, depend on.

Checked  tests/train/test_bench.py, tests/test_run.py
"""

import os
import platform
from importlib import metadata
from pathlib import Path

import jax

_PACKAGES = ("genjax-vision", "jax", "jaxlib", "flax", "optax", "numpy")


def hardware() -> dict[str, str]:
  """Kind of the devices and of their host."""
  return {"device_kind": jax.devices()[0].device_kind, "cpu": cpu()}


def cpu() -> str:
  """The host's, and its number of cores."""
  model = after("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
  return f"{model}, {os.cpu_count()} cores"


def after(path: str, name: str) -> str | None:
  """What stands behind `name:` in one of Linux's own files, or None."""
  try:
    lines = Path(path).read_text().splitlines()
  except OSError:
    return None
  return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


def versions() -> dict[str, str]:
  """Of Python and of the packages that the numbers depend on."""
  known = {"python": platform.python_version()}
  for name in _PACKAGES:
    try:
      known[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  return known
