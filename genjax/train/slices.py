"""TPU slices by name, on a machine without one: the devices, and the grid of chips that they stand in.

Checked  tests/train/test_plan.py
"""

import importlib.util
import os
import platform
import re
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from genjax.train.chips import Chip, chip_of, grid_of
from genjax.train.errors import BadSetting
from genjax.train.mesh import make_mesh

# Chip grids of the sizes Google Cloud sells: v2, v3, v4, v5p count cores (two a chip), v5e and v6e count chips.
_FLAT = {8: "2x2", 32: "4x4", 64: "4x8", 128: "8x8", 256: "8x16", 512: "16x16", 1024: "16x32", 2048: "32x32"}
_CUBE = {8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8", 1024: "8x8x8"}
_LITE = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_SLICES = {"v2": _FLAT, "v3": _FLAT, "v4": _CUBE, "v5p": _CUBE, "v5e": _LITE, "v5litepod": _LITE, "v6e": _LITE}


def topology(name: str) -> Mesh:
  """The mesh of all devices of a TPU slice, see `devices_of`."""
  return make_mesh(devices_of(name))


def devices_of(name: str) -> list[Any]:
  """The devices of a TPU slice that need not exist; programs can be compiled for them, and not run.

  Args:
    name: a size as Google Cloud sells it ("v3-32", "v4-32", "v5e-8") or a grid of chips ("v3:4x4", "v4:2x2x4").

  Raises:
    BadSetting: libtpu is missing, or there is no such slice.
  """
  kind, grid = _grid(name)
  if os.environ.get("TPU_LIBRARY_PATH") is None and importlib.util.find_spec("libtpu") is None:
    raise BadSetting(
      f"compiling for {name} needs libtpu, which is not installed; pip install '.[tpu]' in the checkout of genjax "
      f"brings it (Linux on x86-64 only; this is {platform.system()} on {platform.machine()})"
    )
  quiet_libtpu()
  options: dict[str, Any] = {"chip_config_name": "megacore"} if kind in ("v4", "v5p") else {}
  if grid == "1x1":
    options["chips_per_host_bounds"] = [1, 1, 1]
  try:
    described = topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{grid}", **options)
  except jax.errors.JaxRuntimeError as error:
    raise BadSetting(f"there is no TPU slice {name!r}: {str(error).splitlines()[0]}") from error
  return described.devices


def chips_of(mesh: Mesh) -> tuple[Chip | None, tuple[int, ...]]:
  """The chip of a mesh's devices, None for one that is not known, and the grid that they stand in."""
  devices = list(mesh.devices.flat)
  chip = chip_of(devices[0].device_kind)
  if chip is None:
    return None, (len(devices),)
  places = [getattr(device, "coords", None) for device in devices]
  if None in places:
    return chip, grid_of(chip, len(devices) // chip.devices)
  return chip, tuple(max(axis) + 1 for axis in zip(*places, strict=True))[: chip.axes]


def quiet_libtpu() -> None:
  """Keeps libtpu from asking a metadata server that is not there; a machine with a TPU is left as it is."""
  if any(os.path.exists(path) for path in ("/dev/accel0", "/dev/vfio/0")):
    return
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v3-8")
  os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # two programs may compile at once


def _grid(name: str) -> tuple[str, str]:
  kind, _, rest = name.replace(":", "-", 1).partition("-")
  sizes = _SLICES.get(kind)
  if sizes is None:
    raise BadSetting(f"there is no TPU {kind!r} in {name!r}; use one of {', '.join(_SLICES)}, as in 'v3-32'")
  kind = "v5e" if kind == "v5litepod" else kind
  if re.fullmatch(r"\d+(x\d+)+", rest):
    return kind, rest
  if not rest.isdigit() or int(rest) not in sizes:
    known = ", ".join(f"{kind}-{size}" for size in sizes)
    raise BadSetting(f"there is no TPU slice {name!r}; use {known}, or a grid of chips as in '{kind}:{sizes[8]}'")
  return kind, sizes[int(rest)]
