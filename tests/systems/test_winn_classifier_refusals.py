"""What the supervised WINN refuses: settings that cannot work, batches and nets that do not fit; and its defaults."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from small_winn_classifier import CLASSES, NOISE, SHAPE, Net, batches_of, classifier_of

from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic
from genjax.systems.winn_classifier import winn_classifier


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"alpha": 0.0}, "alpha 0.0 with synthesis 16; use 0 for both"),
    ({"synthesis": 0}, "alpha 0.01 with synthesis 0; use 0 for both"),
    ({"synthesis": 20}, "synthesis 20 of a class is not a multiple of the minibatch 8; use 16"),
    ({"initial": 4}, "initial 4 of a class is not a multiple of the minibatch 8; use 8"),
    ({"capacity": 50}, "capacity 50 of a class is not a multiple of the minibatch 8; use 48"),
    ({"initial": 48}, "initial 48 is more than the pool's capacity 40"),
    ({"synthesis_batch": 12}, r"synthesis_batch 12 must divide classes \* synthesis, 48"),
    ({"synthesis_batch": 32}, "synthesis_batch 32 must divide"),
    ({"ema": 1.0}, r"ema 1.0 is not in \[0, 1\)"),
    ({"passes": 0}, "passes 0; use at least 1"),
    ({"stop": "image"}, "stop 'image'; use 'example' or 'batch'"),
    ({"policy": "newest"}, "policy 'newest'; use 'reservoir' or 'ring'"),
    ({"pool_dtype": "float16"}, "pool_dtype 'float16'; use 'float32' or 'uint8'"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_compiled(changes, says):
  with pytest.raises(ValueError, match=says):
    classifier_of(**changes)


def test_a_batch_that_does_not_fit_is_refused():
  system, start = classifier_of(), partial(jax.eval_shape, classifier_of().init, jax.random.key(0))
  with pytest.raises(ValueError, match="batch 20 is not a multiple of the minibatch 8"):
    start(batches_of(1, 20)[0])
  with pytest.raises(ValueError, match="the batch has no labels"):
    start({"image": jnp.zeros((32, *SHAPE))})
  with pytest.raises(ValueError, match=r"images are \(4, 4, 1\), the system was built for \(8, 8, 1\)"):
    jax.eval_shape(system.init, jax.random.key(0), {"image": jnp.zeros((32, 4, 4, 1)), "label": jnp.zeros(32, int)})


def test_a_net_gets_the_datas_classes_and_one_with_others_or_without_any_is_refused():
  make = lambda net: winn_classifier(net, NOISE, shape=SHAPE, classes=CLASSES)
  start = lambda net: jax.eval_shape(make(net).init, jax.random.key(0), batches_of(1, 100)[0])
  params = start(ConvNet(((4,), (4,)))).params["params"]
  assert params["classes"]["kernel"].shape[1] == CLASSES
  with pytest.raises(ValueError, match="the net has head_classes 4, the data have 3 classes; leave head_classes out"):
    make(ConvNet(((4,), (4,)), head_classes=4))
  with pytest.raises(ValueError, match=r"DCGANCritic gives no aux\['class_logits'\] \[B, 3\]; use a net with a field"):
    start(DCGANCritic((4,), norm="layer"))


def test_the_defaults_are_those_of_the_released_code():
  system = winn_classifier(Net(), NOISE, shape=SHAPE, classes=CLASSES)
  state = jax.eval_shape(system.init, jax.random.key(0), batches_of(1, 100)[0])
  assert state.pool.images.shape == (100 * CLASSES, 201, 64)  # 100 of a class at first, and 100 in each of 200 steps
