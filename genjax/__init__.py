"""genjax: generative models and few-shot learning in JAX/Flax, from a laptop to a TPU pod.

Names load on first use, so that `import genjax` and `genjax --help` are quick. A config is trained by
`genjax.run.train(config, workdir)`; `genjax.train` is the folder of the loop, the checkpoints and the devices.

Shapes   images are [B, H, W, C] float32 in [-1, 1] everywhere.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors; tests/test_public_names.py holds these lines and HOMES to one another
  from genjax.comparison import compare
  from genjax.config import load_config, override
  from genjax.core import Dataset, Metric, Number, Split, System
  from genjax.data.catalogue import load
  from genjax.data.episodes import glyphs
  from genjax.data.few_shot_catalogue import few_shot
  from genjax.data.image_batches import batches
  from genjax.data.images import cifar10, digits, fashion_mnist, folder, mnist, textures, tfds
  from genjax.data.points import grid, ring
  from genjax.data.tokens import text
  from genjax.experiment import experiment, metrics_of, opened
  from genjax.metrics.copies import copies
  from genjax.metrics.fid import fid
  from genjax.metrics.frechet import distance as frechet_distance
  from genjax.metrics.frechet import frechet
  from genjax.metrics.inception import inception
  from genjax.metrics.inception_score import inception_score
  from genjax.metrics.kid import kid
  from genjax.metrics.prdc import prdc
  from genjax.nets.conv4 import Conv4, R2D2Net
  from genjax.nets.convnet import ConvNet
  from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
  from genjax.nets.densenet import DenseNet
  from genjax.nets.mlp import MLPCritic, MLPGenerator
  from genjax.nets.noise import decoder as decoder_noise
  from genjax.nets.noise import gaussian as gaussian_noise
  from genjax.nets.resnet import ResNet13, ResNet32
  from genjax.nets.resnet12 import ResNet12
  from genjax.nets.stylegan2 import StyleGAN2Critic, StyleGAN2Generator
  from genjax.nets.vanilla import VanillaNet
  from genjax.nets.vitgan import ViTGANCritic, ViTGANGenerator
  from genjax.nets.wgan_gp import WganGp32, WganGp64
  from genjax.objectives.logits import wasserstein_critic
  from genjax.objectives.penalties import gradient_penalty
  from genjax.objectives.terms import Objective, Term, every, on_logits, play, total
  from genjax.objectives.zoo import OBJECTIVES, winn_objective
  from genjax.ops.attack import fgsm, pgd
  from genjax.ops.calibration import expected_calibration_error
  from genjax.ops.frechet import frechet_between
  from genjax.ops.langevin import adam, anneal, ascend, langevin
  from genjax.ops.qp import solve_qp
  from genjax.ops.ranking import auroc
  from genjax.ops.svm import SVMDual, svm_dual
  from genjax.systems import optimizers
  from genjax.systems.cyclegan import cyclegan
  from genjax.systems.ddpm import ddpm
  from genjax.systems.fit import fit
  from genjax.systems.flow import flow
  from genjax.systems.game import game
  from genjax.systems.gan import gan
  from genjax.systems.gpt import gpt
  from genjax.systems.heads import fixed as fixed_head
  from genjax.systems.heads import learned as learned_head
  from genjax.systems.heads import proto as proto_head
  from genjax.systems.heads import ridge as ridge_head
  from genjax.systems.heads import svm as svm_head
  from genjax.systems.maml import maml
  from genjax.systems.maskgit import maskgit
  from genjax.systems.metaoptnet import metaoptnet
  from genjax.systems.pixelcnn import pixelcnn
  from genjax.systems.vae import vae
  from genjax.systems.vqvae import vqvae
  from genjax.systems.winn import winn
  from genjax.systems.winn_classifier import winn_classifier
  from genjax.train.checkpoint import Checkpoints
  from genjax.train.loop import train as train_loop

HOMES = {  # name -> module, or module:name there, or module:* for the module itself
  "compare": "genjax.comparison",
  "load_config": "genjax.config",
  "override": "genjax.config",
  "Dataset": "genjax.core",
  "Metric": "genjax.core",
  "Number": "genjax.core",
  "Split": "genjax.core",
  "System": "genjax.core",
  "load": "genjax.data.catalogue",
  "glyphs": "genjax.data.episodes",
  "few_shot": "genjax.data.few_shot_catalogue",
  "batches": "genjax.data.image_batches",
  "cifar10": "genjax.data.images",
  "digits": "genjax.data.images",
  "fashion_mnist": "genjax.data.images",
  "folder": "genjax.data.images",
  "mnist": "genjax.data.images",
  "textures": "genjax.data.images",
  "tfds": "genjax.data.images",
  "grid": "genjax.data.points",
  "ring": "genjax.data.points",
  "text": "genjax.data.tokens",
  "experiment": "genjax.experiment:experiment",
  "metrics_of": "genjax.experiment",
  "opened": "genjax.experiment",
  "copies": "genjax.metrics.copies:copies",
  "fid": "genjax.metrics.fid:fid",
  "frechet_distance": "genjax.metrics.frechet:distance",
  "frechet": "genjax.metrics.frechet:frechet",
  "inception": "genjax.metrics.inception:inception",
  "inception_score": "genjax.metrics.inception_score:inception_score",
  "kid": "genjax.metrics.kid:kid",
  "prdc": "genjax.metrics.prdc:prdc",
  "Conv4": "genjax.nets.conv4",
  "R2D2Net": "genjax.nets.conv4",
  "ConvNet": "genjax.nets.convnet",
  "DCGANCritic": "genjax.nets.dcgan",
  "DCGANGenerator": "genjax.nets.dcgan",
  "DenseNet": "genjax.nets.densenet",
  "MLPCritic": "genjax.nets.mlp",
  "MLPGenerator": "genjax.nets.mlp",
  "decoder_noise": "genjax.nets.noise:decoder",
  "gaussian_noise": "genjax.nets.noise:gaussian",
  "ResNet13": "genjax.nets.resnet",
  "ResNet32": "genjax.nets.resnet",
  "ResNet12": "genjax.nets.resnet12",
  "StyleGAN2Critic": "genjax.nets.stylegan2",
  "StyleGAN2Generator": "genjax.nets.stylegan2",
  "VanillaNet": "genjax.nets.vanilla",
  "ViTGANCritic": "genjax.nets.vitgan",
  "ViTGANGenerator": "genjax.nets.vitgan",
  "WganGp32": "genjax.nets.wgan_gp",
  "WganGp64": "genjax.nets.wgan_gp",
  "wasserstein_critic": "genjax.objectives.logits",
  "gradient_penalty": "genjax.objectives.penalties",
  "Objective": "genjax.objectives.terms",
  "Term": "genjax.objectives.terms",
  "every": "genjax.objectives.terms",
  "on_logits": "genjax.objectives.terms",
  "play": "genjax.objectives.terms",
  "total": "genjax.objectives.terms",
  "OBJECTIVES": "genjax.objectives.zoo",
  "winn_objective": "genjax.objectives.zoo",
  "fgsm": "genjax.ops.attack",
  "pgd": "genjax.ops.attack",
  "expected_calibration_error": "genjax.ops.calibration",
  "frechet_between": "genjax.ops.frechet",
  "adam": "genjax.ops.langevin",
  "anneal": "genjax.ops.langevin",
  "ascend": "genjax.ops.langevin",
  "langevin": "genjax.ops.langevin:langevin",
  "solve_qp": "genjax.ops.qp",
  "auroc": "genjax.ops.ranking",
  "SVMDual": "genjax.ops.svm",
  "svm_dual": "genjax.ops.svm",
  "optimizers": "genjax.systems.optimizers:*",
  "cyclegan": "genjax.systems.cyclegan:cyclegan",
  "ddpm": "genjax.systems.ddpm:ddpm",
  "fit": "genjax.systems.fit:fit",
  "flow": "genjax.systems.flow:flow",
  "game": "genjax.systems.game:game",
  "gan": "genjax.systems.gan:gan",
  "gpt": "genjax.systems.gpt:gpt",
  "fixed_head": "genjax.systems.heads:fixed",
  "learned_head": "genjax.systems.heads:learned",
  "proto_head": "genjax.systems.heads:proto",
  "ridge_head": "genjax.systems.heads:ridge",
  "svm_head": "genjax.systems.heads:svm",
  "maml": "genjax.systems.maml:maml",
  "maskgit": "genjax.systems.maskgit:maskgit",
  "metaoptnet": "genjax.systems.metaoptnet:metaoptnet",
  "pixelcnn": "genjax.systems.pixelcnn:pixelcnn",
  "vae": "genjax.systems.vae:vae",
  "vqvae": "genjax.systems.vqvae:vqvae",
  "winn": "genjax.systems.winn:winn",
  "winn_classifier": "genjax.systems.winn_classifier:winn_classifier",
  "Checkpoints": "genjax.train.checkpoint",
  "train_loop": "genjax.train.loop:train",
}
_MODULES = ("core", "data", "metrics", "nets", "objectives", "ops", "registry", "run", "systems", "train")

__all__ = sorted(HOMES)


def __getattr__(name: str):
  if name in HOMES:
    home, _, there = HOMES[name].partition(":")
    module = importlib.import_module(home)
    return module if there == "*" else getattr(module, there or name)
  if name in _MODULES:
    return importlib.import_module(f"genjax.{name}")
  raise AttributeError(f"genjax has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
  return sorted({*globals(), *HOMES, *_MODULES})
