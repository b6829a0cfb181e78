"""Names in a config, and what they stand for: nets, noises, samplers, objectives, systems ... A new one is a row.

A name is resolved when it is asked for, so that reading a command line starts no JAX.

Checked  tests/test_parts.py, tests/test_main.py
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from genjax.command import UsageError, arguments, pick
from genjax.objectives.rows import ROWS

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
}
EMBEDDINGS = {  # images [B, H, W, C] -> (features [B, d], aux), with `train`
  "conv4": "genjax.nets.conv4:Conv4",
  "resnet12": "genjax.nets.resnet12:ResNet12",
  "r2d2": "genjax.nets.conv4:R2D2Net",
}
HEADS = {  # (support [n, d], labels [n], query [m, d], *, ways, ...) -> logits [m, ways]
  "svm": "genjax.ops.base_learners:svm",
  "ridge": "genjax.ops.base_learners:ridge",
  "r2d2": "genjax.ops.base_learners:r2d2",
  "proto": "genjax.ops.base_learners:proto",
  "weston_watkins": "genjax.ops.base_learners:weston_watkins",
  "matching": "genjax.ops.base_learners:matching",
}
RELATIONS = {  # heads with parameters of their own, of feature maps
  "relation": "genjax.nets.relation:Relation",
}
NOISES = {
  "decoder": "genjax.nets.noise:decoder",
  "gaussian": "genjax.nets.noise:gaussian",
}
SAMPLERS = {
  "adam": "genjax.ops.langevin:adam",
  "langevin": "genjax.ops.langevin:annealed",
}
OBJECTIVES = {name: f"genjax.objectives.zoo:{row.builder}" for name, row in ROWS.items()}
SAMPLES = {  # what `genjax sample` writes where a config has a section `sample`: (noise, sampler, shape) -> pictures
  "canvas": "genjax.ops.canvas:canvases",
}


class Made(NamedTuple):
  """What a row of SYSTEMS gives.

  `views` are ways to read a state: name -> (state) -> function of images [B, H, W, C] in [-1, 1]. "score" gives f [B],
  "classify" class logits [B, K], both by the weights that sample. "stages", where there is a cascade, gives a sequence
  of ops.canvas.Stage instead; "episodes", of a few-shot system, a function of episodes to logits [E, m, K]; "latents",
  of a generator with latents, an ops.latents.Latents.
  """

  system: Any
  kernels: Callable[[Any], dict[str, Any]]  # key -> pieces that bench times
  views: Mapping[str, Callable[[Any], Callable[[Any], Any]]]


class Parts(NamedTuple):
  """What a config comes to. `system` takes raw uint8 batches: the preparation of images is part of its step."""

  system: Any
  data: Any
  shape: tuple[int, int, int]
  kernels: Callable[[Any], dict[str, Any]]  # key -> pieces that bench times
  views: Mapping[str, Callable[[Any], Callable[[Any], Any]]]  # of a state; see Made
  canvas: Callable[..., Any] | None = None  # key, state, n, mesh -> images, larger than `shape`; by section `sample`


def make(table: Mapping[str, str], config: ConfigDict, name: str, *first: Any, **more: Any) -> Any:
  """What section `name` of a config asks for: its row of the table, called with the section as keyword arguments.

  `more` are arguments that the data decide; a row that does not take them is a UsageError.
  """
  function = resolve(pick(table, config[name], name))
  given = arguments(config[name], function, name)
  for key in more:
    if key in given:
      raise UsageError(f"config.{name}.{key} follows from the data; leave it out")
    if key not in inspect.signature(function).parameters:
      raise UsageError(
        f"config.{name}.name={config[name].name!r} takes no {key}; system {config.system.name} needs one that does"
      )
  return function(*first, **given, **more)


def resolve(home: str) -> Any:
  """ "genjax.nets.convnet:ConvNet" as the thing itself."""
  module, _, name = home.partition(":")
  return getattr(importlib.import_module(module), name)


def _winn(config: ConfigDict, shape: tuple[int, int, int], classes: int | None) -> Made:
  import jax
  import jax.numpy as jnp

  from genjax.core import Kernel
  from genjax.ops import langevin
  from genjax.ops.canvas import Stage
  from genjax.systems.winn import stages as winn_stages
  from genjax.systems.winn import winn

  net = make(NETS, config, "net")
  start = make(NOISES, config, "noise", shape)
  rule = make(SAMPLERS, config, "sampler")
  objective = make(OBJECTIVES, config, "objective")
  system = winn(net, start, shape=shape, sampler=rule, objective=objective, **arguments(config.system, winn, "system"))
  count, moves = config.system.synthesis_batch or config.system.synthesis, config.system.ascent_steps

  def score(params):
    return lambda images: net.apply(params, images)[0]

  def kernels(key):
    params, images = net.init(key, jnp.zeros((1, *shape))), start(key, count)
    climb = lambda key, params, images: langevin.ascend(key, score(params), images, rule=rule, steps=moves).images
    bare = lambda params, images: jax.grad(lambda x: score(params)(x).sum())(images)
    return {
      "sampler": Kernel(climb, (key, params, images), count * moves, "image-gradient steps"),
      "bare gradient": Kernel(bare, (params, images), count, "image-gradient steps"),
    }

  def path(state):
    told = winn_stages(state)
    one = lambda k: jax.tree.map(lambda leaf: leaf[k], told.params)
    return [Stage(score(one(k)), told.bounds[k], told.active[k]) for k in range(told.active.shape[0])]

  sampled = lambda state: score(state.params if state.ema is None else state.ema)
  return Made(system, kernels, {"score": sampled, "stages": path})


def _winn_classifier(config: ConfigDict, shape: tuple[int, int, int], classes: int | None) -> Made:
  import jax
  import jax.numpy as jnp

  from genjax.core import Kernel
  from genjax.systems.winn_classifier import winn_classifier

  if classes is None:
    raise UsageError(f"data set {config.data.name!r} has no labels; system winn_classifier takes one with labels")
  net = make(NETS, config, "net", classes=classes)
  start = make(NOISES, config, "noise", shape)
  system = winn_classifier(
    net,
    start,
    shape=shape,
    classes=classes,
    sampler=make(SAMPLERS, config, "sampler"),
    objective=make(OBJECTIVES, config, "objective"),
    **arguments(config.system, winn_classifier, "system"),
  )
  weights = lambda state: state.params if state.ema is None else state.ema

  def kernels(key):
    params, images = net.init(key, jnp.zeros((1, *shape))), start(key, config.system.synthesis_batch)
    bare = lambda params, images: jax.grad(lambda x: net.apply(params, x)[0].sum())(images)
    return {"bare gradient": Kernel(bare, (params, images), images.shape[0], "image-gradient steps")}

  return Made(
    system,
    kernels,
    {
      "score": lambda state: lambda images: net.apply(weights(state), images)[0],
      "classify": lambda state: lambda images: net.apply(weights(state), images)[1]["class_logits"],
    },
  )


def _gan(config: ConfigDict, shape: tuple[int, int, int], classes: int | None) -> Made:
  import jax
  import jax.numpy as jnp

  from genjax.core import Kernel
  from genjax.systems.gan import gan

  told = config.system.get("classes")
  if told is not None and told != classes:
    raise UsageError(f"config.system.classes={told}, but the data has {classes or 'no'} classes; use {classes}")
  generator, critic = make(GENERATORS, config, "generator", shape), make(NETS, config, "net")
  objective = make(OBJECTIVES, config, "objective")
  system = gan(generator, critic, shape=shape, objective=objective, **arguments(config.system, gan, "system"))
  count = config.data.batch

  def kernels(key):
    batch = {"image": jnp.zeros((count, *shape)), "label": jnp.zeros((count,), jnp.int32)}
    state = jax.jit(system.init)(key, batch)
    paint = lambda key, state: system.sample(key, state, count)
    bare = lambda key, state, images: jax.grad(lambda x: score(state)(x).sum())(images)
    rows = {"generator": Kernel(paint, (key, state), count, "images")}
    if told is None:
      rows["bare gradient"] = Kernel(bare, (key, state, batch["image"]), count, "image-gradient steps")
    return rows

  def score(state):
    variables = {"params": state.params.critic, **state.moving.critic}
    return lambda images: critic.apply(variables, images)[0]

  views = {"latents": _latents(config, generator)} | ({"score": score} if told is None else {})
  return Made(system, kernels, views)


def _latents(config: ConfigDict, generator: Any) -> Callable[[Any], Any]:
  """The view of a state as ops.latents.Latents, by the weights that sample."""
  from functools import partial

  from genjax.ops.latents import Latents
  from genjax.systems.gan import draw_latents

  has_w = hasattr(type(generator), "mapping") and hasattr(type(generator), "synthesis")
  told = {key: config.system[key] for key in ("latent", "prior") if key in config.system}
  classes = config.system.get("classes")

  def latents(state):
    params = {"params": state.params.generator, **state.moving.generator}
    variables = params if state.ema is None else state.ema
    apply = lambda method: (
      lambda x, labels: generator.apply(
        variables, x, *(() if classes is None or method == "synthesis" else (labels,)), method=method
      )
    )
    return Latents(
      draw=partial(draw_latents, **told),
      mapping=apply("mapping") if has_w else lambda latent, labels: latent,
      paint=apply("synthesis") if has_w else apply(None),
      has_w=has_w,
      normal=told.get("prior", "normal") == "normal",
      styles=getattr(generator, "styles", 1) if has_w else 1,
      classes=classes,
    )

  return latents


def _d2gan(config: ConfigDict, shape: tuple[int, int, int], classes: int | None) -> Made:
  from genjax.systems.d2gan import Twins, d2gan

  generator = make(GENERATORS, config, "generator", shape)
  critics = [make(NETS, config, "net") for _ in range(2)]
  system = d2gan(generator, *critics, shape=shape, **arguments(config.system, d2gan, "system"))

  def score(state):
    variables = {"params": state.params.critic, **state.moving.critic}
    return lambda images: Twins(*critics).apply(variables, images)[0]

  views = {"score": score, "latents": _latents(config, generator)}
  return Made(system, _painting(system, shape, config.data.batch), views)


def _adagan(config: ConfigDict, shape: tuple[int, int, int], classes: int | None) -> Made:
  from genjax.systems.adagan import adagan

  generator = make(GENERATORS, config, "generator", shape)
  critic, judge = (make(NETS, config, "net") for _ in range(2))
  objective = make(OBJECTIVES, config, "objective")
  system = adagan(
    generator, critic, judge, shape=shape, objective=objective, **arguments(config.system, adagan, "system")
  )
  return Made(system, _painting(system, shape, config.data.batch), {})


def _painting(system: Any, shape: tuple[int, int, int], count: int) -> Callable[[Any], dict[str, Any]]:
  """For bench: the time that a batch of samples takes."""

  def kernels(key):
    import jax
    import jax.numpy as jnp

    from genjax.core import Kernel

    state = jax.jit(system.init)(key, {"image": jnp.zeros((count, *shape))})
    return {"generator": Kernel(lambda key, state: system.sample(key, state, count), (key, state), count, "images")}

  return kernels


SYSTEMS = {
  "winn": _winn,
  "winn_classifier": _winn_classifier,
  "gan": _gan,
  "d2gan": _d2gan,
  "adagan": _adagan,
}  # name -> (config, shape, classes of the data or None) -> Made
EPISODIC = {  # systems that learn from episodes, in the same form: name -> (config, shape, ways) -> Made
  "metaoptnet": "genjax.build_episodes:metaoptnet_of",
  "maml": "genjax.build_episodes:maml_of",
}
