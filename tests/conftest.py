"""Every test sees 8 fake CPU devices, and a silent broadcast of ranks or a warning is an error.

Whole runs of the command (ONE_DEVICE) see the first of them alone, as on a laptop: two fifths of their time went into
programs for eight. What eight devices change is tested in systems/, train/ and metrics/, by smaller programs.

Most of the suite's time would be compiling. So programs are compiled with few optimisations (two fifths less time,
measured on the penalties' tests), and by XLA's older emitters where jaxlib still has them: half of the processor time
that then was left, measured on ViTGAN's nets. The newest jaxlib ignores that word, so its smoke tests compile by the
emitters that users have. Compiled programs are kept in a folder that workers and their children share: the small ones
come back everywhere (another sixth, on three files of tests/objectives; zstandard packs them six times as quickly as
zlib, which JAX takes where zstandard is not installed: 2 ms a program). A process of its own (`genjax train` in a
test) compiles so too, but for those of tests/test_winn_digits.py, which compile as for users.
"""

import gc
import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MPLBACKEND"] = "agg"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # a tenth of the time, on four files, went into noting sources
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters")

import hypothesis
import jax
import pytest

gc.set_threshold(50_000, 20, 50)  # tracing makes so many objects that a sixth of its time went into looking for garbage
hypothesis.settings.register_profile("shared machine", deadline=None)  # of 0.2 s an example, which load breaks
hypothesis.settings.load_profile("shared machine")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)  # where a plugin has imported JAX before this file

SMOKE = (  # what other software stacks run: beginnings of names of tests
  "tests/test_public_names.py",  # imports
  "tests/test_cli.py",  # the command line
  "tests/test_make.py",
  "tests/test_registry.py",
  "tests/test_small_runs.py",  # a config of each kind, trained
  *(
    f"tests/systems/test_contract.py::test_the_contract_is_kept[{name}-"
    for name in ("winn", "gan", "metaoptnet", "vae")
  ),
  "tests/ops/test_qp.py",  # the solver
  "tests/ops/test_svm.py",
  "tests/train/test_checkpoint",
  "tests/data/test_digits.py",  # the readers of prepared files
)

ONE_DEVICE = (  # beginnings of names of files
  "tests/studies/",
  "tests/test_metaoptnet_glyphs.py",
  "tests/test_run",
  "tests/test_small_runs.py",
  "tests/test_winn_classifiers.py",
  "tests/test_winn_digits.py",
  "tests/test_workdir.py",
)
# Beginnings of names of files that come first, so that no worker is alone with a dear one at the end.
DEAR = ("tests/test_", "tests/studies/", "tests/train/", "tests/systems/")


def pytest_collection_modifyitems(items):
  for item in items:
    if item.nodeid.startswith(SMOKE):
      item.add_marker("smoke")
  items.sort(key=lambda item: next((i for i, start in enumerate(DEAR) if item.nodeid.startswith(start)), len(DEAR)))


@pytest.fixture(scope="module", autouse=True)
def devices_of_a_laptop(request):
  """One device where the whole command runs."""
  with pytest.MonkeyPatch.context() as patch:
    if request.node.nodeid.startswith(ONE_DEVICE):
      first = jax.devices()[:1]
      patch.setattr(jax, "devices", lambda *_: first)
    yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
  """Prepared data and extractors of a test run stay out of the user's own cache."""
  path = _shared(tmp_path_factory) / "cache"
  os.environ["GENJAX_CACHE"] = str(path)
  return path


@pytest.fixture(scope="module")
def cache_of_its_own(tmp_path_factory):
  """A cache that no other file's tests write to."""
  path = tmp_path_factory.mktemp("cache")
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("GENJAX_CACHE", str(path))
    yield path


@pytest.fixture(scope="session", autouse=True)
def compiled_programs_are_kept(tmp_path_factory):
  settings = {
    "jax_compilation_cache_dir": str(_shared(tmp_path_factory) / "compiled"),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
  }
  for name, value in settings.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_go_with_their_module():
  """Hundreds of tests in one process held 7 GB of them."""
  yield
  jax.clear_caches()


def _shared(tmp_path_factory):
  """The folder of this run of pytest, which its workers share."""
  base = tmp_path_factory.getbasetemp()
  return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
