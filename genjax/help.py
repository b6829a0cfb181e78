"""The text of `genjax --help` and of `genjax COMMAND --help`."""

USAGE = """genjax COMMAND --config NAME|FILE.py[:ARG] [--config.KEY=VALUE ...] [--workdir DIR] [...]

  train      trains, or goes on where the same command stopped before
  sample     draws examples from the newest checkpoint of a workdir: pictures, points or text
  evaluate   measures the newest checkpoint of a workdir
  compare    measures images on disk against others: folders, .tar, .npz of any tool
  encode     writes features of held-out examples as .npz
  bench      measures speed, memory and operations of a config on this machine
  plan       what a config needs on TPU slices, by the compiler, on a machine without one
  study      runs an experiment of several trainings: a table and a picture
  objectives lists the adversarial objectives, with papers, equations and what each needs
  convert    writes the weights of the authors' MetaOptNet as .npz
  report     makes one page of HTML of one or several workdirs: curves, samples, numbers, configs

`genjax COMMAND --help` shows examples. Configs here: """

_CONFIG = """\
  --config      name of a shipped config, or a path.py; :ARG after it goes to get_config; default: the workdir's own
  --config.K=V  sets one key, even if the config's file does not mention it: --config.objective.weight=0.1.
                A new name takes its own defaults: --config.objective.name=inn. A name may be your "module:function"
  --allow       packages (a,b) of yours that a workdir's config.json names, and whose code this command may run
"""

