"""The shipped configs: all their arguments make an experiment, and steps of every kind trace at full size.

Tracing a step is what costs, so configs that differ in numbers only share one trace: a word of ViTGAN is traced in
narrow nets (`tiny`), an objective in the nets of gan_ring. Nothing is compiled. The data: tests/stand_in.py.
"""

import functools
import math
import re
import runpy

import jax
import pytest
import stand_in

from genjax.config import config_folder, load_config, shipped_configs
from genjax.core import prepared
from genjax.experiment import experiment, metrics_of
from genjax.make import UsageError
from genjax.objectives.rows import PLAYED, ROWS
from genjax.train.paths import named_leaves


def words_of(name, *groups):
  """Words that a config itself lists, in its own tables."""
  module = runpy.run_path(str(config_folder() / f"{name}.py"))
  return ["", *(word for group in groups for word in module[group])]


VITGAN = words_of("vitgan_cifar10", "NETS", "OTHERS")
IN_TABLES = runpy.run_path(str(config_folder() / "vitgan_cifar10.py"))["TABLES"]
PAIRS_OF_WORDS = sorted({words for rows in IN_TABLES.values() for words in rows.values() if "," in words})
OMNIGLOT = [*words_of("few_shot_omniglot", "HEADS", "WAYS", "SHOTS", "OTHERS"), "maml,20way,1shot", "proto,20way,lake"]
FEW_SHOT = [*words_of("metaoptnet_miniimagenet", "HEADS", "NETS", "SHOTS", "OTHERS"), "r2d2net,r2d2", "conv4,maml"]
ARGUMENTS = {  # config -> all that get_config takes, and words that go together
  "winn_digits": ["", "cascade", "inn", "inn_cascade"],
  "winn_pictures": [""],
  "winn_mnist": [*words_of("winn_mnist", "LOSSES", "NETS"), "vanilla,inn_cascade"],
  "winn_texture": [f"{name}{size}" for name in words_of("winn_texture", "TEXTURES")[1:] for size in ("", ",small")],
  "winn_digits_classifier": ["", "baseline", "icn"],
  "winn_mnist_classifier": [f"{net}{more}" for net in ("vanilla", "resnet32") for more in ("", ",baseline", ",icn")],
  "winn_svhn_classifier": ["", "baseline", "icn"],
  "winn_cifar10": ["", "single", "cascades", "exact", "cascades,exact", "tiny"],
  "winn_svhn": ["", "single", "exact", "single,exact", "tiny"],
  "winn_celeba": [*words_of("winn_celeba", "NETS"), "single", "cascades", "exact", "tiny"],
  "gan_digits": [*PLAYED, "cgan"],
  "gan_ring": [*PLAYED, "r1,1", "r1,shared", "wasserstein,shared"],
  "gan_grid": [*PLAYED, "big_gan,shared"],
  "gan_mnist": ["", *PLAYED, "wgan_gp,labels", "sn_gan,labels"],
  "gan_cifar10": ["", *PLAYED, "tiny", "sn_gan,tiny", "r1,labels", "sn_gan,labels", "hinge,labels,tiny"],
  "d2gan_ring": [""],
  "adagan_ring": [""],
  "vitgan_digits": [word for word in VITGAN if word not in ("biggan", "transgan")],
  "vitgan_mnist": [word for word in VITGAN if word not in ("biggan", "transgan")],
  "vitgan_cifar10": [*VITGAN, *PAIRS_OF_WORDS],
  "vitgan_celeba64": VITGAN,
  "vitgan_lsun64": [*VITGAN, "32", "32,mixer", "32,released"],
  "vitgan_lsun128": VITGAN,
  "metaoptnet_glyphs": [*words_of("metaoptnet_glyphs", "HEADS"), "proto,1shot"],
  "few_shot_omniglot": OMNIGLOT,
  "metaoptnet_miniimagenet": FEW_SHOT,
  "metaoptnet_tieredimagenet": FEW_SHOT,
  "metaoptnet_cifarfs": FEW_SHOT,
  "metaoptnet_fc100": FEW_SHOT,
  "autoencoder_digits": ["", *words_of("autoencoder_digits", "KINDS"), "conv,denoising"],
  "tangent_digits": [""],
  "vae_digits": words_of("vae_digits", "LIKELIHOODS"),
  "ddpm_digits": ["", *words_of("ddpm_digits", "WORDS"), "ddim,labels,velocity", "learned,dit"],
  "ddpm_mnist": ["", "dit,labels", "learned"],
  "ddpm_cifar10": ["", "cosine", "tiny", "cosine,tiny"],
  "glow_digits": ["", "realnvp", "variational", "glow,variational", "realnvp,variational"],
  "glow_mnist": ["", "variational", "published", "published,variational"],
  "cyclegan_digits": [""],
  "gpt_text": [""],
  "vqvae_digits": [""],
  "maskgit_digits": [""],
  "pixelcnn_digits": words_of("pixelcnn_digits", "NETS"),
  "pixelcnn_mnist": words_of("pixelcnn_mnist", "NETS"),
}
STEPS = (  # one of every kind
  *("winn_digits", "winn_digits:cascade", "winn_digits:inn", "winn_texture:brick", "winn_cifar10", "winn_celeba"),
  *("winn_mnist_classifier:resnet32", "winn_digits_classifier:baseline"),
  *("gan_ring:wgan_gp", "gan_digits:sn_gan", "gan_digits:cgan"),  # test_gan_rows.py traces a step of every row
  "gan_mnist:denoising,labels",
  *("gan_cifar10", "gan_cifar10:sn_gan,labels", "d2gan_ring", "adagan_ring"),
  *("vitgan_cifar10", "vitgan_lsun128:nobcr", "vitgan_cifar10:lecam,tiny", "vitgan_cifar10:released,tiny"),
  *(f"vitgan_cifar10:{word},noaug,tiny" for word in ("stylegan2-stylegan2", "l2-isn-overlap-proj", "biggan")),
  *("metaoptnet_glyphs", "metaoptnet_glyphs:relation"),  # test_few_shot_heads.py has every head
  *(f"metaoptnet_miniimagenet:{words}" for words in ("", "released", "conv4,maml", "r2d2net,r2d2")),
  *("autoencoder_digits:conv,contractive", "tangent_digits", "vae_digits"),
  *("ddpm_digits:labels,learned", "ddpm_mnist:dit", "cyclegan_digits", "gpt_text"),
  *("pixelcnn_digits", "vqvae_digits", "maskgit_digits"),
  *("glow_digits:variational", "glow_digits:realnvp", "glow_mnist:published"),
)
STARTS = (  # other sizes and nets: the state alone
  *(
    "winn_pictures",
    "winn_mnist",
    "winn_mnist:vanilla",
    "winn_celeba:wgan_gp",
    "winn_mnist_classifier:vanilla",
    "winn_svhn_classifier",
  ),
  *(f"gan_digits:{row}" for row in ("wgan_gp", "ebgan", "denoising", "hinge", "began", "mmd_gan")),
  *("winn_celeba:resnet13", "winn_celeba:densenet20", "winn_digits_classifier", "winn_digits_classifier:icn"),
  *(f"vitgan_digits:{word}" for word in ("", "stylegan2-stylegan2", "mixer", "vit-vit")),
  *(f"vitgan_cifar10:{word},noaug,tiny" for word in words_of("vitgan_cifar10", "NETS")[1::2]),
  *("vitgan_mnist", "vitgan_mnist:stylegan2-stylegan2", "few_shot_omniglot", "few_shot_omniglot:maml,20way"),
  *("gan_mnist:big_gan", "gan_cifar10:mmd_gan", "gan_cifar10:r1,labels"),
  *("pixelcnn_mnist", "pixelcnn_digits:plain", "pixelcnn_digits:row", "pixelcnn_digits:diagonal"),
  *(f"vitgan_lsun{size}:{w}" for size in (64, 128) for w in ("stylegan2-stylegan2", "biggan", "transgan", "released")),
  *("vitgan_celeba64", "vitgan_lsun64:32,mixer", "metaoptnet_cifarfs", "metaoptnet_fc100:conv4"),
  *("ddpm_digits", "ddpm_cifar10:cosine,tiny"),
)
PARAMETERS = {"winn_celeba": 2_354_177, "metaoptnet_miniimagenet": 12_424_320, "metaoptnet_fc100": 12_424_320}  # thesis


