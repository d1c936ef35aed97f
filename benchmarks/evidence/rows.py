"""Rows of the tables: a solver on a grid, with its settings, the same for networks and for exact denoisers."""

from __future__ import annotations

from typing import Any, NamedTuple

import blurcore as bc
from benchmarks.evidence.candidates import CalibratedMultistep, measured_times
from benchmarks.evidence.trials import LEVELS, Trial
from blurcore.config import SampleConfig
from blurcore.kinds import find_kind
from blurcore.samplers import Given, Times

GRIDS = ("uniform", "quadratic", "log_snr")


class Row(NamedTuple):
    """A solver on a grid: what it is told, and whether its last step draws noise."""

    solver: str
    grid: str = "uniform"
    options: tuple[tuple[str, Any], ...] = ()
    last_noise: bool = False

    @property
    def name(self) -> str:
        """Name in the ledger."""
        words = [f"{key}={value}" for key, value in self.options] + (["last-noise"] if self.last_noise else [])
        return " ".join([self.solver, self.grid, *words])


CANDIDATE = "calibrated_multistep"
UPPER = (("variance", "upper"),)
SOLVERS: tuple[Row, ...] = (
    Row("ancestral"),
    Row("ancestral", options=UPPER),
    Row("calibrated"),
    Row("calibrated", last_noise=True),
    Row("ddim"),
    Row("ddim", options=(("eta", 0.5),)),
    Row("dpm_solver_pp", options=(("order", 2),)),
    Row("dpm_solver_pp", options=(("order", 3),)),
    Row("dpm_solver_sde", options=(("order", 2),)),
    Row("euler"),
    Row("heun"),
)
ROWS = tuple(row._replace(grid=grid) for row in SOLVERS for grid in GRIDS)
"""Of questions 3 and 4."""
CANDIDATES = (
    Row(CANDIDATE, "measured", (("order", 1),)),
    Row(CANDIDATE, "measured", (("order", 2),)),
    *(row._replace(grid="measured") for row in SOLVERS),
    *(Row(CANDIDATE, grid, (("order", order),)) for grid in GRIDS for order in (1, 2)),
)
"""What question 4 tries: the candidate on all grids, and the others on the grid of the measured error."""
REVERSE_VARIANCES = (Row("ancestral"), Row("ancestral", options=UPPER), Row("calibrated", last_noise=True))
"""Of question 2."""
HEAT, COLD = Row("inverse_heat"), Row("cold_improved")


def main_row(trial: Trial) -> tuple[Row, int]:
    """Return the sampler of question 1, and its calls."""
    if trial.process == "heat":
        return HEAT, LEVELS
    if trial.process == "cold":
        return COLD, LEVELS
    return Row("ancestral"), 50


def steps_for(row: Row, calls: int) -> int:
    """Return how many steps call the network that often, or once less: Heun does it twice a step."""
    return max(1, calls // 2) if row.solver == "heun" else calls


def needs_error(row: Row) -> bool:
    """Whether a row takes the measured error of what it samples from, in its solver or in its grid."""
    return row.solver in ("calibrated", CANDIDATE) or row.grid == "measured"


def times_for(row: Row, process: Any, calls: int, error: bc.X0Error | None) -> tuple[float, ...]:
    """Return the times of a row's steps."""
    steps = steps_for(row, calls)
    if row.grid == "measured":
        assert error is not None
        return measured_times(steps, process, error)
    grid: Times = find_kind(row.grid, "times")(num_steps=steps)
    return grid.times(process)


def kind_of(row: Row) -> type[Any]:
    """Return the class of a row's solver."""
    if row.solver == CANDIDATE:
        return CalibratedMultistep
    return find_kind({"calibrated": "CalibratedAncestral"}.get(row.solver, row.solver), "solver")


def solver_for(row: Row, process: Any, error: bc.X0Error | None) -> Any:
    """Return the solver of a row."""
    kind = kind_of(row)
    own = {"x0_error": error} if "x0_error" in kind.__dataclass_fields__ else {}
    return kind(process=process, **own, **dict(row.options))


def settings_for(
    row: Row, process: Any, calls: int, *, count: int, seed: int, error: bc.X0Error | None
) -> SampleConfig:
    """Return what `blurcore sample` is told."""
    times: Times = (
        Given(values=times_for(row, process, calls, error))
        if row.grid == "measured"
        else find_kind(row.grid, "times")(num_steps=steps_for(row, calls))
    )
    solver = kind_of(row)(**dict(row.options))
    return SampleConfig(solver=solver, times=times, num_samples=count, seed=seed, last_noise=row.last_noise)
