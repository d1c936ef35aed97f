"""A product with the cosine matrix against an FFT, by length of the axis: `python benchmarks/choice.py [FOLDER]`.

What `blurcore/choice.py` decides by. Two axes of N each, float32, about 400,000 numbers, both ways by our own code; for
NumPy the FFT is SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import torch
from paired import compare, output_folder, report
from transforms import jax_gradient, torch_gradient

import blurcore as bc
from blurcore._arrays import choice

SIZES = (16, 32, 48, 64, 96, 97, 127, 128, 192, 256, 384, 512, 768, 1024)
BASIS = bc.DCT()


@contextmanager
def longest_product(n: int) -> Iterator[None]:
    """Send axes longer than n to an FFT, whatever the library."""
    with (
        patch.object(choice, "LONGEST_PRODUCT", dict.fromkeys(choice.LONGEST_PRODUCT, n)),
        patch.object(choice, "FEW_NUMBERS", 0),
    ):
        yield


def ways(make: Callable[[], Callable[[], Any]]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a call by products and one by FFT; JAX decides while it traces."""

    def bound(n: int) -> Callable[[], Any]:
        with longest_product(n):
            call = make()
            call()

        def run() -> None:
            with longest_product(n):
                call()

        return run

    return bound(10**9), bound(0)


def calls(library: str, x: np.ndarray) -> dict[str, Callable[[], Callable[[], Any]]]:
    if library == "numpy":
        return {"forward": lambda: lambda: BASIS.forward(x), "inverse": lambda: lambda: BASIS.inverse(x)}
    if library == "torch":
        array = torch.from_numpy(x)
        return {
            "forward": lambda: lambda: BASIS.forward(array),
            "inverse": lambda: lambda: BASIS.inverse(array),
            "forward + gradient": lambda: partial(torch_gradient(BASIS.forward, array), array),
            "inverse + gradient": lambda: partial(torch_gradient(BASIS.inverse, array), array),
        }
    traced = jax.numpy.asarray(x)

    def compiled(f: Callable[[Any], Any]) -> Callable[[], Callable[[], Any]]:
        def make() -> Callable[[], Any]:
            g = jax.jit(lambda a: f(a))
            return lambda: g(traced).block_until_ready()

        return make

    return {
        "forward": compiled(BASIS.forward),
        "inverse": compiled(BASIS.inverse),
        "forward + gradient": lambda: partial(jax_gradient(lambda a: BASIS.forward(a), traced), traced),
    }


def main() -> None:
    """Measure, print, write."""
    rows = []
    for library in ("numpy", "torch", "jax"):
        for n in SIZES:
            x = np.random.default_rng(0).standard_normal((max(1, 400_000 // n**2), n, n)).astype(np.float32)
            for what, make in calls(library, x).items():
                result = compare(*ways(make), pairs=9)
                rows.append(
                    {
                        "library": library,
                        "N": n,
                        "what": what,
                        "product ms": 1e3 * result.ours,
                        "fft ms": 1e3 * result.peer,
                        "product / fft": result.ratio,
                    }
                )
    report("choice", rows, output_folder())


if __name__ == "__main__":
    main()