@pytest.fixture(autouse=True)
def data(monkeypatch):
  stand_in.replace(monkeypatch)


def started(name):
  """The system of a config or of its name, which takes raw batches, a batch's shapes, and those of the first state."""
  it = experiment(load_config(name) if isinstance(name, str) else name)
  system = prepared(it.system, it.data.prepare)
  batch = {key: jax.ShapeDtypeStruct(value.shape, value.dtype) for key, value in it.data.batch(0).items()}
  return system, batch, jax.eval_shape(system.init, jax.random.key(0), batch)


def test_every_shipped_config_is_in_the_table():
  assert sorted(ARGUMENTS) == shipped_configs()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_of_a_config_makes_its_data_its_system_and_its_metrics(name):
  for words in ARGUMENTS[name]:
    config = load_config(f"{name}:{words}")
    it = experiment(config)
    if "tiny" not in words:  # whose batches of one divide over one device only
      metrics_of(it)
    cascade = (config.system.get("cascades", 1) - 1) * config.system.get("cascade_steps", 0)
    assert config.train.steps > cascade, words  # the last stage has its steps


@pytest.mark.parametrize("name", STEPS)
def test_a_step_traces_and_keeps_the_form_of_the_state(name):
  system, batch, state = started(name)
  after, metrics = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  form = lambda tree: {path: (leaf.shape, leaf.dtype) for path, leaf in named_leaves(tree).items()}
  assert form(after) == form(state)
  assert metrics
  assert {(value.shape, str(value.dtype)) for value in metrics.values()} == {((), "float32")}


