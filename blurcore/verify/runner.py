"""Run the matrix: backends x devices x dtypes x grids x processes x identities."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from blurcore.errors import ArgumentError, BackendError
from blurcore.protocols import Backend
from blurcore.registry import get_backend, names
from blurcore.verify.cases import HALF, PROCESSES, QUICK_SHAPES, SHAPES, Case
from blurcore.verify.identities import IDENTITIES
from blurcore.verify.identity import Identity
from blurcore.verify.report import Report, Result

Progress = Callable[[int, int, str], None]
"""Called with the number of cells done, that of all, and a line on where it is."""


def enable_float64_in_jax() -> None:
    """Let JAX have float64, if it is not loaded yet: after that the choice is its user's, and float32 is what is verified."""
    if "jax" not in sys.modules:
        os.environ.setdefault("JAX_ENABLE_X64", "1")


def installed(backends: Iterable[str] | None) -> tuple[Backend, ...]:
    """Return the named backends, or all that can be imported."""
    enable_float64_in_jax()
    if backends is not None:
        return tuple(get_backend(name) for name in backends)
    found = []
    for name in names():
        try:
            found.append(get_backend(name))
        except BackendError:
            continue  # declared, but its library is not installed
    return tuple(found)


def grids(dtype: str, *, quick: bool) -> tuple[tuple[int, ...], ...]:
    """Return the grids for a dtype.

    All of them in float64; one for each number of axes in float32, whose coefficients are float64's rounded once; an
    audio and an image grid in half precision, which only the data has.
    """
    if quick:
        return () if dtype in HALF else QUICK_SHAPES
    if dtype == "float64":
        return SHAPES
    return (SHAPES[0], SHAPES[3]) if dtype in HALF else (SHAPES[0], SHAPES[3], SHAPES[5])


def cells(backends: Iterable[Backend], *, quick: bool, seed: int) -> Iterator[Case]:
    """Return the cells of the matrix."""
    for backend in backends:
        for device in backend.devices():
            dtypes = backend.dtypes(device)
            for dtype in dtypes:
                # Where there is no float64, the widest dtype takes its place.
                width = "float64" if dtype == dtypes[0] and dtype not in HALF else dtype
                for shape in grids(width, quick=quick):
                    for name, process in PROCESSES.items():
                        yield Case(backend, device, dtype, shape, name, process, seed)


def measure(one: Identity, case: Case) -> Result:
    """Measure one identity in one cell; an exception is a failure that says what was raised."""
    where = (case.backend.name, case.device, case.dtype, case.shape, case.process_name)
    try:
        with np.errstate(all="ignore"):  # underflow and 1 / 0 in masked-out places, of either side
            result = one.measure(case)
    except Exception as error:  # whatever a foreign backend raises is its failure, not ours
        return Result(one, *where, float("nan"), float("nan"), False, f"{type(error).__name__}: {error}")
    return Result(one, *where, result.error, result.bound, result.passed)


def verify_backends(
    backends: Iterable[Backend],
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    identities: Iterable[Identity] = IDENTITIES,
) -> Report:
    """Run the identities on backend objects; see :func:`verify`."""
    backends = tuple(backends)
    if not backends:
        raise ArgumentError("backends must be at least one; there is none")
    if seed < 0:
        raise ArgumentError(f"seed must be 0 or more; got {seed}")
    start = time.perf_counter()
    todo = list(cells(backends, quick=quick, seed=seed))
    identities = tuple(one for one in identities if one.quick or not quick)
    results: list[Result] = []
    for i, case in enumerate(todo):
        if progress is not None:
            progress(i, len(todo), f"{case.backend.name} {case.device} {case.dtype} {case.shape}")
        results += [measure(one, case) for one in identities if one.applies(case)]
    if progress is not None:
        progress(len(todo), len(todo), "done")
    return Report(tuple(results), {b.name: b.description for b in backends}, time.perf_counter() - start, seed, quick)


def verify(
    backends: Iterable[str] | None = None, quick: bool = False, seed: int = 0, progress: Progress | None = None
) -> Report:
    """Check every identity of the specification on backends.

    Parameters
    ----------
    backends
        Names of backends; all that are installed where not given.
    quick
        One small grid and no half precision: seconds instead of a minute.
    seed
        Seed of the data and of the random partitions.
    progress
        Called with (cells done, cells in all, where), for a progress bar.

    Raises
    ------
    BackendError
        A named backend is unknown or cannot be imported.
    ArgumentError
        `seed` is negative.
    """
    return verify_backends(installed(backends), quick=quick, seed=seed, progress=progress)
