"""Every public callable that takes arrays or times, and every kind of harm: a defined result, or an error that names the argument.

A harm is done to one argument at a time. What is asked of a result is what NumPy says in float64 on the same numbers (which
other files hold to the reference), as closely as the formula's condition lets float32 say it; half precision is held to the
reference itself below. No call may change its arguments, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from blurcore_reference import oracle

import blurcore as bc
from blurcore import likelihood
from blurcore.errors import ArgumentError, DegenerateError, NamespaceError
from blurcore.objectives import HeatReversal, Restoration
from blurcore.oracle import dataset_denoiser, gaussian_denoiser
from blurcore.testing.assertions import EPSILON, as_numpy, assert_close, dtype_name

SHAPE, GRID = (2, 1, 3, 4), (3, 4)
PROCESS = bc.BlurringDiffusion()
BETAS = bc.GaussianDiffusion(noise=bc.LinearBeta())
RNG = np.random.default_rng(7)
TIMES = {"t": np.array([0.75, 0.5]), "s": np.array([0.5, 0.25])}
HOST = ("numpy", "array_api_strict")  # where values are looked at


@dataclass(frozen=True)
class Call:
    """A callable by keywords: which of them are arrays of data, which are times, and what it does with them.

    `keeps`: the result has the dtype of the data; else their compute dtype. `checks`: arrays of times are looked at on the host.
    """

    f: Callable[..., Any]
    data: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    keeps: bool = False
    checks: bool = True


def convert(source: str, target: str) -> Call:
    def f(value: Any, z: Any, t: Any) -> Any:
        like = z if hasattr(z, "shape") else value
        return bc.convert(value, source, target, z=z, marginal=bc.marginal_for(PROCESS, t, like))

    return Call(f, ("z", "value"), ("t",))


def predict(kind: str, **options: Any) -> Call:
    def f(value: Any, u: Any, t: Any) -> Any:
        return bc.predict(PROCESS, value, kind, u, t, **options)

    return Call(f, ("u", "value"), ("t",))


def pair(prediction: str) -> Call:
    def f(x: Any, t: Any, eps: Any) -> Any:
        return bc.training_pair(PROCESS, x, t, eps, prediction=prediction)

    return Call(f, ("x", "eps"), ("t",), keeps=True)


def step(solver: bc.Solver) -> Call:
    """A step in the middle of a run, so that what a solver remembers is used."""

    def f(t: Any, s: Any, **data: Any) -> Any:
        u, noise = data["u"], data.get("noise")
        prediction = bc.Prediction(data["x0"], data.get("eps"))
        state = solver.start(u)
        remembered = {name: 0 * value + 0.5 for name, value in state._asdict().items() if value is not None}
        return solver.step(bc.SamplerState(**remembered | {"u": u}), prediction, t, s, noise)

    takes_eps = isinstance(solver, (bc.DDIM, bc.Euler, bc.Heun))
    names = ("u", "x0", *(("eps",) if takes_eps else ()), *(("noise",) if solver.uses_noise else ()))
    return Call(f, names[:1] + names[2:] if isinstance(solver, (bc.Euler, bc.Heun)) else names, ("t", "s"))


def unused_x0(call: Call) -> Call:
    """Euler and Heun do not look at x0."""
    return Call(lambda u, **rest: call.f(u=u, x0=u, **rest), call.data, call.times)


def solver_calls() -> dict[str, Call]:
    table = bc.X0Error(times=(0.0, 1.0), values=np.full((2, 1, 1), 0.1))
    solvers = {
        "ancestral": bc.Ancestral(process=PROCESS),
        "calibrated": bc.CalibratedAncestral(process=PROCESS, x0_error=table),
        "ddim": bc.DDIM(process=PROCESS, eta=0.5),
        "cold_naive": bc.ColdNaive(process=PROCESS),
        "cold_improved": bc.ColdImproved(process=PROCESS),
        "inverse_heat": bc.InverseHeat(process=PROCESS),
        "dpm_solver_pp": bc.DPMSolverPP(process=PROCESS),
        "dpm_solver_pp_3": bc.DPMSolverPP(process=PROCESS, order=3),
        "dpm_solver_sde": bc.DPMSolverSDE(process=PROCESS),
    }
    calls = {f"step {name}": step(solver) for name, solver in solvers.items()}
    for solver in (bc.Euler(process=PROCESS), bc.Heun(process=PROCESS)):
        calls[f"step {type(solver).__name__}"] = unused_x0(step(solver))
    return calls


def time_calls() -> dict[str, Call]:
    """Coefficients, of which the schedules' take arrays at their word."""
    calls = {}
    for process in (PROCESS, BETAS):
        name = type(process).__name__
        for f in (process.marginal, process.log_snr, process.sde):
            calls[f"{name}.{f.__name__}"] = Call(lambda t, f=f: f(t, shape=GRID), times=("t",))
        for g in (bc.transition, bc.posterior, type(process).difference):
            calls[f"{name} {g.__name__}"] = Call(lambda t, s, g=g, p=process: g(p, t, s, shape=GRID), times=("t", "s"))
    for schedule in (bc.CosineLogSNR(), bc.LinearBeta(), bc.ConstantSigma()):
        for name in ("scales", "log_snr", "rates"):
            calls[f"{type(schedule).__name__}.{name}"] = Call(getattr(schedule, name), times=("t",), checks=False)
        difference = schedule.log_snr_difference
        calls[f"{type(schedule).__name__}.log_snr_difference"] = Call(difference, times=("t", "s"), checks=False)
    for blur in (bc.SinSquared(), bc.Sin(), bc.LogLinear(), bc.NoBlur()):
        for name in ("tau", "tau_rate"):
            calls[f"{type(blur).__name__}.{name}"] = Call(getattr(blur, name), times=("t",), checks=False)
        calls[f"{type(blur).__name__}.tau_difference"] = Call(blur.tau_difference, times=("t", "s"), checks=False)
    return calls


