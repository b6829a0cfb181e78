"""Every test sees 8 fake CPU devices, and a silent broadcast of ranks or a warning is an error."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MPLBACKEND"] = "agg"

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile("shared machine", deadline=None)  # of 0.2 s an example, which load breaks
hypothesis.settings.load_profile("shared machine")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
  """Prepared data and extractors of a test run stay out of the user's own cache."""
  path = tmp_path_factory.mktemp("cache")
  os.environ["GENJAX_CACHE"] = str(path)
  return path


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_go_with_their_module():
  """Hundreds of tests in one process held 7 GB of them."""
  yield
  jax.clear_caches()
