"""The contract of every row of OBJECTIVES. A new row adds its losses, in numpy, to objectives/worked.py.

All but one run op by op: the rows share their ops, and compiling every row for every test would take minutes.
"""

import inspect
import re
import subprocess
import sys
import typing
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from players import FEATURES, LATENT, build, critic_of, data, generator_of, losses, played, players, start
from worked import RANDOM, VALUES, Numbers

from genjax.objectives import papers
from genjax.objectives.divergences import DIVERGENCES
from genjax.objectives.needs import READ
from genjax.objectives.rows import PLAYED, ROWS, describe, table
from genjax.objectives.terms import play
from genjax.objectives.zoo import OBJECTIVES, f_gan, relativistic_average, winn_objective

KEY = jax.random.key(0)
in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)
every_row = pytest.mark.parametrize("name", OBJECTIVES)

# The logit of a critic that cannot tell: there, with fakes that are the reals, both players rest.
LEVEL = {"least_squares": 0.5, "f_gan_kl": 1.0}  # 0 for the others
RESTLESS = {
  "ebgan_pull_away": "features still repel",
  "began": "at k = 0 it is an autoencoder",
  "mmd_gan": "unbiased of one and the same sample, and it reconstructs",
  "cramer": "a fake is compared with its neighbour",
  "big_gan": "the generator's columns are not orthogonal",
  "style_gan": "path lengths are not equal",
  "zcr": "the generator spreads",
  "icr": "the generator spreads",
  "denoising": "fakes go where the denoiser says",
  "mode_seeking": "the generator spreads",
}


def _leaves_are_finite(tree):
  return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def test_every_row_has_a_value_worked_out_elsewhere():
  assert set(VALUES) == set(OBJECTIVES)
  assert {*LEVEL, *RESTLESS} <= set(OBJECTIVES)


@every_row
def test_the_losses_are_those_of_numpy(name):
  both, (real, latent) = players(), data()
  objective = build(name)
  states = start(objective)
  step = lambda key, states: losses(objective, key, states, both, real, latent, 0.0)
  for update in range(2 if jax.tree.leaves(states) else 1):
    expected = VALUES[name](Numbers.of(both, real, latent, states), update)
    values, after = step(KEY, states)
    errors = [0.0] * len(values)
    if expected is not None and name in RANDOM:
      drawn = [np.asarray(v, np.float64) for v in jax.vmap(step, (0, None))(jax.random.split(KEY, 2000), states)[0]]
      values, errors = [v.mean() for v in drawn], [5 * v.std() / np.sqrt(2000) for v in drawn]
    states = after
    if expected is None:
      continue
    assert len(values) == len(expected)
    for value, wanted, error in zip(values, expected, errors, strict=True):
      np.testing.assert_allclose(value, wanted, rtol=2e-5, atol=2e-6 + error)


@every_row
def test_the_gradients_are_those_of_central_differences(name):
  with in_float64():
    both, (real, latent) = players(jnp.float64), data(jnp.float64)
    objective = build(name)
    states = start(objective)
    if name == "denoising":  # its target has no gradient by intent: let it not depend on the fakes
      states = jax.tree.map(lambda leaf: leaf * (leaf.ndim == 1), states)
    _, _, gradients = played(objective)(KEY, states, both, real, latent, 1.0)
    for place, (player, gradient) in enumerate(gradients.items()):
      flat, unravel = ravel_pytree(getattr(both, player))

      def loss(flat, player=player, unravel=unravel, place=place):
        changed = both._replace(**{player: unravel(flat)})
        return losses(objective, KEY, states, changed, real, latent)[0][place]

      steps = 1e-5 * jnp.eye(flat.size)
      numeric = (jax.vmap(loss)(flat[None] + steps) - jax.vmap(loss)(flat[None] - steps)) / 2e-5
      exact = ravel_pytree(gradient)[0]
      assert exact.dtype == jnp.float64
      np.testing.assert_allclose(exact, numeric, rtol=1e-6, atol=1e-8, err_msg=player)


