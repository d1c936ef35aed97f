"""The probability-flow ODE (SPEC 6) by torchdiffeq's adaptive Dormand-Prince pair, for the sampler "ode"."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from blurcore import Prediction, Process
from blurcore.errors import ConfigError
from blurcore.samplers.euler import slope_of


def integrate(
    process: Process,
    predict: Callable[[Tensor, float], Prediction[Tensor]],
    u: Tensor,
    *,
    axes: tuple[int, ...],
    tolerance: float,
    first: float = 1.0,
) -> Tensor:
    """Return the state at t = 0 from that at t = `first`.

    Parameters
    ----------
    process
        A process with noise.
    predict
        What the network says of (u, t), for a solver.
    u
        The state at t = `first` in frequency space.
    axes
        The axes of the grid in `u`.
    tolerance
        Relative and absolute error of a step, as the root mean square over the batch.
    first
        Where the state is, in (0, 1].

    Raises
    ------
    ConfigError
        torchdiffeq is missing.
    """
    try:
        import torch
        from torchdiffeq import odeint
    except ImportError as error:
        raise ConfigError("sample.solver AdaptiveODE needs torchdiffeq; try: pip install 'blurcore[torch]'") from error
    shape = tuple(u.shape[a] for a in axes)

    def slope(time: Tensor, state: Tensor) -> Tensor:
        t = min(1.0, max(0.0, float(time)))
        rate = slope_of(process, "AdaptiveODE", t, t, shape=shape, like=state)
        eps = predict(state, t).eps
        assert eps is not None  # the process has noise: slope_of has seen to it
        return rate.z * state + rate.eps * eps

    ends = torch.tensor([first, 0.0], dtype=torch.float64, device=u.device)
    path: Tensor = odeint(slope, u, ends, rtol=tolerance, atol=tolerance, method="dopri5")
    return path[-1]
