"""The DCT of images against torch-dct, dctorch, SciPy's pocketfft and JAX's own: `python benchmarks/transforms.py [FOLDER]`.

Forward, inverse, and forward with its gradient, of about 400,000 numbers and of a single image of three channels, over
the last two axes. Ours and every peer's result is first held to SciPy's in float64, and ours must be right. A peer that
is off by more than the dtype's rounding stays in the table, with its error, but not in the summary; one that does not
take the dtype is named. SciPy is a peer of NumPy arrays alone, on one and on two threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import dctorch.functional
import jax
import numpy as np
import scipy.fft
import torch
import torch_dct
from paired import compare, geometric_mean, output_folder, report

import blurcore as bc

SIZES = (8, 16, 28, 32, 64, 96, 128, 256, 512, 1024)
NUMBERS = 400_000
BASIS = bc.DCT()
TOLERANCE = {"float64": 1e-13, "float32": 1e-6, "bfloat16": 2e-3}
"""Error over size, both root mean square. One rounding to bfloat16 makes 1.7e-3: a peer that rounds on the way is beyond."""

WHAT = ("forward", "inverse", "forward + gradient")

Transform = Callable[[Any], Any]


@dataclass(frozen=True)
class Library:
    """How one library's arrays are made, looked at and differentiated, and whom we meet there: (forward, inverse)."""

    name: str
    make: Callable[[np.ndarray[Any, Any], str], Any]
    show: Callable[[Any], np.ndarray[Any, Any]]
    ready: Callable[[Transform], Transform]
    gradient: Callable[[Transform, Any], Transform] | None
    peers: dict[str, tuple[Transform, Transform]]


def torch_gradient(transform: Transform, weights: Any) -> Transform:
    def call(x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(transform(leaf), leaf, weights)[0]

    return call


def jax_gradient(transform: Transform, weights: Any) -> Transform:
    def both(x: Any, w: Any) -> Any:  # the value too, or the compiler would leave out a linear map's way forward
        value, back = jax.vjp(transform, x)
        return value, back(w)[0]

    compiled = jax.jit(both)
    return lambda x: jax.block_until_ready(compiled(x, weights))[1]


def finished(transform: Transform) -> Transform:
    compiled = jax.jit(transform)
    return lambda x: compiled(x).block_until_ready()


def scipy_peer(workers: int) -> tuple[Transform, Transform]:
    both = (scipy.fft.dctn, scipy.fft.idctn)
    return tuple(partial(f, axes=(-2, -1), norm="ortho", workers=workers) for f in both)  # type: ignore[return-value]


JAX_PEER = tuple(partial(f, axes=(-2, -1), norm="ortho") for f in (jax.scipy.fft.dctn, jax.scipy.fft.idctn))
LIBRARIES = (
    Library(
        "torch",
        lambda x, dtype: torch.from_numpy(x).to(getattr(torch, dtype)),
        lambda x: x.double().numpy(),
        lambda f: f,
        torch_gradient,
        {
            "torch-dct": (partial(torch_dct.dct_2d, norm="ortho"), partial(torch_dct.idct_2d, norm="ortho")),
            "dctorch": (dctorch.functional.dct2, dctorch.functional.idct2),
        },
    ),
    Library(
        "jax",
        lambda x, dtype: jax.numpy.asarray(x, dtype),
        lambda x: np.asarray(x, np.float64),
        finished,
        jax_gradient,
        {"jax.scipy": JAX_PEER},  # type: ignore[dict-item]
    ),
    Library(
        "numpy",
        lambda x, dtype: x.astype(dtype),
        lambda x: x.astype(np.float64),
        lambda f: f,
        None,
        {"scipy, 1 thread": scipy_peer(1), "scipy, 2 threads": scipy_peer(2)},
    ),
)
CASES = [(n, (max(1, NUMBERS // n**2), n, n), "float32") for n in SIZES]
CASES += [(n, (1, 3, n, n), "float32") for n in (32, 256)]
CASES += [(n, (max(1, NUMBERS // n**2), n, n), dtype) for dtype in ("float64", "bfloat16") for n in (32, 256)]


def error(found: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2)))


def measure(library: Library, n: int, shape: tuple[int, ...], dtype: str) -> list[dict[str, Any]]:
    """Return the rows of one case, three for each peer."""
    x = library.make(np.random.default_rng(0).standard_normal(shape).astype(np.float32), dtype)
    weights = library.make(np.random.default_rng(1).standard_normal(shape).astype(np.float32), dtype)
    exact = [
        f(library.show(v), axes=(-2, -1), norm="ortho")
        for f, v in ((scipy.fft.dctn, x), (scipy.fft.idctn, x), (scipy.fft.idctn, weights))
    ]

    def calls(forward: Transform, inverse: Transform) -> list[Transform]:
        made = [library.ready(forward), library.ready(inverse)]
        return made + ([library.gradient(forward, weights)] if library.gradient else [])

    def errors(made: list[Transform]) -> list[float]:
        return [error(library.show(call(x)), truth) for call, truth in zip(made, exact, strict=False)]

    ours = calls(BASIS.forward, BASIS.inverse)
    off = errors(ours)
    if max(off) > TOLERANCE[dtype]:
        raise RuntimeError(f"our own transform is off by {max(off):.1e} for N = {n}, {library.name}, {dtype}")
    rows = []
    for peer, both in library.peers.items():
        try:
            theirs = calls(*both)
            their_off = errors(theirs)
        except (RuntimeError, TypeError, ValueError) as problem:
            print(f"{peer} does not take {dtype}: {str(problem).splitlines()[0]}")
            continue
        for what, a, b, wrong, their_wrong in zip(WHAT, ours, theirs, off, their_off, strict=False):
            result = compare(partial(a, x), partial(b, x))
            rows.append(
                {
                    "library": library.name,
                    "peer": peer,
                    "N": n,
                    "images": math.prod(shape[:-2]),
                    "dtype": dtype,
                    "what": what,
                    "ours ms": 1e3 * result.ours,
                    "peer ms": 1e3 * result.peer,
                    "ratio": result.ratio,
                    "our error": wrong,
                    "peer error": their_wrong,
                }
            )
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the geometric mean and the worst ratio against each peer, where it is as accurate as its dtype."""
    lines = []
    rows = [r for r in rows if r["peer error"] <= TOLERANCE[r["dtype"]]]
    for library, peer in dict.fromkeys((r["library"], r["peer"]) for r in rows):
        ratios = [r["ratio"] for r in rows if (r["library"], r["peer"]) == (library, peer)]
        lines.append({"library": library, "peer": peer, "geometric mean": geometric_mean(ratios), "worst": max(ratios)})
    return lines


def main() -> None:
    """Measure, print, write."""
    rows: list[dict[str, Any]] = []
    with jax.enable_x64():
        for n, shape, dtype in CASES:
            for library in LIBRARIES:
                if library.name != "numpy" or dtype != "bfloat16":
                    rows += measure(library, n, shape, dtype)
    report("transforms", rows, output_folder())
    report("transforms-summary", summary(rows), output_folder())


if __name__ == "__main__":
    main()