@every_row
def test_neither_player_moves_where_fakes_are_the_reals_and_the_critic_cannot_tell(name):
  if name in RESTLESS:
    pytest.skip(RESTLESS[name])
  both, (_, latent) = players(), data()
  flat = both.critic | {"w": jnp.zeros_like(both.critic["w"]), "b": jnp.float32(LEVEL.get(name, 0.0))}
  both = both._replace(critic=flat)
  real = generator_of(both.generator, 1.0)(latent)
  _, _, gradients = played(build(name))(KEY, start(build(name)), both, real, latent, 1.0)
  for leaf in jax.tree.leaves(gradients):
    np.testing.assert_allclose(leaf, 0, atol=1e-6)


@every_row
def test_losses_and_gradients_are_finite_at_zero_gradients_and_at_saturated_logits(name):
  both, (real, latent) = players(), data()
  loud = {"A": 1e4 * both.critic["A"], "a": 0 * both.critic["a"], "w": jnp.array([1e4, 5e3, -3e3])}
  none = lambda tree: jax.tree.map(jnp.zeros_like, tree)
  cases = {
    "saturated": (both._replace(critic=both.critic | loud), jnp.sign(real)),  # logits of about +-1e4
    "flat": (both._replace(critic=none(both.critic)), real),  # a critic without a slope, features without a length
    "grey": (both._replace(generator=none(both.generator)), none(real)),  # every image the same
    "alike": (both, generator_of(both.generator)(latent)),
  }
  step, states = played(build(name)), start(build(name))
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cases.values())
  values, after, gradients = jax.vmap(lambda both, real: step(KEY, states, both, real, latent, 1.0))(*stacked)
  for place, case in enumerate(cases):
    for leaf in jax.tree.leaves((values, after, gradients)):
      assert np.isfinite(leaf[place]).all(), case
  logits, _ = critic_of(cases["saturated"][0].critic)(cases["saturated"][1])
  assert np.abs(logits).max() > 1e4
  for value in values:
    assert value.shape == (len(cases),)
    assert value.dtype == jnp.float32


@every_row
def test_the_losses_of_a_bfloat16_critic_are_float32(name):
  both, (real, latent) = players(), data()
  values, after, gradients = played(build(name), jnp.bfloat16)(KEY, start(build(name)), both, real, latent, 1.0)
  whole, _ = losses(build(name), KEY, start(build(name)), both, real, latent)
  assert _leaves_are_finite((after, gradients))
  for value, wanted in zip(values, whole, strict=True):
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, wanted, rtol=0.05, atol=0.05)


@pytest.mark.slow
def test_all_steps_compile_once_keep_the_form_of_their_states_and_say_the_same_on_eight_devices():
  """In one program, for a compilation of each row would take longer than all other tests together."""
  both, (real, latent) = players(), data()
  states = {name: start(build(name)) for name in OBJECTIVES}
  mesh = Mesh(np.array(jax.devices()), ("data",))
  split, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
  shared = jax.device_put((both, real, latent), (whole, split, split))

  traced = []

  @partial(jax.jit, out_shardings=whole)
  def steps(key, states, both, real, latent):
    traced.append(key)
    return {name: played(build(name))(key, states[name], both, real, latent, 1.0) for name in OBJECTIVES}

  for i in range(2):
    key = jax.random.key(i)
    together = steps(*jax.device_put((key, states), whole), *shared)
    for name in OBJECTIVES:
      alone = played(build(name))(key, states[name], both, real, latent, 1.0)
      assert jax.tree.structure(together[name]) == jax.tree.structure(alone)
      for one, eight in zip(jax.tree.leaves(alone), jax.tree.leaves(together[name]), strict=True):
        np.testing.assert_allclose(eight, one, rtol=1e-4, atol=1e-6, err_msg=name)
      for before, after in zip(jax.tree.leaves(states[name]), jax.tree.leaves(together[name][1]), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype), name
    states = {name: jax.device_get(result[1]) for name, result in together.items()}
  assert len(traced) == 1  # the cache of compiled programs forgets some of the many that run beside it


# The table ------------------------------------------------------------------------------------------------------------


@every_row
def test_a_row_names_a_paper_a_formula_and_sections_that_a_gan_takes(name):
  from genjax.systems import optimizers
  from genjax.systems.gan import gan

  row = ROWS[name]
  assert row.paper
  assert row.equation
  assert set(row.needs) <= set(inspect.signature(gan).parameters)
  for key in {"optimizer", "generator_optimizer"} & set(row.needs):
    section = dict(row.needs[key])
    getattr(optimizers, section.pop("name"))(**section)
  assert set(row.reads) <= {
    "features",
    "reconstruction",
    "generator",
    "latent",
    "styles",
    "synthesis",
    "critic_params",
    "critic_at",
    "generator_params",
  }


