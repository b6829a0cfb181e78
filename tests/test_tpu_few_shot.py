"""MetaOptNet's step compiles for Cloud TPU slices, fits, and sends sums only: episodes stay where they are."""

import platform

import jax
import jax.numpy as jnp
import pytest

from genjax.nets.resnet12 import ResNet12
from genjax.ops.base_learners import svm
from genjax.systems.metaoptnet import fixed, metaoptnet
from genjax.train import plan

EPISODES, WAYS, SHOTS, QUERIES, SHAPE = 64, 5, 5, 6, (32, 32, 3)


@pytest.mark.slow
@pytest.mark.skipif(
  (platform.system(), platform.machine()) != ("Linux", "x86_64"),
  reason=f"libtpu, which compiles for TPUs, is made for Linux on x86-64 only; this is {platform.platform()}",
)
@pytest.mark.parametrize("slice", ["v3:4x4", "v4:2x2x4"])
def test_the_step_fits_and_sends_gradients_statistics_and_scalars_only(slice):
  net = ResNet12(widths=(16, 24, 32, 40), block=2)
  system = metaoptnet(net, fixed(svm, ways=WAYS, iterations=5), shape=SHAPE, ways=WAYS)
  images = lambda each: jax.ShapeDtypeStruct((EPISODES, WAYS * each, *SHAPE), jnp.float32)
  labels = lambda each: jax.ShapeDtypeStruct((EPISODES, WAYS * each), jnp.int32)
  batch = {
    "support": images(SHOTS),
    "support_label": labels(SHOTS),
    "query": images(QUERIES),
    "query_label": labels(QUERIES),
  }
  planned = plan.compile_step(system, batch, plan.topology(slice))
  assert planned.fits, planned.error
  assert {exchange.name for exchange in planned.collectives} == {"all-reduce"}
  parameters = sum(size for path, size in planned.state.items() if path.split("/")[0] == "params")
  assert sum(exchange.bytes for exchange in planned.collectives) < 3 * parameters
