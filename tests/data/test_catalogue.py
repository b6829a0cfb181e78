"""`load` refuses what no image can be, and the package's names load without JAX where they can."""

import pytest

from genjax import data
from genjax.data import load


@pytest.mark.parametrize("request_", [{"size": 0}, {"channels": 2}])
@pytest.mark.parametrize("name", ["digits", "folder"])
def test_impossible_sizes_and_channels_are_refused(name, request_, tmp_path):
  with pytest.raises(ValueError, match="was asked for; wanted"):
    load(name, path=str(tmp_path) if name == "folder" else None, **request_)


def test_every_exported_name_is_there_and_others_are_said_to_be_missing():
  assert all(callable(getattr(data, name)) for name in data.__all__)
  with pytest.raises(AttributeError, match="has no 'lode'; it has"):
    data.lode  # noqa: B018