def basis_calls() -> dict[str, Call]:
    calls = {}
    vectors, _ = np.linalg.qr(RNG.standard_normal((4, 4)))
    dense, last = bc.Dense(vectors, np.arange(4.0)), {"axes": (-1,)}
    for basis, options in ((bc.DCT(), {}), (bc.DST(), {}), (bc.RealFourier(), {}), (bc.Identity(), {}), (dense, last)):
        name = type(basis).__name__
        calls[f"{name}.forward"] = Call(lambda x, b=basis, o=options: b.forward(x, **o), ("x",), keeps=True)
        calls[f"{name}.inverse"] = Call(lambda u, b=basis, o=options: b.inverse(u, **o), ("u",), keeps=True)
    return calls


CALLS = {
    "diffuse": Call(lambda x, t, eps: bc.diffuse(PROCESS, x, t, eps), ("x", "eps"), ("t",), keeps=True),
    **{f"training_pair {kind}": pair(kind) for kind in ("eps", "x0", "v", "score")},
    **{f"convert {a} to {b}": convert(a, b) for a, b in (("eps", "x0"), ("x0", "eps"), ("v", "score"), ("score", "v"))},
    **{f"predict {kind}": predict(kind) for kind in ("eps", "x0", "v", "score")},
    "predict clipped": predict("v", clip=bc.Clip(quantile=0.9)),
    "marginal_for": Call(lambda x, t: bc.marginal_for(PROCESS, t, x), ("x",), ("t",)),
    "simple_loss": Call(bc.simple_loss, ("prediction", "target")),
    "Clip.data": Call(lambda x: bc.Clip(quantile=0.9).data(x), ("x",), keeps=True),
    "prior_kl": Call(lambda u0: likelihood.prior_kl(PROCESS, u0), ("u0",)),
    "diffusion_step": Call(
        lambda u0, x0, t, s: likelihood.diffusion_step(PROCESS, u0, x0, t, s), ("u0", "x0"), ("t", "s")
    ),
    "diffusion_rate": Call(lambda u0, x0, t: likelihood.diffusion_rate(PROCESS, u0, x0, t), ("u0", "x0"), ("t",)),
    "reconstruction": Call(lambda x, mean: likelihood.reconstruction(x, mean, 0.1), ("x", "mean")),
    "heat_step": Call(
        lambda before, mean: likelihood.heat_step(before, mean, sigma=0.1, delta=0.2), ("before", "mean")
    ),
    **solver_calls(),
    **time_calls(),
    **basis_calls(),
}
OF_DATA = {name: call for name, call in CALLS.items() if call.data}
OF_TIMES = {name: call for name, call in CALLS.items() if call.times}
OF_STEPS = {
    name: call
    for name, call in OF_TIMES.items()
    if call.times == ("t", "s") and call.checks and "difference" not in name
}
FEW = (
    "diffuse",
    "training_pair v",
    "convert eps to x0",
    "predict eps",
    "simple_loss",
    "diffusion_step",
    "step ancestral",
    "step ddim",
    "step dpm_solver_pp_3",
    "step dpm_solver_sde",
    "step Heun",
    "BlurringDiffusion posterior",
    "LinearBeta.scales",
    "DCT.forward",
)
"""What JAX is asked, which compiles every operation of every call: each way through the code once."""


