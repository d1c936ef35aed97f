"""Schedulers of diffusers: `add_noise` and the ancestral `step`, held to the process of their own betas and blur.

Step k = 0 .. N - 1 of diffusers is the time t = (k + 1) / N. DDIM's step is asked for with eta = 1, where it is ancestral.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from blurcore.alpha_bars import AlphaBars
from blurcore.errors import ArgumentError
from blurcore.processes import BlurringDiffusion, GaussianDiffusion, Process
from blurcore.schedules import SinSquared
from blurcore.transforms import DCT, Identity
from blurcore.verify.against.adapter import Adapter
from blurcore.verify.against.found import RaisedError, UnaskableError
from blurcore.verify.against.names import meaning_of
from blurcore.verify.against.probes import held

Array = np.ndarray[Any, Any]
_KINDS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}


def is_scheduler(thing: Any) -> bool:
    """Return whether something is a scheduler of diffusers, or the class of one."""
    methods = all(callable(getattr(thing, name, None)) for name in ("add_noise", "step", "set_timesteps"))
    return methods and (inspect.isclass(thing) or hasattr(thing, "alphas_cumprod"))


class Scheduler(Adapter):
    """A scheduler of diffusers.

    Parameters
    ----------
    scheduler
        An instance.

    Raises
    ------
    ArgumentError
        Its last step has no signal left, or it works on a grid of sigmas of its own.
    """

    dtype = "float32"  # what its tables are

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.config = scheduler, dict(scheduler.config)
        name = type(scheduler).__name__
        self.bars = np.asarray(scheduler.alphas_cumprod, dtype=np.float64)
        self.steps = len(self.bars)
        self.size, self.channels = 8, 3
        self.variance = "upper" if str(self.config.get("variance_type")).startswith("fixed_large") else "posterior"
        settings = {meaning: value for key, value in self.config.items() if (meaning := meaning_of(key)) is not None}
        if hasattr(scheduler, "sigmas"):  # Euler's, Heun's and the like, whose states are x + sigma eps; DPM-Solver's
            raise ArgumentError(
                f"{name} works on a grid of sigmas of its own; known are schedulers like DDPM's and DDIM's"
            )
        own = getattr(scheduler, "process", None)  # which our own schedulers have
        self.blurs = (own is not None and not isinstance(own.basis, Identity)) or self._blurs()
        self.sigma_blur_max = float(settings.get("sigma_blur_max", 20.0)) if self.blurs else 0.0
        self.min_scale = float(settings.get("min_scale", 1e-3)) if self.blurs else 0.0
        self.process = process = self._process(name) if own is None else own
        alpha, sigma = (float(np.asarray(v).ravel()[0]) for v in process.marginal(1.0, shape=(8, 8)))
        self.title = (
            f"{'blurring' if self.blurs else 'Gaussian'} diffusion with the betas of {name}, {self.steps} steps, "
            f"prediction {self.config.get('prediction_type', 'epsilon')}"
        )
        self.notes = (
            f"at t = 1 the mean of an image has alpha = {alpha:.3g}, sigma = {sigma:.3g}; the paper's cosine has alpha = 0.00674. "
            "Networks and samplers of schedules that end elsewhere do not fit each other",
        )

    def _process(self, name: str) -> Process:
        try:
            noise = AlphaBars(values=tuple(self.bars.tolist()))
        except ArgumentError as error:
            raise ArgumentError(f"{name} cannot be held to a process: {error}") from None
        if not self.blurs:
            return GaussianDiffusion(noise=noise)
        blur = SinSquared(sigma_blur_max=self.sigma_blur_max)
        return BlurringDiffusion(noise=noise, blur=blur, min_scale=self.min_scale)

    def _blurs(self) -> bool:
        """Return whether data come out as anything but a multiple of themselves."""
        x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 8, 8))
        z = self.diffuse(x, np.ones(1), 0 * x)
        return not np.allclose(z, x * (z * x).sum() / (x * x).sum(), atol=1e-6)

    def scales(self, t: Array) -> tuple[Array, Array]:
        """Return a_t^2 and sigma_t^2 of its table.

        Parameters
        ----------
        t
            Times, multiples of 1 / N.
        """
        place = np.clip(np.rint(t * self.steps).astype(int), 0, self.steps)
        bars = np.concatenate([[1.0], self.bars])[place]
        return bars, 1 - bars

    def has(self, operation: str) -> bool:
        """Return whether it is asked for an operation.

        Parameters
        ----------
        operation
            Name of a method.
        """
        return operation in ("diffuse", "denoise")

    def _index(self, t: Array) -> Array:
        return np.asarray(np.rint(t * self.steps), dtype=np.int64) - 1

    def diffuse(self, x: Array, t: Array, eps: Array) -> Array:
        """Return `add_noise`.

        Parameters
        ----------
        x, t, eps
            Data, times, noise.
        """
        torch: Any = sys.modules["torch"]
        data, noise, steps = (torch.asarray(v.copy()) for v in (x, eps, self._index(t)))
        return self._ask(lambda: self.scheduler.add_noise(data, noise, steps))

    def denoise(self, z: Array, t: Array, s: Array, eps_hat: Array, noise: Array) -> Array:
        """Return `step`, image by image, each at its own time.

        Parameters
        ----------
        z, t, s, eps_hat, noise
            State, times, prediction and noise.
        """
        torch: Any = sys.modules["torch"]
        names, name = inspect.signature(self.scheduler.step).parameters, type(self.scheduler).__name__
        if "eta" not in names and not str(self.config.get("variance_type")).startswith("fixed"):
            raise UnaskableError(f"the step of {name} is not ancestral; add_noise alone was asked")
        if not s.any() and self.config.get("set_alpha_to_one") is False:
            raise UnaskableError(
                "set_alpha_to_one=False: the last step ends with the noise of the first, not at the data"
            )
        more = {"eta": 1.0} if "eta" in names else {}
        output = self._said(z, t, eps_hat)
        noise = np.asarray(DCT().inverse(noise))  # which schedulers draw in pixel space

        def steps() -> Any:
            results = []
            for b, k in enumerate(self._index(t)):
                self.scheduler.set_timesteps(self.steps)
                z_b, out = (torch.asarray(v[b : b + 1].copy()) for v in (z, output))
                with held(noise[b : b + 1]):
                    results += self.scheduler.step(out, int(k), z_b, return_dict=False, **more)[0]
            return torch.stack(results)

        return self._ask(steps)

    def _said(self, z: Array, t: Array, eps_hat: Array) -> Array:
        """Return the output, in the scheduler's prediction type, of a network that predicts eps_hat."""
        kind = _KINDS.get(str(self.config.get("prediction_type", "epsilon")))
        if kind is None:
            raise UnaskableError(f"prediction_type {self.config['prediction_type']!r} is not one that I know")
        assert self.process is not None
        basis = self.process.basis
        u, u_eps = (np.asarray(basis.forward(v)) for v in (z, eps_hat))
        m = self.process.marginal(t, shape=z.shape[-2:])
        alpha, sigma = (np.asarray(v).reshape(len(t), 1, *np.shape(v)[1:]) for v in m)
        x0 = (u - sigma * u_eps) / alpha
        said = {"eps": u_eps, "x0": x0, "v": alpha * u_eps - sigma * x0}[kind]
        return np.asarray(basis.inverse(said))

    def _ask(self, call: Callable[[], Any]) -> Array:
        try:
            answer = call()
        except Exception as error:
            raise RaisedError from error
        result: Array = np.asarray(answer.detach().cpu().numpy(), dtype=np.float64)
        return result
