"""The parser of the command line. Built without importing anything heavy, so that `--help` is quick."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from blurcore import __version__

SHELLS = ("bash", "zsh", "tcsh")

_EXAMPLES = """\
examples:
  blurcore demo                                       everything in one go, in minutes, on a CPU
  blurcore train configs/mnist_blurring.toml          train; any setting is a flag: --train.steps 500
  blurcore sample runs/NAME --num-samples 16          draw images from a run
  blurcore figure overview photo.jpg                  three processes over time
  blurcore explore                                    the processes at work, on a page in the browser
  blurcore verify                                     is the mathematics right on this machine?
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


class _Parser(argparse.ArgumentParser):
    """One sentence for a mistake, without the list of all options before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def build_parser() -> _Parser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="blurcore",
        description="Diffusion models in frequency space: blurring diffusion, heat dissipation, cold and Gaussian diffusion.",
        epilog=_EXAMPLES,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"blurcore {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_train(commands)
    _add_sample(commands)
    _add_evaluate(commands)
    _add_calibrate(commands)
    _add_restore(commands)
    _add_data(commands)
    _add_fit(commands)
    _add_info(commands)
    _add_export(commands)
    _add_figure(commands)
    _add_explore(commands)
    _add_verify(commands)
    _add_completion(commands)
    return parser


def _add(commands: argparse._SubParsersAction[_Parser], name: str, text: str, *, add_help: bool = True) -> _Parser:
    return commands.add_parser(
        name, help=text, description=text, formatter_class=_Formatter, add_help=add_help, allow_abbrev=False
    )


def _path(
    parser: argparse.ArgumentParser, *names: str, text: str, writes: str | None = None, **options: object
) -> None:
    """Add a path; one that the command writes, a "file" or a "folder", is looked at before the command begins."""
    if writes is not None:
        parser.set_defaults(writes={**(parser.get_default("writes") or {}), names[0]: writes})
    action = parser.add_argument(*names, type=Path, help=text, **options)  # type: ignore[arg-type]
    # shtab completes file names where an argument carries this mark.
    action.complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]


def _machine(parser: argparse.ArgumentParser, does: str, *, default: str = "the run's") -> None:
    """Add the options of a command that works on a run: what computes, and where."""
    parser.add_argument("--backend", help=f"backend that {does} (default: {default}, or the one that is installed)")
    parser.add_argument("--device", default="auto", help="device (default: the accelerator where there is one)")


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    demo = _add(commands, "demo", "verify, train a blurring diffusion model on digits, sample from it, draw pictures")
    _path(demo, "--out", writes="folder", text="folder for everything (default: runs/demo-TIME)")
    demo.add_argument(
        "--backend", default="auto", help="backend that trains (default: torch, or jax where that alone is installed)"
    )
    demo.add_argument("--steps", type=int, help="training steps (default: what takes a few minutes on two cores)")
    demo.add_argument("--seed", type=int, default=0, help="seed of everything (default: 0)")


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "train a model; any setting of the configuration is a flag, and --process.blur.kind NAME and the like take another class"
    train = _add(commands, "train", text, add_help=False)
    train.add_argument("-h", "--help", action="store_true", help="show this and every setting")
    _path(train, "config", text="configuration, a TOML file", nargs="?", metavar="CONFIG.toml")
    _path(train, "--out", writes="folder", text="run folder (default: runs/CONFIG-TIME)")
    train.add_argument(
        "--strict", action="store_true", help="stop, with exit code 1, where an image of a folder cannot be read"
    )
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")


def _add_sample(commands: argparse._SubParsersAction[_Parser]) -> None:
    sample = _add(commands, "sample", "draw images from a run", add_help=False)
    sample.add_argument("-h", "--help", action="store_true", help="show this and every setting")
    _path(sample, "run", text="run folder", nargs="?", metavar="RUN")
    _path(
        sample,
        "--out",
        writes="folder",
        text="folder for the images (default: RUN/samples/SAMPLER-STEPS-seedSEED, with a hash where that holds others)",
    )
    sample.add_argument("--film", action="store_true", help="keep the states on the way, as an animated film.webp")
    _machine(sample, "samples")


def _add_evaluate(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "samples of a run, or any images, against real ones; with --likelihood, bits/dim of held-out images under a run's model"
    evaluate = _add(commands, "evaluate", text, add_help=False)
    evaluate.add_argument("-h", "--help", action="store_true", help="show this and every setting")
    _path(evaluate, "run", text="run folder", nargs="?", metavar="RUN")
    _path(evaluate, "--samples", text="images in the place of a run's: a folder, .npy or .npz; needs --reference")
    _path(evaluate, "--reference", text="real images: a folder, .npy or .npz; needs --samples")
    evaluate.add_argument(
        "--dims", type=int, choices=(1, 2, 3), help="axes of those that are arrays (default: 2, images)"
    )
    evaluate.add_argument("--metrics", help="some of frechet,kid,precision_recall,spectrum (default: all)")
    text = "digits, dct, an entry point, or module:attribute (default: digits for images, else dct)"
    evaluate.add_argument("--features", help=text)
    _path(evaluate, "--inception-weights", text="the file that FID is defined by: FID, and the rest over its features")
    evaluate.add_argument("--neighbours", type=int, help="of precision and recall (default: 3)")
    text = "resamples for 95 %% intervals; 0: none (default: 200; none for FID)"
    evaluate.add_argument("--bootstrap", type=int, metavar="N", help=text)
    evaluate.add_argument("--num-reference", type=int, metavar="N", help="real images at most (default: all)")
    _path(evaluate, "--json", writes="file", text="also write what was found here")
    text = "bits/dim instead, by this bound; settings of its own: --likelihood discrete --help"
    evaluate.add_argument("--likelihood", choices=("discrete", "continuous", "ode"), help=text)
    text = "held-out images whose likelihood is taken; implies --likelihood discrete"
    evaluate.add_argument("--num-images", type=int, metavar="N", help=text)
    text = "part of the run's data (default: train; for the likelihood test, or all where there is none)"
    evaluate.add_argument("--split", choices=("train", "test", "all"), help=text)
    evaluate.add_argument("--seed", type=int, help="of samples, noise and resamples (default: 0, or the run's)")
    _machine(evaluate, "computes")


def _add_calibrate(commands: argparse._SubParsersAction[_Parser]) -> None:
    calibrate = _add(
        commands, "calibrate", "measure a network's error per frequency, for `sample --solver CalibratedAncestral`"
    )
    _path(calibrate, "run", text="run folder", metavar="RUN")
    calibrate.add_argument("--num-images", type=int, default=512, help="training images to measure on (default: 512)")
    calibrate.add_argument("--num-times", type=int, default=33, help="times to measure at (default: 33)")
    _machine(calibrate, "computes")


def _add_restore(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "restore images: samples of what was observed through a blur, a mask or fewer pixels, with a run as what is known"
    restore = _add(commands, "restore", text, add_help=False)
    restore.add_argument("-h", "--help", action="store_true", help="show this and every setting")
    _path(restore, "run", text="run folder", nargs="?", metavar="RUN")
    text = "what was observed: a folder of images, an image, .npy or .npz"
    _path(restore, "images", text=text, nargs="?", metavar="IMAGES")
    restore.add_argument(
        "--simulate",
        action="store_true",
        help="the images are whole (not given: held-out ones of the run's data): degrade them first, and compare",
    )
    restore.add_argument("--num-images", type=int, default=8, help="images at most (default: 8)")
    _path(
        restore, "--out", writes="folder", text="folder to write (default: RUN/restored/OPERATOR-METHOD-STEPS-seedSEED)"
    )
    _machine(restore, "computes")


def _add_data(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "say what a data set is understood as: number, sizes, labels, a grid of images, and how fast it is read"
    data = _add(commands, "data", text, add_help=False)
    data.add_argument("-h", "--help", action="store_true", help="show this and every setting")
    text = "a folder, archive or file of images, or the name of a kind, such as MNIST"
    _path(data, "source", text=text, nargs="?", metavar="SOURCE")
    _path(data, "--out", writes="file", text="PNG of some images (default: data.png)", default=Path("data.png"))
    data.add_argument("--num-images", type=int, default=64, help="images in it (default: 64)")


def _add_fit(commands: argparse._SubParsersAction[_Parser]) -> None:
    fit = _add(
        commands,
        "fit",
        "print a configuration whose blur and prediction fit the spectrum of a run's data, or of others",
    )
    _path(
        fit,
        "source",
        text="a run folder; a folder, archive or file of images; or a kind, such as MNIST",
        metavar="RUN-or-DATA",
    )
    _path(fit, "--figure", writes="file", text="PNG, SVG or PDF of the spectrum (default: none)")
    fit.add_argument("--num-images", type=int, default=10_000, help="images to measure on, at most (default: 10000)")
    fit.add_argument(
        "--share",
        type=float,
        default=0.0054,
        help="of the variance, DC aside, that the blur leaves at t = 1 (default: 0.0054, the paper's)",
    )


def _add_info(commands: argparse._SubParsersAction[_Parser]) -> None:
    info = _add(commands, "info", "say what a run is and how far it has come")
    _path(info, "run", text="run folder", metavar="RUN")
    info.add_argument("--json", action="store_true", help="as JSON")


def _add_export(commands: argparse._SubParsersAction[_Parser]) -> None:
    export = _add(
        commands, "export", "write a run in a form that others take: a pipeline, a folder to publish, a program"
    )
    _path(export, "run", text="run folder", metavar="RUN")
    export.add_argument(
        "--to",
        required=True,
        metavar="FORM",
        help="diffusers: a saved pipeline; hub-folder: weights, model card and picture, for huggingface_hub.upload_folder;"
        " torch-export, onnx, jax-export: a sampling step with its network, or with --form.part network that alone, whose"
        " settings may follow (--sample.solver DDIM)",
    )
    _path(export, "--out", writes="folder", text="folder to write, which must not be there or be empty", required=True)
    export.add_argument(
        "--license", help="for diffusers and hub-folder: licence of the weights, as the Hub names it (default: unknown)"
    )


def _add_figure(commands: argparse._SubParsersAction[_Parser]) -> None:
    figure = _add(
        commands,
        "figure",
        "draw a figure: overview, snr, dead-frequencies, kernels, trajectory, losses or sampler-error",
    )
    which = figure.add_subparsers(title="figures", dest="figure", metavar="FIGURE", required=True)
    overview = _add(
        which, "overview", "standard diffusion, heat dissipation and blurring diffusion side by side over time"
    )
    _path(
        overview,
        "image",
        text="any image (default: a photograph that ships with scikit-image)",
        nargs="?",
        metavar="IMAGE",
    )
    _path(
        overview, "--out", writes="file", text="PNG, SVG or PDF (default: overview.png)", default=Path("overview.png")
    )
    overview.add_argument("--size", type=int, default=128, help="shorter side to resize to, in pixels (default: 128)")
    overview.add_argument("--columns", type=int, default=6, help="number of times (default: 6)")
    overview.add_argument("--sigma-blur-max", type=float, help="widest blur in pixels (default: 20 for each 32 pixels)")
    overview.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    snr = _add(which, "snr", "log-SNR over frequency and time: the inductive bias")
    _path(snr, "--out", writes="file", text="PNG, SVG or PDF (default: snr.png)", default=Path("snr.png"))
    snr.add_argument("--size", type=int, default=32, help="side of the image, in pixels (default: 32)")
    snr.add_argument("--sigma-blur-max", type=float, default=20.0, help="widest blur in pixels (default: 20)")
    snr.add_argument(
        "--stacked",
        action="store_true",
        help="one panel above the other, for a column of a paper (default: side by side)",
    )
    dead = _add(which, "dead-frequencies", "which frequencies live when, and the sizes of images that are enough")
    _path(
        dead,
        "--out",
        writes="file",
        text="PNG, SVG or PDF (default: dead_frequencies.png)",
        default=Path("dead_frequencies.png"),
    )
    dead.add_argument(
        "--tolerance", type=float, default=0.01, help="nats for an image that dropping may cost (default: 0.01)"
    )
    _add_kernels(which)
    _add_trajectory(which)
    _add_losses(which)
    _add_sampler_error(which)


def _add_kernels(which: argparse._SubParsersAction[_Parser]) -> None:
    kernels = _add(
        which, "kernels", "blur and noise covariance in pixel space, and the noise that blurring is equivalent to"
    )
    _path(kernels, "--out", writes="file", text="PNG, SVG or PDF (default: kernels.png)", default=Path("kernels.png"))
    kernels.add_argument("--size", type=int, default=33, help="side of the image, in pixels (default: 33)")
    kernels.add_argument("--sigma-blur-max", type=float, default=20.0, help="widest blur in pixels (default: 20)")
    kernels.add_argument("--min-scale", type=float, default=1e-3, help="least that the blur leaves (default: 0.001)")
    kernels.add_argument(
        "--times",
        type=float,
        nargs="+",
        default=[0.05, 0.1, 0.2, 0.5],
        help="rising times, a column each (default: 0.05 0.1 0.2 0.5)",
    )
    kernels.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")


def _add_trajectory(which: argparse._SubParsersAction[_Parser]) -> None:
    text = (
        "a film of samples being born, in runs side by side, or in all four processes with the exact denoiser of digits"
    )
    trajectory = _add(which, "trajectory", text)
    _path(
        trajectory, "runs", text="run folders (default: no run; exact denoisers, no training)", nargs="*", metavar="RUN"
    )
    _path(
        trajectory,
        "--out",
        writes="file",
        text="WebP or GIF (default: trajectory.webp)",
        default=Path("trajectory.webp"),
    )
    trajectory.add_argument("--num-samples", type=int, default=4, help="samples of each (default: 4)")
    trajectory.add_argument("--frames", type=int, default=48, help="number of frames (default: 48)")
    trajectory.add_argument("--fps", type=int, default=12, help="frames a second (default: 12)")
    trajectory.add_argument("--once", action="store_true", help="stop at the end (default: begin again)")
    trajectory.add_argument("--seed", type=int, default=0, help="seed of the samples (default: 0)")
    _machine(trajectory, "samples", default="each run's")


def _add_losses(which: argparse._SubParsersAction[_Parser]) -> None:
    losses = _add(which, "losses", "the loss of a run in each band of frequencies over time, on held-out images")
    _path(losses, "run", text="run folder", metavar="RUN")
    _path(losses, "--out", writes="file", text="PNG, SVG or PDF (default: losses.png)", default=Path("losses.png"))
    losses.add_argument("--num-images", type=int, default=256, help="images to measure on (default: 256)")
    losses.add_argument("--num-times", type=int, default=33, help="times to measure at (default: 33)")
    _machine(losses, "computes")


def _add_sampler_error(which: argparse._SubParsersAction[_Parser]) -> None:
    error = _add(which, "sampler-error", "spectral error against steps, for every sampler: a plot and a table")
    _path(
        error,
        "--out",
        writes="file",
        text="PNG, SVG or PDF (default: sampler_error.png)",
        default=Path("sampler_error.png"),
    )
    _path(error, "--table", writes="file", text="also write the table, as a page in Markdown")
    error.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=[10, 20, 50, 100, 250, 1000],
        help="numbers of steps (default: 10 to 1000)",
    )
    error.add_argument("--size", type=int, default=32, help="side of the image, in pixels (default: 32)")


def _add_explore(commands: argparse._SubParsersAction[_Parser]) -> None:
    explore = _add(
        commands, "explore", "see the processes at work on your images, on a page that this machine serves to itself"
    )
    explore.add_argument(
        "--port", type=int, default=8765, help="port on 127.0.0.1 (default: 8765; 0: any that is free)"
    )
    explore.add_argument("--no-browser", action="store_true", help="do not open the page, only print its address")
    _path(explore, "--run", text="a run folder, whose samples can be stepped through", dest="run_folder", metavar="RUN")
    _machine(explore, "samples")


def _add_verify(commands: argparse._SubParsersAction[_Parser]) -> None:
    verify = _add(
        commands, "verify", "measure every identity on every backend and hold it to its bound", add_help=False
    )
    verify.add_argument("-h", "--help", action="store_true", help="show all options")


def _add_completion(commands: argparse._SubParsersAction[_Parser]) -> None:
    completion = _add(commands, "completion", "print a completion script for your shell")
    completion.add_argument("shell", choices=SHELLS, help="your shell")
    completion.epilog = (
        "bash:  blurcore completion bash > ~/.local/share/bash-completion/completions/blurcore\n"
        "zsh:   blurcore completion zsh > a folder of your $fpath, as _blurcore\n"
        "tcsh:  blurcore completion tcsh > ~/.blurcore.tcsh, and source it"
    )
