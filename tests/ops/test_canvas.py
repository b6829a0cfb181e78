import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genjax.nets.convnet import ConvNet
from genjax.nets.noise import gaussian
from genjax.ops import canvas
from genjax.ops.langevin import adam, ascend, langevin
from genjax.train.mesh import batch_sharding, make_mesh, replicated
from genjax.train.plan import collectives

KEY = jax.random.key(0)
WIDE = {"low": -1e6, "high": 1e6}
WAVES = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)


def _wavy(patches):
  """A score with another curvature for each place in a patch; its derivative is in `_wavy_slope`."""
  return jnp.sin(3 * WAVES[None] * patches).sum((1, 2, 3))


def _wavy_slope(patch):
  return 3 * WAVES * np.cos(3 * WAVES * patch)


def _sum(patches):
  return patches.sum((1, 2, 3))


def _toward(mean):
  return lambda patches: -((patches - mean) ** 2).sum((1, 2, 3)) / 2


def _start(*shape):
  return jax.random.uniform(jax.random.key(9), shape, minval=-1.0, maxval=1.0)


def _climb(score, image, *, thresholds=(jnp.inf,), **how):
  """One canvas for each threshold, all by one program; the only one, if there is but one."""
  settings = {"patch": (4, 4), "rule": adam(learning_rate=0.05), "steps": 20, **how}
  run = jax.jit(lambda key, image, goal: canvas.ascend(key, score, image, threshold=goal, **settings))
  done = [run(jax.random.key(1), image, jnp.float32(goal)) for goal in thresholds]
  return done[0] if len(done) == 1 else done


def _covers(count, moves, size, patch=(4, 4)):
  """How many patches cover each pixel, [H, W], in each move of `_climb`: its places are drawn as it draws them."""
  key = jax.random.split(jax.random.key(1), 3)[0]
  cover = jax.jit(lambda key: canvas.cover_of(canvas.scatter_places(key, count, size, patch), size, patch))
  return [np.asarray(cover(jax.random.fold_in(key, index))) for index in range(moves)]


# The gradient of a canvas


@pytest.mark.parametrize(("count", "chunk", "parts"), [(1, 4, 1), (23, 3, 1), (23, 3, 4), (24, 100, 8), (5, 1, 8)])
def test_the_gradient_is_that_of_a_loop_over_patches(count, chunk, parts):
  image = _start(19, 13, 2)

  def run(key, image):
    places = canvas.scatter_places(key, count, (19, 13), (6, 5), chunk=chunk, parts=parts)
    return places, canvas.slope(_wavy, image, places, (6, 5))

  places, (gradient, cover, mean) = jax.jit(run)(jax.random.key(2), image)
  assert places.real.shape[0] == parts
  assert places.real.shape[2] <= chunk
  corners = np.asarray(places.corner)[np.asarray(places.real)]
  assert len(corners) == count
  sums, counts, values = np.zeros((19, 13, 2)), np.zeros((19, 13), int), []
  for top, left in corners:
    here = np.s_[top : top + 6, left : left + 5]
    patch = np.asarray(image, np.float64)[here]
    sums[here] += _wavy_slope(patch)
    counts[here] += 1
    values.append(np.sin(3 * WAVES * patch).sum())
  expected = np.divide(sums, counts[..., None], out=np.zeros_like(sums), where=counts[..., None] > 0)
  np.testing.assert_array_equal(cover[..., 0], counts)
  np.testing.assert_allclose(gradient, expected, atol=2e-5)
  np.testing.assert_allclose(mean, np.mean(values), rtol=1e-5)


def test_where_patches_agree_the_mean_is_what_one_patch_says():
  image = _start(30, 30, 1)
  places = canvas.scatter_places(jax.random.key(0), 300, (30, 30), (4, 4))
  gradient, cover, _ = jax.jit(lambda image: canvas.slope(_toward(0.25), image, places, (4, 4)))(image)
  assert 0 == cover.min() < cover.max()
  np.testing.assert_allclose(gradient, jnp.where(cover > 0, 0.25 - image, 0), atol=1e-6)


