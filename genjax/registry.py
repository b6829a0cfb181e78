"""Short names that a config may use, and what each of them stands for, as "module:function". A new name is a line here.

A module is imported when its name is resolved, so a command line is read without JAX. A name that holds a colon is the
user's own "module:function"; `resolve` says when it is refused.

Checked  tests/test_registry.py
"""

import difflib
import importlib
import os
import traceback
from collections.abc import Collection, Iterable, Mapping
from typing import Any

SYSTEMS = {
  "winn": "genjax.systems.winn:winn",
  "winn_classifier": "genjax.systems.winn_classifier:winn_classifier",
  "gan": "genjax.systems.gan:gan",
  "d2gan": "genjax.systems.d2gan:d2gan",
  "adagan": "genjax.systems.adagan:adagan",
  "metaoptnet": "genjax.systems.metaoptnet:metaoptnet",
  "maml": "genjax.systems.maml:maml",
  "autoencoder": "genjax.systems.autoencoder:autoencoder",
  "tangent_prop": "genjax.systems.tangent_prop:tangent_prop",
  "vae": "genjax.systems.vae:vae",
  "ddpm": "genjax.systems.ddpm:ddpm",
  "cyclegan": "genjax.systems.cyclegan:cyclegan",
  "gpt": "genjax.systems.gpt:gpt",
  "pixelcnn": "genjax.systems.pixelcnn:pixelcnn",
  "vqvae": "genjax.systems.vqvae:vqvae",
  "maskgit": "genjax.systems.maskgit:maskgit",
  "flow": "genjax.systems.flow:flow",
}
DATA = {
  "digits": "genjax.data.images:digits",
  "textures": "genjax.data.images:textures",
  "folder": "genjax.data.images:folder",
  "cifar10": "genjax.data.images:cifar10",
  "mnist": "genjax.data.images:mnist",
  "fashion_mnist": "genjax.data.images:fashion_mnist",
  "tfds": "genjax.data.images:tfds",
  "mock": "genjax.data.images:mock",
  "ring": "genjax.data.points:ring",
  "grid": "genjax.data.points:grid",
  "glyphs": "genjax.data.episodes:glyphs",
  "omniglot": "genjax.data.episodes:omniglot",
  "miniimagenet": "genjax.data.episodes:miniimagenet",
  "tieredimagenet": "genjax.data.episodes:tieredimagenet",
  "cifarfs": "genjax.data.episodes:cifarfs",
  "fc100": "genjax.data.episodes:fc100",
  "folder_episodes": "genjax.data.episodes:folder_episodes",
  "mock_episodes": "genjax.data.episodes:mock_episodes",
  "text": "genjax.data.tokens:text",
  "pairs": "genjax.data.pairs:pairs",
}
NETS = {
  "convnet": "genjax.nets.convnet:ConvNet",
  "vanilla": "genjax.nets.vanilla:VanillaNet",
  "resnet13": "genjax.nets.resnet:ResNet13",
  "resnet32": "genjax.nets.resnet:ResNet32",
  "densenet20": "genjax.nets.densenet:DenseNet",
  "wgan_gp_32": "genjax.nets.wgan_gp:WganGp32",
  "wgan_gp_64": "genjax.nets.wgan_gp:WganGp64",
  "dcgan": "genjax.nets.dcgan:DCGANCritic",
  "mlp": "genjax.nets.mlp:MLPCritic",
  "autoencoder": "genjax.nets.autoencoder:Autoencoder",
  "sn_gan_resnet": "genjax.nets.resnet_gan:SpectralResNetCritic",
  "vitgan": "genjax.nets.vitgan:ViTGANCritic",
  "vit": "genjax.nets.vit:ViTCritic",
  "stylegan2": "genjax.nets.stylegan2:StyleGAN2Critic",
  "biggan": "genjax.nets.biggan:BigGANCritic",
  "conv4": "genjax.nets.conv4:Conv4",
  "resnet12": "genjax.nets.resnet12:ResNet12",
  "r2d2": "genjax.nets.conv4:R2D2Net",
  "mlp_encoder": "genjax.nets.coder:MLPEncoder",
  "mlp_decoder": "genjax.nets.coder:MLPDecoder",
  "conv_encoder": "genjax.nets.coder:ConvEncoder",
  "conv_decoder": "genjax.nets.coder:ConvDecoder",
  "pooling_encoder": "genjax.nets.coder:PoolingEncoder",
  "upsampling_decoder": "genjax.nets.coder:UpsamplingDecoder",
  "unet": "genjax.nets.unet:UNet",
  "dit": "genjax.nets.dit:DiT",
  "patch_critic": "genjax.nets.translator:PatchCritic",
  "gpt": "genjax.nets.gpt:GPT",
  "pixelcnn": "genjax.nets.pixelcnn:PixelCNN",
  "gated_pixelcnn": "genjax.nets.pixelcnn:GatedPixelCNN",
  "row_lstm": "genjax.nets.pixelrnn:RowLSTM",
  "diagonal_bilstm": "genjax.nets.pixelrnn:DiagonalBiLSTM",
  "grid_encoder": "genjax.nets.grid_coder:GridEncoder",
  "grid_decoder": "genjax.nets.grid_coder:GridDecoder",
  "bidirectional": "genjax.nets.bidirectional:BidirectionalTransformer",
  "glow": "genjax.nets.glow:Glow",
  "realnvp": "genjax.nets.realnvp:RealNVP",
  "dequantiser": "genjax.nets.dequantiser:Dequantiser",
}
GENERATORS = {
  "dcgan": "genjax.nets.dcgan:DCGANGenerator",
  "mlp": "genjax.nets.mlp:MLPGenerator",
  "resnet": "genjax.nets.resnet_gan:ResNetGenerator",
  "vitgan": "genjax.nets.vitgan:ViTGANGenerator",
  "vit": "genjax.nets.vit:ViTGenerator",
  "stylegan2": "genjax.nets.stylegan2:StyleGAN2Generator",
  "biggan": "genjax.nets.biggan:BigGANGenerator",
  "transgan": "genjax.nets.transgan:TransGANGenerator",
  "translator": "genjax.nets.translator:Translator",
}
HEADS = {
  name: f"genjax.systems.heads:{name}"
  for name in ("svm", "ridge", "r2d2", "proto", "weston_watkins", "matching", "relation")
}
NOISES = {"decoder": "genjax.nets.noise:decoder", "gaussian": "genjax.nets.noise:gaussian"}
SAMPLERS = {"adam": "genjax.ops.langevin:adam", "langevin": "genjax.ops.langevin:annealed"}
OPTIMIZERS = {name: f"genjax.systems.optimizers:{name}" for name in ("adam", "rmsprop", "sgd")}
METRICS = {
  "frechet": "genjax.metrics.frechet:frechet",
  "frechet_anchors": "genjax.metrics.frechet:frechet_anchors",
  "fid": "genjax.metrics.fid:fid",
  "fid_infinity": "genjax.metrics.fid:fid_infinity",
  "intra_fid": "genjax.metrics.fid:intra_fid",
  "kid": "genjax.metrics.kid:kid",
  "inception_score": "genjax.metrics.inception_score:inception_score",
  "mode_score": "genjax.metrics.mode_score:mode_score",
  "prdc": "genjax.metrics.prdc:prdc",
  "sliced_wasserstein": "genjax.metrics.sliced_wasserstein:sliced_wasserstein",
  "two_sample": "genjax.metrics.two_sample:two_sample",
  "copies": "genjax.metrics.copies:copies",
  "error": "genjax.metrics.classification:error",
  "detection": "genjax.metrics.detection:detection",
  "modes": "genjax.metrics.modes:modes",
  "few_shot": "genjax.metrics.few_shot:few_shot",
  "log_prob": "genjax.metrics.likelihood:log_prob",
  "nats": "genjax.metrics.likelihood:nats",
  "bits_per_dim": "genjax.metrics.likelihood:bits_per_dim",
}
COMPARED = (  # metrics that need no more than images and images: `genjax compare` has them
  "frechet",
  "fid",
  "fid_infinity",
  "kid",
  "inception_score",
  "mode_score",
  "prdc",
  "sliced_wasserstein",
  "two_sample",
)
EXTRACTORS = {
  "classifier": "genjax.metrics.features:classifier",
  "random": "genjax.metrics.features:random",
  "inception": "genjax.metrics.inception:inception",
}
SAMPLES = {"canvas": "genjax.ops.canvas:canvases"}
TRAIN = "genjax.train.loop:train"  # its arguments are the keys of the section train
_OBJECTIVES = "genjax.objectives.rows:ROWS"  # a table of its own: each row names its builder in objectives/zoo.py

