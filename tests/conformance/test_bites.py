"""The kit bites: every deliberately wrong backend is caught by the check that is named for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blurcore.errors import ArgumentError, BackendError
from blurcore.numpy_backend import NumpyBackend
from blurcore.operations import CoreOperations
from blurcore.processes import Difference, Marginal
from blurcore.testing.conformance import check_members, conformance, load


def wrong(operations: CoreOperations) -> NumpyBackend:
    """NumPy with one thing broken."""
    backend = NumpyBackend()
    backend.operations = operations
    return backend


class TransposedAxes(CoreOperations):
    def forward(self, basis: Any, x: Any, *, axes: Any) -> Any:
        u = super().forward(basis, x, axes=axes)
        return np.swapaxes(u, axes[0], axes[-1]).reshape(u.shape)


class TransposedCoefficients(CoreOperations):
    def marginal(self, process: Any, t: Any, *, shape: Any, like: Any) -> Any:
        m = super().marginal(process, t, shape=shape[::-1], like=like)
        return (
            Marginal(m.alpha.reshape(m.alpha.shape[: m.alpha.ndim - len(shape)] + shape), m.sigma)
            if m.alpha.size > 9
            else m
        )


class FrequencyOffByOne(CoreOperations):
    def eigenvalues(self, basis: Any, shape: Any, *, like: Any) -> Any:
        lam = super().eigenvalues(basis, shape, like=like)
        return lam * (max(shape) / (max(shape) - 1)) ** 2  # frequencies divided by N - 1


class FrequencyShifted(CoreOperations):
    def forward(self, basis: Any, x: Any, *, axes: Any) -> Any:
        return np.roll(super().forward(basis, x, axes=axes), 1, axis=axes[-1])


class UnnormalisedDC(CoreOperations):
    def forward(self, basis: Any, x: Any, *, axes: Any) -> Any:
        u = super().forward(basis, x, axes=axes).copy()
        where = [slice(None)] * u.ndim
        where[axes[-1]] = slice(0, 1)
        u[tuple(where)] *= 2**0.5
        return u


class SigmaInsteadOfItsSquare(CoreOperations):
    def transition(self, process: Any, t: Any, s: Any, *, shape: Any, like: Any) -> Any:
        q = super().transition(process, t, s, shape=shape, like=like)
        return q._replace(variance=q.variance**0.5)


class SubtractsFloat32Logarithms(CoreOperations):
    def difference(self, process: Any, t: Any, s: Any, *, shape: Any, like: Any) -> Any:
        wide = super().difference(process, t, s, shape=shape, like=like)
        if like.dtype != np.float32:
            return wide
        l_t, l_s = (super(SubtractsFloat32Logarithms, self).log_snr(process, r, shape=shape, like=like) for r in (t, s))
        return Difference(wide.alpha, np.where(np.isfinite(l_s), l_t - l_s, wide.log_snr))

    def posterior(self, process: Any, t: Any, s: Any, *, shape: Any, like: Any) -> Any:
        q = super().posterior(process, t, s, shape=shape, like=like)
        if like.dtype != np.float32:
            return q
        d = self.difference(process, t, s, shape=shape, like=like).log_snr
        m = super().marginal(process, s, shape=shape, like=like)
        return q._replace(x_coef=-m.alpha * np.expm1(d), variance=-(m.sigma**2) * np.expm1(d))


class PosteriorWithoutTheRatio(CoreOperations):
    def posterior(self, process: Any, t: Any, s: Any, *, shape: Any, like: Any) -> Any:
        q = super().posterior(process, t, s, shape=shape, like=like)
        return q._replace(z_coef=q.z_coef / super().difference(process, t, s, shape=shape, like=like).alpha)


class VariancePreservingShortcut(CoreOperations):
    def convert(self, value: Any, source: Any, target: Any, *, z: Any, marginal: Any) -> Any:
        if (source, target) == ("v", "x0"):
            return marginal.alpha * z - marginal.sigma * value
        return super().convert(value, source, target, z=z, marginal=marginal)


class DerivativeForItsLogarithm(CoreOperations):
    def sde(self, process: Any, t: Any, *, shape: Any, like: Any) -> Any:
        c = super().sde(process, t, shape=shape, like=like)
        return c._replace(drift=c.drift * super().marginal(process, t, shape=shape, like=like).alpha)


class OneTimeForTheWholeBatch(CoreOperations):
    def diffuse(self, process: Any, x: Any, t: Any, eps: Any, *, axes: Any) -> Any:
        time = t if isinstance(t, float) else float(np.ravel(t)[0])
        return super().diffuse(process, x, time, eps, axes=axes)


class NoiseAtHalfItsStrength(CoreOperations):
    def diffuse(self, process: Any, x: Any, t: Any, eps: Any, *, axes: Any) -> Any:
        return super().diffuse(process, x, t, eps / 2, axes=axes)


class NoiseWithoutItsSignal(CoreOperations):
    def convert(self, value: Any, source: Any, target: Any, *, z: Any, marginal: Any) -> Any:
        if source == "x0" and target in ("eps", "v"):
            z = z + marginal.alpha * value
        return super().convert(value, source, target, z=z, marginal=marginal)


class DifferenceOfAmplitudes(CoreOperations):
    def difference(self, process: Any, t: Any, s: Any, *, shape: Any, like: Any) -> Any:
        d = super().difference(process, t, s, shape=shape, like=like)
        return Difference(d.alpha, d.log_snr / 2)


class WritesIntoItsArgument(CoreOperations):
    def forward(self, basis: Any, x: Any, *, axes: Any) -> Any:
        u = super().forward(basis, x, axes=axes)
        x *= 2
        return u


class AlwaysFloat64(CoreOperations):
    def marginal(self, process: Any, t: Any, *, shape: Any, like: Any) -> Any:
        return Marginal(*(c.astype(np.float64) for c in super().marginal(process, t, shape=shape, like=like)))


class ReturnsLists(CoreOperations):
    def inverse(self, basis: Any, u: Any, *, axes: Any) -> Any:
        return super().inverse(basis, u, axes=axes).tolist()


STEPS = ("DDIM(1) is ancestral", "DPM-Solver++(1) is DDIM(0)")
CAUGHT = [
    (TransposedAxes, "dense basis"),
    (TransposedCoefficients, "marginal"),
    (FrequencyOffByOne, "eigenvalues"),
    (FrequencyShifted, "dense basis"),
    (UnnormalisedDC, "Parseval"),
    (SigmaInsteadOfItsSquare, "transition"),
    (SubtractsFloat32Logarithms, "float32 coefficients to 1e-6"),
    (SubtractsFloat32Logarithms, "posterior by precisions"),
    (PosteriorWithoutTheRatio, "posterior by precisions"),
    (VariancePreservingShortcut, "parametrisations"),
    (DerivativeForItsLogarithm, "SDE and finite transitions"),
    (OneTimeForTheWholeBatch, "noisy data"),
    *((NoiseAtHalfItsStrength, name) for name in ("noisy data", "training targets")),
    *(
        (NoiseWithoutItsSignal, name)
        for name in ("parametrisations", "training targets", *STEPS, "cold's improved rule is DDIM(0)")
    ),
    *((DifferenceOfAmplitudes, name) for name in STEPS),
    (WritesIntoItsArgument, "protocol: arguments stay what they were"),
    (AlwaysFloat64, "protocol: results are where the data is"),
    (ReturnsLists, "protocol: results are where the data is"),
]


@pytest.mark.parametrize(("operations", "name"), CAUGHT, ids=lambda value: getattr(value, "__name__", value))
def test_kit_catches_a_wrong_backend_by_the_check_named_for_it(operations, name):
    report = conformance(wrong(operations()), quick=True)
    assert not report.passed
    assert name in {failure.identity.name for failure in report.failures}


def test_kit_catches_values_that_do_not_come_back():
    class Loses(NumpyBackend):
        def to_numpy(self, array):
            return np.asarray(array, dtype=np.float64).ravel()

    report = conformance(Loses(), quick=True)
    assert "protocol: arrays come and go" in {failure.identity.name for failure in report.failures}


def test_kit_reports_what_a_backend_raises_as_its_failure():
    class Raises(CoreOperations):
        def sde(self, process, t, *, shape, like):
            raise RuntimeError("no such kernel")

    report = conformance(wrong(Raises()), quick=True)
    details = {failure.detail for failure in report.failures}
    assert "RuntimeError: no such kernel" in details


def test_kit_counts_nan_as_a_failure():
    class Undefined(CoreOperations):
        def marginal(self, process, t, *, shape, like):
            m = super().marginal(process, t, shape=shape, like=like)
            return Marginal(m.alpha * np.nan, m.sigma)

    report = conformance(wrong(Undefined()), quick=True)
    assert "marginal" in {failure.identity.name for failure in report.failures}


@pytest.mark.parametrize("name", ["no_such_module:BACKEND", "blurcore.numpy_backend:NOTHING", "no such backend", ":X"])
def test_kit_refuses_a_backend_that_cannot_be_loaded(name):
    with pytest.raises(BackendError):
        load(name)


def test_kit_names_the_members_that_an_object_lacks():
    with pytest.raises(BackendError, match="lacks description, operations"):
        check_members(type("Half", (), {"name": "half"})())


@pytest.mark.parametrize("dtypes", [(), ("float16",), ("float32", "float8")])
def test_kit_refuses_dtypes_that_it_does_not_know_or_none_to_compute_in(dtypes):
    backend = NumpyBackend()
    backend.dtypes = lambda device: dtypes
    with pytest.raises(BackendError, match="dtypes"):
        check_members(backend)


def test_kit_refuses_a_backend_without_devices():
    backend = NumpyBackend()
    backend.devices = tuple
    with pytest.raises(BackendError, match="device"):
        check_members(backend)


def test_kit_refuses_a_negative_seed():
    with pytest.raises(ArgumentError, match="seed"):
        conformance("numpy", seed=-1)
