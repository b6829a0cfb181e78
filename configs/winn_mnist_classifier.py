"""WINN as a classifier of MNIST, beside ICN and the baseline, with a vanilla CNN or a ResNet-32.

Command   genjax train --config winn_mnist_classifier:vanilla --config.data.path=mnist --workdir runs/mnist
          path: the folder of the four idx files, .gz or not; without one, from what TFDS prepared (data.data_dir)
          winn_mnist_classifier:resnet32
          winn_mnist_classifier:vanilla,baseline   and resnet32,baseline: without pseudo-negatives
          winn_mnist_classifier:vanilla,icn        ICN: INN's cross-entropy instead of the Wasserstein loss
          genjax evaluate --workdir runs/mnist --step best
          genjax study robustness_mnist --config winn_mnist_classifier:vanilla --config.data.path=mnist --seeds 2
          Tables 2.2 and 2.3, and what f and the confidence detect; --config.metrics.test.split=test[:2000] is quicker.
          f against another set: --config.metrics.detection.against.name=fashion_mnist, its .path, and .batch=250
Machine   one GPU or TPU chip, or 2, 4 or 5 of them; for 8 set minibatch, synthesis_batch, synthesis and initial of
          config.system to 120, and capacity to 24120. Hours, not measured: a step is an epoch, then 1,000 chains of up
          to 2,000 moves
Expect    test error at the step of the least validation error, in summary.json. The thesis (Table 2.2): vanilla 0.67 %,
          its baseline 0.89 %, ICN 0.81 %; ResNet-32 0.48 %, its baseline 0.45 %. The released code chose its
          step on the test set.
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, section 2.5.6 of the dissertation,
          Tables 2.2 and 2.3. 45,000 images to train, 15,000 to choose the step; no augmentation, a constant
          learning rate, 200 epochs (released code).
          Synthesis stops each image at its own goal (the thesis); config.system.stop=batch is the released code's rule.
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "vanilla") -> ConfigDict:
  net, *rest = arg.split(",")
  if net not in ("vanilla", "resnet32") or rest not in ([], ["baseline"], ["icn"]):
    raise ValueError("winn_mnist_classifier takes vanilla or resnet32, then nothing, baseline or icn: vanilla,baseline")
  baseline = "baseline" in rest
  steps = 200
  config = load_config(f"winn_digits_classifier:{''.join(rest)}")  # all but what follows
  config.data = {"name": "mnist", "split": "train[:45000]", "batch": 45_000}  # a step is an epoch

  config.net = ConfigDict({"name": net, "f_on": "logits", "dropout": 0.0})
  config.noise.width = 512
  config.sampler.learning_rate = 0.02
  del config.optimizer.schedule
  config.system.update(
    {
      "minibatch": 100,
      "ascent_steps": 2000,
      "synthesis": 0 if baseline else 100,  # of each class a step
      "synthesis_batch": 100,
      "initial": 100,
      "capacity": 100 * (1 + steps),  # of each class: all that is ever made
      "pool_dtype": "uint8",  # 158 MB; four times as much in float32
    }
  )
  config.train.update({"steps": steps, "steps_per_call": 1, "log_every": 1, "evaluate_every": 1, "checkpoint_every": 5})
  config.train.sample_every = 0 if baseline else 10
  config.metrics.validation.split = "train[45000:]"
  return config
