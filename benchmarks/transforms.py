"""The DCT of images against torch-dct, dctorch, SciPy's pocketfft and JAX's own: `python benchmarks/transforms.py [FOLDER]`.

Every peer's result is first held to SciPy's in float64. About 400,000 numbers each, float32, two axes.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from paired import compare, output_folder, report

import blurcore as bc

SIZES = (8, 16, 28, 32, 64, 96, 128, 256, 512, 1024)
NUMBERS = 400_000
BASIS = bc.DCT()


def torch_peers() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Return (forward, inverse) of the PyTorch packages that are installed."""
    found = {}
    for package in ("torch_dct", "dctorch"):
        try:
            module = importlib.import_module("dctorch.functional" if package == "dctorch" else package)
        except ImportError:
            continue
        if package == "torch_dct":
            found[package] = (
                lambda x, m=module: m.dct_2d(x, norm="ortho"),
                lambda u, m=module: m.idct_2d(u, norm="ortho"),
            )
        else:
            found[package] = (lambda x, m=module: m.dct2(x), lambda u, m=module: m.idct2(u))
    return found


def measure_torch(n: int, x: np.ndarray[Any, Any], rows: list[dict[str, Any]]) -> None:
    import torch

    data = torch.from_numpy(x)
    truth = scipy.fft.dctn(x.astype(np.float64), axes=(-2, -1), norm="ortho")
    scale = float(np.abs(truth).max())
    weights = torch.randn_like(data)

    def backward(transform: Callable[..., Any]) -> Callable[[], Any]:
        def call() -> Any:
            leaf = data.detach().requires_grad_()
            return torch.autograd.grad((transform(leaf) * weights).sum(), leaf)

        return call

    for name, (forward, inverse) in torch_peers().items():
        if float((forward(data).double() - torch.from_numpy(truth)).abs().max()) > 1e-5 * scale:
            raise RuntimeError(f"{name} does not compute the orthonormal DCT-II")
        u = forward(data)
        for what, ours, peer in (
            ("forward", lambda: BASIS.forward(data), lambda f=forward: f(data)),
            ("inverse", lambda u=u: BASIS.inverse(u), lambda f=inverse, u=u: f(u)),
            ("autograd", backward(BASIS.forward), backward(forward)),
        ):
            rows.append(row("torch", name, n, what, ours, peer))
    for workers in (1, 2):
        peer = lambda: scipy.fft.dctn(x, axes=(-2, -1), norm="ortho", workers=workers)  # noqa: E731, B023 - called at once
        rows.append(row("torch", f"scipy, {workers} workers", n, "forward", lambda: BASIS.forward(data), peer))


def measure_jax(n: int, x: np.ndarray[Any, Any], rows: list[dict[str, Any]]) -> None:
    import jax

    data = jax.numpy.asarray(x)
    for what, ours, peer in (
        ("forward", BASIS.forward, lambda a: jax.scipy.fft.dctn(a, axes=(-2, -1), norm="ortho")),
        ("inverse", BASIS.inverse, lambda a: jax.scipy.fft.idctn(a, axes=(-2, -1), norm="ortho")),
    ):
        fast, slow = jax.jit(ours), jax.jit(peer)
        rows.append(
            row(
                "jax",
                "jax.scipy",
                n,
                what,
                lambda f=fast: f(data).block_until_ready(),
                lambda f=slow: f(data).block_until_ready(),
            )
        )


def row(
    library: str, peer_name: str, n: int, what: str, ours: Callable[[], Any], peer: Callable[[], Any]
) -> dict[str, Any]:
    """Return one line of the table."""
    result = compare(ours, peer)
    return {
        "library": library, "peer": peer_name, "N": n, "what": what,
        "ours ms": 1e3 * result.ours, "peer ms": 1e3 * result.peer, "ratio": result.ratio,
    }  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    for n in SIZES:
        x = rng.standard_normal((max(1, NUMBERS // n**2), n, n)).astype(np.float32)
        for library, measure in (("torch", measure_torch), ("jax", measure_jax)):
            if importlib.util.find_spec(library) is not None:
                measure(n, x, rows)
    report("transforms", rows, output_folder())
    summary = []
    for key in dict.fromkeys((r["library"], r["peer"]) for r in rows):
        ratios = [r["ratio"] for r in rows if (r["library"], r["peer"]) == key]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        summary.append({"library": key[0], "peer": key[1], "geometric mean": mean, "worst": max(ratios)})
    report("transforms-summary", summary, output_folder())


if __name__ == "__main__":
    main()