def test_two_hundred_patches_are_the_thesis_and_other_sizes_are_covered_alike():
  assert canvas.count_of((320, 320), (64, 64)) == 200
  assert canvas.count_of((64, 64), (64, 64)) == 1
  for size in ((320, 320), (512, 700)):
    count = canvas.count_of(size, (64, 64))
    cover = canvas.cover_of(canvas.scatter_places(jax.random.key(0), count, size, (64, 64)), size, (64, 64))
    assert cover.sum() == count * 64 * 64
    assert abs(cover[63:-63, 63:-63].mean() / canvas.THESIS_COVER - 1) < 0.1


def test_places_are_uniform_over_all_where_a_patch_fits_and_the_same_for_any_parts():
  draw = lambda **how: canvas.scatter_places(jax.random.key(0), 60_000, (9, 12), (4, 8), **how)
  one, other = draw(chunk=60_000), draw(chunk=99, parts=8)
  corners = [np.asarray(places.corner)[np.asarray(places.real)] for places in (one, other)]
  np.testing.assert_array_equal(*corners)
  counts = np.zeros((6, 5))
  np.add.at(counts, tuple(corners[0].T), 1)
  assert abs(counts / 2000 - 1).max() < 0.12  # five standard errors


# The climb


def test_a_canvas_climbs_a_quadratic_score_to_its_top():
  top = 0.3
  done = _climb(_toward(top), _start(21, 33, 3), steps=300, rule=adam(learning_rate=0.02))
  assert abs(done.image - top).max() < 0.02
  assert done.score > -1e-2
  assert done.moves == 300
  assert not done.stopped


def test_plain_gradient_moves_follow_the_loop():
  """Langevin's drift without its noise: x + epsilon / 2 times the mean gradient, where a patch is."""
  rule = langevin(0.2)._replace(move=lambda key, gradient, moment, index: (0.1 * gradient, moment))
  image = _start(11, 9, 1)
  done = _climb(_toward(0.5), image, rule=rule, steps=7, patches=3)
  expected = np.asarray(image, np.float64)
  for cover in _covers(3, 7, (11, 9)):
    expected = np.where(cover[..., None] > 0, expected + 0.1 * (0.5 - expected), expected)
  np.testing.assert_allclose(done.image, expected, atol=1e-6)


def test_adam_on_a_pixel_knows_only_the_moves_that_the_pixel_made():
  """Under a constant slope Adam moves by its rate each time, bias corrected: so a pixel has its count of moves."""
  image = jnp.zeros((12, 12, 1))
  done = _climb(_sum, image, rule=adam(learning_rate=0.01, b1=0.9, b2=0.99), steps=25, patches=2, **WIDE)
  age = sum(cover > 0 for cover in _covers(2, 25, (12, 12)))
  assert age.min() < age.max() < 25
  np.testing.assert_allclose(done.image[..., 0], 0.01 * age, rtol=1e-4, atol=1e-6)


def test_langevins_noise_moves_no_pixel_that_no_patch_covers():
  image = _start(16, 16, 1)
  done = _climb(_toward(0.0), image, rule=langevin(0.1), steps=1, patches=2)
  cover = _covers(2, 1, (16, 16))[0]
  assert ((done.image[..., 0] == image[..., 0]) == (cover == 0)).all()


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 9, 3), (17, 5, 2)])
def test_any_size_from_one_patch_on_is_possible(shape):
  done = _climb(_sum, _start(*shape), rule=adam(learning_rate=0.2), steps=60)
  assert done.image.shape == shape
  np.testing.assert_array_equal(done.image, 1)  # the sum is greatest where everything is clipped


def test_a_canvas_of_one_patch_climbs_as_an_image_does():
  image = _start(6, 5, 2)
  done = _climb(_wavy, image, patch=(6, 5), rule=adam(learning_rate=0.03), steps=15, patches=7)
  alone = ascend(jax.random.key(0), _wavy, image[None], rule=adam(learning_rate=0.03), steps=15)
  np.testing.assert_allclose(done.image, alone.images[0], atol=2e-5)
  np.testing.assert_allclose(done.score, alone.scores[0], rtol=1e-4)


