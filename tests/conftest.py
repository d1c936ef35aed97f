"""The array libraries and the processes that the tests run over, and how hard hypothesis tries.

Which libraries: ``BLURCORE_TEST_LIBRARIES=numpy,torch`` (a name that cannot be imported is then an error); without the
variable all four, and torch or jax are skipped where they are not installed. How hard: ``BLURCORE_HYPOTHESIS``
is ``ci`` (the default: the same examples in every run), ``nightly`` (a thousand new ones) or ``few`` (five).

``BLURCORE_TEST_DEVICE=device1`` puts the arrays of array-api-strict on that one of its simulated devices.
``BLURCORE_TEST_JIT=1`` calls the core under ``jax.jit`` wherever a test gives it arrays of JAX.
"""

from __future__ import annotations

import functools
import importlib
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import array_api_compat as compat
import hypothesis
import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import BackendError
from blurcore.registry import choose_backend
from blurcore.testing.assertions import as_numpy

LIBRARIES = ("numpy", "array_api_strict", "torch", "jax")
OPTIONAL = ("torch", "jax")

patient: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}  # a busy machine is no fault
hypothesis.settings.register_profile("ci", **patient, max_examples=30, derandomize=True, database=None)
hypothesis.settings.register_profile("nightly", **patient, max_examples=1000)
hypothesis.settings.register_profile("few", **patient, max_examples=5, derandomize=True, database=None)
hypothesis.settings.load_profile(os.environ.get("BLURCORE_HYPOTHESIS", "ci"))


@dataclass(frozen=True)
class Library:
    """An array library under test."""

    name: str
    xp: Any
    dtypes: tuple[str, ...]
    settings: Callable[[], AbstractContextManager[Any]] = nullcontext
    device: Any = None

    def asarray(self, values: Any, dtype: str = "float32") -> Any:
        """Return a copy of NumPy values, in that dtype."""
        return self.xp.asarray(np.array(values, dtype=np.float64), dtype=getattr(self.xp, dtype), device=self.device)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """Return NumPy float64."""
        return as_numpy(array)


def _strictest() -> AbstractContextManager[Any]:
    """Return array_api_strict with all that the standard makes optional switched off."""
    strict = importlib.import_module("array_api_strict")
    newest = strict.get_array_api_strict_flags()["api_version"]  # the default: the newest that is no draft
    return strict.ArrayAPIStrictFlags(
        api_version=newest, boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )


def _double_and_strict() -> AbstractContextManager[Any]:
    """Return JAX with float64, and with every implicit promotion of ranks and dtypes an error."""
    jax = importlib.import_module("jax")
    stack = ExitStack()
    stack.enter_context(jax.enable_x64(True))
    stack.enter_context(jax.numpy_rank_promotion("raise"))
    stack.enter_context(jax.numpy_dtype_promotion("strict"))
    return stack


def _make(name: str) -> Library:
    if name == "numpy":
        return Library(name, compat.array_namespace(np.empty(0)), ("float64", "float32", "float16"))
    module = importlib.import_module(name)
    if name == "array_api_strict":
        device = os.environ.get("BLURCORE_TEST_DEVICE")
        return Library(
            name,
            compat.array_namespace(module.empty(0)),
            ("float64", "float32"),
            _strictest,
            type(module.empty(0).device)(device) if device else None,
        )
    halves = ("float64", "float32", "bfloat16", "float16")
    if name == "torch":
        return Library(name, compat.array_namespace(module.empty(0)), halves)
    return Library(name, compat.array_namespace(module.numpy.empty(0)), halves, _double_and_strict)


