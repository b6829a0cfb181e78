"""Accuracy over episodes: the interval by numpy, whatever the batch, on any devices, and logits that are NaN."""

import os
import socket
import subprocess
import sys
import textwrap
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.core import Dataset, Split, unchanged
from genjax.metrics.few_shot import accuracies, episode_accuracies, few_shot, interval


class State(NamedTuple):
  step: jax.Array
  logit: jax.Array


def state(logit=1.0):
  return State(jnp.int32(0), jnp.float32(logit))


def batches(size):
  """Episode e has as many of 5 queries right as e % 6 says."""

  def batch(number):
    episodes = np.arange(number * size, (number + 1) * size)
    return {"query_label": np.where(np.arange(5)[None] < episodes[:, None] % 6, 1, 0).astype(np.int32)}

  return batch


def always_one(state, batch):
  zeros = jnp.zeros(batch["query_label"].shape)
  return jnp.stack([zeros, zeros + state.logit], -1)


def data(asked):
  """Episodes as above; `asked` keeps what was asked for."""

  def episodes(**settings):
    asked.append(settings)
    return batches(settings["batch"])

  split = lambda name: Split(f"glyphs/{name}", "abc", {"image": np.zeros((99, 2, 2, 1), np.uint8)}, episodes)
  return Dataset(lambda step: {}, facts={"ways": 5, "name": "glyphs"}, split=split)


@pytest.mark.parametrize("size", [1, 4, 7])
def test_accuracies_do_not_depend_on_how_many_episodes_are_worked_on_together(size):
  values = episode_accuracies(always_one, state(), batches(size), prepare=unchanged, episodes=13)
  assert values.dtype == np.float64
  np.testing.assert_allclose(values, np.arange(13) % 6 / 5, rtol=1e-6)


def test_episodes_are_split_over_the_devices_that_hold_the_state():
  mesh = Mesh(np.array(jax.devices()[::-1][:4]), ("data",))
  held = jax.device_put(state(), NamedSharding(mesh, PartitionSpec()))
  seen = []

  def adapt(state, batch):
    jax.debug.inspect_array_sharding(batch["query_label"], callback=lambda sharding: seen.append(sharding))
    return always_one(state, batch)

  values = episode_accuracies(adapt, held, batches(8), prepare=unchanged, episodes=13)
  np.testing.assert_allclose(values, np.arange(13) % 6 / 5, rtol=1e-6)
  assert seen[0].shard_shape((8, 5)) == (2, 5)


_PROCESS = """
  import sys
  from typing import NamedTuple
  import jax
  jax.config.update("jax_num_cpu_devices", 2)
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  process = int(sys.argv[2])
  jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, process)
  import jax.numpy as jnp
  import numpy as np
  from jax.sharding import Mesh, NamedSharding, PartitionSpec
  from genjax.core import unchanged
  from genjax.metrics.few_shot import episode_accuracies

  class State(NamedTuple):
    step: jax.Array

  def batches(number):
    episodes = np.arange(4 * number + 2 * process, 4 * number + 2 * process + 2)
    return {"query_label": np.where(np.arange(5)[None] < episodes[:, None] % 6, 1, 0).astype(np.int32)}

  ones = lambda state, batch: jax.nn.one_hot(jnp.ones_like(batch["query_label"]), 2)
  everywhere = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec())
  state = State(jax.make_array_from_process_local_data(everywhere, np.int32(0)))
  print([round(5 * value) for value in episode_accuracies(ones, state, batches, prepare=unchanged, episodes=13)])
"""


@pytest.mark.slow
def test_two_processes_with_a_share_of_the_episodes_each_both_know_all_accuracies():
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = str(free.getsockname()[1])
  words = [sys.executable, "-c", textwrap.dedent(_PROCESS), port]
  settings = {"env": os.environ | {"JAX_PLATFORMS": "cpu"}, "stdout": subprocess.PIPE, "text": True}
  processes = [subprocess.Popen([*words, str(process)], **settings) for process in range(2)]
  for process in processes:
    assert str([episode % 6 for episode in range(13)]) in process.communicate(timeout=300)[0]


def test_logits_that_are_nan_are_wrong():
  assert (episode_accuracies(always_one, state(np.nan), batches(4), prepare=unchanged, episodes=8) == 0).all()


def test_the_interval_is_by_the_unbiased_deviation():
  values = np.random.default_rng(0).uniform(size=50)
  result = interval(values)
  np.testing.assert_allclose(result.mean, values.mean())
  np.testing.assert_allclose(result.half, 1.96 * np.sqrt(((values - values.mean()) ** 2).sum() / 49 / 50))


def test_every_shot_has_its_accuracy_and_the_chosen_one_its_error():
  asked = []
  it = data(asked)
  metric = few_shot(split="val", shots=(1, 5), episodes=12, chosen_at=1, seed=3, episode_seed=9)
  numbers = metric.measure(None, {"adapt": always_one}, state(), it)
  assert set(numbers) == {f"{s}shot_{what}" for s in (1, 5) for what in ("accuracy", "interval", "solved")} | {"error"}
  assert numbers["1shot_accuracy"].value == pytest.approx(np.mean(np.arange(12) % 6 / 5))
  assert numbers["error"].value == 1 - numbers["1shot_accuracy"].value
  card = numbers["5shot_accuracy"].card
  assert (card.generated, card.reference, card.split, card.seed) == (12, 99, "glyphs/val", 3)
  assert card.metric == "accuracy, 5-way 5-shot, 15 queries a class, 12 episodes"
  assert asked == [{"batch": 8, "shots": shots, "queries": 15, "seed": 9} for shots in (1, 5)]
  assert (card.quantisation, card.resize) == (None, None)  # pixels of episodes are not rounded
  assert numbers["5shot_solved"].value == 1
  some = lambda state, batch: (always_one(state, batch), batch["query_label"][:, 0] > 0)  # all but 2 of the 12
  views = {"adapt": always_one, "solve": some}
  asked_again = few_shot(split="val", shots=(1,), episodes=12, chosen_at=1).measure(None, views, state(), data([]))
  assert asked_again["1shot_solved"].value == pytest.approx(10 / 12)
  assert asked_again["1shot_accuracy"].value == numbers["1shot_accuracy"].value
  values = accuracies(always_one, state(), it, shots=1, episodes=12)
  assert values.mean() == numbers["1shot_accuracy"].value


def test_settings_and_data_that_make_no_episodes_are_refused():
  with pytest.raises(ValueError, match="two episodes"):
    interval(np.array([0.5]))
  with pytest.raises(ValueError, match="episodes 0"):
    episode_accuracies(always_one, state(), batches(4), prepare=unchanged, episodes=0)
  with pytest.raises(ValueError, match=r"chosen_at 2 is not among shots \(1, 5\)"):
    few_shot(chosen_at=2)
  with pytest.raises(ValueError, match="batch 6 episodes do not divide over 8 devices"):
    few_shot(batch=6).check(data([]))
  with pytest.raises(ValueError, match="glyphs/test has no episodes"):
    few_shot().check(data([])._replace(split=lambda name: Split("glyphs/test", "abc", {})))
