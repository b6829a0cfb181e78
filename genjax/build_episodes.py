"""From a few-shot config to its parts: sets of classes, episodes, system, accuracies.

Checked  tests/test_metaoptnet_glyphs.py
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from genjax.command import UsageError, arguments, pick
from genjax.parts import EMBEDDINGS, EPISODIC, HEADS, RELATIONS, Made, Parts, make, resolve

_AUGMENT = 0x617567  # "aug": the preparation's key of a step, apart from those that the system splits off
_WHERE = ("name", "path", "data_dir", "size", "unseen_faces")  # of a set, for every split of it
_AUGMENTED = ("pad", "jitter", "flip")


class Episodes(NamedTuple):
  """What a few-shot config trains on. batch: the step to this process's raw episodes."""

  few: Any  # data.episodes.FewShotSet
  batch: Callable[[int], Mapping[str, Any]]


def build_episodes(config: ConfigDict) -> Parts:
  """Opens the training classes and makes the system of a config; compiles nothing. Raises UsageError."""
  import jax

  from genjax.data.episodes import episodes
  from genjax.ops.augment import prepare_episodes

  section = config.data
  augment = {name: section[name] for name in _AUGMENTED}
  try:
    few = _opened(config, section.split)
    batch = episodes(
      few,
      seed=config.seed,
      process=jax.process_index(),
      processes=jax.process_count(),
      **{key: section[key] for key in ("batch", "ways", "shots", "queries")},
    )
    made = resolve(pick(EPISODIC, config.system, "system"))(config, few.shape, section.ways)
    mean, std = _moments(section.name)
  except UsageError:
    raise
  except (ValueError, TypeError, OSError) as error:
    raise UsageError(str(error)) from error

  def prepared(key, raw):
    key = jax.random.fold_in(key, _AUGMENT)
    return prepare_episodes(key, raw, mean=mean, std=std, **augment)

  plain = lambda raw: prepare_episodes(None, raw, mean=mean, std=std)
  system = made.system
  whole = system._replace(
    init=lambda key, raw: system.init(key, plain(raw)),
    step=lambda key, state, raw: system.step(key, state, prepared(key, raw)),
    evaluate=lambda key, state, raw: system.evaluate(key, state, plain(raw)),
  )
  view = made.views["episodes"]
  views = {"episodes": lambda state: lambda raw: view(state)(plain(raw))}
  return Parts(whole, Episodes(few, batch), few.shape, made.kernels, views)


class EpisodeJudge(NamedTuple):
  """Accuracies over episodes. A run sees those of the validation classes only; the test's come at its end."""

  answer: Callable[[Any, Any], Any]
  tasks: Mapping[str, tuple[Any, ...]]  # role to metrics.few_shot.Task
  chosen_at: str  # the task whose error chooses a model
  seed: int

  def __call__(self, key, state, sample) -> dict[str, float]:
    del key, sample
    values = {name: number.value for name, number in self._measure(state, ("validation",)).items()}
    return values | {"validation_error": 1 - values[f"{self.chosen_at}_accuracy"]}

  def numbers(self, key, state, sample) -> dict[str, Any]:
    """Every number with its card."""
    del key, sample
    return self._measure(state, tuple(self.tasks))

  @property
  def anchors(self) -> dict[str, Any]:
    return {}

  def accuracies(self, state: Any, name: str) -> Any:
    """Of each episode of the task `name`, [episodes]."""
    from genjax.metrics.few_shot import episode_accuracies

    task = next(task for tasks in self.tasks.values() for task in tasks if task.name == name)
    return episode_accuracies(self.answer, state, task.batch, episodes=task.episodes, place=_placing(state))

  def _measure(self, state, roles):
    from genjax.metrics.few_shot import measured

    numbers = {}
    for task in (task for role in roles for task in self.tasks[role]):
      numbers |= measured(self.answer, state, task, seed=self.seed, place=_placing(state))
    return numbers