@pytest.mark.parametrize("name", ["vitgan_digits", "winn_digits", "metaoptnet_glyphs"])
def test_one_word_makes_all_nets_of_a_config_multiply_in_bfloat16_and_the_state_and_metrics_stay_float32(name):
  config = load_config(name)
  config.dtype = "bfloat16"
  system, batch, state = started(config)
  step, (after, metrics) = jax.make_jaxpr(system.step, return_shape=True)(jax.random.key(0), state, batch)
  assert {str(leaf.dtype) for leaf in jax.tree.leaves((after, metrics))} <= {"float32", "int32", "uint8"}
  products = re.findall(r":(\w+)\[([\d,]*)\] = (?:conv_general_dilated|dot_general)\[", str(step))
  numbers = lambda kind: sum(
    math.prod(map(int, filter(None, sides.split(",")))) for of, sides in products if of == kind
  )
  assert numbers("bf16") > numbers("f32")  # the solver and spectral norms stay in float32: many products, all small


@pytest.mark.parametrize("name", STARTS)
def test_a_state_has_its_shapes(name):
  assert started(name)[2].step.shape == ()


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_net_of_the_thesis_has_its_number_of_parameters(name):
  state = started(name)[2]
  net = {path: leaf.size for path, leaf in named_leaves(state.params).items() if path != "scale"}
  assert sum(net.values()) == PARAMETERS[name], net


# Numbers of the papers ------------------------------------------------------------------------------------------------


def test_winn_has_the_thesis_numbers_by_a_word():
  system = load_config("winn_cifar10:exact").system
  assert (system.minibatch, system.synthesis, system.synthesis_batch, system.initial) == (50, 1000, 100, 10_000)
  assert load_config("winn_cifar10:cascades").train.steps == 500


def test_vitgan_has_the_settings_of_the_thesis_or_of_the_released_code():
  paper, released = load_config("vitgan_cifar10"), load_config("vitgan_cifar10:released")
  adam = paper.optimizer
  assert (paper.data.batch, adam.learning_rate, adam.b1, adam.b2) == (128, 0.002, 0.0, 0.99)
  assert (paper.objective.real, paper.objective.fake, paper.objective.gamma) == (10.0, 10.0, 0.0)
  assert (paper.system.augment, released.system.augment) == ("thesis", "released")
  adam = released.optimizer
  assert (released.data.batch, adam.learning_rate, adam.warmup_steps) == (64, 0.001, 3000)
  assert (released.objective.real, released.objective.gamma, released.objective.interval) == (1.0, 0.1, 1)
  assert released.train.steps * released.data.batch == 51_200_000
  assert 0.5 ** (released.data.batch / released.system.ema_half_life) == pytest.approx(0.99995564, abs=1e-8)
  assert released.critic.name == "stylegan2"
  mixing = {words: load_config(f"vitgan_cifar10:{words}").system.style_mixing for words in VITGAN}
  assert {words for words, mixed in mixing.items() if mixed} == {
    "stylegan2-stylegan2",
    "stylegan2-vit",
    "stylegan2-vitgan",
  }
  assert mixing["stylegan2-vit"] == 0.9


