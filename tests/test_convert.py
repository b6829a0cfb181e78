"""Checkpoints of the released code: what PyTorch computed with them, genjax computes too."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from released_metaoptnet import filled, pictures, shapes_of

import genjax.convert
from genjax.cli import main
from genjax.convert import converted, load_variables, parameters, save_variables
from genjax.nets.conv4 import Conv4, R2D2Net
from genjax.nets.mlp import MLPCritic
from genjax.nets.resnet12 import ResNet12

FIXTURES = Path(__file__).parent / "fixtures" / "metaoptnet"
NARROW = {
  "resnet12": ResNet12(widths=(2, 3, 2, 4), block=2, drop=0.0),
  "conv4": Conv4(width=3),
  "r2d2": R2D2Net(widths=(2, 3, 4, 5), dropout=(0.0,) * 4),
}
WIDE = {"resnet12": ResNet12(block=2, drop=0.0), "conv4": Conv4(), "r2d2": R2D2Net(dropout=(0.0,) * 4)}
WIDTHS = {"resnet12": (64, 160, 320, 640), "conv4": (64,) * 4, "r2d2": (96, 192, 384, 512)}
COUNTS = {"resnet12": 12_424_320, "conv4": 112_832}


@pytest.fixture(scope="module")
def expected():
  with np.load(FIXTURES / "expected.npz") as archive:
    return {name: archive[name] for name in archive.files}


@functools.cache
def weights(name):
  return filled(shapes_of(name, WIDTHS[name]))


@pytest.fixture
def full(monkeypatch):
  """Checkpoints of full width, which no file holds: the reader gives what the formula says."""

  def of(name, prefix=""):
    embedding = {prefix + key: value for key, value in weights(name).items()}
    monkeypatch.setattr(
      genjax.convert, "read_torch", lambda path: {"embedding": embedding, "head": {"scale": np.ones(1)}}
    )
    return converted("full.pth", WIDE[name]).variables

  return of


def close(ours, wanted):
  """To rounding, relative to the largest value: sums of a thousand products do not agree to the last digit."""
  np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=3e-5 * np.abs(wanted).max())


def outputs(name, net, variables, keep, start):
  """Features of evaluation and training, moved statistics in PyTorch's order, gradient of the first convolution."""

  @jax.jit
  def run(variables, images, more):
    rest = {collection: value for collection, value in variables.items() if collection != "params"}
    train = lambda params, images: net.apply({"params": params, **rest}, images, train=True, mutable=list(rest))

    def mean(params):
      features = train(params, more)[0][0]
      return (features * jnp.sin(jnp.arange(features.shape[1], dtype=jnp.float32))[None]).mean()

    (features, _), moved = train(variables["params"], images)
    return net.apply(variables, images)[0], features, moved, jax.grad(mean)(variables["params"])

  still, features, moved, gradient = run(variables, pictures(3, 32), pictures(2, 16, start=int(start)))
  table = genjax.convert._table(type(net).__name__, biases=name == "r2d2")
  places = [table[key] for key in shapes_of(name, (1,) * 4) if key.endswith(("running_mean", "running_var"))]
  return {
    "eval": still[:, ::keep],
    "train": features[:, ::keep],
    "moved": np.stack([moved[collection][layer][leaf][:2] for collection, layer, leaf in places]),
    "gradient": np.asarray(gradient["Conv_0"]["kernel"]).transpose(3, 2, 0, 1)[:4],
  }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv4_zip", "r2d2_legacy", "resnet12_legacy"])
