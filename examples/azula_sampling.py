"""azula's samplers on a blurring process (PyTorch): one schedule and one denoiser, both in frequency space.

azula's schedules give a number for each time. Its samplers are arithmetic on what the schedule returns, so that an array
with a value for each frequency serves as well, as long as the samples are coefficients: alpha (1, 1, H, W), sigma (1, 1, 1, 1).
Its own denoisers reshape those to the shape of t, which an array is not; ours calls the network in data space and gives the mean.

    pip install azula        (brings torchvision; --no-deps and einops are enough)
    python examples/azula_sampling.py
"""

from __future__ import annotations

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import Schedule
from azula.sample import DDIMSampler

import blurcore as bc

AXES = (-2, -1)


class FrequencySchedule(Schedule):
    """alpha_t and sigma_t of each frequency of a process, for coefficients (B, C, *grid)."""

    def __init__(self, process: bc.Process, grid: tuple[int, ...]) -> None:
        self.process, self.grid = process, grid

    def __call__(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        m = self.process.marginal(t.reshape(-1), shape=self.grid)
        alpha, sigma = (c[:, None] for c in m)  # (times, 1, *grid), in the place of channels a 1
        return alpha, sigma


class FrequencyDenoiser(Denoiser):
    """A network of z_t and t in data space, behind coefficients."""

    def __init__(
        self, network: torch.nn.Module, schedule: FrequencySchedule, prediction: bc.prediction.Kind = "eps"
    ) -> None:
        super().__init__()
        self.network, self.schedule, self.prediction = network, schedule, prediction

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **kwargs) -> DiracPosterior:
        process = self.schedule.process
        times = t.reshape(-1).expand(len(x_t))
        output = self.network(process.basis.inverse(x_t, axes=AXES), times, **kwargs)
        return DiracPosterior(mean=bc.predict(process, output, self.prediction, x_t, times, axes=AXES).x0)

    def loss(self, x: torch.Tensor, t: torch.Tensor, **kwargs) -> torch.Tensor:
        z, target = bc.training_pair(self.schedule.process, x, t, torch.randn_like(x), prediction=self.prediction)
        return bc.simple_loss(self.network(z, t, **kwargs), target).mean()


class Network(torch.nn.Module):
    """Yours, any f(z, t)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 1, 5, padding=2)

    def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([z, t.view(-1, 1, 1, 1).expand_as(z)], dim=1))


if __name__ == "__main__":
    torch.manual_seed(0)
    process = bc.BlurringDiffusion()
    images = torch.rand(256, 1, 16, 16) * 2 - 1  # your data, in [-1, 1]
    denoiser = FrequencyDenoiser(Network(), FrequencySchedule(process, (16, 16)), prediction="v")
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-3)
    for _ in range(100):
        x = images[torch.randint(len(images), (32,))]
        loss = denoiser.loss(x, bc.draw_times(torch.rand(len(x)), "low_discrepancy"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sampler = DDIMSampler(denoiser, eta=1.0, steps=50, silent=True)
    u = sampler(sampler.init((4, 1, 16, 16)))
    samples = process.basis.inverse(u, axes=AXES)
    print(f"loss {loss.item():.3f}, samples {tuple(samples.shape)}")
