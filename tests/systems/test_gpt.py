"""The language model: its probabilities over all sequences, samples that have them, and that it learns text."""

import re
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data.tokens import text
from genjax.nets.gpt import GPT
from genjax.systems.gpt import gpt
from genjax.systems.optimizers import adam
from tests.systems.learning import WELL

V, L = 3, 4
ALL = np.stack(np.meshgrid(*[np.arange(V)] * L, indexing="ij"), -1).reshape(-1, L).astype(np.int32)  # [81, 4]
NET = GPT(V, L, width=8, depth=2, heads=2, dropout=0.1)


def system(**settings):
  return gpt(NET, **({"vocabulary": V, "length": L} | settings))


def wild_state(made):
  """Weights so large that every token depends on all before it."""
  rng, shapes = np.random.default_rng(0), jax.eval_shape(made.init, jax.random.key(0), {"tokens": ALL[:2]})
  draw = lambda leaf: np.asarray(0.7 * rng.normal(size=leaf.shape), leaf.dtype)
  return jax.tree.map(draw, shapes)


def test_the_probabilities_of_all_sequences_sum_to_one():
  """They do not if a place sees its own token, or a later one."""
  made = system()
  log_prob = jax.jit(made.views["log_prob"])(wild_state(made), ALL)
  np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(), 1, rtol=1e-5)
  assert log_prob.max() - log_prob.min() > 3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_have_their_probabilities(temperature):
  """Chi squared over the 81 sequences; its 1 - 1e-4 quantile by 80 degrees of freedom is 135."""
  n = 4000
  made = system(temperature=temperature)
  state = wild_state(made)
  logits = np.float64(
    jax.jit(NET.apply)({"params": state.params}, np.pad(ALL[:, :-1], ((0, 0), (1, 0)), constant_values=V))
  )
  weights = np.exp(logits / temperature)
  each = np.take_along_axis(weights / weights.sum(-1, keepdims=True), ALL[..., None], -1)[..., 0]
  expected = n * each.prod(1)
  np.testing.assert_allclose(expected.sum(), n, rtol=1e-5)
  tokens = jax.jit(made.views["sample"], static_argnums=2)(jax.random.key(1), state, n)
  counts = np.bincount(np.asarray(tokens) @ V ** np.arange(L)[::-1], minlength=V**L)
  assert ((counts - expected) ** 2 / expected)[expected > 1].sum() + counts[expected <= 1].sum() < 150


def test_a_net_that_remembers_draws_what_whole_passes_draw():
  by_cache, by_passes = system(), system(cache=False)
  state = wild_state(by_cache)
  draw = lambda made: jax.jit(made.views["sample"], static_argnums=2)(jax.random.key(3), state, 50)
  np.testing.assert_array_equal(draw(by_cache), draw(by_passes))


def test_the_loss_is_the_mean_of_minus_log_p_a_token():
  made = gpt(NET.clone(dropout=0.0), vocabulary=V, length=L)
  state = wild_state(made)
  loss = jax.jit(made.step)(jax.random.key(0), state, {"tokens": ALL[::7]})[1]["loss"]
  np.testing.assert_allclose(loss, -jax.jit(made.views["log_prob"])(state, ALL[::7]).mean() / L, rtol=1e-5)


def test_held_out_text_is_likelier_than_by_pairs_of_letters(tmp_path):
  """Letters of Python's own documentation. A net that sees one token is no better than the table of pairs."""
  path = tmp_path / "letters.txt"
  path.write_text(re.sub("[^a-z]+", " ", " ".join(topics[name] for name in sorted(topics)).lower()))
  data = text(path=str(path), batch=32, length=32)
  facts = {name: data.facts[name] for name in ("vocabulary", "length")}
  net = GPT(**facts, width=64, depth=2, heads=4, dropout=0.0)
  made = gpt(net, **facts, optimizer=adam(learning_rate=3e-3, warmup_steps=20))
  state = jax.jit(made.init)(jax.random.key(0), data.batch(0))
  step = jax.jit(made.step, donate_argnums=1, compiler_options=WELL)
  for i in range(250):
    state, _ = step(jax.random.fold_in(jax.random.key(1), i), state, data.batch(i))
  train, test = data.split("train").examples["tokens"], data.split("test").examples["tokens"][:300]
  pairs = np.full((facts["vocabulary"],) * 2, 0.1)
  np.add.at(pairs, (train[:, :-1], train[:, 1:]), 1)
  by_pairs = -np.log(pairs / pairs.sum(1, keepdims=True))[test[:, :-1], test[:, 1:]].mean()
  assert -jax.jit(made.views["log_prob"])(state, test).mean() / data.facts["length"] < by_pairs - 0.15  # 2.06 and 2.32


@pytest.mark.parametrize(
  ("settings", "said"), [({"temperature": 0.0}, "temperature 0.0; use a number above 0"), ({"length": 0}, "length 0")]
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    system(**settings)


def test_sequences_of_another_length_are_refused():
  with pytest.raises(ValueError, match="sequences of 3 tokens; the system was built for 4"):
    system().init(jax.random.key(0), {"tokens": jnp.zeros((2, 3), jnp.int32)})
