import json

import numpy as np

from genjax.studies.vanishing import draw, table, vanishing

SMALL = {"widths": (64,), "overrides": {"data.batch": 32}}


def test_the_saturating_gradient_vanishes_and_the_others_stay(tmp_path):
  text = vanishing(str(tmp_path), seeds=1, quiet=True, warm=5, steps=200, points=6, **SMALL)
  assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == ["| minimax", "| non_saturating", "| wgan_gp"]
  kept = json.loads((tmp_path / "vanishing.json").read_text())
  assert kept["steps"][0] == 0
  assert kept["steps"][-1] == 200
  norms = {row: np.asarray(values)[0] for row, values in kept["norms"].items()}
  assert norms["minimax"][-1] < norms["minimax"].max() / 20
  assert norms["non_saturating"][-1] > norms["non_saturating"][0]
  assert norms["wgan_gp"][-1] > norms["wgan_gp"][0]
  assert (tmp_path / "vanishing.png").stat().st_size > 1000


def test_the_table_has_geometric_means_and_the_picture_takes_arrays():
  norms = {"minimax": np.array([[1.0, 1e-2, 1e-4], [1.0, 1e-4, 1e-8]])}
  assert table([0, 5, 9], norms).splitlines()[2] == "| minimax | 1 | 0.001 | 1e-06 |"
  (axis,) = draw(np.array([0, 5, 9]), norms).axes
  np.testing.assert_allclose(axis.lines[-1].get_ydata(), [1, 1e-3, 1e-6])
  np.testing.assert_array_equal(axis.lines[-1].get_xdata(), [1, 6, 10])
