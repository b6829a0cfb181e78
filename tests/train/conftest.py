"""A folder of sound checkpoints."""

import pytest
from saved_states import state_of

from genjax.train.checkpoint import Checkpoints


@pytest.fixture
def saved(tmp_path):
  """A folder with sound checkpoints of steps 1 and 2, and its manager."""
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
  for step in (1, 2):
    checkpoints.save(step, state_of(step))
  checkpoints.wait()
  yield checkpoints, tmp_path / "checkpoints"
  checkpoints.close()