# Name of an argument -> the table in which the name of its section is looked up.
KINDS: dict[str, Mapping[str, str] | str] = {
  "system": SYSTEMS,
  "data": DATA,
  "source": DATA,
  "against": DATA,
  "target": DATA,
  "net": NETS,
  "critic": NETS,
  "encoder": NETS,
  "decoder": NETS,
  "generator": GENERATORS,
  "head": HEADS,
  "evaluate_head": HEADS,
  "noise": NOISES,
  "sampler": SAMPLERS,
  "optimizer": OPTIMIZERS,
  "objective": _OBJECTIVES,
  "metrics": METRICS,
  "extractor": EXTRACTORS,
  "sample": SAMPLES,
}


class UsageError(ValueError):
  """The command line or the config is wrong; the text is one line that says how to put it right."""


class UnknownName(LookupError):
  """A name that no table has; the text is one line with the nearest right one."""


class ForbiddenName(LookupError):
  """A name of somebody else's code that the command did not allow; nothing of it was imported."""


def kind_of(argument: str) -> str:
  """The key of KINDS that an argument's section belongs to, or "" where it takes no section."""
  last = argument.rpartition("_")[2]
  return argument if argument in KINDS else last if last in ("critic", "generator", "optimizer", "net") else ""


def table(kind: str) -> Mapping[str, str]:
  """Short name -> "module:function" of a kind, or of the kind that an argument takes."""
  rows = KINDS.get(kind_of(kind), {})
  if rows == _OBJECTIVES:
    return {name: f"genjax.objectives.zoo:{row.builder}" for name, row in load(_OBJECTIVES).items()}
  return rows  # type: ignore[return-value]


