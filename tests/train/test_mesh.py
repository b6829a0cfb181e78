"""Batches are split over the devices, states are copied or split by path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from genjax.train.errors import BadSetting
from genjax.train.mesh import batch_sharding, make_mesh, place, state_shardings


def test_the_mesh_is_one_axis_over_all_devices():
  assert dict(make_mesh().shape) == {"data": 8}
  assert dict(make_mesh(jax.devices()[:3]).shape) == {"data": 3}


@pytest.mark.parametrize(
  ("path", "split"), [("pool", True), ("deep/pool/images", True), ("carpool", False), ("pooling", False)]
)
def test_a_pool_is_split_by_its_path_and_all_else_is_copied(path, split):
  tree = jnp.zeros((16, 2))
  for name in reversed(path.split("/")):
    tree = {name: tree}
  (sharding,) = jax.tree.leaves(state_shardings(make_mesh(), tree))
  assert sharding.spec == (PartitionSpec("data") if split else PartitionSpec())


def test_a_rule_of_ones_own_replaces_the_default():
  shardings = state_shardings(
    make_mesh(), {"pool": jnp.zeros(16), "chains": jnp.zeros(16)}, rules=((r"^chains$", "data"),)
  )
  assert shardings["pool"].spec == PartitionSpec()
  assert shardings["chains"].spec == PartitionSpec("data")


def test_a_pool_that_does_not_divide_is_refused_by_name():
  with pytest.raises(BadSetting, match="memory/pool of 100 slots does not divide over 8 devices; use a multiple of 8"):
    state_shardings(make_mesh(), {"memory": {"pool": jnp.zeros((100, 3))}})


@pytest.mark.parametrize("stacked", [False, True])
def test_a_placed_batch_has_the_same_values_split_by_example(stacked):
  mesh = make_mesh()
  host = np.arange(5 * 16 * 3, dtype=np.float32).reshape((5, 16, 3) if stacked else (80, 3))
  placed = place(mesh, {"image": host}, stacked=stacked)["image"]
  np.testing.assert_array_equal(np.asarray(placed), host)
  assert placed.sharding == batch_sharding(mesh, stacked=stacked)
  assert placed.addressable_shards[0].data.shape == ((5, 2, 3) if stacked else (10, 3))


@pytest.mark.parametrize(("stacked", "shape"), [(False, (100, 4)), (True, (8, 100, 4))])
def test_a_batch_that_does_not_divide_names_its_setting(stacked, shape):
  message = r"batch 100 does not divide over 8 devices; use a multiple of 8 \(config.data.batch\)"
  with pytest.raises(BadSetting, match=message):
    place(make_mesh(), {"image": np.zeros(shape, np.uint8)}, stacked=stacked)


def test_a_batch_without_an_axis_of_examples_is_refused():
  with pytest.raises(BadSetting, match=r"batch\['label'\] has shape \(\)"):
    place(make_mesh(), {"label": np.int32(3)})
