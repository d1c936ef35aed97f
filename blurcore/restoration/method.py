r"""The interface of a restoration method: one step from t to s < t, given the observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, Protocol

from blurcore._arrays import namespace
from blurcore._typing import A, A_co, Array
from blurcore.diffusion import Posterior
from blurcore.processes import Marginal
from blurcore.restoration.operator import Observation

Covariance = Literal["measured", "gaussian", "unit"]
"""Where Var[u_0 | u_t] comes from: the network's measured error, the data's spectrum, or a spectrum of 1 (Song et al. 2023)."""


class Problem(NamedTuple, Generic[A]):
    """y = H u_0 + n: the operator, what was observed, and the variance r > 0 of n."""

    observation: Observation
    y: A
    variance: float

    def residual(self, x0: A) -> A:
        """Return y - H x0."""
        return self.y - self.observation.observe(x0)


class Stage(NamedTuple, Generic[A_co]):
    """What a step from t to s needs of the schedule, laid out to broadcast with a state.

    `now` and `after` are the marginals at t and s, `posterior` is q(u_s | u_t, u_0), `covariance` is Var[u_0 | u_t].
    """

    now: Marginal[A_co]
    after: Marginal[A_co]
    posterior: Posterior[A_co]
    covariance: A_co


class Guess(NamedTuple, Generic[A]):
    """The network's estimate E[u_0 | u_t] at a state u_t, and `pull`, the product with its Jacobian.

    `pull(v)` is :math:`(\\partial \\hat u_0 / \\partial u_t)^T v`, for v of the shape of the state.
    """

    x0: A
    pull: Callable[[A], A]


class Noise(NamedTuple, Generic[A_co]):
    """Standard normal numbers of one step: two of the shape of the state, one of the shape of y."""

    state: A_co
    data: A_co
    seen: A_co


class Method(Protocol):
    """Settings of a way to restore: a kind under the role ``method``."""

    @property
    def covariance(self) -> Covariance:
        """What it takes for Var[u_0 | u_t]."""
        ...

    def check_operator(self, observation: Observation) -> None:
        """Refuse an operator that the method cannot take.

        Raises
        ------
        ArgumentError
            It names the method and what it takes.
        """
        ...

    def step(
        self, stage: Stage[Array], problem: Problem[Array], u: Array, guess: Guess[Array], noise: Noise[Array]
    ) -> Array:
        """Return u_s."""
        ...


def posterior_shift(problem: Problem[Array], residual: Array, covariance: Array) -> Array:
    r"""Return :math:`C H^T (H C H^T + r)^{-1}` times a residual: what an observation adds to a mean (SPEC 12).

    Parameters
    ----------
    problem
        Operator and variance of the noise.
    residual
        y - H m, of the shape of y.
    covariance
        C >= 0 for each frequency, laid out to broadcast with a state.

    Returns
    -------
    Array
        Of the shape of a state.
    """
    return covariance * problem.observation.adjoint(problem.observation.solve(residual, covariance, problem.variance))


def draw_data(problem: Problem[Array], mean: Array, covariance: Array, noise: Noise[Array]) -> Array:
    r"""Draw :math:`u_0` from the posterior of :math:`N(m, C)` given y, exactly, whatever the operator.

    A draw w of N(m, C) is moved by what an observation of its own would have told of it:
    :math:`w + C H^T (H C H^T + r)^{-1} (y - n - H w)`, which is Matheron's rule.

    Parameters
    ----------
    problem
        What was observed.
    mean, covariance
        m and C >= 0, laid out to broadcast with a state.
    noise
        Of which `data` and `seen` are used.
    """
    xp = namespace(mean=mean)
    drawn = mean + xp.sqrt(covariance) * noise.data
    return drawn + posterior_shift(problem, problem.residual(drawn) - problem.variance**0.5 * noise.seen, covariance)
