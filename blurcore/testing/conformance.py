"""The conformance kit: what any backend must do, as named checks; the identities of `blurcore verify` and a protocol.

The identities (:mod:`blurcore.verify.identities`) hold the numbers. The protocol below holds everything round them:
results stay in the library, on the device and in the dtype of the data, arguments stay what they were, and float32
coefficients keep their digits at a million steps.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat as compat
import numpy as np

from blurcore._typing import StrPath
from blurcore.errors import ArgumentError, BackendError, ConfigError
from blurcore.protocols import Backend
from blurcore.registry import get_backend
from blurcore.verify import precision
from blurcore.verify.cases import HALF, PROCESSES, Case
from blurcore.verify.identities import IDENTITIES
from blurcore.verify.identity import Comparison, Identity, absolute, identity
from blurcore.verify.report import Report
from blurcore.verify.rounding import EPSILON
from blurcore.verify.runner import Progress, enable_float64_in_jax, verify_backends

CONTRACT = 1
"""Version of what the kit asks. It grows with every check that is added or made stricter: what passed may then fail."""
MEMBERS = ("name", "description", "operations", "devices", "dtypes", "asarray", "to_numpy")
"""What an object must have to be a backend."""


def _each(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


def _holds() -> Comparison:
    """Return the comparison of a check that raises where it fails."""
    return absolute(0.0, 0.0, 0.0)


def _dtype(array: Any) -> str:
    return str(array.dtype).rpartition(".")[2]


def _require_kin(array: Any, like: Any, dtype: str, what: str) -> None:
    """Refuse an array of another library, device or dtype."""
    spaces = compat.array_namespace(array), compat.array_namespace(like)
    if spaces[0] is not spaces[1]:
        raise AssertionError(f"{what} is an array of {spaces[0].__name__}, not of {spaces[1].__name__}")
    if _dtype(array) != dtype:
        raise AssertionError(f"{what} has dtype {_dtype(array)}, not {dtype}")
    if compat.device(array) != compat.device(like):
        raise AssertionError(f"{what} is on {compat.device(array)}, not on {compat.device(like)}")


def _data(case: Case) -> tuple[Any, Any, tuple[int, ...]]:
    shape, axes = case.layouts()[0]
    rng = case.rng("protocol")
    x, eps = (case.array(rng.standard_normal(shape)) for _ in range(2))
    return x, eps, axes


@identity(
    "protocol: arrays come and go",
    "to_numpy(asarray(x)) = x, of the shape and dtype asked for",
    "protocols.Backend",
    half=True,
    wants=_each("blurring"),
)
def arrays(case: Case) -> Iterator[Comparison]:
    """Values that the dtype holds survive the way there and back, whatever their shape; -0.5 .. 7 need 4 bits.

    Bound: 0, nothing is computed.
    """
    for shape in ((), (1,), (3, 2), (2, 1, 3)):
        values = (np.arange(int(np.prod(shape))) - 0.5).reshape(shape)
        array = case.array(values)
        if tuple(array.shape) != shape or _dtype(array) != case.dtype:
            raise AssertionError(f"asarray gave {tuple(array.shape)} {_dtype(array)} for {shape} {case.dtype}")
        yield absolute(case.numpy(array), values, 0.0)


@identity(
    "protocol: results are where the data is",
    "library, device, dtype of results follow the data (half precision: float32 coefficients)",
    "SPEC 10; protocols.Backend",
    half=True,
    wants=_each("blurring", "gaussian"),
)
def kinship(case: Case) -> Iterator[Comparison]:
    """Every operation's result is an array of the same library, on the same device, of the right dtype.

    Bound: 0; the check raises where it fails.
    """
    ops, process, basis = case.ops, case.process, case.process.basis
    x, eps, axes = _data(case)
    wide = "float64" if case.dtype == "float64" else "float32"
    for name, result in {
        "forward(x)": ops.forward(basis, x, axes=axes),
        "inverse(x)": ops.inverse(basis, x, axes=axes),
        "diffuse(x)": ops.diffuse(process, x, 0.5, eps, axes=axes),
    }.items():
        _require_kin(result, x, case.dtype, name)
        if tuple(result.shape) != tuple(x.shape):
            raise AssertionError(f"{name} has shape {tuple(result.shape)}, not {tuple(x.shape)}")
    results: dict[str, Any] = {"eigenvalues": (ops.eigenvalues(basis, case.shape, like=x),)}
    for t, s in ((0.5, 0.25), (case.array(np.asarray(0.5)), case.array(np.asarray(0.25)))):
        kind = "numbers" if isinstance(t, float) else "arrays"
        results |= {
            f"marginal at {kind}": ops.marginal(process, t, shape=case.shape, like=x),
            f"log_snr at {kind}": (ops.log_snr(process, t, shape=case.shape, like=x),),
            f"difference at {kind}": ops.difference(process, t, s, shape=case.shape, like=x),
            f"transition at {kind}": ops.transition(process, t, s, shape=case.shape, like=x),
            f"posterior at {kind}": ops.posterior(process, t, s, shape=case.shape, like=x),
            f"sde at {kind}": ops.sde(process, t, shape=case.shape, like=x),
        }
    for name, values in results.items():
        for value in values:
            _require_kin(value, x, wide, name)
    yield _holds()


@identity(
    "protocol: arguments stay what they were",
    "x, eps, t are not written to",
    "protocols.Backend",
    half=True,
    wants=_each("blurring", "heat"),
)
def unchanged(case: Case) -> Iterator[Comparison]:
    """No operation writes into what it is handed.

    Bound: 0.
    """
    x, eps, axes = _data(case)
    t = case.array(np.asarray([0.5, 0.25]))
    before = [case.numpy(array).copy() for array in (x, eps, t)]
    case.ops.forward(case.process.basis, x, axes=axes)
    case.ops.inverse(case.process.basis, x, axes=axes)
    case.ops.diffuse(case.process, x, t, eps, axes=axes)
    case.ops.marginal(case.process, t, shape=case.shape, like=x)
    for array, values in zip((x, eps, t), before, strict=True):
        yield absolute(case.numpy(array), values, 0.0)


@identity(
    "protocol: numbers and arrays agree",
    "the same time as a number, as an array and in a batch gives the same coefficients",
    "SPEC 10",
)
def times(case: Case) -> Iterator[Comparison]:
    """A time may be a Python number, an array of no axes, or one value for each item of a batch.

    Times here are multiples of 1 / 8, which every dtype holds. Bound: where there is no float64, arrays are worked with in
    float32, whose differences of logarithms keep their digits by SPEC 4's difference form: the conditions of the step.
    """
    from blurcore.verify.identities.pixel_kernel import step_condition
    from blurcore.verify.identity import relative
    from blurcore.verify.rounding import alpha_condition

    late, early = np.array([0.5, 0.875]), np.array([0.25, 0.125])
    for name, at in (("marginal", (late,)), ("transition", (late, early))):
        batch = case.at_times(name, *at)
        for i in range(2):
            numbers = [float(t[i]) for t in at]
            single = case.at_times(name, *(np.asarray([t]) for t in numbers))
            expected = case.marginal(numbers[0]) if name == "marginal" else case.transition(numbers[0], numbers[-1])
            condition = alpha_condition(case.process, numbers[0], case.shape)
            if name == "transition":
                condition = condition + step_condition(case, numbers[0], numbers[-1])
            for column, one, value in zip(batch, single, expected, strict=True):
                yield relative(column[i], value, 2 * condition * case.eps)
                yield relative(one[0], value, 2 * condition * case.eps)


def _expected(process: Any, operation: str, at: tuple[float, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return coefficients from 50 digits, or where mpmath is not installed from the core's difference form in float64."""
    try:
        return precision.exact(process, operation, at, shape)
    except BackendError:
        backend = get_backend("numpy")
        like = np.zeros(1)
        result = getattr(backend.operations, operation)(process, *at, shape=shape, like=like)
        return tuple(np.broadcast_to(value, shape) for value in result)