def of(calls: dict[str, Call]) -> Any:
    return pytest.mark.parametrize("call", calls.values(), ids=calls)


def data_of(call: Call) -> dict[str, np.ndarray]:
    """Return data in [-0.9, 0.9], the same whenever they are asked for."""
    rng = np.random.default_rng(1)
    return {name: rng.uniform(-0.9, 0.9, SHAPE) for name in call.data}


def flat(result: Any) -> list[Any]:
    parts = result if isinstance(result, tuple) else (result,)
    return [part for part in parts if part is not None]


def run(call: Call, arguments: dict[str, Any]) -> list[Any]:
    """Call, and hold the arguments to what they were; whatever is raised goes on."""
    kept = {name: as_numpy(v).copy() for name, v in arguments.items() if hasattr(v, "dtype") and not on_meta(v)}
    try:
        return flat(call.f(**arguments))
    finally:
        for name, before in kept.items():
            np.testing.assert_array_equal(as_numpy(arguments[name]), before, err_msg=f"{name} was changed")


def on_meta(value: Any) -> bool:
    return str(getattr(value, "device", "")) == "meta"


def given(xp: Any, call: Call, dtype: str = "float32") -> dict[str, Any]:
    """Return the arguments in a library, the times as arrays."""
    arrays = data_of(call) | {name: TIMES[name] for name in call.times}
    return {name: xp.asarray(values, dtype) for name, values in arrays.items()}


