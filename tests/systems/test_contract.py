"""Every system of the registry keeps the contract, on one small Trial that is compiled once (rows.py)."""

from functools import cache

import pytest

from genjax.experiment import ON_A_GRID
from genjax.registry import SYSTEMS
from tests.systems.contract import (
  PROMISES,
  Trial,
  one_device_and_a_grid_of_all_axes_agree,
  one_device_and_eight_agree,
)
from tests.systems.rows import ROWS


@cache
def trial(name: str) -> Trial:
  return ROWS[name]()


def test_every_system_of_the_registry_has_a_row():
  assert set(ROWS) == set(SYSTEMS)


@pytest.mark.parametrize("promise", [*PROMISES, one_device_and_eight_agree], ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_the_contract_is_kept(name, promise):
  promise(trial(name))


@pytest.mark.parametrize("name", ON_A_GRID)
def test_parameters_may_be_split_over_devices_too(name):
  one_device_and_a_grid_of_all_axes_agree(trial(name))
