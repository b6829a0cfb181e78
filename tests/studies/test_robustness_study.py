"""Table 2.3 end to end on a run of a few steps: models, attacks, both tables."""

import json

import pytest

from genjax.studies.robustness import CHECKPOINTS, _named, robustness

SMALL = {
  "net.blocks": ((4,), (8,)),
  "noise.width": 8,
  "data.batch": 64,
  "system.minibatch": 32,
  "system.ascent_steps": 2,
  "system.initial": 32,
  "system.capacity": 128,
  "train.steps": 2,
  "train.steps_per_call": 2,
  "train.checkpoint_every": 2,
  "train.sample_every": 0,
  "metrics.test.split": "test[:100]",
}


def test_the_other_models_are_arguments_of_the_same_config():
  assert _named("winn_digits_classifier", "") == "winn_digits_classifier"
  assert _named("winn_digits_classifier", "icn") == "winn_digits_classifier:icn"
  assert _named("winn_mnist_classifier:resnet32", "baseline") == "winn_mnist_classifier:resnet32,baseline"


@pytest.mark.slow
def test_the_study_attacks_every_model_and_writes_both_tables(tmp_path):
  text = robustness(str(tmp_path), seeds=1, quiet=True, methods=("WINN",), overrides=SMALL)
  both = json.loads((tmp_path / "robustness.json").read_text())
  assert list(both) == list(CHECKPOINTS)
  numbers = both["last step"]
  attacks = [row["adversarial_error_of_method"]["card"]["attack"] for row in numbers["attacks"]]
  assert len(set(attacks)) == 5
  assert all(attack in text for attack in attacks)
  assert [row["model"] for row in numbers["alone"]] == ["baseline", "WINN"]
  assert "| AUROC, p0 |" in text
  for row in numbers["attacks"]:
    assert row["adversarial_error_of_baseline"]["value"] >= row["clean_error_of_baseline"]["value"] - 0.05
    assert row["adversarial_error_of_baseline"]["card"]["split"] == "digits/test[:100]"
