"""What a compiled program sends is read from its text exactly; what does not fit or exist is reported in one line."""

import math
import platform
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
import train_toy

from genjax.core import System
from genjax.train import plan, slices
from genjax.train.errors import BadSetting
from genjax.train.mesh import make_mesh

LINUX = pytest.mark.skipif(
  (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="libtpu is made for Linux on x86-64 only"
)


class State(NamedTuple):
  step: jax.Array
  pool: jax.Array


AXES = ("data", "fsdp", "model")
BATCH = {"image": jax.ShapeDtypeStruct((16, 4, 4, 1), jnp.float32)}

# As XLA writes them: on CPU, on TPU with tiled layouts, in pairs of start and done, inside a loop's body.
PROGRAM = """
%body (p: f32[4]) -> f32[4] {
  %all-reduce.4 = (f32[32]{0:T(256)}, bf16[3,3,3,32]{3,2,1,0:T(8,128)(2,1)}, /*index=2*/f32[]) all-reduce(%a, %b, %c), \
channel_id=1, metadata={op_name="jit(call)/while/body/sum" stack_frame_id=7}
  ROOT %ag = (f32[2,8]{1,0}, f32[16,8]{1,0}) all-gather-start(%x), dimensions={0}
  %agd = f32[16,8]{1,0} all-gather-done(%ag)
}
  %cp = ((u8[5], pred[3]), (u8[5], pred[3]), u32[], u32[]) collective-permute-start(%y)
  %ar = f32[7]{0} all-reduce-start(%z), to_apply=%add
  %rs.1 = s32[<=6]{0} reduce-scatter(%w), dimensions={0}
  %a2a = s4[3]{0:T(128)E(4)} all-to-all(%v)
  %use = f32[7]{0} add(%ar, %all-reduce.4), metadata={op_name="no all-reduce("}
"""


def test_every_exchange_is_listed_with_the_bytes_that_arrive():
  exchanges = plan.collectives(PROGRAM)
  assert [(exchange.name, exchange.bytes) for exchange in exchanges] == [
    ("all-reduce", 32 * 4 + 3 * 3 * 3 * 32 * 2 + 4),
    ("all-gather", 16 * 8 * 4),
    ("collective-permute", 5 + 3),
    ("all-reduce", 7 * 4),
    ("reduce-scatter", 6 * 4),
    ("all-to-all", 2),
  ]
  assert exchanges[0].shapes == ("f32[32]", "bf16[3,3,3,32]", "f32[]")
  assert exchanges[0].source == "jit(call)/while/body/sum"


def test_a_sum_over_the_devices_is_one_all_reduce_of_its_size():
  system = _system(lambda state, batch: (state, {"mean": batch["image"].mean((1, 2, 3)).mean()}))
  planned = plan.compile_step(system, BATCH, make_mesh())
  assert planned.fits
  assert [(exchange.name, exchange.bytes) for exchange in planned.collectives if exchange.bytes > 1] == [
    ("all-reduce", 4)
  ]


def test_a_pool_that_is_reversed_over_the_devices_is_caught():
  system = _system(lambda state, batch: (state._replace(pool=state.pool[::-1]), {}))
  moved = [c for c in plan.compile_step(system, BATCH, make_mesh()).collectives if c.name != "all-reduce"]
  assert sum(exchange.bytes for exchange in moved) >= 1000 * 4  # a device's own slot


def test_the_state_is_counted_by_device_and_reused():
  planned = plan.compile_step(train_toy.system(), BATCH, make_mesh(), steps_per_call=2)
  assert planned.state["pool"] == train_toy.SLOTS // 8 * 16 * 4
  assert planned.state["params/in/kernel"] == 16 * train_toy.CODE * 4
  assert planned.memory["alias"] >= planned.state["pool"] + planned.state["params/in/kernel"]
  assert planned.memory["peak"] > 0
  assert planned.flops > 0


def test_samples_that_do_not_divide_are_made_by_every_device_which_the_plan_says():
  sampler = lambda key, state, n: jax.random.normal(key, (n, 3)) + state.pool.mean()
  system = _system(lambda state, batch: (state, {}))._replace(views={"sample": sampler})
  planned = plan.compile_sample(system, BATCH, make_mesh(), 12)
  assert planned.advice == ("12 samples do not divide over 8 devices, so each makes all of them; use a multiple of 8",)


def test_a_system_without_samples_has_no_sampler_to_compile():
  with pytest.raises(BadSetting, match="no view `sample`"):
    plan.compile_sample(_system(lambda state, batch: (state, {})), BATCH, make_mesh(), 8)


@LINUX
@pytest.mark.parametrize(
  ("name", "devices", "kind"),
  [
    ("v2-8", 8, "TPU v2"),
    ("v3-32", 32, "TPU v3"),
    ("v3:4x4", 32, "TPU v3"),
    ("v4-32", 16, "TPU v4"),
    ("v4:2x2x4", 16, "TPU v4"),
    ("v5p-8", 4, "TPU v5"),
    ("v5e-1", 1, "TPU v5 lite"),
    ("v5litepod-16", 16, "TPU v5 lite"),
    ("v6e-8", 8, "TPU v6 lite"),
  ],
)
def test_a_slice_has_the_devices_of_its_name(name, devices, kind):
  mesh = slices.topology(name)
  assert (mesh.axis_names, mesh.size, mesh.devices.flat[0].device_kind) == (AXES, devices, kind)


@pytest.mark.parametrize(
  ("name", "message"),
  [("v3-9", "use v3-8, v3-32"), ("v9-8", "use one of v2, v3"), ("v4", "a grid of chips as in 'v4:2x2x1'")],
)
def test_a_slice_that_nobody_sells_is_refused_with_those_that_are(name, message):
  with pytest.raises(BadSetting, match=message):
    slices.topology(name)


@LINUX
def test_a_grid_that_no_slice_has_is_refused():
  with pytest.raises(BadSetting, match="there is no TPU slice 'v3:9x9'"):
    slices.topology("v3:9x9")


def test_a_missing_libtpu_is_reported_with_what_to_do(monkeypatch):
  monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
  monkeypatch.setattr(slices.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(BadSetting, match="needs libtpu, which is not installed; pip install"):
    slices.topology("v3-8")


@LINUX
def test_a_pool_too_large_for_the_device_is_reported_in_gigabytes():
  side = 1 << 16
  system = _system(lambda state, batch: (state._replace(pool=state.pool * 2), {}), (8, side, side))
  planned = plan.compile_step(system, BATCH, slices.topology("v3-8"))
  assert not planned.fits
  assert planned.error.startswith("does not fit 8 x TPU v3: each needs ")
  assert "15.48GB" in planned.error.replace(" ", "")
  assert planned.state["pool"] == side * side * 4
  assert math.isnan(planned.flops)


def _system(step, pool=(8, 1000)):
  def init(key, batch):
    return State(jnp.int32(0), jnp.zeros(pool))

  def counted(key, state, batch):
    state, metrics = step(state, batch)
    return state._replace(step=state.step + 1), metrics

  return System(init, counted)