@every_row
def test_a_builder_takes_plain_settings_by_keyword_with_their_types(name):
  hints = typing.get_type_hints(OBJECTIVES[name])
  for setting in inspect.signature(OBJECTIVES[name]).parameters.values():
    assert setting.kind is inspect.Parameter.KEYWORD_ONLY
    assert setting.name in hints
  assert ("pad" in hints) == ROWS[name].shifts


@every_row
def test_a_row_reads_what_it_says_and_nothing_else(name):
  """Every aux and every field that the row does not name is taken away."""
  both, (real, latent) = players(), data()
  aux = [word for word in ROWS[name].reads if word in ("features", "reconstruction")]

  def critic(images):
    logits, everything = critic_of(both.critic)(images)
    return logits, {word: everything[word] for word in aux}

  generator = generator_of(both.generator)
  fields = {
    "generator": generator,
    "latent": latent,
    "styles": latent,
    "synthesis": generator,
    "critic_params": both.critic,
    "generator_params": both.generator,
    "critic_at": critic_of,
  }
  round = play(critic, real, generator(latent), **{word: fields[word] for word in ROWS[name].reads if word in fields})
  objective = build(name)
  for term in filter(None, objective):
    jax.eval_shape(lambda term=term: term.apply(KEY, term.init(), round))


def test_the_listing_has_every_row_with_its_paper_and_what_it_needs():
  lines = table().splitlines()
  assert [line for line in lines if not line.startswith(" ")] == list(ROWS)
  assert max(map(len, lines)) <= 120
  assert sum(line.startswith("  paper") for line in lines) == len(ROWS)
  assert "  needs  optimizer=adam(learning_rate=0.0001, b1=0, b2=0.9) critic_steps=5" in lines
  assert any("no divergence at 0.9" in line for line in lines)
  assert sum(line.startswith("  critic") for line in lines) == 6
  sources = [line for line in lines if line.startswith("  from")]
  assert len(sources) == sum(bool(row.needs) for row in ROWS.values())
  assert sum("memory" in line for line in sources) == len(sources) - len(READ)
  assert set(READ) <= set(PLAYED)


def test_a_row_is_described_with_its_arguments_and_their_defaults():
  assert describe("r1").splitlines()[0] == "r1"
  assert describe("r1").splitlines()[-2:] == [
    "  takes  --config.objective.gamma=10.0 (float)",
    "         --config.objective.slope='image' (Literal['image', 'seen'])",
  ]
  assert describe("denoising").splitlines()[-4] == "  takes  --config.objective.features (int)"
  assert describe("inn").splitlines()[-1] == "  takes  no arguments"
  with pytest.raises(ValueError, match="no objective 'hinges'; did you mean hinge"):
    describe("hinges")


def test_the_page_of_formulae_names_rows_and_activations_that_there_are():
  from genjax.nets.activations import ACTIVATIONS

  page = Path(papers.__file__).with_name("README.md").read_text()
  words = set(re.findall(r"`([a-z0-9_]+)`", page)) - {"activation", "gan_ring"}
  assert words <= {*ROWS, *ACTIVATIONS}
  assert {f"f_gan_{name}" for name in DIVERGENCES} <= words
  assert set(ACTIVATIONS) - words == {"tanh", "swish"}  # they are no chi-exponentials


def test_importing_the_listing_starts_no_jax():
  code = "import sys; from genjax.objectives.rows import table; table(); assert 'jax' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
  with pytest.raises(ValueError, match="reverse_kl"):
    f_gan(divergence="kll")
  with pytest.raises(ValueError, match="direct"):
    f_gan(divergence="kl", generator_loss="both")
  with pytest.raises(ValueError, match="least_squares"):
    relativistic_average(loss="square")


def test_winn_weighs_its_penalty_by_its_setting_and_has_no_generator():
  both, (real, latent) = players(), data()
  at = lambda weight: float(losses(winn_objective(weight=weight), KEY, (((), ()),), both, real, latent)[0][0])
  np.testing.assert_allclose(at(20.0) - at(10.0), at(10.0) - at(0.0), rtol=1e-5)
  assert winn_objective().generator is None
  assert FEATURES == LATENT == 3
