"""Where a metric's passes run: on all devices of this process, each with a share of the images.

Checked  tests/metrics/test_extractor.py, tests/metrics/test_inception_extractor.py
"""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def split() -> NamedSharding:
  """The first axis over all devices of this process."""
  return _on(PartitionSpec("images"))


def copied() -> NamedSharding:
  """The whole on each of them."""
  return _on(PartitionSpec())


def multiple(batch: int) -> int:
  """The batch, rounded up to a multiple of the devices."""
  devices = len(jax.local_devices())
  return -(-batch // devices) * devices


def _on(spec: PartitionSpec) -> NamedSharding:
  return NamedSharding(Mesh(np.array(jax.local_devices()), ("images",), axis_types=(AxisType.Auto,)), spec)