def test_a_canvas_stops_at_its_threshold_and_stays_put():
  image = jnp.zeros((12, 12, 1))
  rule = langevin(1.0)._replace(move=lambda key, gradient, moment, index: (0.125 * gradient, moment))
  goals = (144 * 0.7, -1.0, 1e9, 144 * 6.25)  # the first is passed by 0.125 * 6, the last reached by the last move
  done = _climb(_sum, image, thresholds=goals, patch=(12, 12), rule=rule, steps=50, **WIDE)
  assert [(int(one.moves), bool(one.stopped)) for one in done] == [(6, True), (0, True), (50, False), (50, True)]
  np.testing.assert_array_equal(done[0].image, 0.75)


def test_a_score_that_turns_nan_stays_visible():
  done = _climb(lambda patches: jnp.sqrt(patches).sum((1, 2, 3)), jnp.full((9, 9, 1), -0.5), thresholds=(-5.0,))
  assert jnp.isnan(done.image).any()
  assert jnp.isnan(done.score)
  assert not done.stopped


def test_the_same_key_gives_the_same_bits_and_another_gives_another_picture():
  start = _start(14, 14, 2)
  run = jax.jit(
    lambda key: canvas.ascend(key, _wavy, start, patch=(6, 5), rule=adam(learning_rate=0.05), steps=9).image
  )
  pictures = [np.asarray(run(jax.random.key(seed))) for seed in (3, 3, 4)]
  np.testing.assert_array_equal(pictures[0], pictures[1])
  assert not np.array_equal(pictures[0], pictures[2])


def _canvases(**settings):
  return canvas.canvases(noise=gaussian((4, 4, 1)), sampler=adam(learning_rate=0.05), shape=(4, 4, 1), **settings)


def test_settings_that_cannot_work_are_refused():
  with pytest.raises(ValueError, match="8x3 holds no patch of 4x4"):
    _climb(_sum, _start(8, 3, 1))
  with pytest.raises(ValueError, match="use at least 1 of each"):
    _climb(_sum, _start(8, 8, 1), chunk=0)
  with pytest.raises(ValueError, match="margin -1"):
    _canvases(margin=-1)
  with pytest.raises(ValueError, match="2x2 holds no patch"):
    _canvases(size=2, margin=0)


# Pictures through stages


