"""A net that starts from weights that exist already: those of another run, or a converted checkpoint.

    net = with_weights(ResNet12(), load_variables("resnet12.npz").variables)

Any system takes it in the place of the net: training then fine-tunes the weights, and a view of the first state
evaluates them as they are.

Checked  tests/systems/test_pretrained.py
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict


def with_weights(net: nn.Module, variables: Mapping[str, Any]) -> nn.Module:
  """The same net, whose `init` returns these variables in place of random ones; all else is the net's.

  A clone of it has the weights too, and so has a module that holds it as a part.

  Args:
    net: a flax module that is not part of another one yet.
    variables: "params" and the net's other collections, arrays of any kind.

  Returns:
    A module of a subclass of the net's class. Its `init` raises ValueError where the variables are not those of the
    net: the text names the leaf that is missing, too much, or of another shape.
  """
  kind = type(net)
  flat = {name: np.asarray(value) for name, value in flatten_dict(dict(variables), sep="/").items()}

  @nn.nowrap
  def init(self: nn.Module, *arguments: Any, **named: Any) -> dict[str, Any]:
    return _fitted(flat, jax.eval_shape(lambda: kind.init(self, *arguments, **named)))

  def setup(self: nn.Module) -> None:
    if self.path and self.is_initializing():  # a part of another module, whose `init` is the one that is called
      for collection, tree in unflatten_dict(flat, sep="/").items():
        for name, value in tree.items():
          self.put_variable(collection, name, jax.tree.map(jnp.asarray, value))
    kind.setup(self)

  body = {"init": init, "setup": setup, "__module__": kind.__module__, "__doc__": kind.__doc__}
  settings = {each.name: getattr(net, each.name) for each in fields(net) if each.init and each.name != "parent"}
  return type(kind.__name__, (kind,), body)(**settings)


def _fitted(flat: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> dict[str, Any]:
  """The variables with the structure and the types that the net's own have. Raises ValueError."""
  own = flatten_dict(dict(wanted), sep="/")
  weights_first = lambda names: sorted(names, key=lambda name: (not name.startswith("params/"), name))
  for verb, names in (("lack", own.keys() - flat.keys()), ("have too much:", flat.keys() - own.keys())):
    if names:
      more = f" and {len(names) - 1} more" if len(names) > 1 else ""
      raise ValueError(f"the weights {verb} {weights_first(names)[0]}{more}; use the net that they come from")
  for name in weights_first(own):
    if flat[name].shape != own[name].shape:
      raise ValueError(
        f"{name} is {flat[name].shape} in the weights and {own[name].shape} in the net; use a net of the same sizes"
      )
  return unflatten_dict({name: jnp.asarray(flat[name], leaf.dtype) for name, leaf in own.items()}, sep="/")