@identity(
    "float32 coefficients to 1e-6",
    "every coefficient within 1e-6 of 50 digits, T = 10 .. 10^6 steps, times as numbers",
    "SPEC 4",
)
def digits(case: Case) -> Iterator[Comparison]:
    """The specification's target, relative, at the first, the middle and the last of T steps.

    A subtraction of float32 logarithms leaves an error of 6e-8 / |D|, which at T = 10^4 is 1e-3.
    Bound: 1e-6 for float32 (16 roundings); the same number of roundings of float64 for float64, and the conditions of the step,
    which float32's coefficients, being computed in float64, are spared.
    """
    from blurcore.verify.identities.pixel_kernel import step_condition
    from blurcore.verify.rounding import alpha_condition

    for count in precision.STEP_COUNTS:
        for t, s in precision.steps_of(count):
            noisy = float(np.max(case.marginal(t)[1])) > 0
            own = step_condition(case, t, s) + alpha_condition(case.process, s, case.shape)
            bound = np.maximum(precision.TARGET, own * EPSILON["float64"])
            if case.dtype == "float64":
                bound = 2 * own * EPSILON["float64"]
            for operation, at in (("marginal", (t,)), ("transition", (t, s)), ("posterior", (t, s))):
                if operation == "posterior" and not noisy:
                    continue
                actual = getattr(case, operation)(*at)
                for value, expected in zip(actual, _expected(case.process, operation, at, case.shape), strict=True):
                    normal = np.abs(expected) >= precision.SMALLEST
                    if normal.any():
                        yield absolute(value[normal] / expected[normal], np.ones(int(normal.sum())), bound[normal])
                    yield absolute(np.where(normal, 0.0, value), np.zeros(case.shape), precision.SMALLEST)


