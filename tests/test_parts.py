"""Every name that a config may give stands for something that exists."""

import inspect

import pytest
from ml_collections import ConfigDict

from genjax import parts
from genjax.command import UsageError

TABLES = {
  "net": parts.NETS,
  "generator": parts.GENERATORS,
  "noise": parts.NOISES,
  "sampler": parts.SAMPLERS,
  "objective": parts.OBJECTIVES,
}


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, rows in TABLES.items() for name in rows])
def test_every_row_is_a_function_of_named_arguments(table, name):
  function = parts.resolve(TABLES[table][name])
  assert callable(function)
  kinds = {value.kind for value in inspect.signature(function).parameters.values()}
  assert inspect.Parameter.VAR_KEYWORD not in kinds, "a wrong key would pass unseen"


def test_a_section_becomes_keyword_arguments():
  net = parts.make(parts.NETS, ConfigDict({"net": {"name": "convnet", "std": 0.1}}), "net")
  assert net.std == 0.1


def test_a_wrong_name_or_key_is_answered_with_the_nearest():
  with pytest.raises(UsageError, match="did you mean convnet"):
    parts.make(parts.NETS, ConfigDict({"net": {"name": "convnt"}}), "net")
  with pytest.raises(UsageError, match=r"no key config\.net\.stdd; did you mean std"):
    parts.make(parts.NETS, ConfigDict({"net": {"name": "convnet", "stdd": 1.0}}), "net")
