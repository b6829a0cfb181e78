"""Batches are split over the devices, states are copied or split by path, on a grid of three axes."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from genjax.train.errors import BadSetting
from genjax.train.mesh import DEFAULT_RULES, batch_sharding, examples, make_mesh, place, rules_of, state_shardings

SPLIT = PartitionSpec(("data", "fsdp"))


def specs(mesh, tree, rules=DEFAULT_RULES):
  return jax.tree.map(lambda sharding: sharding.spec, state_shardings(mesh, tree, rules))


def test_the_mesh_is_a_grid_of_all_devices_of_which_data_has_what_is_left():
  assert dict(make_mesh().shape) == {"data": 8, "fsdp": 1, "model": 1}
  assert dict(make_mesh(jax.devices()[:3]).shape) == {"data": 3, "fsdp": 1, "model": 1}
  mesh = make_mesh(fsdp=2, model=2)
  assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "model": 2}
  assert mesh.devices.ravel().tolist() == jax.devices()
  assert dict(make_mesh(data=2, fsdp=4).shape) == {"data": 2, "fsdp": 4, "model": 1}


@pytest.mark.parametrize(
  ("sizes", "message"),
  [
    ({"fsdp": 3}, r"config.mesh.fsdp=3 times config.mesh.model=1 does not divide 8 devices; use 1 and 1"),
    ({"fsdp": 4, "model": 4}, "fsdp=4 times config.mesh.model=4 does not divide 8 devices"),
    ({"model": 0}, "config.mesh.model=0 does not divide"),
    ({"data": 2, "fsdp": 2}, "config.mesh is data=2, fsdp=2, model=1, there are 8 devices; use data=-1"),
    ({"data": 0}, "config.mesh is data=0"),
  ],
)
def test_a_grid_that_the_devices_do_not_make_is_refused(sizes, message):
  with pytest.raises(BadSetting, match=message):
    make_mesh(**sizes)


def test_one_process_has_all_devices_along_model():
  """Else several processes would have to read the same examples."""
  devices = [SimpleNamespace(process_index=place // 2) for place in range(8)]
  with pytest.raises(BadSetting, match=r"config.mesh.model=4 spans processes of 2 devices; use a divisor of 2"):
    make_mesh(devices, model=4)


def test_a_kernel_is_split_where_it_is_large_and_its_moments_and_its_average_as_it_is():
  shapes = {
    "up": (256, 1024),  # the wide dimension over model, the other over fsdp
    "down": (1024, 256),
    "square": (512, 512),  # of equals the last
    "conv": (3, 3, 128, 256),
    "narrow": (255, 200),  # no dimension is wide
    "odd": (333, 1025),  # no dimension divides
    "bias": (1024,),  # small
    "long": (65536,),
  }
  params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
  state = {"params": params, "ema": {"params": params}, "optimizer": ({"mu": params},), "collections": params}
  split = specs(make_mesh(fsdp=2, model=2), state)
  assert split["params"] == {
    "up": PartitionSpec("fsdp", "model"),
    "down": PartitionSpec("model", "fsdp"),
    "square": PartitionSpec("fsdp", "model"),
    "conv": PartitionSpec(None, None, "fsdp", "model"),
    "narrow": PartitionSpec(None, "fsdp"),
    "odd": PartitionSpec(),
    "bias": PartitionSpec(),
    "long": PartitionSpec("fsdp"),
  }
  assert split["ema"]["params"] == split["optimizer"][0]["mu"] == split["params"]
  assert set(split["collections"].values()) == {PartitionSpec()}
  assert specs(make_mesh(fsdp=8), params | {"params": params})["params"]["up"] == PartitionSpec(None, "fsdp")
  assert set(specs(make_mesh(), state)["params"].values()) == {PartitionSpec()}
  assert specs(make_mesh(model=2), state, rules_of(least=1, width=1))["params"]["narrow"] == PartitionSpec()
  assert specs(make_mesh(model=2), state, rules_of(least=1, width=1))["params"]["bias"] == PartitionSpec()


@pytest.mark.parametrize(
  ("path", "split"), [("pool", True), ("deep/pool/images", True), ("carpool", False), ("pooling", False)]
)
def test_a_pool_is_split_by_its_path_and_all_else_is_copied(path, split):
  tree = jnp.zeros((16, 2))
  for name in reversed(path.split("/")):
    tree = {name: tree}
  (sharding,) = jax.tree.leaves(state_shardings(make_mesh(), tree))
  assert sharding.spec == (SPLIT if split else PartitionSpec())


def test_a_rule_of_ones_own_replaces_the_default():
  shardings = state_shardings(
    make_mesh(), {"pool": jnp.zeros(16), "chains": jnp.zeros(16)}, rules=((r"^chains$", examples),)
  )
  assert shardings["pool"].spec == PartitionSpec()
  assert shardings["chains"].spec == SPLIT


def test_a_pool_that_does_not_divide_is_refused_by_name():
  with pytest.raises(BadSetting, match="memory/pool of 100 slots does not divide over 8 devices; use a multiple of 8"):
    state_shardings(make_mesh(), {"memory": {"pool": jnp.zeros((100, 3))}})
  with pytest.raises(
    BadSetting, match=r"pool of 6 slots does not divide over 4 shares of 8 devices \(config.mesh.model=2\)"
  ):
    state_shardings(make_mesh(model=2), {"pool": jnp.zeros((6, 3))})


@pytest.mark.parametrize("stacked", [False, True])
def test_a_placed_batch_has_the_same_values_split_by_example(stacked):
  mesh = make_mesh()
  host = np.arange(5 * 16 * 3, dtype=np.float32).reshape((5, 16, 3) if stacked else (80, 3))
  placed = place(mesh, {"image": host}, stacked=stacked)["image"]
  np.testing.assert_array_equal(np.asarray(placed), host)
  assert placed.sharding == batch_sharding(mesh, stacked=stacked)
  assert placed.addressable_shards[0].data.shape == ((5, 2, 3) if stacked else (10, 3))


def test_a_batch_is_split_over_data_and_fsdp_and_copied_along_model():
  placed = place(make_mesh(fsdp=2, model=2), {"x": np.arange(8)})["x"]
  assert [shard.data.tolist() for shard in placed.addressable_shards] == [
    [2 * (i // 2), 2 * (i // 2) + 1] for i in range(8)
  ]


@pytest.mark.parametrize(("stacked", "shape"), [(False, (100, 4)), (True, (8, 100, 4))])
def test_a_batch_that_does_not_divide_names_its_setting(stacked, shape):
  message = r"batch 100 does not divide over 8 devices; use a multiple of 8 \(config.data.batch\)"
  with pytest.raises(BadSetting, match=message):
    place(make_mesh(), {"image": np.zeros(shape, np.uint8)}, stacked=stacked)


def test_a_batch_without_an_axis_of_examples_is_refused():
  with pytest.raises(BadSetting, match=r"batch\['label'\] has shape \(\)"):
    place(make_mesh(), {"label": np.int32(3)})