PROTOCOL: tuple[Identity, ...] = (arrays, kinship, unchanged, times, digits)
"""What a backend must do beside being right."""


def load(name: str) -> Backend:
    """Return a backend by its registered name, or by ``module:OBJECT``.

    Raises
    ------
    BackendError
        There is no such backend, it cannot be imported, or it lacks a member of the protocol; the message says which.
    """
    enable_float64_in_jax()
    if ":" not in name:
        return check_members(get_backend(name))
    module, _, attribute = name.partition(":")
    try:
        backend = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BackendError(f"backend {name!r} cannot be imported ({error}); it must be module:OBJECT") from error
    return check_members(backend)


def check_members(backend: Any) -> Backend:
    """Refuse an object that lacks a member of :class:`blurcore.protocols.Backend`, has no device or an unknown dtype."""
    missing = [name for name in MEMBERS if not hasattr(backend, name)]
    if missing:
        raise BackendError(
            f"backend {backend!r} lacks {', '.join(missing)} (blurcore.protocols.Backend says what they are)"
        )
    devices = tuple(backend.devices())
    if not devices:
        raise BackendError(f"backend {backend.name!r} must have at least one device; devices() is empty")
    for device in devices:
        dtypes = tuple(backend.dtypes(device))
        unknown = [dtype for dtype in dtypes if dtype not in EPSILON]
        if unknown or not set(dtypes) - set(HALF):
            raise BackendError(
                f"backend {backend.name!r} must have float32 or float64 on {device!r}, and beside them only {', '.join(EPSILON)};"
                f" dtypes() gave {dtypes!r}"
            )
    checked: Backend = backend
    return checked


def conformance(
    backend: Backend | str, *, quick: bool = False, seed: int = 0, progress: Progress | None = None
) -> Report:
    """Hold one backend to everything: the identities and the protocol.

    Parameters
    ----------
    backend
        The backend, its registered name, or ``module:OBJECT``.
    quick
        One small grid and no half precision.
    seed
        Seed of the data.
    progress
        Called with (cells done, cells in all, where).

    Returns
    -------
    Report
        `passed`, and in `failures` the named checks that did not hold.

    Raises
    ------
    BackendError
        There is no such backend, or it lacks a member of the protocol.
    ArgumentError
        `seed` is negative.
    """
    if seed < 0:
        raise ArgumentError(f"seed must be 0 or more; got {seed}")
    chosen = load(backend) if isinstance(backend, str) else check_members(backend)
    return verify_backends((chosen,), quick=quick, seed=seed, progress=progress, identities=(*PROTOCOL, *IDENTITIES))


class Verdict(NamedTuple):
    """The names of checks that failed, of those that failed as expected, and of those expected to fail that did not."""

    failed: tuple[str, ...]
    expected: tuple[str, ...]
    mended: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not (self.failed or self.mended)


def read_expected(path: StrPath) -> dict[str, str]:
    """Return the reasons of the failures that a file expects, by the name of the check: TOML, ``"name" = "reason"``.

    Raises
    ------
    ConfigError
        The file cannot be read, names a check that the kit does not have, or gives no reason.
    """
    try:
        expected = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"expected failures cannot be read from {path}: {error}") from None
    known = {check.name for check in (*PROTOCOL, *IDENTITIES)}
    for name, reason in expected.items():
        if name not in known:
            raise ConfigError(f"{path} expects {name!r} to fail, which is no check of the kit (--json names all)")
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError(f"{path} must say why {name!r} is expected to fail; got {reason!r}")
    return expected


def judge(report: Report, expected: Mapping[str, str]) -> Verdict:
    """Compare a report with the failures that are expected; one whose check has not been run is neither here nor there."""
    run = list(dict.fromkeys(result.identity.name for result in report.results))
    failures = {result.identity.name for result in report.failures}
    return Verdict(
        failed=tuple(name for name in run if name in failures and name not in expected),
        expected=tuple(name for name in run if name in failures and name in expected),
        mended=tuple(name for name in run if name in expected and name not in failures),
    )


__all__ = [
    "CONTRACT",
    "MEMBERS",
    "PROCESSES",
    "PROTOCOL",
    "Verdict",
    "check_members",
    "conformance",
    "judge",
    "load",
    "read_expected",
]
