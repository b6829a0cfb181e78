"""PixelRNN: the Row LSTM and the Diagonal BiLSTM, whose state runs over the rows or the diagonals of an image.

Papers   van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759: sections 3.1 (eq 3) and 3.2, residual
         connections 3.3, masks 3.4, sizes in table 1
Departs  States before the image are zeros. Gates have one bias, that of the input.
         The Diagonal BiLSTM's state-to-state product has no bias, so that places beside the image stay at zero.
         The Row LSTM's context is a triangle above the pixel, as in the paper (figure 4), whatever the depth: of the
         row r above, no more than `first_kernel` // 2 + (r - 1) (`kernel` // 2) pixels to the right.
         The Diagonal BiLSTM, as published, has one blind spot: the last pixel of the row above (of its channels the
         last) where it is more than `first_kernel` // 2 to the right. No feature of that row holds it, so the state
         from the right does not bring it.
Shapes   as in pixelcnn.py. Skewed [B, H, W + H - 1, D]: row i is moved to the right by i, so that the left and the
         upper neighbour are both in the column before.
Checked  tests/nets/test_pixel_nets.py: who sees whom, by gradients; one pixel a pass against the whole pass
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.nets.masked import At, MaskedConv, shifted_down
from genjax.nets.pixelcnn import halves

Array = jax.Array
Cell = tuple[Array, Array]  # h, c


class RowLSTMLayer(nn.Module):
  """A layer whose state goes down, a row at a time; it sees `kernel` pixels of the row above.

  Attributes:
    width: h.
    kernel: of input and of state, odd.
    shape, dtype: see RowLSTM.
  """

  width: int
  kernel: int
  shape: tuple[int, int, int]
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, at: At | None = None) -> Array:
    height, across, channels = self.shape
    (side,) = halves(self.kernel)
    own = {"channels": channels, "grid": self.shape[:2], "dtype": self.dtype}
    gates = MaskedConv(4 * self.width, side=side, parts=4, **own)(x, at)
    weights = self.param("state", nn.initializers.lecun_normal(), (self.kernel * self.width, 4 * self.width))
    weights = weights.astype(self.dtype)
    frame = ((0, 0), (side, side), (0, 0))

    def step(cell: Cell, gates: Array) -> tuple[Cell, Array]:
      padded = jnp.pad(cell[0], frame)
      near = jnp.concatenate([padded[:, i : i + across] for i in range(self.kernel)], -1)
      cell = lstm(gates + near @ weights, cell[1])
      return cell, cell[0]

    if at is None:
      zero = jnp.zeros((len(x), across, self.width), self.dtype)
      return lax.scan(step, (zero, zero), gates.swapaxes(0, 1))[1].swapaxes(0, 1)
    shape = (len(x), height + 1, across + 2 * side, self.width)
    states = [self.variable("cache", name, jnp.zeros, shape, self.dtype) for name in "hc"]
    row, column = at
    near = lax.dynamic_slice(states[0].value, (0, row, column, 0), (len(x), 1, self.kernel, self.width))
    above = read(states[1].value, row, column + side)
    cell = lstm(gates + near.reshape(len(x), -1) @ weights, above)
    for state, value in zip(states, cell, strict=True):
      state.value = written(state.value, value, row + 1, column + side)
    return cell[0]


class DiagonalLayer(nn.Module):
  """A layer of two states, one from the left and one from the right, that go over diagonals; their sum.

  Attributes:
    width: h.
    shape, dtype: see DiagonalBiLSTM.
  """

  width: int
  shape: tuple[int, int, int]
  dtype: jnp.dtype

  def setup(self):
    own = {"channels": self.shape[2], "grid": self.shape[:2], "dtype": self.dtype}
    self.inputs = [MaskedConv(4 * self.width, parts=4, **own) for _ in range(2)]
    init, shape = nn.initializers.lecun_normal(), (2 * self.width, 4 * self.width)
    self.states = [self.param(f"state_{side}", init, shape) for side in ("left", "right")]

  def __call__(self, x: Array, at: At | None = None) -> Array:
    if at is not None:
      return self._pixel(x, at)
    from_left = self._over_diagonals(0, x)
    from_right = self._over_diagonals(1, x[:, :, ::-1])[:, :, ::-1]
    return from_left + shifted_down(from_right)  # of its own row, the second would see what comes later

  def _over_diagonals(self, side: int, x: Array) -> Array:
    gates = skewed(self.inputs[side](x))
    move = self._move(side)
    zero = jnp.zeros((len(x), self.shape[0], self.width), self.dtype)

    def step(cell: Cell, gates: Array) -> tuple[Cell, Array]:
      cell = move(gates, cell, shifted_down(cell[0]))
      return cell, cell[0]

    return unskewed(jnp.moveaxis(lax.scan(step, (zero, zero), jnp.moveaxis(gates, 2, 0))[1], 0, 2))

  def _move(self, side: int) -> Callable[[Array, Cell, Array], Cell]:
    """(gates, the state beside, h above) -> the state."""
    weights = self.states[side].astype(self.dtype)
    return lambda gates, beside, above: lstm(gates + jnp.concatenate([beside[0], above], -1) @ weights, beside[1])

  def _pixel(self, x: Array, at: At) -> Array:
    row, column = at
    height, across, _ = self.shape
    h, c = (self._kept(name, (len(x), height + 1, across + 1, self.width)) for name in "hc")
    beside = (read(h, row + 1, column), read(c, row + 1, column))
    cell = self._move(0)(self.inputs[0](x), beside, read(h, row, column + 1))
    for name, map_, value in zip("hc", (h, c), cell, strict=True):
      self.put_variable("cache", name, written(map_, value, row + 1, column + 1))
    row_of_inputs = self._kept("row", (len(x), across, x.shape[-1]))
    self.put_variable("cache", "row", lax.dynamic_update_slice_in_dim(row_of_inputs, x[:, None], column, 1))
    from_right = self._kept("right", (len(x), across, self.width))
    return cell[0] + lax.dynamic_index_in_dim(from_right, column, 1, keepdims=False)

  def row(self, batch: int, features: int, exists: Array) -> None:
    """Runs the state from the right over the row above; `exists` is 0 before the first row, 1 after."""
    across = self.shape[1]
    x = self._kept("row", (batch, across, features))
    above = self._kept("right", (batch, across, self.width))
    move, zero = self._move(1), jnp.zeros((batch, self.width), self.dtype)

    def step(cell: Cell, each: tuple[Array, Array]) -> tuple[Cell, Array]:
      gates, above = each
      cell = move(gates, cell, above)
      return cell, cell[0]

    columns = (self.inputs[1](x).swapaxes(0, 1), above.swapaxes(0, 1))
    states = lax.scan(step, (zero, zero), columns, reverse=True)[1].swapaxes(0, 1)
    self.put_variable("cache", "right", states * exists)

  def _kept(self, name: str, shape: tuple[int, ...]) -> Array:
    return self.get_variable("cache", name, jnp.zeros(shape, self.dtype))


class RowLSTM(nn.Module):
  """Residual layers of the Row LSTM.

  Attributes:
    shape: H, W, C.
    width: of the state (h); 2h between layers.
    layers: number of layers.
    first_kernel: side of the first convolution, odd.
    kernel: of the layers, odd.
    hidden: features of the last layer (D).
    dtype: of the products.
  """

  shape: tuple[int, int, int]
  width: int = 128
  layers: int = 12
  first_kernel: int = 7
  kernel: int = 3
  hidden: int = 1024
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, at: At | None = None) -> Array:
    own = {"channels": self.shape[2], "grid": self.shape[:2], "dtype": self.dtype}
    (first,) = halves(self.first_kernel)
    x = MaskedConv(2 * self.width, above=first, side=first, strict=True, **own)(images, at)
    for _ in range(self.layers):
      y = RowLSTMLayer(self.width, self.kernel, self.shape, self.dtype)(x, at)
      x = x + MaskedConv(2 * self.width, **own)(y)
    return MaskedConv(self.hidden, **own)(nn.relu(x))


class DiagonalBiLSTM(nn.Module):
  """Residual layers of the Diagonal BiLSTM.

  Attributes: as of RowLSTM, without `kernel`.
  """

  shape: tuple[int, int, int]
  width: int = 128
  layers: int = 12
  first_kernel: int = 7
  hidden: int = 1024
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    own = {"channels": self.shape[2], "grid": self.shape[:2], "dtype": self.dtype}
    (first,) = halves(self.first_kernel)
    self.first = MaskedConv(2 * self.width, above=first, side=first, strict=True, **own)
    self.stack = [DiagonalLayer(self.width, self.shape, self.dtype) for _ in range(self.layers)]
    self.up = [MaskedConv(2 * self.width, **own) for _ in range(self.layers)]
    self.last = MaskedConv(self.hidden, **own)

  def __call__(self, images: Array, at: At | None = None) -> Array:
    x = self.first(images, at)
    for layer, up in zip(self.stack, self.up, strict=True):
      x = x + up(layer(x, at))
    return self.last(nn.relu(x))

  def row(self, images: Array, number: Array) -> None:
    """Prepares every layer's state from the right for row `number`."""
    for layer in self.stack:
      layer.row(len(images), 2 * self.width, (number > 0).astype(self.dtype))