def judge_episodes(config: ConfigDict, parts: Parts) -> EpisodeJudge:
  """The accuracies that a config asks for. Raises UsageError."""
  import jax

  from genjax.data.episodes import check_disjoint, episodes
  from genjax.metrics.few_shot import Task

  metrics = config.metrics
  shots = tuple(metrics.shots)
  if metrics.chosen_at not in shots:
    raise UsageError(f"config.metrics.chosen_at={metrics.chosen_at} is not among config.metrics.shots={shots}")
  _check_devices(metrics.batch)
  sets, tasks = {"train": parts.data.few}, {}
  try:
    for role, split, count in (
      ("validation", metrics.validation, metrics.validation_episodes),
      ("test", metrics.split, metrics.episodes),
    ):
      sets[role] = _opened(config, split)
      tasks[role] = tuple(
        Task(
          name=f"{role}_{shot}shot",
          batch=episodes(
            sets[role],
            seed=metrics.seed,
            batch=metrics.batch,
            ways=config.data.ways,
            shots=shot,
            queries=metrics.queries,
            process=jax.process_index(),
            processes=jax.process_count(),
          ),
          episodes=count,
          images=len(sets[role].images),
          split=f"{sets[role].name}/{sets[role].split}",
          data_digest=sets[role].digest,
          told=f"{config.data.ways}-way {shot}-shot, {metrics.queries} queries a class, {count} episodes",
        )
        for shot in shots
      )
    check_disjoint(sets["train"], sets["test"])
    if "+" not in sets["train"].split:  # trainval has the validation classes on purpose
      check_disjoint(sets["train"], sets["validation"])
    check_disjoint(sets["validation"], sets["test"])
  except UsageError:
    raise
  except (ValueError, OSError) as error:
    raise UsageError(str(error)) from error
  view = parts.views["episodes"]
  return EpisodeJudge(
    lambda state, raw: view(state)(raw), tasks, f"validation_{metrics.chosen_at}shot", config.metrics.seed
  )


def _opened(config: ConfigDict, split: str) -> Any:
  from genjax.data.episodes import merged
  from genjax.data.few_shot import few_shot

  where = {key: config.data[key] for key in _WHERE if key in config.data}
  where = arguments(ConfigDict(where), few_shot, "data") | {"name": config.data.name}
  if split == "trainval":
    return merged(few_shot(split="train", **where), few_shot(split=config.metrics.validation, **where))
  return few_shot(split=split, **where)


def _moments(name: str) -> tuple[Any, Any]:
  """Mean and deviation, on the scale 0 to 255, that images of a set are brought to 0 and 1 with."""
  from genjax.data.few_shot import MOMENTS

  return MOMENTS.get(name, ((127.5,), (127.5,)))


def _placing(state: Any) -> Callable[[Any], Any]:
  """Episodes go to the devices that hold the state."""
  from genjax.train.mesh import make_mesh, place

  devices = sorted(state.step.sharding.device_set, key=lambda device: device.id)
  return lambda batch: place(make_mesh(devices), batch)


def _check_devices(batch: int) -> None:
  import jax

  if batch % jax.device_count():
    raise UsageError(
      f"config.metrics.batch={batch} episodes do not divide over {jax.device_count()} devices; use a multiple of them"
    )


def metaoptnet_of(config: ConfigDict, shape: tuple[int, int, int], ways: int) -> Made:
  """Its row of parts.EPISODIC."""
  from genjax.ops.base_learners import kernel_of
  from genjax.systems.metaoptnet import fixed, learned, logits_of, metaoptnet

  net = make(EMBEDDINGS, config, "net")
  name = config.head.name
  if name in RELATIONS:
    head = learned(make(RELATIONS, config, "head"), ways=ways)
  else:
    function = resolve(pick({**HEADS, **RELATIONS}, config.head, "head"))
    if "kernel" in config.head:
      kernel_of(config.head.kernel)  # a wrong name is told now, not when the head is traced
    head = fixed(function, ways=ways, **arguments(config.head, function, "head"))
  settings = arguments(config.system, metaoptnet, "system")
  system = metaoptnet(net, head, shape=shape, ways=ways, **settings)
  return Made(system, _kernels(config, shape, net), {"episodes": logits_of(net, head)})


def maml_of(config: ConfigDict, shape: tuple[int, int, int], ways: int) -> Made:
  """Its row of parts.EPISODIC."""
  from genjax.systems.maml import logits_of, maml

  net = make(EMBEDDINGS, config, "net")
  settings = arguments(config.system, maml, "system")
  system = maml(net, shape=shape, ways=ways, **settings)
  view = logits_of(net, **{name: settings[name] for name in ("evaluate_steps", "inner_rate") if name in settings})
  return Made(system, _kernels(config, shape, net), {"episodes": view})


def _kernels(config: ConfigDict, shape: tuple[int, int, int], net: Any) -> Callable[[Any], dict[str, Any]]:
  """For bench: the embedding alone, and the heads."""

  def kernels(key):
    import jax
    import jax.numpy as jnp

    from genjax.core import Kernel
    from genjax.ops.base_learners import head_kernels

    count = config.data.batch * config.data.ways * config.data.queries
    images = jax.random.normal(key, (count, *shape))
    variables = net.init(key, images[:1], train=False)
    embed = lambda variables, images: net.apply(variables, images, train=False)[0]
    return {"embedding": Kernel(jax.jit(embed), (variables, jnp.asarray(images)), count, "images"), **head_kernels(key)}

  return kernels
