"""What a GAN refuses: settings that cannot work, batches and nets that do not fit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gan import CLASSES, SHAPE, WGAN, batches_of, gan_of, one_step

from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives.terms import Objective


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"objective": Objective(WGAN.critic)}, "no part for a generator; use one of a GAN"),
    ({"latent": 0}, "latent 0; use at least 1"),
    ({"critic_steps": 0}, "critic_steps 0; use at least 1"),
    ({"unroll": -1}, "unroll -1; use 0 for none"),
    ({"ema": 1.0}, r"ema 1.0 is not in \[0, 1\)"),
    ({"ema": 0.9, "ema_half_life": 10.0}, "set one of them"),
    ({"ema_half_life": 0.0}, "set one of them"),
    ({"ema_start": -1}, "ema_start -1; use 0 for none"),
    ({"augment": "cutout"}, "'cutout' is no change; use thesis"),
    ({"clip": 0.0}, "clip 0.0; use a positive bound"),
    ({"conditional": True}, "conditional=True, but the data have no labels"),
    ({"prior": "gauss"}, "prior 'gauss'; use 'normal' or 'uniform'"),
    ({"order": "both"}, "order 'both'; use 'alternating' or 'simultaneous'"),
    ({"order": "simultaneous"}, "set critic_steps to 1, not 2"),
    ({"consensus": 0.1}, "set order='simultaneous' and unroll=0"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_compiled(changes, says):
  with pytest.raises(ValueError, match=says):
    gan_of(**changes)


def test_a_batch_or_a_net_that_does_not_fit_is_refused():
  start = lambda batch, **changes: jax.eval_shape(gan_of(**changes).init, jax.random.key(0), batch)
  with pytest.raises(ValueError, match="batch 17 is not a multiple of critic_steps 2"):
    start(batches_of(17, 1)[0])
  with pytest.raises(ValueError, match=r"images are \(2, 2, 1\), the system was built for \(4, 4, 1\)"):
    start(batches_of(16, 1, (2, 2, 1))[0])
  with pytest.raises(ValueError, match=r"the generator returns an array \[1, 2, 2, 1\].* images are \[1, 4, 4, 1\]"):
    start(batches_of(16, 1)[0], generator=MLPGenerator((2, 2, 1), (8,)))
  with pytest.raises(ValueError, match="conditional=True, but a batch has no 'label'"):
    start({"image": jnp.zeros((16, *SHAPE))}, classes=3, conditional=True)
  with pytest.raises(ValueError, match=r"classes"):
    start(batches_of(16, 1)[0], classes=3, conditional=True)  # nets of which neither knows of classes


class _Bare(nn.Module):
  """A critic that returns what it should not."""

  form: str

  @nn.compact
  def __call__(self, images):
    logits = nn.Dense(1)(images.reshape(len(images), -1))
    return {"logits": logits[:, 0], "column": (logits, {}), "features": (logits[:, 0], logits)}[self.form]


@pytest.mark.parametrize(
  ("form", "came"),
  [
    ("logits", r"an array \[1\] for one image"),
    ("column", r"\(an array \[1, 1\], a dict\)"),
    ("features", r"\(an array \[1\], an array \[1, 1\]\)"),
  ],
)
def test_a_critic_that_breaks_the_contract_is_answered_with_it(form, came):
  system = gan_of(critic=_Bare(form))
  with pytest.raises(ValueError, match=f"the critic returns {came}.*; a critic returns \\(logits \\[B\\], aux\\)"):
    jax.eval_shape(system.init, jax.random.key(0), batches_of(16, 1)[0])


def test_classes_alone_make_no_gan_conditional():
  nets = {"generator": MLPGenerator(SHAPE, (8,), classes=CLASSES), "critic": MLPCritic((8,), classes=CLASSES)}
  plain, known = (one_step(gan_of(**each), batches_of(16, 1)[0]) for each in ({}, nets | {"classes": CLASSES}))
  jax.tree.map(np.testing.assert_array_equal, plain, known)
  assert set(gan_of(**nets, classes=CLASSES).views) == {"sample", "latents", "score"}
  assert set(gan_of(**nets, classes=CLASSES, conditional=True).views) == {"sample", "latents", "classes"}
