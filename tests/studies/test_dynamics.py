import numpy as np
import pytest

from genjax.studies.dynamics import (
  BILINEAR,
  BILINEAR_RULES,
  LEARNING_RATE,
  RULES,
  WEIGHT,
  bilinear_modulus,
  bilinear_path,
  dynamics,
)


def test_what_is_measured_agrees_with_theory_and_the_picture_is_drawn(tmp_path):
  lines = dynamics(str(tmp_path), steps=20).splitlines()[2:]
  assert len(lines) == len(RULES) + len(BILINEAR_RULES)
  for line in lines:
    theory, measured = (float(cell) for cell in line.split("|")[2:4])
    assert abs(theory - measured) < 2e-4
  assert (tmp_path / "dynamics.png").stat().st_size > 1000


@pytest.mark.parametrize("name", BILINEAR_RULES)
def test_the_bilinear_game_moves_by_the_matrix_written_out(name):
  """All four numbers at once: h times the players' own gradients, and what the rule adds on a diagonal block."""
  a = np.asarray(BILINEAR)
  step = np.block([[np.eye(2), LEARNING_RATE * a], [-LEARNING_RATE * a.T, np.eye(2)]])
  if name in ("consensus", "R1"):
    step[:2, :2] -= LEARNING_RATE * WEIGHT * a @ a.T
  if name in ("consensus", "local stability"):
    step[2:, 2:] -= LEARNING_RATE * WEIGHT * a.T @ a
  places = bilinear_path(name, 40)
  np.testing.assert_allclose(places[1:], places[:-1] @ step.T, rtol=1e-5, atol=1e-6)
  assert abs(np.abs(np.linalg.eigvals(step)).max() - bilinear_modulus(name)) < 1e-9
  assert (bilinear_modulus(name) > 1) == (name == "simultaneous")
