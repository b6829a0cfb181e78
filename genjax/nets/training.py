"""Train mode, the one convention of all nets: what differs in training hangs on `train: bool = False` of the call.

A net with dropout, DropBlock, batch normalisation or spectral normalisation has the keyword `train` in its `__call__`.
With train=True it drops (by the stream "dropout" of `rngs`), normalises by the statistics of the batch, makes a step of
the power iteration, and writes its collections, which must then be mutable; with train=False it only reads them.
A net without such layers has no `train`; a system calls it without. The keyword never changes what `init` makes.

A critic whose logit and aux of an image depend on that image alone, and which draws nothing, says so by a class
attribute or property `per_image`; absent is False. It has no batch statistics, no minibatch discrimination or
deviation, and no dropout, so reals and fakes may go through it in one batch: see objectives/terms.py, `play_together`.

Checked  tests/nets/test_training.py
"""

import inspect
from functools import cache

import flax.linen as nn


def takes_train(net: nn.Module) -> bool:
  """Whether the net behaves differently in training: its `__call__` has a parameter `train`."""
  return _has_train(type(net), "__call__")


def per_image(net: nn.Module) -> bool:
  """Whether the net says that it looks at each image alone and draws nothing, see above."""
  return getattr(net, "per_image", False)


def mode(net: nn.Module, train: bool, method: str | None = None) -> dict[str, bool]:
  """The keywords that put the net, or a method of it, in this mode: {"train": train}, or {} where there is one only.

  `net.apply(variables, images, **mode(net, True), rngs={"dropout": key}, mutable=list(collections))`
  """
  return {"train": train} if _has_train(type(net), method or "__call__") else {}


@cache
def _has_train(kind: type, method: str) -> bool:
  return "train" in inspect.signature(getattr(kind, method)).parameters