def desired(call: Call, arguments: dict[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what NumPy says in float64 of the same numbers, and by how much it moves when the data move by float32's epsilon.

    The second is the condition of the formula, measured: eight times over random signs, of which the largest is taken.
    """
    exact = {name: v if isinstance(v, float) else as_numpy(v) for name, v in arguments.items()}
    values = flat(call.f(**exact))
    moved = [np.zeros(np.shape(v)) for v in values]
    rng = np.random.default_rng(2)
    for _ in range(8):
        near = {
            name: v * (1 + EPSILON["float32"] * rng.choice([-1.0, 1.0], np.shape(v))) if name in call.data else v
            for name, v in exact.items()
        }
        with np.errstate(invalid="ignore"):  # infinity, of which nothing can be taken, is asked for as such
            changes = [np.nan_to_num(np.abs(a - b)) for a, b in zip(flat(call.f(**near)), values, strict=True)]
        moved = [np.maximum(m, np.max(c, initial=0.0)) for m, c in zip(moved, changes, strict=True)]
    return values, moved


# Numbers as other programs keep them


@of(CALLS)
@pytest.mark.parametrize("dtype", [">f8", "longdouble", ">f4", ">f2"])
def test_numpys_other_floats_are_taken_at_their_values(call, dtype):
    """Files hold big-endian numbers, and some programs longdouble; what no float64 holds is rounded to it."""
    near = {name: np.asarray(values * (1 + 1e-12), dtype=dtype) for name, values in given_numpy(call).items()}
    native = "f8" if near[next(iter(near))].dtype.itemsize >= 8 else dtype.replace(">", "")
    for got, want in zip(run(call, near), run(call, {k: v.astype(native) for k, v in near.items()}), strict=True):
        assert got.dtype == want.dtype
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, want)


ALSO: dict[str, Callable[[np.ndarray], Any]] = {
    **{
        how: lambda x, how=how: bc.draw_times(np.abs(x.ravel()), how)
        for how in ("uniform", "antithetic", "low_discrepancy")
    },
    "clip": lambda x: bc.Clip().data(x),
    "convert to itself": lambda x: bc.convert(x, "x0", "x0", z=x, marginal=bc.marginal_for(PROCESS, 0.5, x)),
    "table": lambda x: bc.X0Error(times=(0, 1), values=np.ones((2, *GRID))).at(0.5, shape=GRID, like=x),
    "gaussian": lambda x: gaussian_denoiser(x, mean=x, variance=x * x, marginal=bc.marginal_for(PROCESS, 0.5, x)),
    "dataset": lambda x: dataset_denoiser(x, data=x, marginal=bc.marginal_for(PROCESS, 0.5, x)),
    "heat": lambda x: HeatReversal(process=bc.HeatDissipation()).pair(x, x[:, 0, 0, 0] * 0 + 0.5, x, axes=(-2, -1)),
    "restoration": lambda x: Restoration(process=bc.ColdDiffusion()).loss(x, x[::-1]),
}


@pytest.mark.parametrize("f", ALSO.values(), ids=ALSO)
@pytest.mark.parametrize("dtype", [">f8", "longdouble", ">f4"])
def test_numpys_other_floats_elsewhere(f, dtype):
    x = np.asarray(data_of(CALLS["DCT.forward"])["x"], dtype=dtype)
    native = "f8" if x.dtype.itemsize >= 8 else "f4"
    for got, want in zip(flat(f(x)), flat(f(x.astype(native))), strict=True):
        assert got.dtype == want.dtype
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, want)


# Times that are none


@of(OF_TIMES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e-3, 1.001, np.float32("nan"), 2])
def test_time_outside_0_to_1_is_refused_by_name(call, bad):
    fine = data_of(call) | {"t": 0.75, "s": 0.5}
    for name in call.times:
        arguments = {key: fine[key] for key in (*call.data, *call.times)} | {name: bad}
        with pytest.raises(ArgumentError, match=rf"^{name} must be a time in \[0, 1\]; got"):
            run(call, arguments)


@of(OF_TIMES)
@pytest.mark.parametrize("xp", ["numpy", "array_api_strict", "torch"], indirect=True)
def test_array_of_times_outside_0_to_1_is_refused_or_spoils_its_item_alone(xp, call):
    arguments = given(xp, call)
    for name in call.times:
        with pytest.raises(ArgumentError, match=rf"^{name} must be a real floating time in \[0, 1\]; got dtype .*int"):
            run(call, arguments | {name: xp.asarray([1, 0], "int64")})
        with pytest.raises(NamespaceError, match=rf"^{name} must be an array"):
            run(call, arguments | {name: "0.5"})
        late = 0.8 if name == "t" else 0.1
        harmed = arguments | {name: xp.asarray([float("nan"), late])}
        if xp.name in HOST and call.checks:
            for bad in (float("nan"), 1.5, -0.5):
                with pytest.raises(ArgumentError, match=rf"^{name} must be a time in \[0, 1\]; got"):
                    run(call, arguments | {name: xp.asarray([bad, late])})
        else:
            healthy = run(call, arguments | {name: xp.asarray([0.75, late])})
            for got, want in zip(run(call, harmed), healthy, strict=True):
                if got.shape == () or got.shape[0] != 2:
                    continue  # it does not depend on the times
                assert_close(got[1, ...], want[1, ...], rtol=1e-6)


@of(OF_STEPS)
def test_step_against_the_order_of_times_is_refused_by_name(call):
    arguments = given_numpy(call)
    with pytest.raises(ArgumentError, match=r"^s must be at most t"):
        run(call, arguments | {"t": 0.25, "s": 0.5})
    with pytest.raises(ArgumentError, match=r"^s must be at most t"):
        run(call, arguments | {"t": np.array([0.75, 0.25]), "s": np.array([0.5, 0.5])})


def given_numpy(call: Call) -> dict[str, Any]:
    return data_of(call) | {name: TIMES[name] for name in call.times}


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "solver", [bc.Ancestral(process=PROCESS), bc.DPMSolverPP(process=PROCESS), bc.Euler(process=PROCESS)], ids=str
)
def test_step_of_no_length_leaves_the_state_alone(xp, solver, t):
    u = xp.asarray(RNG.standard_normal(SHAPE))
    got = solver.step(bc.SamplerState(u), bc.Prediction(u * 0 + 2.0, u * 0 + 3.0), t, t, u * 0 + 5.0).u
    assert_close(got, u, rtol=EPSILON["float32"])


def test_times_that_do_not_fit_the_batch_are_refused(xp):
    x, t = xp.asarray(np.zeros(SHAPE)), xp.asarray([0.1, 0.2, 0.3])
    for f in (
        lambda: bc.diffuse(PROCESS, x, t, x),
        lambda: bc.marginal_for(PROCESS, t, x),
        lambda: bc.predict(PROCESS, x, "v", x, t),
    ):
        with pytest.raises(ArgumentError, match=r"t must have the leading axes of x, .*; got \(3,\)"):
            f()


# Arrays that are none, or belong elsewhere


@of(OF_DATA)
def test_arrays_that_are_not_real_floating_are_refused_by_name(call):
    arguments = given_numpy(call)
    for name in call.data:
        for dtype in (
            (np.int64, np.uint8, np.bool_) if call is not CALLS["marginal_for"] else ()
        ):  # it sees shapes alone
            with pytest.raises(ArgumentError, match=rf"^{name} must be real floating; got dtype"):
                run(call, arguments | {name: np.ones(SHAPE, dtype=dtype)})
        with pytest.raises(NamespaceError, match=rf"^{name} must be an array of"):
            run(call, arguments | {name: [[1.0]]})


@of(CALLS)
def test_arrays_of_two_libraries_are_refused_by_name(torch, call):
    names = (*call.data, *call.times)
    if len(names) == 1:
        return  # nothing to mix it with
    numpy = {name: np.float32(value) for name, value in given_numpy(call).items()}
    tensors = {name: torch.from_numpy(value.copy()) for name, value in numpy.items()}
    for name in names:
        with pytest.raises(NamespaceError, match=rf"arrays must come from one library; got .*\b(like|{name}): "):
            run(call, tensors | {name: numpy[name]})


@of(CALLS)
def test_tensors_on_two_devices_are_refused_by_name(torch, call):
    names = (*call.data, *call.times)
    if len(names) == 1:
        return
    tensors = {name: torch.from_numpy(np.float32(value)) for name, value in given_numpy(call).items()}
    for name in names:
        with pytest.raises(NamespaceError, match=rf"arrays must be on one device; got .*\b(like|{name}): "):
            run(call, tensors | {name: tensors[name].to("meta")})


def test_align_refuses_what_is_no_array():
    with pytest.raises(NamespaceError, match="coefficient must be an array"):
        bc.align(0.5, ndim=4, axes=(2, 3))


# Shapes and memory


@of(OF_DATA)
@pytest.mark.parametrize("xp", ["numpy", "array_api_strict", "torch"], indirect=True)
def test_empty_batch_gives_an_empty_result(xp, call):
    arguments = {name: value[:0, ...] for name, value in given(xp, call).items()}
    for result in run(call, arguments):
        assert 0 in result.shape or result.shape[0] == 1


@of(OF_DATA)
def test_read_only_and_strided_arrays_are_read_as_their_copies_are(call):
    for view in (
        lambda v: np.repeat(np.repeat(v, 2, -1), 3, 0)[::3, ..., ::2],
        lambda v: v[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
        np.asfortranarray,
        lambda v: np.broadcast_to(v[:1], v.shape),
    ):
        arguments = {name: view(v) if name in call.data else v.copy() for name, v in given_numpy(call).items()}
        copies = {name: np.ascontiguousarray(v) for name, v in arguments.items()}
        for v in arguments.values():
            v.flags.writeable = False
        for got, want in zip(run(call, arguments), run(call, copies), strict=True):
            assert_close(got, want, rtol=0.0, atol=16 * EPSILON["float64"] * np.max(np.abs(want)))


@of(OF_DATA)
def test_tensors_in_any_layout_are_read_as_their_copies_are(torch, call):
    whole = {name: torch.from_numpy(value) for name, value in given_numpy(call).items()}
    for view in (
        lambda v: v.transpose(-1, -2).contiguous().transpose(-1, -2),
        lambda v: v[:1].expand(v.shape),
        lambda v: v.repeat_interleave(2, -1)[..., ::2],
    ):
        arguments = {name: view(v) if name in call.data else v for name, v in whole.items()}
        copies = {name: v.clone(memory_format=torch.contiguous_format) for name, v in arguments.items()}
        for got, want in zip(run(call, arguments), run(call, copies), strict=True):
            assert_close(got, want, rtol=0.0, atol=16 * EPSILON["float64"] * float(want.abs().max()))


# Dtypes


def asked(xp: Any, name: str) -> bool:
    return xp.name != "jax" or name in FEW


@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_two_dtypes_meet_in_that_of_the_first(xp, name):
    call = CALLS[name]
    if len(call.data) < 2 or not asked(xp, name):
        return
    for other in call.data:
        for dtype in {"float64", "float32", "float16"} & set(xp.dtypes):
            arguments = given(xp, call)
            arguments[other] = xp.asarray(data_of(call)[other], dtype)
            first = dtype_name(arguments[call.data[0]])
            wide = "float64" if first == "float64" else "float32"
            if not (call.keeps and first != wide):  # a target in half precision is rounded to it
                kind = first if call.keeps else wide
                rest = [dtype_name(v) for v in run(call, arguments)]
                if name.startswith("training_pair"):  # the target may be an argument itself
                    kind, rest = rest[0], rest[:1]
                assert set(rest) == {kind}
            compare(call, arguments)


def compare(call: Call, arguments: dict[str, Any], roundings: float = 64) -> None:
    """Hold a result to NumPy's of the same numbers in float64: to rounding in the result's own dtype, and to float32's within."""
    results = run(call, arguments)
    values, moved = desired(call, arguments)
    for got, want, condition in zip(results, values, moved, strict=True):
        scale = np.max(np.abs(want[np.isfinite(want)]), initial=0.0)
        bound = 8 * condition + roundings * EPSILON["float32"] * scale
        assert_close(got, want, like=got, rtol=EPSILON[dtype_name(got)], atol=bound)


@pytest.mark.parametrize("xp", ["numpy", "torch", "jax"], indirect=True)
@pytest.mark.parametrize("name", CALLS)
def test_half_precision_is_finite_and_as_good_as_float32_at_every_time(xp, name):
    """1 / alpha^2 reaches 2e10 at t = 1, where float16 ends at 65504."""
    call = CALLS[name]
    if not asked(xp, name):
        return
    for dtype in set(xp.dtypes) - {"float64", "float32"}:
        for t in (0.0, 1e-3, 0.5, 1 - 2.0**-11, 1.0) if call.times else (0.5,):
            arguments = given(xp, call, dtype)
            for time in call.times:
                arguments[time] = t if time == "t" else 0.75 * t
            if not call.data:
                arguments = {time: xp.asarray(value, dtype) for time, value in arguments.items()}
            if "GaussianDiffusion posterior" in name and t == 0.0:
                continue  # no noise at t = 0: refused, see below
            for result in run(call, arguments):
                wide = "float32" if not call.keeps else dtype
                assert dtype_name(result) == wide
            finite = not ("LinearBeta" in name or name.startswith("Gaussian")) or t > 0
            assert all(np.isfinite(as_numpy(v)).all() for v in run(call, arguments)) or not finite
            compare(call, arguments)


def test_x0_beyond_the_range_of_float16_is_held_in_float32():
    u, eps = np.zeros(SHAPE, dtype=np.float16), np.full(SHAPE, 2.0, dtype=np.float16)
    found = bc.predict(PROCESS, PROCESS.basis.inverse(eps), "eps", u, 1.0)
    assert found.x0.dtype == np.float32
    assert np.isfinite(found.x0).all()
    assert np.abs(found.x0).max() > 65504


@pytest.mark.parametrize("kind", ["ancestral", "ddim", "dpmpp_1"])
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.0), (1.0, 0.999), (0.5, 0.4), (1e-3, 0.0)])
def test_step_in_half_precision_is_the_references(xp, kind, t, s):
    solver = {"ancestral": bc.Ancestral, "ddim": bc.DDIM, "dpmpp_1": bc.DPMSolverPP}[kind](
        process=PROCESS, **({"order": 1} if kind == "dpmpp_1" else {})
    )
    m = [oracle.alpha(bc.to_dict(PROCESS), t, GRID), oracle.sigma(bc.to_dict(PROCESS), t, GRID)]
    z_coef, x_coef, _ = oracle.sampler_step(bc.to_dict(PROCESS), t, s, GRID, kind)
    for dtype in set(xp.dtypes) - {"float64", "float32"}:
        u, value = (xp.asarray(RNG.standard_normal(SHAPE), dtype) for _ in range(2))
        exact_u, exact = xp.to_numpy(u), oracle.forward(xp.to_numpy(value), (-2, -1), "DCT")
        x0 = oracle.convert(exact, "eps", "x0", exact_u, *m)
        got = solver.step(bc.SamplerState(u), bc.predict(PROCESS, value, "eps", u, t), t, s).u
        want = z_coef * exact_u + x_coef * x0
        # the two terms of x0 cancel down to the step, each rounded in float32 after products of a dozen numbers
        size = np.abs(z_coef * exact_u) + np.abs(x_coef / m[0]) * (np.abs(exact_u) + m[1] * np.abs(exact)).max()
        assert_close(got, want, like=u, dtype="float32", rtol=0.0, atol=32 * EPSILON["float32"] * size)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_times_of_a_large_batch_are_spread_evenly_in_half_precision(torch, dtype):
    """Float16 counts to 2048 and bfloat16 to 256, one by one."""
    batch = 5000
    times = bc.draw_times(torch.zeros(batch, dtype=getattr(torch, dtype)), "low_discrepancy")
    assert_close(times, np.arange(batch) / batch, like=times, rtol=EPSILON[dtype])


