"""MaskGIT: its schedule, its masks, its decoding, and that it learns which tokens go together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.bidirectional import BidirectionalTransformer
from genjax.nets.grid_coder import GridDecoder, GridEncoder
from genjax.systems.maskgit import filled, maskgit, random_mask, schedule
from genjax.systems.optimizers import adam
from tests.systems.learning import learned

CODES, LENGTH = 5, 12
CODER = (GridEncoder((16,), 1), GridDecoder((8, 8, 1), (16,), 1))


@pytest.mark.parametrize(("steps", "length"), [(1, 16), (8, 16), (8, 256), (12, 256), (16, 16), (7, 9)])
def test_the_schedule_begins_with_all_masks_ends_with_none_and_falls_along_the_cosine(steps, length):
  counts = np.array(schedule(steps, length))
  assert (counts[0], counts[-1], len(counts)) == (length, 0, steps + 1)
  assert (np.diff(counts) < 0).all()
  cosine = np.floor(np.cos(np.pi / 2 * np.arange(steps + 1) / steps) * length)
  if length >= 16 * steps:
    np.testing.assert_array_equal(counts[1:-1], cosine[1:-1])
  if steps == length:
    np.testing.assert_array_equal(counts, np.arange(length, -1, -1))


def test_more_steps_than_tokens_are_refused():
  with pytest.raises(ValueError, match="sampler_steps 17 for 16 tokens; use at most as many"):
    schedule(17, 16)


def test_every_step_masks_as_many_as_the_schedule_says_and_only_what_was_masked():
  """The logits depend on all tokens, so that nothing is settled by chance."""
  counts = schedule(5, LENGTH)
  table = jax.random.normal(jax.random.key(0), (CODES + 1, LENGTH, CODES))
  predict = lambda tokens: table[tokens[:, ::-1], jnp.arange(LENGTH)[None]]
  trace = np.asarray(jax.jit(lambda key: filled(key, predict, 30, counts, CODES, 2.0))(jax.random.key(1)))
  before = np.concatenate([np.full((1, 30, LENGTH), CODES), trace[:-1]])
  np.testing.assert_array_equal((trace == CODES).sum(2), np.repeat(np.array(counts[1:])[:, None], 30, 1))
  settled = before != CODES
  np.testing.assert_array_equal(trace[settled], before[settled])
  assert trace.min() >= 0
  assert len(np.unique(trace[0] == CODES, axis=0)) > 10  # which are settled first is not fixed


def test_without_noise_the_tokens_that_were_drawn_with_most_confidence_are_settled():
  sure = jnp.where(jnp.arange(LENGTH) < 4, 50.0, 0.0)  # of the first four places, code 0
  logits = jnp.zeros((LENGTH, CODES)).at[:, 0].set(sure)
  predict = lambda tokens: jnp.broadcast_to(logits, (*tokens.shape, CODES))
  first = filled(jax.random.key(0), predict, 8, (LENGTH, LENGTH - 4, 0), CODES, 0.0)[0]
  np.testing.assert_array_equal(first, np.where(np.arange(LENGTH) < 4, 0, CODES)[None].repeat(8, 0))


def test_in_one_step_tokens_are_drawn_by_their_probabilities():
  logits = jnp.log(jnp.array([0.5, 0.2, 0.15, 0.1, 0.05]))
  predict = lambda tokens: jnp.broadcast_to(logits, (*tokens.shape, CODES))
  drawn = filled(jax.random.key(0), predict, 500, (LENGTH, 0), CODES, 4.5)[-1]
  shares = np.bincount(np.asarray(drawn).ravel(), minlength=CODES) / drawn.size
  np.testing.assert_allclose(shares, np.exp(logits), atol=4 * 0.5 / drawn.size**0.5)


def test_training_masks_a_share_of_the_tokens_that_is_the_cosine_of_a_uniform_number():
  masked = np.asarray(random_mask(jax.random.key(0), 4000, LENGTH))
  counts = masked.sum(1)
  assert (counts.min(), counts.max()) == (1, LENGTH)
  share = lambda m: (2 / np.pi) * (np.arccos((m - 1) / LENGTH) - np.arccos(m / LENGTH))
  wanted = share(np.arange(1, LENGTH + 1))
  np.testing.assert_allclose(np.bincount(counts)[1:] / 4000, wanted, atol=4 * 0.5 / 4000**0.5)
  np.testing.assert_allclose(masked.mean(0), counts.mean() / LENGTH, atol=4 * 0.5 / 4000**0.5)


def test_samples_are_made_of_tokens_that_go_together():
  """Images of one grey, of which there are four: every token tells the three others, and so it is in samples."""
  shape, greys = (4, 4, 1), np.array([-0.9, -0.3, 0.3, 0.9], np.float32)
  images = np.broadcast_to(greys[:, None, None, None], (4, *shape)).repeat(16, 0)
  coder = (GridEncoder((8,), 0), GridDecoder(shape, (8,), 0))
  book = {"codes": 6, "latent": 2, "decay": 0.9, "smoothing": 0.0, "temperature": 0.0, "sampler_steps": 4}
  made = maskgit(BidirectionalTransformer(16, 1, 2), *coder, shape=shape, **book, optimizer=adam(learning_rate=3e-3))
  state = learned(made, {"image": images}, batch=32, steps=400)
  drawn = np.asarray(jax.jit(made.views["sample"], static_argnums=2)(jax.random.key(0), state, 100))
  nearest = np.abs(drawn[..., None] - greys).argmin(-1).reshape(100, -1)
  one_grey = (nearest == nearest[:, :1]).all(1)
  assert one_grey.mean() > 0.8  # tokens that know nothing of each other: 1 / 64
  assert len(np.unique(nearest[one_grey, 0])) == 4


def test_more_steps_than_the_images_have_tokens_are_refused_before_anything_is_compiled():
  made = maskgit(BidirectionalTransformer(8, 1, 2), *CODER, shape=(8, 8, 1), sampler_steps=20)
  with pytest.raises(ValueError, match="sampler_steps 20 for 16 tokens"):
    jax.eval_shape(made.init, jax.random.key(0), {"image": jnp.zeros((2, 8, 8, 1))})
