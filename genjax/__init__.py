"""genjax: generative models and few-shot learning in JAX/Flax, from a laptop to a TPU pod.

Names load on first use, so that `import genjax` and `genjax --help` are quick. `genjax.train` is the folder of the
plumbing; the function that trains a config is `genjax.main.train(config, workdir)`.

Shapes   images are [B, H, W, C] float32 in [-1, 1] everywhere.
"""

import importlib

_HOMES = {
  "System": "genjax.core",
  "winn": "genjax.systems.winn",
  "gan": "genjax.systems.gan",
  "winn_classifier": "genjax.systems.winn_classifier",
  "winn_objective": "genjax.objectives.zoo",
  "ascend": "genjax.ops.langevin",
  "adam": "genjax.ops.langevin",
  "langevin": "genjax.ops.langevin",
  "anneal": "genjax.ops.langevin",
  "ConvNet": "genjax.nets.convnet",
  "VanillaNet": "genjax.nets.vanilla",
  "ResNet13": "genjax.nets.resnet",
  "ResNet32": "genjax.nets.resnet",
  "DenseNet": "genjax.nets.densenet",
  "WganGp32": "genjax.nets.wgan_gp",
  "WganGp64": "genjax.nets.wgan_gp",
  "decoder_noise": "genjax.nets.noise:decoder",
  "gaussian_noise": "genjax.nets.noise:gaussian",
  "Objective": "genjax.objectives.terms",
  "Term": "genjax.objectives.terms",
  "OBJECTIVES": "genjax.objectives.zoo",
  "play": "genjax.objectives.terms",
  "on_logits": "genjax.objectives.terms",
  "total": "genjax.objectives.terms",
  "every": "genjax.objectives.terms",
  "wasserstein_critic": "genjax.objectives.logits",
  "gradient_penalty": "genjax.objectives.penalties",
  "fgsm": "genjax.ops.attack",
  "pgd": "genjax.ops.attack",
  "auroc": "genjax.ops.ranking",
  "expected_calibration_error": "genjax.ops.calibration",
  "solve_qp": "genjax.ops.qp",
  "svm_dual": "genjax.ops.svm",
  "SVMDual": "genjax.ops.svm",
  "metaoptnet": "genjax.systems.metaoptnet",
  "fixed_head": "genjax.systems.metaoptnet:fixed",
  "learned_head": "genjax.systems.metaoptnet:learned",
  "maml": "genjax.systems.maml",
  "svm_head": "genjax.ops.base_learners:svm",
  "ridge_head": "genjax.ops.base_learners:ridge",
  "proto_head": "genjax.ops.base_learners:proto",
  "Conv4": "genjax.nets.conv4",
  "ResNet12": "genjax.nets.resnet12",
  "R2D2Net": "genjax.nets.conv4",
  "few_shot": "genjax.data.few_shot",
  "load": "genjax.data",
  "run": "genjax.train.loop",
}
_FOLDERS = ("core", "data", "main", "metrics", "nets", "objectives", "ops", "systems", "train")

__all__ = sorted(_HOMES)


def __getattr__(name: str):
  if name in _HOMES:
    home, _, there = _HOMES[name].partition(":")
    return getattr(importlib.import_module(home), there or name)
  if name in _FOLDERS:
    return importlib.import_module(f"genjax.{name}")
  raise AttributeError(f"genjax has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
  return sorted({*globals(), *_HOMES, *_FOLDERS})
