"""Images cut into a grid of patches, with or without overlap, and put together again.

Papers   ViT     Dosovitskiy et al. 2021, arXiv:2010.11929: patches in raster order
         ViTGAN  Lee et al. 2022, arXiv:2107.04589, section 3.4.1 of the thesis: each patch is wider by half its side on
                 every edge, so that reading it by a matrix is a convolution of kernel 2P and stride P
Departs  Beyond the image there are zeros, as that convolution's padding; neither paper says.
Shapes   images [B, H, W, C]; patch P divides H and W; L = H W / P^2 patches, each flattened in the order of its rows,
         columns, channels: the order of a convolution's kernel [P, P, C, O] seen as a matrix.
Checked  tests/ops/test_patches.py: against lax's convolution and numpy's slices.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def grid(shape: tuple[int, ...], patch: int) -> tuple[int, int]:
  """Rows and columns of patches in an image [H, W, ...]."""
  height, width = shape[:2]
  if patch < 1 or height % patch or width % patch:
    raise ValueError(f"images {height}x{width} are not cut evenly by patches of {patch}; use a patch that divides both")
  return height // patch, width // patch


def cut(images: Array, patch: int) -> Array:
  """Patches that touch: [B, L, P * P * C]."""
  rows, columns = grid(images.shape[1:], patch)
  batch, channels = images.shape[0], images.shape[3]
  blocks = images.reshape(batch, rows, patch, columns, patch, channels).swapaxes(2, 3)
  return blocks.reshape(batch, rows * columns, patch * patch * channels)


def assemble(patches: Array, patch: int, shape: tuple[int, int, int]) -> Array:
  """The image [B, H, W, C] whose `cut` these patches are; `shape` is H, W, C."""
  rows, columns = grid(shape, patch)
  if patches.shape[1:] != (rows * columns, patch * patch * shape[2]):
    raise ValueError(
      f"patches {patches.shape[1:]}; an image {shape} has {(rows * columns, patch * patch * shape[2])} of side {patch}"
    )
  blocks = patches.reshape(-1, rows, columns, patch, patch, shape[2]).swapaxes(2, 3)
  return blocks.reshape(-1, *shape)


def cut_overlapping(images: Array, patch: int) -> Array:
  """Windows of twice the patch's side around each patch: [B, L, 2P * 2P * C]. P is even."""
  if patch % 2:
    raise ValueError(f"patch {patch} has no half to overlap by; use an even patch, or patches that do not overlap")
  rows, columns = grid(images.shape[1:], patch)
  batch, channels, half = images.shape[0], images.shape[3], patch // 2
  padded = jnp.pad(images, ((0, 0), (half, half), (half, half), (0, 0)))
  blocks = padded.reshape(batch, rows + 1, patch, columns + 1, patch, channels).swapaxes(2, 3)  # [B, r, c, P, P, C]
  tall = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=3)
  windows = jnp.concatenate([tall[:, :, :-1], tall[:, :, 1:]], axis=4)
  return windows.reshape(batch, rows * columns, 4 * patch * patch * channels)


def coordinates(rows: int, columns: int) -> Array:
  """Row and column of every place of a grid, each in [-1, 1] (0 where there is one only): [rows * columns, 2]."""
  along = lambda count: jnp.linspace(-1.0, 1.0, count) if count > 1 else jnp.zeros(1)
  return jnp.stack(jnp.meshgrid(along(rows), along(columns), indexing="ij"), -1).reshape(-1, 2)


def neighbours(rows: int, columns: int) -> Array:
  """Which places of a grid are at most one row and one column apart, a 3x3 window: [L, L] bool, L = rows * columns."""
  row, column = jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij")
  near = lambda index: jnp.abs(index.reshape(-1, 1) - index.reshape(1, -1)) <= 1
  return near(row) & near(column)