HELP = {
  "train": f"""genjax train: trains a config in a workdir; the same command again goes on where it stopped.

  genjax train --config winn_digits --workdir runs/digits
  genjax train --config winn_digits --workdir runs/seed1 --config.seed=1 --config.train.steps=400
  genjax train --workdir runs/digits --config.train.steps=800                  # longer: the config is in the workdir
  genjax train --config winn_digits --workdir runs/own --config.data.name=folder --config.data.path=pictures \\
    --config.data.size=16
  genjax train --config metaoptnet_miniimagenet --config.data.path=miniImageNet --config.net.weights=resnet12.npz \\
    --workdir runs/tuned                                                       # fine-tunes converted weights
  genjax train --config configs/winn_digits.py --workdir gs://bucket/run       # on every host of a TPU slice

{_CONFIG}  --workdir     default runs/<config>; gets config.json, metrics.jsonl, samples/, checkpoints/, tensorboard/,
                figure.png, summary.json
  --continue    goes on although keys differ from those of the run in the workdir, and records them in continued.json;
                without it train.steps, train.*_every, train.keep, train.samples, mesh, metrics and sample may differ
  --init-from   workdir of another run with the same nets; a new run starts from its newest weights
  --quiet       nothing on the terminal

A second command in the workdir of a live run is refused (exit code 2), by its run.lock. In a bucket (gs://) no
lock can be had, so keep two runs apart there. Ctrl-C and SIGTERM save and stop within seconds (130, 143), or after the
one step that is under way. sample, evaluate and encode only read, also beside a live run.
""",
  "sample": f"""genjax sample: draws examples from the newest checkpoint of a workdir.

  genjax sample --workdir runs/digits
  genjax sample --workdir runs/digits --n 256 --seed 3 --out digits.png
  genjax sample --workdir runs/digits --n 10000 --out digits.npz     # uint8 [n, H, W, C]
  genjax sample --workdir runs/digits --n 100 --out pictures/        # a file each
  genjax sample --workdir runs/brick --config.sample.size=512        # winn_texture: a picture of any size
  genjax sample --workdir runs/vitgan_digits --truncation 0.7 --interpolate 10
  genjax sample --workdir runs/cyclegan_digits --to source           # what held-out examples become

{_CONFIG}  --n           how many (default 64; 1 where the config has a section `sample`)
  --seed        of the draw (default 0)
  --out         .png: one picture; .txt: text; .npz: an array; a name that ends in /: a folder of single files;
                default <workdir>/samples.png
  --truncation  of a generator with latents: distance of w from its mean, as a factor (1: as trained); of a generator
                without w: factor of the latents
  --interpolate images in a row from one latent to another, in --n rows (default 8): on a line in w, else on an arc
  --mix         images with the coarser half of the styles of the image at the left, the finer half of the one above
  --to          target or source: the domain into which held-out examples are translated
  --step        checkpoint to use (default: the newest); best: the one that config.train.best keeps; 0: untrained
""",
  "evaluate": f"""genjax evaluate: measures the newest checkpoint of a workdir; prints JSON, every number with its card.

  genjax evaluate --workdir runs/digits
  genjax evaluate --workdir runs/digits --config.metrics.frechet.samples=1000 --step 400
  genjax evaluate --workdir runs/digits --metrics kid,prdc --n 500
  genjax evaluate --workdir runs/digits --metrics fid,kid,prdc --n 50000 --weights pt_inception-2015-12-05-6726825d.pth
  genjax evaluate --config metaoptnet_miniimagenet --config.data.path=miniImageNet --config.net.weights=resnet12.npz \\
    --step 0                                                         # converted weights, without training

{_CONFIG}  --metrics     names, instead of the config's: frechet, fid, kid, prdc, ...; a wrong one shows all. One that
                the config has keeps its settings there
  --n           samples of each metric (default: as the config says)
  --weights     file of Inception's weights: all metrics of features are measured in Inception's
  --seed        of the samples (default 0)
  --step        checkpoint to use (default: the newest); best: the one that config.train.best keeps; 0: untrained
""",
  "compare": """genjax compare A B: measures the images A against B, the reference, whichever tool made them.

  genjax compare samples.npz test_images/
  genjax compare samples.npz train_images.tar.gz --weights pt_inception-2015-12-05-6726825d.pth    # FID, KID, PRDC, IS
  genjax compare fake/ real/ --metrics kid,prdc,two_sample --n 10000 --json

  A and B       a folder of pictures (subfolders too), a .tar or .tar.gz of them, or an .npz of uint8 images: of genjax
                (images), of guided-diffusion (arr_0), of StudioGAN or BigGAN-PyTorch (x). All are read in colour, and
                a batch at a time. What cannot be read is left out and named.
  --metrics     frechet, fid, fid_infinity, kid, inception_score, mode_score, prdc, sliced_wasserstein, two_sample;
                default frechet,kid,prdc, and with --weights fid,kid,prdc,inception_score. sliced_wasserstein alone
                holds all pixels in memory, and 75 kB more an image: use --n
  --weights     file of Inception's weights; images may then be of any sizes, and numbers are those that papers have
  --resize      to Inception's size: tf1 (default; as TTUR and torch-fidelity) or pil (as clean-fid)
  --extractor   random (default without --weights: an untrained net; its numbers compare with nothing else), classifier
                (trained here on B, whose subfolders are the classes), inception, or your "module:function" making one
  --n           at most so many images of each side, chosen at random (default: all)
  --seed        of that choice (default 0)
  --json        every number with its card: both sha256, counts, extractor, resize, quantisation
""",
  "encode": f"""genjax encode: features of the examples of a split by a trained net, as .npz (features, label).

  genjax encode --workdir runs/metaoptnet_glyphs --split test --out features.npz
  genjax encode --config metaoptnet_miniimagenet --config.data.path=miniImageNet --config.net.weights=resnet12.npz \\
    --step 0 --out features.npz

{_CONFIG}  --split       of the data (default test)
  --out         default <workdir>/features.npz
  --step        checkpoint to use (default: the newest); best; 0: untrained, or as converted
""",
  "bench": f"""genjax bench: compile time, speed, memory and model FLOPs of a config on this machine. Nothing is saved.

  genjax bench --config winn_digits
  genjax bench --config winn_digits --seconds 30 --json > bench.json
  genjax bench --metrics --n 10000                                   # FID, KID, PRDC ... of given features; no config

{_CONFIG}  --seconds     of measuring for each part (default 10)
  --json        JSON instead of a table
  --metrics     times the metrics of features, not a config
  --n           with --metrics: features on each side (default 10000)
""",
  "plan": f"""genjax plan: what the programs of a config need on TPU slices, without a TPU. Nothing is trained or saved.

  genjax plan --config winn_digits --topology v5e-4
  genjax plan --config vitgan_cifar10 --topology v3-32,v4-32,v5e-16 --dollars 1.2 --config.data.name=mock
  genjax plan --config gan_digits:hinge --topology v4-32 --json > plan.json

{_CONFIG}  --topology    slices, by commas: v2-8, v3-32, v4-32, v5p-8 (all of so many cores), v5e-16, v6e-8 (of so many
                chips), or a grid of chips: v4:2x2x4
  --dollars     a chip-hour; the price is that of config.train.steps training steps, at the least
  --json        one object; genjax/train/plan_report.py says what is in it

XLA's compiler for TPUs (libtpu) compiles the training step, the sampler and what the config's metrics call: minutes for
a large net, once for each slice; what was compiled is kept in $GENJAX_CACHE or ~/.cache/genjax. It says whether a
program fits and what takes the memory, counts operations, bytes and exchanges between chips with every loop in full,
and bounds the time of a step from below.
""",
  "study": """genjax study NAME: trains what an experiment needs, measures it, leaves a table and a picture.

  genjax study digits
  genjax study digits --seeds 1 --workdir runs/study_digits
  genjax study few_shot_heads --config metaoptnet_cifarfs --config.data.path=CIFAR-FS
  genjax study mnist --config.data.path=mnist

  --workdir     default runs/study_<name>; the same command again does only what is missing
  --seeds       runs of each row, with seeds 0, 1, ...
  --quiet       only the table on the terminal
  --config      the config that the runs share, another than the study's own; a study that has none says so
                --config.KEY=VALUE changes it in every run

""",
  "objectives": """genjax objectives [ROW]: every row of the zoo, with its paper, its equation and what it needs.

  genjax objectives
  genjax objectives wgan_gp                   # its arguments and their defaults
  genjax train --config gan_digits:hinge      # any row with a generator
""",
  "convert": """genjax convert: weights of the authors' MetaOptNet for genjax; it needs no PyTorch and runs no pickle.

  genjax convert --from best_model.pth --net resnet12
  genjax convert --from experiments/last_epoch.pth --net conv4 --out conv4.npz

  --from        best_model.pth, last_epoch.pth, epoch_10.pth ...
  --net         resnet12, conv4 or r2d2
  --out         default: the name of the checkpoint, with .npz, here; it goes into a config as net.weights
""",
  "report": """genjax report FOLDER...: one page of HTML of the runs in these workdirs, which needs no network.

  genjax report runs/digits
  genjax report runs/digits runs/seed1 --out digits.html      # side by side, the differences of their configs marked
  genjax report runs/vitgan_digits --interpolate 10           # with interpolations of its newest checkpoint

  --out         default report.html, here; the workdirs are only read, also beside a live run
  --interpolate images in a row from one latent to another, drawn from the newest checkpoint of each run whose system
                has latents; without it no checkpoint is opened, and the page is made in a second
  --allow       with --interpolate: packages (a,b) of yours that a config.json names, and whose code may be run

The page shows what is there: curves of every number in metrics.jsonl, samples over the steps, figure.png, the numbers
of summary.json with their cards and the commands that give them, config, hardware and versions. It stays under 20 MB:
where more pictures would not fit, it says how many of how many it shows.
""",
}