def test_the_mosaic_is_made_of_whole_noise_patches():
  noise = lambda key, n: jnp.broadcast_to(jnp.arange(n, dtype=jnp.float32)[:, None, None, None], (n, 3, 4, 2))
  image = canvas.mosaic(jax.random.key(0), noise, (7, 10, 2), (3, 4))
  assert image.shape == (7, 10, 2)
  rows, columns = np.mgrid[:7, :10]
  np.testing.assert_array_equal(image[..., 1], rows // 3 * 3 + columns // 4)


def test_stages_follow_each_other_and_one_that_was_not_trained_is_passed_by():
  bounds = lambda value: jnp.array([value, value])
  far = canvas.Stage(_toward(0.8), bounds(1.0))  # never reached: it goes to the top
  near = canvas.Stage(_toward(0.2), bounds(-0.02))
  idle = canvas.Stage(lambda patches: -_sum(patches), bounds(1e9), active=jnp.bool_(False))
  done = jax.jit(
    lambda image: canvas.through(
      jax.random.key(0), [far, near, idle], image, patch=(4, 4), rule=adam(learning_rate=0.05), steps=60
    )
  )(jnp.zeros((10, 10, 1)))
  assert abs(done.image.mean() - 0.25) < 0.02  # it comes from 0.8 and stops where -16 * (x - 0.2)^2 / 2 is -0.02
  assert (done.moves, done.stopped) == (0, True)


def test_each_stage_draws_noise_and_places_of_its_own():
  still = canvas.Stage(lambda patches: 0 * _sum(patches), jnp.array([1.0, 2.0]))
  run = lambda key, stages: (
    canvas.through(key, stages, jnp.zeros((12, 12, 1)), patch=(4, 4), rule=langevin(1e-4), steps=1, patches=12).image
  )
  one, both = (np.ravel(image) for image in jax.jit(lambda key: [run(key, [still] * n) for n in (1, 2)])(KEY))
  covered = (one != 0) & (both != one)
  assert ((one != 0) != (both != one)).any()  # other places
  assert abs(np.corrcoef(one[covered], (both - one)[covered])[0, 1]) < 0.5  # other noise where both have some


def test_a_threshold_may_be_drawn_from_the_upper_part_of_the_range():
  stage = canvas.Stage(_sum, jnp.array([0.0, 144.0]))
  rule = langevin(1.0)._replace(move=lambda key, gradient, moment, index: (gradient / 1024, moment))
  how = {"patch": (12, 12), "rule": rule, "steps": 2000}
  climb = lambda key: [
    canvas.through(key, [stage], jnp.zeros((12, 12, 1)), above=above, **how) for above in (0.0, 0.75)
  ]
  ends = np.array([[one.score / 144 for one in jax.jit(climb)(jax.random.key(seed))] for seed in range(5)])
  assert ends[:, 0].min() < 0.5
  np.testing.assert_allclose(ends[:, 1], 0.75 + ends[:, 0] / 4, atol=0.002)


def test_pictures_are_the_middle_of_canvases_of_their_own():
  noise = gaussian((4, 4, 1))
  draw = _canvases(size=(9, 11), margin=3, steps=0)
  stages = [canvas.Stage(_toward(0.3), jnp.array([0.0, 1.0]))]
  images = draw(jax.random.key(0), stages, 3)
  assert images.shape == (3, 9, 11, 1)
  assert len({np.asarray(image).tobytes() for image in images}) == 3
  start = canvas.mosaic(jax.random.split(jax.random.split(jax.random.key(0), 3)[1])[0], noise, (15, 17, 1), (4, 4))
  np.testing.assert_allclose(images[1], start[3:-3, 3:-3], atol=1e-6)


# Many devices


def _drawn(devices, score, params, *, shape, rule, **how):
  """key, params -> one picture, its patches split over devices; compiled, and the sharding of both."""
  mesh = make_mesh(jax.devices()[:devices])
  spread = lambda parts: lax.with_sharding_constraint(parts, batch_sharding(mesh))
  draw = canvas.canvases(noise=gaussian(shape), sampler=rule, shape=shape, **how)

  def picture(key, params):
    stage = canvas.Stage(lambda patches: score(params, patches), jnp.array([1e9, 1e9]))
    return draw(key, [stage], 1, devices, spread)[0]

  copies = replicated(mesh)
  jitted = jax.jit(picture, in_shardings=(copies, copies), out_shardings=copies)
  return jitted.lower(jax.eval_shape(lambda: jax.random.key(0)), params).compile(), copies


def test_one_device_and_eight_draw_the_same_picture():
  """With plain moves: Adam's first is the sign of the gradient, which rounding flips where that is nearly 0."""
  plain = langevin(1.0)._replace(move=lambda key, gradient, moment, index: (0.1 * gradient, moment))
  waves = jax.random.normal(jax.random.key(0), (1, 16, 16, 1))
  score = lambda waves, patches: jnp.sin(3 * waves * patches).sum((1, 2, 3))
  pictures = []
  for devices in (1, 8):
    draw, copies = _drawn(devices, score, waves, shape=(16, 16, 1), rule=plain, size=40, margin=8, steps=6, chunk=3)
    pictures.append(np.asarray(draw(*jax.device_put((jax.random.key(0), waves), copies))))
  assert pictures[0].std() > 0.33  # p0 has 0.3
  np.testing.assert_allclose(pictures[1], pictures[0], atol=1e-5)


def test_a_picture_of_2048_fits_its_patches_are_split_and_only_sums_are_exchanged():
  net = ConvNet(((4,), (8,)))
  score = lambda params, patches: net.apply(params, patches)[0]
  params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
  how = {"shape": (64, 64, 3), "rule": adam(learning_rate=0.05), "size": 2048, "steps": 3, "chunk": 16}
  one, eight = (_drawn(devices, score, params, **how)[0] for devices in (1, 8))
  whole = 2112**2 * 3 * 4  # bytes of a canvas
  for compiled in (one, eight):
    assert compiled.memory_analysis().temp_size_in_bytes < 16 * whole  # image, two moments, sums of gradients, ...
    assert "[16,64,64,4]" in compiled.as_text()  # a chunk of the one part that each device has
    assert "[128,64,64,4]" not in compiled.as_text()
  exchanged = collectives(eight.as_text())
  assert {each.name for each in exchanged} == {"all-reduce"}
  assert max(each.bytes for each in exchanged) <= whole + 8  # and a score, a count