@pytest.mark.parametrize(
  ("name", "side", "depths", "tokens"),
  [
    ("vitgan_digits", 8, (2, 2), (16, 16)),
    ("vitgan_cifar10", 32, (4, 4), (64, 64)),
    ("vitgan_celeba64", 64, (6, 6), (64, 64)),
    ("vitgan_lsun64", 64, (6, 6), (64, 64)),
    ("vitgan_lsun128", 128, (8, 4), (256, 64)),
  ],
)
def test_vitgan_has_the_blocks_and_tokens_of_the_thesis(name, side, depths, tokens):
  config = load_config(name)
  nets = (config.generator, config.critic)
  assert tuple(net.depth for net in nets) == depths
  assert tuple((side // net.patch) ** 2 for net in nets) == tokens


def test_every_row_of_vitgans_tables_has_words_and_rows_differ():
  counts = {"3.1": 6, "3.2": 5, "3.3a": 6, "3.3b": 10, "3.4": 5, "3.5": 5}
  assert {table: len(rows) for table, rows in IN_TABLES.items()} == counts
  as_json = functools.cache(lambda words: load_config(f"vitgan_cifar10:{words}").to_json())
  for rows in IN_TABLES.values():
    assert len(set(map(as_json, rows.values()))) == len(rows)
  assert as_json("c-neurrep") == as_json("l2-isn-overlap")


def test_rows_keep_the_ratio_of_both_learning_rates():
  for name in ("gan_ring:big_gan,shared", "gan_grid:lecam,shared", "gan_digits:big_gan"):
    config, needs = load_config(name), ROWS["big_gan"].needs
    ratio = needs["generator_optimizer"]["learning_rate"] / needs["optimizer"]["learning_rate"]
    assert config.generator_optimizer.learning_rate == pytest.approx(ratio * config.optimizer.learning_rate)
    assert config.generator_optimizer.b2 == 0.999
  assert load_config("gan_ring:r1,shared").get("generator_optimizer") is None


def test_the_literal_generator_of_an_f_gan_is_a_word_on_the_command_line():
  config = load_config("gan_ring:f_gan_pearson")
  config.objective.generator_loss = "bound"
  assert experiment(config)


@pytest.mark.parametrize(("name", "shots"), [("mini", 15), ("tiered", 10), ("cifarfs", 5), ("fc100", 15)])
def test_metaoptnet_is_trained_with_the_shots_of_the_thesis(name, shots):
  assert load_config(f"metaoptnet_{name}{'imagenet' if name in ('mini', 'tiered') else ''}").data.shots == shots


def test_early_lowers_the_learning_rate_one_epoch_before():
  of = lambda words: [step for step, _ in load_config(f"metaoptnet_miniimagenet:{words}").optimizer.drops]
  assert of("") == of("released") == [20_000, 40_000, 50_000]
  assert of("early") == of("released,early") == [19_000, 39_000, 49_000]


def test_trainval_stops_where_the_thesis_says_and_chooses_nothing_by_classes_it_trains_on():
  mini, tiered = load_config("metaoptnet_miniimagenet:trainval"), load_config("metaoptnet_tieredimagenet:trainval")
  assert (mini.train.steps, tiered.train.steps) == (21_000, 52_000)
  assert (mini.train.best, tiered.train.best) == ("", "")


@pytest.mark.parametrize(
  ("name", "wanted"),
  [
    *((f"vitgan_cifar10:{words}", "wanted one of stylegan2-") for words in ("vgg", "sn,isn", "noaug,nobcr")),
    *((f"metaoptnet_miniimagenet:{words}", "does not take") for words in ("svm,ridge", "conv4,dataparallel", "no")),
    ("metaoptnet_miniimagenet:ridge,released", "released is about the SVM"),
    ("vitgan_lsun128:32", "32 is a word of vitgan_lsun64"),
    ("vitgan_digits:biggan", "nets for 32x32"),
    ("gan_mnist:ebgan,labels", "the critic of ebgan is an autoencoder, which takes no labels"),
    ("gan_cifar10:r1,r2", "wanted a row with a generator, labels, and tiny"),
    ("few_shot_omniglot:5way,20way", "does not take"),
    ("winn_mnist:vanilla,convnet", "wanted convnet or vanilla"),
    ("gan_ring:winn", "wanted a row with a generator: minimax, "),
    ("gan_grid:r1,9", "r1 has no settings '9'; wanted shared, or a number below"),
    ("gan_digits:wgan", "a row with a generator: minimax, "),
  ],
)
def test_words_that_a_config_does_not_take_are_refused(name, wanted):
  with pytest.raises(UsageError, match=wanted):
    load_config(name)
