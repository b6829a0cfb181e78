"""`genjax bench --metrics` has a row for every comparison of features, and its numbers are those of the metrics."""

import numpy as np

from genjax.cli import main
from genjax.metrics import speed
from genjax.ops.neighbours import overlap


def test_every_comparison_has_seconds_and_its_value():
  rows = speed.speeds(40, features=6)
  assert [row.name for row in rows] == ["fid", "kid, 100 subsets of 40", "prdc", "two_sample", "inception_score"]
  assert all(row.seconds > 0 and np.isfinite(row.value) and (row.memory is None or row.memory >= 0) for row in rows)
  rng = np.random.default_rng(0)
  real, generated = (speed.drawn(rng, 40, 6) for _ in range(2))
  assert rows[2].value == overlap(real, generated + np.float32(0.02)).coverage
  assert "40 against 40 in 6 features" in speed.table(rows, 40, 6)


def test_the_command_needs_no_config_and_says_how_many(capsys, monkeypatch):
  monkeypatch.setattr(speed, "speeds", lambda n: [speed.Row("fid", 1.5, 2**20, 3.0)] * (n == 70))
  assert main(["bench", "--metrics", "--n", "70"]) == 0
  assert "1 MiB" in capsys.readouterr().out
  assert main(["bench", "--metrics", "--n", "1"]) == 2
  assert "--n 1; use 2 or more" in capsys.readouterr().err
  assert main(["bench", "--metrics", "--config", "gan_digits"]) == 2
  assert "bench --metrics takes no --config" in capsys.readouterr().err
  assert main(["bench"]) == 2
  assert "--config" in capsys.readouterr().err


def test_features_are_correlated_and_not_negative():
  drawn = speed.drawn(np.random.default_rng(0), 400, 30)
  assert (drawn >= 0).all()
  assert np.abs(np.corrcoef(drawn, rowvar=False) - np.eye(30)).max() > 0.3