def _traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the core that runs under jax.jit: arrays of JAX among its arguments are traced, others are constants."""
    jax = importlib.import_module("jax")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
        if not arrays or any(isinstance(array, jax.core.Tracer) for array in arrays):
            return function(*args, **kwargs)

        def again(traced: list[Any]) -> Any:
            rest = iter(traced)
            all_args, all_kwargs = jax.tree.unflatten(
                tree, [next(rest) if isinstance(leaf, jax.Array) else leaf for leaf in leaves]
            )
            return function(*all_args, **all_kwargs)

        return jax.jit(again)(arrays)

    return call


def _trace_the_core() -> None:
    """Put what tests call of the core under jax.jit: functions of arrays, and methods of processes and bases."""
    for name in ("convert", "diffuse", "log_snr", "posterior", "predict", "sde", "transition"):
        setattr(bc, name, _traced(getattr(bc, name)))
    for kind in (*bc.PROCESSES.values(), bc.DCT, bc.DST, bc.RealFourier, bc.Identity):
        for name in ("marginal", "difference", "forward", "inverse", "eigenvalues"):
            if hasattr(kind, name):
                setattr(kind, name, _traced(getattr(kind, name)))


def _requested() -> tuple[str, ...] | None:
    value = os.environ.get("BLURCORE_TEST_LIBRARIES")
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores among pytest's workers, which inherit this; refuse to start without a library that was asked for."""
    workers = getattr(config.option, "numprocesses", None)
    if workers:  # threads of one worker would spin where those of another could compute
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    if (
        "JAX_COMPILATION_CACHE_DIR" not in os.environ
    ):  # workers and the commands that tests start compile a program once
        cache = tempfile.TemporaryDirectory(prefix="blurcore-jax-")
        config.add_cleanup(cache.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    if (
        os.environ.get("BLURCORE_HYPOTHESIS") != "nightly"
    ):  # most of JAX's time here goes into optimising what runs once
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    if os.environ.get("BLURCORE_TEST_JIT"):
        _trace_the_core()
    if os.environ.get("BLURCORE_GUARD") == "types":
        config.pluginmanager.register(importlib.import_module("checked_types"))
    for name in _requested() or ():
        if name not in LIBRARIES:
            raise pytest.UsageError(f"BLURCORE_TEST_LIBRARIES names {name!r}; there are: {', '.join(LIBRARIES)}")
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise pytest.UsageError(
                f"BLURCORE_TEST_LIBRARIES names {name!r}, which cannot be imported: {error}"
            ) from None


def _module(name: str) -> ModuleType:
    """Return a library, or skip the test: it was not asked for, or, if nothing was, it is not installed."""
    requested = _requested()
    if requested is not None and name not in requested:
        pytest.skip(f"BLURCORE_TEST_LIBRARIES does not name {name}")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if name in OPTIONAL:
            pytest.skip(f"{name} cannot be imported: {error}")
        raise


@pytest.fixture(scope="session", params=_requested() or LIBRARIES)
def xp(request: pytest.FixtureRequest) -> Library:
    """An array library; its strictest settings hold while a test runs that asks for it, and not beside it."""
    _module(request.param)
    return _make(request.param)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch."""
    return _module("torch")


@pytest.fixture(scope="session")
def jax() -> ModuleType:
    """JAX, as it is: float32, and promotions allowed."""
    return _module("jax")


@pytest.fixture
def run_code() -> Callable[[Path], dict[str, Any]]:
    """Run the first block of Python of a page, and return its names."""

    def run(page: Path) -> dict[str, Any]:
        names: dict[str, Any] = {}
        code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
        exec(compile(code, page.name, "exec"), names)
        return names

    return run


@pytest.fixture
def default_backend() -> str:
    """The backend that trains where none is named; skips the test where none is installed."""
    try:
        return choose_backend()
    except BackendError as error:
        pytest.skip(str(error))


_MOST_MEMORY = 2**31
"""Bytes that a process may take before JAX's compiled programs are let go of; over a whole run they come to gigabytes."""


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs() -> Iterator[None]:
    """Let go of JAX's compiled programs after a file that leaves the process large."""
    yield
    if "jax" in sys.modules and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _MOST_MEMORY:
        sys.modules["jax"].clear_caches()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Put a library's settings round the call. A session fixture that set them would set them for tests in between."""
    library = getattr(item, "funcargs", {}).get("xp")
    with library.settings() if isinstance(library, Library) else nullcontext():
        return (yield)


CASES: dict[str, bc.Process] = {
    **{name: cls() for name, cls in bc.PROCESSES.items()},
    "GaussianDiffusion-LinearBeta": bc.GaussianDiffusion(noise=bc.LinearBeta()),
    "BlurringDiffusion-LinearBeta-Sin-DST": bc.BlurringDiffusion(
        noise=bc.LinearBeta(), blur=bc.Sin(sigma_blur_max=3.0), min_scale=0.01, basis=bc.DST()
    ),
    "BlurringDiffusion-no-floor-periodic": bc.BlurringDiffusion(
        blur=bc.Sin(sigma_blur_max=2.0), min_scale=0.0, basis=bc.RealFourier()
    ),
    "HeatDissipation-SinSquared": bc.HeatDissipation(sigma=0.1, blur=bc.SinSquared(sigma_blur_max=4.0)),
}


@pytest.fixture(scope="session", params=CASES)
def process(request: pytest.FixtureRequest) -> bc.Process:
    """A process: each of PROCESSES as it is by default, and others."""
    return CASES[request.param]


@pytest.fixture(scope="session", params=[name for name in CASES if "Cold" not in name])
def noisy_process(request: pytest.FixtureRequest) -> bc.Process:
    """A process with noise, which has a posterior."""
    return CASES[request.param]


@pytest.fixture(scope="session", autouse=True)
def signals_of_a_terminal() -> Iterator[None]:
    """Answer SIGINT and SIGHUP as in a terminal, in the programs that tests start too: under nohup, or behind &, they are ignored."""
    numbers = {signal.SIGINT: signal.default_int_handler, getattr(signal, "SIGHUP", None): signal.SIG_DFL}
    before = {number: signal.signal(number, how) for number, how in numbers.items() if number is not None}
    yield
    for number, how in before.items():
        signal.signal(number, how)