def resolve(kind: str, name: str, allow: Collection[str] | None = None) -> Any:
  """The function or class that a name of a kind stands for.

  Args:
    kind: a key of KINDS, or any other word for an argument that takes only the user's own "module:function".
    name: a short name, or "module:function" ("my_package.nets:MyNet").
    allow: top-level packages whose code may be imported; None: any, for names that the user wrote.

  Raises:
    UnknownName: no such row, module or function.
    ForbiddenName: "module:function" of a package that is not allowed; nothing was imported.
  """
  rows = table(kind)
  if name in rows:
    return load(rows[name])
  if ":" not in name:
    if rows is DATA:
      hint = f"; a set that TFDS prepared is name=tfds with dataset={name}"
      raise UnknownName(f"{name!r}{nearest(name, rows)}; there are {', '.join(rows)}, or module:function{hint}")
    raise UnknownName(f"{name!r}{nearest(name, rows)}; there are {', '.join(rows) or 'none'}, or module:function")
  package = name.partition(":")[0].partition(".")[0]
  if allow is not None and package not in allow:
    raise ForbiddenName(f"{name!r} is code outside genjax; if you trust it, say --allow {package}")
  try:
    return load(name)
  except (Exception, SystemExit) as error:  # a user's file may raise anything
    away = isinstance(error, ModuleNotFoundError) and error.name == package
    hint = f"; start the command in the folder of {package}, or name a config that stands beside it" if away else ""
    raise UnknownName(f"{name!r} cannot be imported: {origin(error)}{hint}") from error


def load(home: str) -> Any:
  """The function or class at "genjax.nets.convnet:ConvNet"."""
  module, _, name = home.partition(":")
  return getattr(importlib.import_module(module), name)


def nearest(word: str, known: Iterable[str]) -> str:
  """ "; did you mean WORD?", or nothing where no known word is near."""
  near = difflib.get_close_matches(word, list(known), 1, 0.5)
  return f"; did you mean {near[0]}?" if near else ""


def origin(error: BaseException) -> str:
  """An error of somebody's file as one line: the file, the line in it, and what was raised there."""
  if isinstance(error, SyntaxError) and error.filename:
    return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
  frames = traceback.extract_tb(error.__traceback__)
  theirs = [frame for frame in frames if os.path.isfile(frame.filename) and not _is_library(frame.filename)]
  where = f"{theirs[-1].filename}, line {theirs[-1].lineno}: " if theirs else ""
  said = " ".join(str(error).split())
  return f"{where}{type(error).__name__}{f': {said}' if said else ''}"


def _is_library(file: str) -> bool:
  """Whether a file belongs to Python, to an installed package or to genjax: where a user has nothing to put right."""
  ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
  shipped = os.path.join(ours, "configs", "")
  inside = os.path.abspath(file)
  python = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
  return (
    "site-packages" in inside
    or inside.startswith(python)
    or (inside.startswith(ours) and not inside.startswith(shipped))
  )
