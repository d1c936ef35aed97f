r"""Inverse heat dissipation in diffusers: its scheduler, and a pipeline that carries the blurred data which sampling starts from.

.. math:: u_{k-1} = \mu_\theta(u_k, k) + \delta n, \qquad u_K = A_K x + \sigma n, \quad x \text{ a training image}

(Rissanen et al. 2022; SPEC 7). Level k + 1 of K is step k of diffusers.
"""

# No annotations from the future: diffusers reads those of a pipeline's constructor as they stand.

from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.torch_utils import randn_tensor

from blurcore._checks import require
from blurcore.diffusers.pipeline import BlurringPipeline
from blurcore.diffusers.scheduler import KINDS, BlurringScheduler, grid_axes
from blurcore.errors import ArgumentError
from blurcore.objectives import HeatReversal
from blurcore.processes import HeatDissipation, Process
from blurcore.samplers import InverseHeat, Predicts, Solver
from blurcore.starts import Support


class HeatDissipationScheduler(BlurringScheduler):
    """One level of blur back in each step.

    Parameters
    ----------
    num_train_timesteps
        K, the levels of the blur.
    process
        A :class:`blurcore.HeatDissipation`, or its dictionary. None: theirs, of K levels up to 24 pixels.
    prediction_type
        "residual": the image one level less blurred minus the one that the network sees, which is what they train; or what
        :class:`BlurringScheduler` takes.
    delta
        Noise of a step; 1.25 sigma where not given. The last step adds none.
    timestep_spacing, steps_offset
        As for `DDPMScheduler`.

    Raises
    ------
    ArgumentError, ConfigError
        An argument makes no sense; or the blur has not K levels, which a network that predicts the residual goes back one by one.
    """

    clips = False
    _compatibles: list[str] = []  # noqa: RUF012 (diffusers' own attribute)
    _kinds: dict[str, Any] = {**KINDS, "residual": None}  # noqa: RUF012

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 200,
        process: HeatDissipation | dict[str, Any] | None = None,
        prediction_type: str = "residual",
        delta: float | None = None,
        timestep_spacing: str = "trailing",
        steps_offset: int = 0,
    ) -> None:
        if process is None:
            process = {"kind": "HeatDissipation", "blur": {"kind": "LogLinear", "num_levels": num_train_timesteps}}
        BlurringScheduler.__init__.__wrapped__(
            self, num_train_timesteps, prediction_type=prediction_type, process=process, clip_sample=False
        )
        if prediction_type == "residual":
            levels = HeatReversal(process=self.process).levels
            require(
                levels == num_train_timesteps,
                "num_train_timesteps",
                num_train_timesteps,
                f"the {levels} levels of process.blur",
            )
        InverseHeat(process=self.process, delta=delta)  # refuses a bad delta

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: Any = None, timesteps: list[int] | None = None
    ) -> None:
        """Choose the levels; see :meth:`BlurringScheduler.set_timesteps`.

        Raises
        ------
        ValueError
            As there; or the network predicts the residual, and not all levels are asked for.
        """
        levels, chosen = self.config.num_train_timesteps, num_inference_steps if timesteps is None else len(timesteps)
        if self.config.prediction_type == "residual" and chosen != levels:
            raise ArgumentError(
                f"num_inference_steps must be {levels}: a network that predicts the residual goes back level by level; got {chosen}"
            )
        super().set_timesteps(num_inference_steps, device=device, timesteps=timesteps)

    def get_residual(self, sample: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return the target of "residual" for data `sample`; arguments as for :meth:`add_noise`."""
        pair = HeatReversal(process=self.process).pair(
            sample, self._times(timesteps, sample), noise.to(sample.dtype), axes=grid_axes(sample)
        )
        return pair.target

    def _understand(self, coded: torch.Tensor, u: torch.Tensor, t: float, axes: tuple[int, ...]) -> torch.Tensor:
        """Return the mean of the next state, or the predicted data, in frequency space."""
        return u + coded if self.config.prediction_type == "residual" else super()._understand(coded, u, t, axes)

    def _limit(self, x: torch.Tensor) -> None:
        """Leave it as it is."""

    def _noise(self, like: torch.Tensor, k: int, s: float, generator: Any) -> torch.Tensor | None:
        if s == 0 or self.config.delta == 0:
            return None
        noise: torch.Tensor = randn_tensor(like.shape, generator=generator, device=like.device, dtype=like.dtype)
        return noise

    def _solver(self, axes: tuple[int, ...]) -> Solver:
        predicts: Predicts = "mean" if self.config.prediction_type == "residual" else "data"
        return InverseHeat(process=self.process, axes=axes, delta=self.config.delta, predicts=predicts)


class BlurredDataPrior(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Blurred training data, of which one is drawn for each sample; only the frequencies that the blur leaves are kept.

    Parameters
    ----------
    grid
        Sizes of the grid.
    channels, num_images, num_frequencies
        How many there are of each.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, grid: list[int], channels: int, num_images: int, num_frequencies: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(num_frequencies, dtype=torch.int64))
        self.register_buffer("coefficients", torch.zeros(num_images, num_frequencies, channels))
        self.frequencies: torch.Tensor
        self.coefficients: torch.Tensor

    @classmethod
    def of(
        cls, grid: tuple[int, ...], frequencies: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
    ) -> "BlurredDataPrior":
        """Return the prior of coefficients (images, frequencies, C) at flat places `frequencies` of a grid."""
        prior: BlurredDataPrior = cls(list(grid), values.shape[2], values.shape[0], values.shape[1])
        prior.frequencies.copy_(torch.from_numpy(frequencies.astype(np.int64)))
        prior.coefficients.copy_(torch.from_numpy(values.astype(np.float32)))
        return prior

    @classmethod
    def from_images(cls, images: torch.Tensor, process: Process) -> "BlurredDataPrior":
        """Return the prior that training images ``(n, C, *grid)``, in the range of training, make for a process."""
        grid = tuple(images.shape[2:])
        x = np.asarray(images.detach().cpu().float().movedim(1, -1))
        alpha = np.broadcast_to(np.asarray(process.marginal(1.0, shape=grid).alpha), grid)[..., None]
        support = Support.of(process, grid)
        u = alpha * process.basis.forward(x, axes=tuple(range(1, 1 + len(grid))))
        return cls.of(grid, support.frequencies, support.take(u))

    def draw(self, batch_size: int, generator: torch.Generator | list[torch.Generator] | None = None) -> torch.Tensor:
        """Return blurred images without noise, as coefficients ``(batch_size, C, *grid)`` on the prior's device."""
        each = generator if isinstance(generator, list) else [generator]
        rows = [
            torch.randint(
                len(self.coefficients),
                (batch_size // len(each),),
                generator=g,
                device=g.device if g is not None else None,
            )
            for g in each
        ]
        chosen = self.coefficients[torch.cat([row.to(self.coefficients.device) for row in rows])]
        u = chosen.new_zeros(batch_size, int(np.prod(self.config.grid)), self.config.channels)
        u[:, self.frequencies] = chosen
        return u.reshape(batch_size, *self.config.grid, self.config.channels).movedim(-1, 1)

    def forward(self, batch_size: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return :meth:`draw`."""
        return self.draw(batch_size, generator)


class HeatDissipationPipeline(BlurringPipeline):
    """From blurred training data to images; the saved pipeline carries what it needs of the data.

    Parameters
    ----------
    unet, data_range, num_steps
        As for :class:`BlurringPipeline`.
    scheduler
        A :class:`HeatDissipationScheduler`, or a :class:`BlurringScheduler` of heat dissipation.
    prior
        A :class:`BlurredDataPrior`.
    """

    def __init__(
        self, unet: Any, scheduler: Any, prior: BlurredDataPrior, data_range: str = "symmetric", num_steps: int = 0
    ) -> None:
        super().__init__(unet=unet, scheduler=scheduler, data_range=data_range, num_steps=num_steps)
        self.register_modules(prior=prior)

    def _start(self, shape: tuple[int, ...], generator: Any) -> torch.Tensor:
        grid, channels = tuple(self.prior.config.grid), self.prior.config.channels
        require((channels, *grid) == shape[1:], "prior", (channels, *grid), f"of the network's shape, {shape[1:]}")
        noise = super()._start(shape, generator)
        u = self.prior.draw(shape[0], generator).to(noise.device)
        return noise + self.scheduler.process.basis.inverse(u, axes=grid_axes(u)).to(noise.dtype)