def lstm(gates: Array, c: Array) -> Cell:
  """h and c after the gates [..., 4h] of output, forgetting, input and content."""
  out, forget, into, content = jnp.split(gates, 4, -1)
  c = nn.sigmoid(forget) * c + nn.sigmoid(into) * jnp.tanh(content)
  return nn.sigmoid(out) * jnp.tanh(c), c


def skewed(x: Array) -> Array:
  """[B, H, W, D] -> [B, H, W + H - 1, D], row i moved to the right by i, zeros beside it."""
  batch, height, width, features = x.shape
  flat = jnp.pad(x, ((0, 0), (0, 0), (0, height), (0, 0))).reshape(batch, -1, features)
  return flat[:, : height * (width + height - 1)].reshape(batch, height, -1, features)


def unskewed(x: Array) -> Array:
  """Undoes `skewed`."""
  batch, height, length, features = x.shape
  flat = jnp.pad(x.reshape(batch, -1, features), ((0, 0), (0, height), (0, 0)))
  return flat.reshape(batch, height, length + 1, features)[:, :, : length + 1 - height]


def read(states: Array, row: Array, column: Array) -> Array:
  """[B, D] of a map [B, H, W, D]."""
  size = (len(states), 1, 1, states.shape[-1])
  return lax.dynamic_slice(states, (0, row, column, 0), size)[:, 0, 0]


def written(states: Array, value: Array, row: Array, column: Array) -> Array:
  """The map with a value [B, D] at a place."""
  return lax.dynamic_update_slice(states, value[:, None, None], (0, row, column, 0))
