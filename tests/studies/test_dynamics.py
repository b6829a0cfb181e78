from genjax.studies.dynamics import RULES, dynamics


def test_measured_rates_stand_beside_those_of_theory_and_the_picture_is_drawn(tmp_path):
  lines = dynamics(str(tmp_path), steps=20).splitlines()[2:]
  assert len(lines) == len(RULES)
  for line in lines:
    theory, measured = (float(cell) for cell in line.split("|")[2:4])
    assert abs(theory - measured) < 2e-4
  assert (tmp_path / "dynamics.png").stat().st_size > 1000
