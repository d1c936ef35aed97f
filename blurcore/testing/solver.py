r"""Check a solver against SPEC 7 and 9 on Gaussian data, whose best denoiser is known.

A step is linear in state, prediction and noise, so that the variance of each frequency of the output follows from the solver's
own steps (:mod:`blurcore.verify.sampler_spectrum`): no random number is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blurcore._checks import require
from blurcore.diffusion import marginal_for
from blurcore.oracle import exact_prediction, gaussian_denoiser
from blurcore.protocols import Backend
from blurcore.samplers import Solver, uniform_times
from blurcore.testing.assertions import assert_close, tolerance
from blurcore.verify.sampler_spectrum import natural_spectrum, output_variance, spectral_error

_FALLS = 0.75
"""What is left of the error where the steps are four times as many: a quarter of it or less for any consistent solver."""
_EXACT = 1e-6
_ROUNDINGS = (
    1000  # coefficients are differences of logarithms, which float32 has to some 4 digits where steps are short
)


def check_solver(
    solver: Solver, *, shape: tuple[int, ...] = (5, 8), steps: Sequence[int] = (25, 100), backend: Backend | None = None
) -> None:
    r"""Hold a solver to what every one of this package does, on Gaussian data with the spectrum of natural images.

    - a step writes to nothing that it is handed, gives the same result twice, and is its coefficients, applied;
    - noise is added if and only if `uses_noise` says so;
    - the variance of each frequency of the output, in closed form, comes closer to that of the data with more steps;
    - arrays of a backend's library give arrays of that library, with NumPy's numbers.

    Parameters
    ----------
    solver
        A solver of a process that ends in noise, whose axes are the last ones.
    shape
        The grid.
    steps
        Two numbers of steps, the second larger.
    backend
        Whose arrays to try as well.

    Raises
    ------
    AssertionError
        One of these does not hold; the message says which, and by how much.
    ArgumentError
        `steps` are not two numbers that grow.
    """
    require(len(steps) == 2 and 1 <= steps[0] < steps[1], "steps", steps, "two numbers of steps, the second larger")
    first = solver.stages(uniform_times(steps[0]))[0]
    for t, s in (first, (0.6, 0.4)):
        _check_step(solver, t, s, shape, backend)
    spectrum = natural_spectrum(solver.process, shape)
    few, many = (
        spectral_error(output_variance(solver, uniform_times(count), spectrum), spectrum, solver.process)
        for count in steps
    )
    assert many <= max(_FALLS * few, _EXACT), (
        f"{_name(solver)}: the worst frequency's variance is off by {few:.3g} with {steps[0]} steps and by {many:.3g} with"
        f" {steps[1]}; it must fall"
    )


def _check_step(solver: Solver, t: float, s: float, shape: tuple[int, ...], backend: Backend | None) -> None:
    rng = np.random.default_rng(0)
    u, noise = (rng.standard_normal((2, *shape)) for _ in range(2))
    u = u * np.broadcast_to(np.asarray(solver.process.marginal(t, shape=shape).sigma), shape)

    def predict(u: Any) -> Any:
        marginal = marginal_for(solver.process, t, u, axes=tuple(range(-len(shape), 0)))
        return exact_prediction(gaussian_denoiser(u, mean=0.0, variance=1.0, marginal=marginal), u, marginal)

    def step(u: Any, noise: Any) -> Any:
        return solver.step(solver.start(u), predict(u), t, s, noise).u

    before = u.copy(), noise.copy()
    result = step(u, noise)
    at = f"{_name(solver)} from t = {t:.6g} to {s:.6g}"
    assert all(map(np.array_equal, (u, noise), before)), f"{at} writes to its arguments"
    assert np.array_equal(step(u, noise), result), f"{at} gives another result the second time"
    applied = solver.apply(solver.coefficients(t, s, shape=shape), solver.start(u), predict(u), noise).u
    bound = tolerance("float64", roundings=_ROUNDINGS)
    same = np.allclose(result, np.asarray(applied), rtol=bound, atol=bound)
    assert same, f"{at} is not what its coefficients, applied, give"
    moved = not np.array_equal(step(u, None), result)
    assert moved == solver.uses_noise, (
        f"{at}: uses_noise is {solver.uses_noise}, and noise {'changes' if moved else 'does not change'} it"
    )
    if backend is not None:
        device = backend.devices()[0]
        dtype = backend.dtypes(device)[0]
        arrays = [backend.asarray(value, dtype=dtype, device=device) for value in (u, noise)]
        bound = tolerance(dtype, roundings=_ROUNDINGS)
        assert_close(
            step(*arrays),
            result,
            rtol=bound,
            atol=bound * np.abs(result).max(),
            like=arrays[0],
            what=f"{at} on {backend.name}",
        )


def _name(solver: Solver) -> str:
    return type(solver).__name__
