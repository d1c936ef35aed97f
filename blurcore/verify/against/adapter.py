"""What is asked of an implementation; subclass it where names or signatures are your own."""

from __future__ import annotations

from typing import Any

import numpy as np

from blurcore.processes import Process

Array = np.ndarray[Any, Any]

OPERATIONS = (
    "transform",
    "inverse",
    "frequency_scaling",
    "noise_scaling",
    "marginal",
    "transition",
    "posterior",
    "diffuse",
    "denoise",
)
"""The methods of an adapter, what others are made of first."""


class Adapter:
    """An implementation in NumPy's terms; override the methods that yours has, the others are not asked for.

    Times are of shape (B,), data (B, C, N, N), channels first, coefficients (B, N, N) or what broadcasts to it; all in `dtype`.

    Attributes
    ----------
    size
        N, if it is fixed.
    channels
        C, if it is fixed.
    dtype
        What your numbers are worked out in, "float32" or "float64": how closely they are held.
    sigma_blur_max, min_scale, logsnr_min, logsnr_max
        Your settings of the process.
    steps
        T, where `denoise` steps from t to t - 1 / T whatever `s` it is given.
    process
        What to hold it to; None: the paper's process with these settings.
    variance
        Whose variance the noise of `denoise` has, "posterior" or "upper", that of the forward step.
    title, notes
        The report's first line, and what else it says.
    """

    size: int | None = None
    channels: int | None = None
    dtype: str = "float64"
    sigma_blur_max: float = 20.0
    min_scale: float = 1e-3
    logsnr_min: float = -10.0
    logsnr_max: float = 10.0
    steps: int | None = None
    process: Process | None = None
    variance: str = "posterior"
    title: str = ""
    notes: tuple[str, ...] = ()

    def scales(self, t: Array) -> tuple[Array, Array] | None:
        """Return a_t^2 and sigma_t^2 where they are a table of its own, else None.

        Parameters
        ----------
        t
            Times.
        """
        return None

    def transform(self, x: Array) -> Array:
        """Return the DCT of data.

        Parameters
        ----------
        x
            Data.
        """
        raise NotImplementedError

    def inverse(self, u: Array) -> Array:
        """Return the data of DCT coefficients.

        Parameters
        ----------
        u
            Coefficients.
        """
        raise NotImplementedError

    def frequency_scaling(self, t: Array, n: int) -> Array:
        """Return d_t, what the blur leaves of each frequency.

        Parameters
        ----------
        t
            Times.
        n
            Number of pixels of a side.
        """
        raise NotImplementedError

    def noise_scaling(self, t: Array) -> tuple[Array, Array]:
        """Return a_t and sigma_t, of shape (B,).

        Parameters
        ----------
        t
            Times.
        """
        raise NotImplementedError

    def marginal(self, t: Array, n: int) -> tuple[Array, Array]:
        """Return alpha_t and sigma_t.

        Parameters
        ----------
        t
            Times.
        n
            Number of pixels of a side.
        """
        raise NotImplementedError

    def transition(self, t: Array, s: Array, n: int) -> tuple[Array, Array]:
        """Return alpha_{t|s} and sigma_{t|s}^2.

        Parameters
        ----------
        t
            Times.
        s
            Earlier times.
        n
            Number of pixels of a side.
        """
        raise NotImplementedError

    def posterior(self, t: Array, s: Array, n: int) -> tuple[Array, Array, Array]:
        """Return the coefficients of u_t and u_0 and the variance of q(u_s | u_t, u_0).

        Parameters
        ----------
        t
            Times.
        s
            Earlier times.
        n
            Number of pixels of a side.
        """
        raise NotImplementedError

    def diffuse(self, x: Array, t: Array, eps: Array) -> Array:
        """Return noisy data z_t.

        Parameters
        ----------
        x
            Data in [-1, 1].
        t
            Times.
        eps
            Standard normal noise.
        """
        raise NotImplementedError

    def denoise(self, z: Array, t: Array, s: Array, eps_hat: Array, noise: Array) -> Array:
        """Return z_s, one step of the sampler.

        Parameters
        ----------
        z
            Noisy data.
        t
            Times.
        s
            Earlier times.
        eps_hat
            What the network predicts, in pixel space.
        noise
            Standard normal noise.
        """
        raise NotImplementedError

    def has(self, operation: str) -> bool:
        """Return whether there is such a function.

        Parameters
        ----------
        operation
            Name of a method.
        """
        return getattr(type(self), operation) is not getattr(Adapter, operation)
