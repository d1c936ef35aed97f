"""`blurcore figure NAME`: pictures of the processes, and of runs."""

from __future__ import annotations

import argparse

from blurcore.cli.settings import machinery_of, refuse_rest
from blurcore.errors import ConfigError

_SUFFIXES = (".png", ".svg", ".pdf")
_FILMS = (".webp", ".gif")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Draw."""
    refuse_rest(rest)
    suffixes = _FILMS if args.figure == "trajectory" else _SUFFIXES
    if args.out.suffix.lower() not in suffixes:
        raise ConfigError(f"--out must end in one of {', '.join(suffixes)}; got {str(args.out)!r}")
    _FIGURES[args.figure](args)
    print(args.out)
    return 0


def _overview(args: argparse.Namespace) -> None:
    from blurcore.figures.overview import draw_overview, load_picture

    picture = load_picture(args.image, size=args.size)
    draw_overview(picture, args.out, columns=args.columns, sigma_blur_max=args.sigma_blur_max, seed=args.seed)


def _snr(args: argparse.Namespace) -> None:
    from blurcore.figures.snr import draw_snr

    draw_snr(args.out, size=args.size, sigma_blur_max=args.sigma_blur_max, stacked=args.stacked)


def _dead_frequencies(args: argparse.Namespace) -> None:
    from blurcore.data.sources import Photos
    from blurcore.figures.dead_frequencies import draw_dead_frequencies

    if not args.tolerance > 0:
        raise ConfigError(f"--tolerance must be positive; got {args.tolerance}")
    for title, sizes in draw_dead_frequencies(args.out, Photos().load(), tolerance=args.tolerance).items():
        print(f"{title}: {sizes.words}")


def _kernels(args: argparse.Namespace) -> None:
    from blurcore.figures.kernels import draw_kernels

    draw_kernels(
        args.out,
        size=args.size,
        sigma_blur_max=args.sigma_blur_max,
        min_scale=args.min_scale,
        times=tuple(args.times),
        seed=args.seed,
    )


def _trajectory(args: argparse.Namespace) -> None:
    _require_least(args, num_samples=1, frames=2, fps=1, seed=0)
    if args.fps > 50:
        raise ConfigError(f"--fps must be at most 50; got {args.fps}")
    from blurcore.figures import trajectory

    runs = [(folder, machinery_of(folder, args.backend)) for folder in args.runs]
    if runs:
        stories = [
            trajectory.tell_run(folder, backend, num_samples=args.num_samples, seed=args.seed, device=args.device)
            for folder, backend in runs
        ]
    else:
        data, steps = trajectory.embedded_digits(), max(60, args.frames - 1)
        stories = [
            trajectory.tell_exact(process, data, num_samples=args.num_samples, num_steps=steps, seed=args.seed)
            for process in trajectory.oracle_processes(data.image_shape[0])
        ]
    trajectory.draw_trajectory(stories, args.out, frames=args.frames, fps=args.fps, loop=not args.once)


def _losses(args: argparse.Namespace) -> None:
    from blurcore.figures.canvas import name_of
    from blurcore.figures.loss_bands import draw_losses, held_out
    from blurcore.measure import measure_spectral_loss
    from blurcore.runs.config_file import read_config

    _require_least(args, num_images=1, num_times=2)
    config = read_config(args.run / "config.toml")
    backend = machinery_of(args.run, args.backend)
    data, kind = held_out(config.data)
    network = backend.network(args.run, device=args.device)
    found = measure_spectral_loss(network, data, num_images=args.num_images, num_times=args.num_times, progress=True)
    count = min(args.num_images, len(data))
    title = f"{name_of(config.process)}, step {network.step:,}, {count:,} {kind} images ({data.name})"
    draw_losses(found, args.out, title=title, prediction=config.train.objective.prediction)


def _sampler_error(args: argparse.Namespace) -> None:
    from blurcore.figures.sampler_error import draw_sampler_error

    if min(args.steps) < 1:
        raise ConfigError(f"--steps must be at least 1 each; got {min(args.steps)}")
    print(draw_sampler_error(args.out, table=args.table, steps=tuple(args.steps), size=args.size))


def _require_least(args: argparse.Namespace, **least: int) -> None:
    """Refuse numbers that are too small, before any work."""
    for name, low in least.items():
        if getattr(args, name) < low:
            right = f"at least {low}" if low else "0 or more"
            raise ConfigError(f"--{name.replace('_', '-')} must be {right}; got {getattr(args, name)}")


_FIGURES = {
    "overview": _overview,
    "snr": _snr,
    "dead-frequencies": _dead_frequencies,
    "kernels": _kernels,
    "trajectory": _trajectory,
    "losses": _losses,
    "sampler-error": _sampler_error,
}
