r"""A diffusers scheduler for every process with noise: DDPM's contract, with one coefficient for each frequency (SPEC 2 - 5).

Step k = 0 .. N - 1 of diffusers is the time t = (k + 1) / N, and "before step 0" is t = 0. Between two calls the state is in data
space, as the contract has it, so that a step takes a transform there and back. The noise of a step is drawn in data space:
the basis is orthonormal, and without blur the samples are those of `DDPMScheduler` with the same generator.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

from blurcore._checks import plain, require
from blurcore.alpha_bars import AlphaBars
from blurcore.diffusion import diffuse, marginal_for
from blurcore.engine.sampling import has_noise
from blurcore.errors import ArgumentError
from blurcore.losses import check_prediction, training_pair
from blurcore.prediction import Kind, convert
from blurcore.processes import BlurringDiffusion, GaussianDiffusion, Process
from blurcore.samplers import Ancestral, Prediction, SamplerState, Solver
from blurcore.samplers.clipping import quantile
from blurcore.schedules import SinSquared
from blurcore.serial import from_dict, to_dict
from blurcore.transforms import Identity

KINDS: dict[str, Kind] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
"""What diffusers calls a prediction, and what it is called here."""
_VARIANCES = {"fixed_small": "posterior", "fixed_small_log": "posterior", "fixed_large": "upper"}
_LOOKED_AT = (64, 64)  # a grid whose frequencies stand for those of any
_log = logging.getLogger(__name__)


@dataclass
class BlurringSchedulerOutput(BaseOutput):  # type: ignore[misc]
    """What a step returns.

    Attributes
    ----------
    prev_sample
        The state one step back, in data space.
    pred_original_sample
        The data that the network predicts, in data space.
    """

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor | None = None


class BlurringScheduler(DDPMScheduler):  # type: ignore[misc]
    """Ancestral sampling of a process with noise, and its forward process for training.

    Parameters
    ----------
    num_train_timesteps
        N: the network is trained at steps 0 .. N - 1, which are the times 1 / N .. 1.
    process
        A process of this package, or its dictionary (:func:`blurcore.to_dict`): ``{"kind": "BlurringDiffusion"}`` is that of the
        paper. None: the noise of a DDPM scheduler, which the beta arguments describe as they do there, and the paper's blur.
    sigma_blur_max, min_scale
        The blur in pixels at the last step, and the least it leaves of a frequency, where `process` is None. 0: no blur, that is
        DDPM.
    beta_start, beta_end, beta_schedule, trained_betas, rescale_betas_zero_snr
        As for `DDPMScheduler`; the last must be False.
    variance_type
        "fixed_small", which "fixed_small_log" is too, or "fixed_large".
    clip_sample, clip_sample_range
        Clip the predicted data, in data space. None: where there is no blur. Early in a blurring process the predicted image holds
        the errors of frequencies that are all but gone, and clipping spreads them.
    prediction_type
        "epsilon", "sample" or "v_prediction".
    thresholding, dynamic_thresholding_ratio, sample_max_value, timestep_spacing, steps_offset
        As for `DDPMScheduler`. "trailing" starts at t = 1, like the samplers of this package; "leading" does not.

    Raises
    ------
    ArgumentError, ConfigError, DegenerateError
        An argument makes no sense, the process has no noise, or the prediction cannot be turned into data.
    """

    _compatibles = ["DDPMScheduler"]  # noqa: RUF012 (diffusers' own attribute)
    order = 1
    clips = True
    """Whether it takes diffusers' settings of clipping."""
    _kinds: dict[str, Any] = KINDS

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray[Any, Any] | list[float] | None = None,
        variance_type: str = "fixed_small",
        clip_sample: bool | None = None,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        process: Process | dict[str, Any] | None = None,
        sigma_blur_max: float = 20.0,
        min_scale: float = 1e-3,
    ) -> None:
        num_train_timesteps = plain(num_train_timesteps)
        self._check(num_train_timesteps, prediction_type, variance_type, rescale_betas_zero_snr)
        DDPMScheduler.__init__.__wrapped__(  # past the decorator, which would take these for the whole configuration
            self, num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas, variance_type
        )
        if process is not None and not isinstance(process, dict):
            process = to_dict(process)
        self.register_to_config(
            process=process,
            **{name: plain(value) for name, value in self.config.items() if isinstance(value, np.generic)},
        )
        self.process: Process = self._make_process(process, sigma_blur_max, min_scale)
        if prediction_type in KINDS:
            check_prediction(self.process, KINDS[prediction_type], (1 / self._steps, 1.0), shape=_LOOKED_AT)
        self._tables(process)
        if self._blurs and (clip_sample or thresholding):
            _log.warning(
                "clip_sample and thresholding spread the errors of blurred frequencies over the image;"
                " pass clip_sample=False, thresholding=False where the process blurs"
            )

    def _check(
        self, num_train_timesteps: int, prediction_type: str, variance_type: str, rescale_betas_zero_snr: bool
    ) -> None:
        """Refuse what is wrong whatever the process."""
        require(
            isinstance(num_train_timesteps, int) and num_train_timesteps >= 1,
            "num_train_timesteps",
            num_train_timesteps,
            "a whole number >= 1",
        )
        require(prediction_type in self._kinds, "prediction_type", prediction_type, " or ".join(map(repr, self._kinds)))
        require(variance_type in _VARIANCES, "variance_type", variance_type, " or ".join(map(repr, _VARIANCES)))
        require(
            not rescale_betas_zero_snr,
            "rescale_betas_zero_snr",
            rescale_betas_zero_snr,
            "False: without any signal at the last step there is nothing to divide by",
        )

    @classmethod
    def from_process(cls, process: Process, num_train_timesteps: int = 1000, **settings: Any) -> BlurringScheduler:
        """Return the scheduler of a process; `settings` are arguments of the class."""
        made: BlurringScheduler = cls(process=process, num_train_timesteps=num_train_timesteps, **settings)
        return made

    def _make_process(self, process: dict[str, Any] | None, sigma_blur_max: float, min_scale: float) -> Process:
        if process is not None:
            made: Process = from_dict(process, name="process")
            if not has_noise(made, (1, 1)):
                name = type(made).__name__
                raise ArgumentError(
                    f"process must have noise; {name} has none, and its samplers are those of `blurcore sample`"
                )
            return made
        noise = AlphaBars(values=tuple(self.alphas_cumprod.tolist()))
        if sigma_blur_max == 0:
            return GaussianDiffusion(noise=noise)
        return BlurringDiffusion(noise=noise, blur=SinSquared(sigma_blur_max=sigma_blur_max), min_scale=min_scale)

    @property
    def _steps(self) -> int:
        """N; there may be as many betas as are given."""
        return len(self.betas) if self.config.process is None else self.config.num_train_timesteps

    def _tables(self, process: dict[str, Any] | None) -> None:
        """Set what diffusers' users look up, for the DC band: its share of signal, alpha-bar, at each step, and the like."""
        if process is None:
            return  # DDPM's own
        times = np.arange(1, self._steps + 1) / self._steps
        log_snr = np.asarray(self.process.log_snr(times, shape=(1, 1))).reshape(-1)
        self.alphas_cumprod = torch.from_numpy(1 / (1 + np.exp(-log_snr))).float()
        self.alphas = self.alphas_cumprod / torch.cat([self.one[None], self.alphas_cumprod[:-1]])
        self.betas = 1 - self.alphas
        self.init_noise_sigma = float(np.asarray(self.process.marginal(1.0, shape=(1, 1)).sigma).item())

    @property
    def _blurs(self) -> bool:
        return not isinstance(self.process.basis, Identity)

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: Any = None, timesteps: list[int] | None = None
    ) -> None:
        """Choose the steps at which the network is called, as `DDPMScheduler` does.

        Parameters
        ----------
        num_inference_steps
            How many, from 1 to N.
        device
            Where `timesteps` goes.
        timesteps
            Steps of one's own in their place, falling, from N - 1 or less to 0 or more.

        Raises
        ------
        ValueError
            Both are given or none, there are too many, or they do not fall.
        """
        if timesteps is None:
            require(
                isinstance(num_inference_steps, (int, np.integer)) and num_inference_steps >= 1,
                "num_inference_steps",
                num_inference_steps,
                f"a whole number from 1 to {self.config.num_train_timesteps}",
            )
        else:
            require(len(timesteps) >= 1, "timesteps", timesteps, "one step or more")
            require(min(timesteps) >= 0, "timesteps", timesteps, "0 or more each")
        super().set_timesteps(num_inference_steps, device=device, timesteps=timesteps)

    def previous_timestep(self, timestep: int | torch.Tensor) -> torch.Tensor:
        """Return the step that comes after one on the way to the data: the next lower one that was chosen, or -1."""
        step = torch.as_tensor(timestep)
        if not (self.custom_timesteps or self.num_inference_steps):
            return step - 1
        lower = self.timesteps[self.timesteps < step.to(self.timesteps.device)]
        return lower[0] if len(lower) else torch.tensor(-1)

    def _time(self, step: int) -> float:
        return (step + 1) / self._steps

    def _step_number(self, timestep: int | float | torch.Tensor) -> int:
        if isinstance(timestep, torch.Tensor) and timestep.numel() != 1:
            raise ArgumentError(f"timestep must be one number; got a tensor of shape {tuple(timestep.shape)}")
        require(0 <= int(timestep) < self._steps, "timestep", int(timestep), f"from 0 to {self._steps - 1}")
        return int(timestep)

    def _times(self, timesteps: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the times of a batch's steps, on the device of the batch."""
        steps = torch.as_tensor(timesteps).flatten()
        if steps.device.type == "cpu" and not bool(
            ((steps >= 0) & (steps < self._steps)).all()
        ):  # no waiting for others
            raise ArgumentError(f"timesteps must be from 0 to {self._steps - 1}; got {steps.tolist()}")
        dtype = torch.float32 if x.device.type == "mps" else torch.float64
        return (steps.to(device=x.device, dtype=dtype) + 1) / self._steps

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return noisy, blurred data in data space: the paper's eq. 9.

        Parameters
        ----------
        original_samples
            Data ``(B, C, *grid)``; images in [-1, 1].
        noise
            Standard normal, of the same shape.
        timesteps
            (B,) or (1,), steps from 0 to N - 1.
        """
        times = self._times(timesteps, original_samples)
        return diffuse(self.process, original_samples, times, noise.to(original_samples.dtype), axes=grid_axes(noise))

    def get_velocity(self, sample: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return the target of "v_prediction" for data `sample`; arguments as for :meth:`add_noise`."""
        times = self._times(timesteps, sample)
        pair = training_pair(
            self.process, sample, times, noise.to(sample.dtype), prediction="v", axes=grid_axes(sample)
        )
        return pair.target

    def init_noise(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the state to start from: white noise in data space, coloured where the process ends in coloured noise."""
        axes, first = grid_axes(noise), self._time(int(self.timesteps[0]))
        sigma: torch.Tensor = marginal_for(self.process, first, noise, axes=axes).sigma
        if not self._blurs or sigma.numel() == 1:
            return (sigma * noise).to(noise.dtype)
        basis = self.process.basis
        return basis.inverse(sigma * basis.forward(noise, axes=axes), axes=axes).to(noise.dtype)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> BlurringSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """Go one step back.

        Parameters
        ----------
        model_output
            What the network says of `sample`, ``(B, C, *grid)``, in data space.
        timestep
            The step that `sample` is at.
        sample
            The state, of the same shape, in data space.
        generator
            Where the noise comes from.
        return_dict
            Return a tuple of the two fields of :class:`BlurringSchedulerOutput` where False.

        Returns
        -------
        BlurringSchedulerOutput
            In the dtype of `sample`; worked out in float32 at least.

        Raises
        ------
        ArgumentError
            Shapes differ, or there is no such step.
        """
        k = self._step_number(timestep)
        previous = int(self.previous_timestep(k))
        require(
            model_output.shape == sample.shape,
            "model_output",
            tuple(model_output.shape),
            f"of the shape of sample, {tuple(sample.shape)}",
        )
        axes, basis = grid_axes(sample), self.process.basis
        t, s = self._time(k), self._time(previous)
        u = basis.forward(sample, axes=axes)
        coded = self._understand(basis.forward(model_output, axes=axes), u, t, axes)
        data = basis.inverse(coded, axes=axes)
        if (limited := self._limit(data)) is not None:
            data, coded = limited, basis.forward(limited, axes=axes)
        noise = self._noise(model_output, k, s, generator)
        drawn = None if noise is None else basis.forward(noise, axes=axes)
        after: torch.Tensor = self._solver(axes).step(SamplerState(u), Prediction(x0=coded), t, s, drawn).u
        results = (basis.inverse(after, axes=axes).to(sample.dtype), data.to(sample.dtype))
        return BlurringSchedulerOutput(*results) if return_dict else results

    def _understand(self, coded: torch.Tensor, u: torch.Tensor, t: float, axes: tuple[int, ...]) -> torch.Tensor:
        """Return the predicted data in frequency space."""
        marginal = marginal_for(self.process, t, u, axes=axes)
        return convert(coded, self._kinds[self.config.prediction_type], "x0", z=u, marginal=marginal)

    def _limit(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return predicted data brought into their range, or None where that is off."""
        if self.config.thresholding:
            limited: torch.Tensor = self._threshold_sample(x)
            return limited
        clips = not self._blurs if self.config.clip_sample is None else self.config.clip_sample
        return x.clamp(-self.config.clip_sample_range, self.config.clip_sample_range) if clips else None

    def _threshold_sample(self, sample: torch.Tensor) -> torch.Tensor:
        """Return a sample brought into its range as a whole, of any size: PyTorch's quantile ends at 2^24 numbers."""
        rows = sample.abs().flatten(1).to(torch.float64 if sample.dtype == torch.float64 else torch.float32)
        size = quantile(rows, self.config.dynamic_thresholding_ratio)
        size = size.clamp(1.0, self.config.sample_max_value).reshape(-1, *[1] * (sample.ndim - 1))
        return (sample.clamp(-size, size) / size).to(sample.dtype)

    def _noise(self, like: torch.Tensor, k: int, s: float, generator: Any) -> torch.Tensor | None:
        """Return the noise of a step, in data space.

        Where DDPM draws, this draws, so that a generator gives both the same. To t = 0 the posterior's variance is that of the
        data, which nobody wants to see: 0 for betas, but sigma_0^2 for other schedules.
        """
        if k == 0:
            return None
        noise: torch.Tensor = randn_tensor(like.shape, generator=generator, device=like.device, dtype=like.dtype)
        return noise if s > 0 or _VARIANCES[self.config.variance_type] == "upper" else None

    def _solver(self, axes: tuple[int, ...]) -> Solver:
        return Ancestral(process=self.process, axes=axes, variance=_VARIANCES[self.config.variance_type])  # type: ignore[arg-type]


def grid_axes(x: torch.Tensor) -> tuple[int, ...]:
    """Return the axes of the grid of data ``(B, C, *grid)``."""
    require(x.ndim >= 3, "sample", tuple(x.shape), "of shape (batch, channels, *grid)")
    return tuple(range(2 - x.ndim, 0))