def test_a_file_of_pytorch_gives_the_features_and_the_gradient_that_pytorch_has(name, expected):
  net = name.split("_")[0]
  variables, scale = converted(FIXTURES / f"{name}.pth", NARROW[net])
  assert scale == 2.5
  for key, value in outputs(net, NARROW[net], variables, 1, expected[f"{net}/narrow/start"]).items():
    close(value, expected[f"{net}/narrow/{key}"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv4", "r2d2", "resnet12"])
def test_a_net_of_full_width_is_pytorchs_in_evaluation_training_and_gradient(name, full, expected):
  variables = full(name)
  for key, value in outputs(name, WIDE[name], variables, 61, expected[f"{name}/full/start"]).items():
    close(value, expected[f"{name}/full/{key}"])
  large = jax.jit(WIDE[name].apply)(variables, pictures(2, 84))[0]
  close(large[:, ::251], expected[f"{name}/84/eval"])


@pytest.mark.parametrize("net", ["conv4", "r2d2"])
def test_both_formats_give_the_same_variables(net):
  old, new = (converted(FIXTURES / f"{net}_{form}.pth", NARROW[net]) for form in ("legacy", "zip"))
  assert old.scale == new.scale == 2.5
  for a, b in zip(jax.tree.leaves(old.variables), jax.tree.leaves(new.variables), strict=True):
    np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("name", COUNTS)
def test_the_prefix_of_several_gpus_changes_nothing_and_the_count_is_the_published_one(name, full):
  variables = full(name)
  assert parameters(variables) == COUNTS[name]
  for plain, prefixed in zip(jax.tree.leaves(variables), jax.tree.leaves(full(name, "module.")), strict=True):
    np.testing.assert_array_equal(plain, prefixed)
  init = jax.eval_shape(lambda: WIDE[name].init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
  assert jax.tree.structure(variables) == jax.tree.structure(init)
  assert [leaf.dtype for leaf in jax.tree.leaves(variables)] == [leaf.dtype for leaf in jax.tree.leaves(init)]


def test_variables_come_back_from_their_file_to_the_bit(tmp_path):
  variables, scale = converted(FIXTURES / "resnet12_legacy.pth", NARROW["resnet12"])
  assert variables["counter"]["calls"] == 0
  save_variables(tmp_path / "name without end", variables, scale)
  again = load_variables(tmp_path / "name without end")
  assert again.scale == scale
  assert jax.tree.structure(again.variables) == jax.tree.structure(variables)
  for a, b in zip(jax.tree.leaves(again.variables), jax.tree.leaves(variables), strict=True):
    np.testing.assert_array_equal(a, b, strict=True)
  for content in (b"", b"text", (FIXTURES / "conv4_zip.pth").read_bytes()):
    (tmp_path / "other.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.npz.* is no file of `genjax convert`"):
      load_variables(tmp_path / "other.npz")


def _checkpoint(monkeypatch, change):
  embedding = filled(shapes_of("conv4", (3,) * 4))
  whole = {"embedding": embedding, "head": {"scale": np.ones(1, np.float32)}}
  whole = change(whole) or whole
  monkeypatch.setattr(genjax.convert, "read_torch", lambda path: whole)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda whole: whole["embedding"].pop("encoder.2.block.0.weight"), r"lacks encoder\.2\.block\.0\.weight$"),
    (lambda whole: whole["embedding"].update(extra=1), "it has extra$"),
    (lambda whole: whole["embedding"], r"has encoder\.0.*which has embedding and head"),
    (lambda whole: [1], "has a list; wanted"),
    (lambda whole: {"embedding": {}, "head": [1]}, "which has embedding and head"),
    (lambda whole: {**whole, "head": {}}, r"no scale of shape \(1,\) in its head, which has nothing"),
    (
      lambda whole: {**whole, "embedding": filled(shapes_of("conv4", (5,) * 4))},
      r"encoder\.0\.block\.0\.weight for params/Conv_0/kernel of shape \(3, 3, 3, 5\), the net has \(3, 3, 3, 3\)",
    ),
    (
      lambda whole: {**whole, "embedding": filled(shapes_of("resnet12", (1,) * 4))},
      r"no Conv4: it lacks encoder\.0\.block\.0\.weight, .* and 17 more and has layer1.* more; it is a ResNet12",
    ),
  ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_reason(monkeypatch, change, message):
  _checkpoint(monkeypatch, lambda whole: result if isinstance(result := change(whole), dict | list) else None)
  with pytest.raises(ValueError, match=message):
    converted("x.pth", NARROW["conv4"])


def test_a_net_that_was_not_released_is_refused():
  with pytest.raises(ValueError, match="MLPCritic was not released with MetaOptNet; there are ResNet12"):
    converted(FIXTURES / "conv4_zip.pth", MLPCritic())


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_variables_and_says_how_many_parameters_there_are(tmp_path, monkeypatch, capsys):
  embedding = filled(shapes_of("conv4", (64,) * 4))
  whole = {"embedding": embedding, "head": {"scale": np.full(1, 7.5, np.float32)}}
  monkeypatch.setattr(genjax.convert, "read_torch", lambda path: whole)
  out = tmp_path / "new" / "conv4.npz"
  assert main(["convert", "--from", "best_model.pth", "--net", "conv4", "--out", str(out)]) == 0
  line = capsys.readouterr().out
  assert "112,832 parameters" in line
  assert "7.5" in line
  assert str(out) in line
  variables, scale = load_variables(out)
  assert scale == 7.5
  kernel = embedding["encoder.1.block.0.weight"]
  np.testing.assert_array_equal(variables["params"]["Conv_1"]["kernel"][2, 0, 5, 9], kernel[9, 5, 2, 0])


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--net", "conv4"], "--from is missing"),
    (["--from", "x.pth"], "--net is missing; it takes resnet12, conv4 or r2d2"),
    (["--from", "x.pth", "--net", "resnet"], "no --net 'resnet'; did you mean resnet12"),
    (["--from", "x.pth", "--net", "conv4", "--out", "y.txt"], "--out 'y.txt'; use a name that ends in .npz"),
    (["--from", "x.pth", "--net", "conv4", "--config.seed=3"], "convert takes no --config.seed"),
    (["--frm", "x.pth"], "did you mean from"),
    (["--from", "nowhere.pth", "--net", "conv4"], "nowhere.pth"),
    (["--from", str(FIXTURES / "conv4_zip.pth"), "--net", "conv4"], "use a net of the same widths"),
    (["--from", str(FIXTURES / "conv4_zip.pth"), "--net", "r2d2"], "it is a Conv4"),
  ],
)
def test_a_wrong_word_is_answered_on_one_line_and_nothing_is_written(words, message, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert main(["convert", *words]) == 2
  line = capsys.readouterr().err
  assert message in line
  assert line.count("\n") == 1
  assert not list(tmp_path.iterdir())
