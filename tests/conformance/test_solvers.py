"""What holds a solver or a process of one's own to its word: ours pass, on every library, and wrong ones are named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.registry import get_backend
from blurcore.samplers import SOLVERS, SamplerState
from blurcore.testing import check_process, check_solver
from blurcore.verify.sampler_spectrum import exact_calibration, natural_spectrum

PROCESS = bc.BlurringDiffusion()
SHAPE = (5, 8)
OWN: dict[str, dict[str, Any]] = {
    "CalibratedAncestral": {
        "x0_error": exact_calibration(PROCESS, bc.uniform_times(100), natural_spectrum(PROCESS, SHAPE))
    }
}
OF_NOISE = [name for name, cls in SOLVERS.items() if cls.needs_noise]  # the others start from data


@pytest.mark.parametrize("name", OF_NOISE)
def test_our_solvers_pass(name: str) -> None:
    check_solver(SOLVERS[name](process=PROCESS, **OWN.get(name, {})), shape=SHAPE)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_libraries_pass(library: str, request: pytest.FixtureRequest) -> None:
    if library != "numpy":
        request.getfixturevalue(library)
    backend = get_backend(library)
    check_solver(bc.DDIM(process=PROCESS, eta=0.5), backend=backend)
    check_process(PROCESS, shapes=[SHAPE], backend=backend)


@dataclass(frozen=True, kw_only=True)
class Forgets(bc.DDIM):
    """The noise that is left is half of what it should be."""

    def coefficients(self, t: Any, s: Any, **kwargs: Any) -> Any:
        c = super().coefficients(t, s, **kwargs)
        return c._replace(eps=0.5 * c.eps)


@dataclass(frozen=True, kw_only=True)
class Writes(bc.DDIM):
    """Saves memory that is not its own."""

    def step(self, state: Any, *args: Any) -> Any:
        result = super().step(state, *args)
        state.u[...] = result.u
        return result


@dataclass(frozen=True, kw_only=True)
class Remembers(bc.DDIM):
    """Draws its own noise."""

    def step(self, state: Any, *args: Any) -> Any:
        result = super().step(state, *args)
        return SamplerState(result.u + RNG.standard_normal(result.u.shape))


RNG = np.random.default_rng(0)


@dataclass(frozen=True, kw_only=True)
class Quiet(bc.Ancestral):
    """Says that it takes no noise, and does."""

    @property
    def uses_noise(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class TwoMinds(bc.DDIM):
    """A step of its own, which its coefficients know nothing of."""

    def step(self, state: Any, *args: Any) -> Any:
        return SamplerState(1.001 * super().step(state, *args).u)


@dataclass(frozen=True, kw_only=True)
class OnTheHost(bc.DDIM):
    """Gives NumPy arrays whatever it is given."""

    def step(self, state: Any, *args: Any) -> Any:
        return SamplerState(np.asarray(super().step(state, *args).u))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Forgets, "it must fall"),
        (Writes, "writes to its arguments"),
        (Remembers, "another result the second time"),
        (TwoMinds, "is not what its coefficients, applied, give"),
        (Quiet, "uses_noise is False, and noise changes it"),
    ],
)
def test_wrong_solvers_are_named(wrong: Any, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_solver(wrong(process=PROCESS), steps=(5, 20))


def test_solver_that_leaves_the_library_is_named(torch: Any) -> None:
    with pytest.raises(AssertionError, match=r"OnTheHost from t = .* on torch: an array of .*numpy, not of .*torch"):
        check_solver(OnTheHost(process=PROCESS), steps=(5, 20), backend=get_backend("torch"))


def test_process_that_leaves_the_library_is_named(torch: Any) -> None:
    class Host(bc.GaussianDiffusion):
        def marginal(self, t: Any, *, shape: Any, like: Any = None) -> Any:
            return super().marginal(np.asarray(t), shape=shape)

    with pytest.raises(AssertionError, match=r"alpha of Host .* on torch: an array of .*numpy"):
        check_process(Host(), shapes=[SHAPE], backend=get_backend("torch"))


@pytest.mark.parametrize("steps", [(), (5,), (20, 5), (0, 5)])
def test_steps_that_do_not_grow_are_refused(steps: Any) -> None:
    with pytest.raises(ArgumentError, match="steps must be two numbers of steps, the second larger"):
        check_solver(bc.DDIM(process=PROCESS), steps=steps)


def test_checks_and_the_plugin_need_numpy_alone() -> None:
    """An environment with `pip install blurcore pytest` has nothing else."""
    code = """
import sys
sys.modules |= dict.fromkeys(("scipy", "rich", "mpmath", "tyro", "matplotlib", "PIL", "safetensors"))
import blurcore as bc, blurcore.testing.plugin
from blurcore.testing import check_process, check_solver
backend = bc.get_backend("numpy")
check_process(bc.BlurringDiffusion(), shapes=[(3,)], backend=backend)
check_solver(bc.DDIM(process=bc.BlurringDiffusion(), axes=(-1,)), shape=(3,), backend=backend)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
