"""The few-shot configs: whole, they trace with the sizes of the thesis; on mock images they run by the command."""

import json

import jax
import jax.numpy as jnp
import pytest

from genjax.command import load_config
from genjax.main import main
from genjax.parts import EPISODIC, resolve

SIDES = {"miniimagenet": 84, "tieredimagenet": 84, "cifarfs": 32, "fc100": 32}
ARGS = ("", "conv4,ridge", "conv4,relation", "conv4,maml", "r2d2net,r2d2", "proto,1shot", "released", "trainval")
NAMES = [f"metaoptnet_miniimagenet:{arg}" for arg in ARGS] + [f"metaoptnet_{name}" for name in list(SIDES)[1:]]
SHOTS = {
  "metaoptnet_miniimagenet": 15,
  "metaoptnet_tieredimagenet": 10,
  "metaoptnet_cifarfs": 5,
  "metaoptnet_fc100": 15,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_config_traces_with_the_sizes_of_the_thesis(name):
  config = load_config(name)
  side, data = SIDES[config.data.name], config.data
  system = resolve(EPISODIC[config.system.name])(config, (side, side, 3), data.ways).system
  shape = lambda each: jax.ShapeDtypeStruct((data.batch, data.ways * each, side, side, 3), jnp.float32)
  label = lambda each: jax.ShapeDtypeStruct((data.batch, data.ways * each), jnp.int32)
  batch = {
    "support": shape(data.shots),
    "support_label": label(data.shots),
    "query": shape(data.queries),
    "query_label": label(data.queries),
  }
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  after, metrics = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert metrics["loss"].shape == ()
  if config.net.name == "resnet12":
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params["net"])) == 12_424_320


@pytest.mark.parametrize("name", SHOTS)
def test_shots_of_training_are_those_of_the_thesis(name):
  assert load_config(name).data.shots == SHOTS[name]


def test_trainval_stops_where_the_thesis_says_and_chooses_nothing_by_classes_it_trains_on():
  mini, tiered = load_config("metaoptnet_miniimagenet:trainval"), load_config("metaoptnet_tieredimagenet:trainval")
  assert (mini.train.steps, tiered.train.steps) == (21_000, 52_000)
  assert mini.train.best == ""


def test_words_that_do_not_go_together_are_refused():
  for arg in ("svm,ridge", "conv4,dataparallel", "ridge,released", "nonsense"):
    with pytest.raises(ValueError, match=r"metaoptnet_miniimagenet.py does not take"):
      load_config(f"metaoptnet_miniimagenet:{arg}")


@pytest.mark.slow
def test_an_imagenet_config_runs_on_mock_images_by_the_command(tmp_path):
  words = ["--config", "metaoptnet_miniimagenet:conv4,tiny", "--config.data.name=mock", "--config.data.size=84"]
  words += ["--config.data.batch=8", "--config.metrics.batch=8", "--config.metrics.episodes=8"]
  assert main(["train", *words, "--config.metrics.validation_episodes=8", "--workdir", str(tmp_path), "--quiet"]) == 0
  summary = json.loads((tmp_path / "summary.json").read_text())
  assert "mock" in summary["metrics"]["test_1shot_accuracy"]["card"]["split"]
