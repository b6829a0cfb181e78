"""ViTGAN: a generator and a critic of transformers.

    z -> mapping -> w;  E_pos -> blocks, norms modulated by w -> tokens -> pixels of each patch -> image
    image -> patches -> [class; tokens] -> blocks -> class token -> logit

Papers   ViTGAN  Lee et al. 2022, arXiv:2107.04589; chapter 3 of the thesis, whose equations and sizes these are
Sizes    width 384, 6 heads, MLP 1536. 32x32: patch 4, depth 4 of both. 64x64: patch 8, depth 6 of both. 128x128:
         generator patch 8, depth 8; critic patch 16, depth 4, embedding "stem".
Departs  Not in the papers, so chosen: 8 layers of mapping behind a pixel norm, with a learning rate of 0.01 times the
         rest's (all three as in the released code and in StyleGAN2's); a class token has no position; w comes from
         labels too where a call passes them, and they enter a critic by projection (nets/labels.py).
         The paper's critic and its tables:
           Table 3.3a  trunk "added" (A), "prepended" (B), "modulated" (C); output "linear", "implicit"
           Table 3.3b  attention "dot" or "l2", norm "none" (R1), "sn" or "isn", embedding "patches" or "overlapping",
                       conv_projection
           Table 3.4   mixing "global", "local", "mlp" of either net
Shapes   latent [B, Z], w [B, D] -> images [B, H, W, C] float32, around [-1, 1] but not bounded unless asked;
         images -> (logits [B], aux {"features" [B, D]}); both take labels [B] too.
State    the critic's collection "spectral", see nets/improved_spectral.py.
Checked  tests/nets/test_vitgan.py: parameters by hand, every switch.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.equalised import EqualDense, leaky, pixel_norm
from genjax.nets.fourier import FourierCode
from genjax.nets.implicit import ImplicitPatches
from genjax.nets.improved_spectral import Norm, NormedDense
from genjax.nets.labels import beside, check_labels
from genjax.nets.self_attention import Attention
from genjax.nets.tokens import Embedding, Tokens
from genjax.nets.transformer import Block, Mixing, Residual, SelfModulatedNorm, run
from genjax.ops.patches import assemble, grid

Array = jax.Array
Position = Literal["fourier", "learned"]


class ViTGANGenerator(nn.Module):
  """Latents to images, in two parts: `mapping` to w, `synthesis` from it.

  Attributes:
    shape: H, W, C.
    patch: P; it divides H and W.
    width: D, of tokens and of w.
    depth, heads, ratio: number of blocks, of attention heads, and the MLP's width over D.
    trunk: how w enters: "modulated" norms (C in figure 3.2), "added" to every position (A), "prepended" (B).
    output: how a token becomes pixels: "implicit" (nets/implicit.py) or a "linear" layer.
    hidden: width of the implicit output's hidden layer; None: D.
    mixing, attention, conv_projection, norm, residual: of the blocks, see nets/transformer.py; the released code has
      residual "normalised".
    position: "fourier" or free parameters.
    mapping_depth: layers from z to w.
    mapping_multiplier: of the learning rate of these layers, where it is equalised.
    pixel_norm: whether z is divided by its root mean square first.
    equalised: whether the learning rates of all weights are equalised.
    bounded: tanh at the end.
    classes: number of labels of the data, for calls that pass labels.
    remat: whether blocks are computed again for their gradients.
    dtype: of the products; norms, softmax and pixels are float32.
  """

  shape: tuple[int, int, int]
  patch: int = 4
  width: int = 384
  depth: int = 4
  heads: int = 6
  ratio: int = 4
  trunk: Literal["modulated", "added", "prepended"] = "modulated"
  output: Literal["implicit", "linear"] = "implicit"
  hidden: int | None = None
  mixing: Mixing = "global"
  attention: Attention = "dot"
  conv_projection: bool = False
  norm: Norm = "none"
  residual: Residual = "plain"
  position: Position = "fourier"
  mapping_depth: int = 8
  mapping_multiplier: float = 0.01
  pixel_norm: bool = True
  equalised: bool = True
  bounded: bool = False
  classes: int | None = None
  remat: bool = False
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    rows_columns = grid(self.shape, self.patch)
    rule = (self.mapping_depth, self.mapping_multiplier, self.pixel_norm, self.equalised)
    self.mapper = Mapping(self.width, *rule, self.classes)
    self.places = Positions(self.width, self.position)
    self.blocks = [
      Block(
        rows_columns,
        self.heads,
        self.ratio,
        self.mixing,
        self.attention,
        self.conv_projection,
        self.residual,
        self.norm,
        self.equalised,
        self.dtype,
      )
      for _ in range(self.depth)
    ]
    self.last_norm = SelfModulatedNorm(self.equalised, self.dtype)
    match self.output:
      case "implicit":
        self.painter = ImplicitPatches(self.patch, self.shape[2], self.hidden, self.equalised, self.dtype)
      case "linear":
        pixels = self.patch**2 * self.shape[2]
        self.painter = NormedDense(pixels, equalised=self.equalised, dtype=self.dtype)
      case _:
        raise ValueError(f"output {self.output!r}; use 'implicit' or 'linear'")

  def __call__(self, latent: Array, labels: Array | None = None, *, train: bool = False) -> Array:
    return self.synthesis(self.mapping(latent, labels), train=train)

  def mapping(self, latent: Array, labels: Array | None = None) -> Array:
    """w [B, D] of latents [B, Z]."""
    return self.mapper(latent, labels)

  def synthesis(self, w: Array, *, train: bool = False) -> Array:
    """Images [B, H, W, C] of w [B, D]; a "modulated" trunk also takes one w for each of its `styles`, [B, S, D]."""
    mixed = w.ndim == 3
    if mixed and (self.trunk != "modulated" or w.shape[1] != self.styles):
      raise ValueError(f"w {w.shape[1:]} has {w.shape[1]} styles; trunk {self.trunk!r} takes {self.styles}")
    places = self.places(*grid(self.shape, self.patch))
    x = jnp.broadcast_to(places[None], (w.shape[0], *places.shape))
    match self.trunk:
      case "modulated":
        styles = list(w.swapaxes(0, 1)) if mixed else [w] * self.styles
      case "added":
        x, styles = x + w[:, None], [None] * (self.depth + 1)
      case "prepended":
        x, styles = jnp.concatenate([w[:, None], x], 1), [None] * (self.depth + 1)
      case _:
        raise ValueError(f"trunk {self.trunk!r}; use 'modulated', 'added' or 'prepended'")
    x = x.astype(self.dtype)
    for block, style in zip(self.blocks, styles[:-1], strict=True):
      x = run(block, x, style, train=train, remat=self.remat)
    x = self.last_norm(x, styles[-1])[:, -places.shape[0] :]
    image = assemble(self.painter(x).astype(jnp.float32), self.patch, self.shape)
    return jnp.tanh(image) if self.bounded else image

  @property
  def styles(self) -> int:
    """How many w an image may be made of: one for each block and one for the norm after them; 1 without modulation."""
    return self.depth + 1 if self.trunk == "modulated" else 1


class ViTGANCritic(nn.Module):
  """Images to logits.

  Attributes:
    patch: P; it divides H and W.
    width, depth, heads, ratio: as of the generator.
    embedding: how a patch becomes a token, see nets/tokens.py; "stem" for 128x128.
    mixing, attention, conv_projection, norm: of the blocks, see nets/transformer.py; `norm` of all other layers too.
    position, equalised, remat, dtype: as of the generator; the logit is float32.
    classes: number of labels of the data, for calls that pass labels; they enter by projection.
  """

  patch: int = 4
  width: int = 384
  depth: int = 4
  heads: int = 6
  ratio: int = 4
  embedding: Embedding = "overlapping"
  mixing: Mixing = "global"
  attention: Attention = "l2"
  conv_projection: bool = True
  norm: Norm = "isn"
  position: Position = "fourier"
  equalised: bool = True
  classes: int | None = None
  remat: bool = False
  dtype: jnp.dtype = jnp.float32
  per_image = True

  @nn.compact
  def __call__(
    self, images: Array, labels: Array | None = None, *, train: bool = False
  ) -> tuple[Array, dict[str, Array]]:
    check_labels(labels, self.classes)
    own = {"norm": self.norm, "equalised": self.equalised, "dtype": self.dtype}
    x = Tokens(self.width, self.patch, self.embedding, **own, train=train, name="tokens")(images)
    cells = grid(images.shape[1:], self.patch)
    x += Positions(self.width, self.position, name="places")(*cells).astype(self.dtype)[None]
    first = self.param("class_token", nn.initializers.normal(1.0), (self.width,)).astype(self.dtype)
    x = jnp.concatenate([jnp.broadcast_to(first[None, None], (x.shape[0], 1, self.width)), x], 1)
    kind = (self.heads, self.ratio, self.mixing, self.attention, self.conv_projection)
    for number in range(self.depth):
      x = run(Block(cells, *kind, **own, name=f"blocks_{number}"), x, train=train, remat=self.remat)
    features = SelfModulatedNorm(name="last_norm")(x[:, 0])
    own = {"norm": self.norm, "equalised": self.equalised, "train": train}  # in float32
    logits = NormedDense(1, **own, name="logit")(features)[:, 0]
    if labels is not None:
      embedded = NormedDense(self.width, **own, bias=False, name="embedding")(jax.nn.one_hot(labels, self.classes))
      logits += (embedded * features).sum(1)
    return logits, {"features": features}


class Mapping(nn.Module):
  """z, pixel-normalised, then linear layers with leaky ReLU: [B, Z] -> w [B, D] float32.

  Attributes:
    features: D.
    depth: number of layers.
    multiplier: of their learning rate; 1 where it is not equalised.
    normalised: whether z is divided by its root mean square.
    equalised: see nets/improved_spectral.py.
    classes: number of labels, for calls that pass labels; they go one-hot behind z.
  """

  features: int
  depth: int = 8
  multiplier: float = 0.01
  normalised: bool = True
  equalised: bool = True
  classes: int | None = None

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None) -> Array:
    x = beside(pixel_norm(latent) if self.normalised else latent, labels, self.classes)
    for _ in range(self.depth):
      layer = EqualDense(self.features, self.multiplier) if self.equalised else nn.Dense(self.features)
      x = leaky(layer(x))
    return x


class Positions(nn.Module):
  """One code for each place of a grid: [rows * columns, D] float32.

  Attributes:
    features: D.
    kind: "fourier" (nets/fourier.py), or "learned" free parameters.
  """

  features: int
  kind: Position = "fourier"

  @nn.compact
  def __call__(self, rows: int, columns: int) -> Array:
    match self.kind:
      case "fourier":
        return FourierCode(self.features, name="code")(rows, columns)
      case "learned":
        return self.param("code", nn.initializers.normal(0.02), (rows * columns, self.features))
    raise ValueError(f"position {self.kind!r}; use 'fourier' or 'learned'")