def test_score_without_noise_is_refused_where_it_can_be_seen(xp):
    x, t = xp.asarray(np.ones(SHAPE)), xp.asarray([0.0, 0.5])
    with pytest.raises(DegenerateError, match="sigma is 0"):
        bc.training_pair(BETAS, x, 0.0, x, prediction="score")
    if xp.name in HOST:
        with pytest.raises(DegenerateError, match="sigma is 0"):
            bc.training_pair(BETAS, x, t, x, prediction="score")
    else:
        target = bc.training_pair(BETAS, x, t, x, prediction="score").target
        assert np.isfinite(xp.to_numpy(target)).all(axis=(1, 2, 3)).tolist() == [False, True]


# What a framework's own switches do


@of(CALLS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpys_error_state_changes_nothing(call, dtype):
    """Numbers as small as there are, with which products underflow, and the ends of time."""
    tiny = np.finfo(dtype).smallest_subnormal
    for t, s in ((1.0, 0.0), (1.0, 1.0), (float(np.finfo(dtype).tiny), 0.0), (0.75, 0.5)):
        data = {name: (values * tiny * 8).astype(dtype) for name, values in data_of(call).items()}
        times = {name: np.asarray([t if name == "t" else s] * 2, dtype) for name in call.times}
        with np.errstate(all="ignore"):
            want = outcome(call, data | times)
        with np.errstate(all="raise"):
            got = outcome(call, data | times)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def outcome(call: Call, arguments: dict[str, Any]) -> list[Any]:
    """Return the results, or the sentence of a refusal."""
    try:
        return run(call, arguments)
    except DegenerateError as error:
        return [str(error)]


def test_processes_are_made_whatever_numpys_error_state_is():
    with np.errstate(all="raise"):
        for cls in bc.PROCESSES.values():
            assert cls() == cls()


@pytest.mark.parametrize("setting", ["float64", "float16", "meta", "autocast"])
def test_defaults_of_torch_change_nothing(torch, setting):
    arguments = {
        name: {k: torch.from_numpy(np.float32(v)) for k, v in given_numpy(c).items()} for name, c in CALLS.items()
    }
    before = {name: run(call, arguments[name]) for name, call in CALLS.items()}
    dtype = torch.get_default_dtype()
    try:
        if setting == "meta":
            torch.set_default_device("meta")
        elif setting != "autocast":
            torch.set_default_dtype(getattr(torch, setting))
        with torch.autocast("cpu", torch.bfloat16, enabled=setting == "autocast"):
            after = {name: run(call, arguments[name]) for name, call in CALLS.items()}
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
    for name, results in before.items():
        for got, want in zip(after[name], results, strict=True):
            assert_close(got, want, rtol=0.0, what=name)


@pytest.mark.parametrize("double", [False, True], ids=["float32", "x64"])
@pytest.mark.parametrize("name", FEW)
def test_jax_agrees_with_and_without_x64(jax, name, double):
    call = CALLS[name]
    with jax.enable_x64(double):
        data = {key: jax.numpy.asarray(np.float32(value)) for key, value in data_of(call).items()}
        times: dict[str, Any] = {"t": 0.75, "s": 0.5}
        if not call.data:  # times are all it has: exact ones, because float32 is what is asked for
            times = {key: jax.numpy.asarray(np.float32(value)) for key, value in times.items()}
        arguments = data | {key: times[key] for key in call.times}
        assert {dtype_name(v) for v in run(call, arguments)} == {"float32"}
        compare(call, arguments)
