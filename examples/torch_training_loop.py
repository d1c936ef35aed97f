"""The process in somebody's own PyTorch training loop: two calls of blurcore, everything else is yours."""

import torch

import blurcore as bc

process = bc.BlurringDiffusion()
images = torch.rand(256, 1, 16, 16) * 2 - 1  # your data, in [-1, 1]
network = torch.nn.Conv2d(2, 1, 5, padding=2)  # your network, any f(z, t)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)


def f(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return network(torch.cat([z, t.view(-1, 1, 1, 1).expand_as(z)], dim=1))


for step in range(100):
    x = images[torch.randint(len(images), (32,))]
    t = bc.draw_times(torch.rand(len(x)), "low_discrepancy")
    z, eps = bc.training_pair(process, x, t, torch.randn_like(x))  # blur and noise, in one transform pair
    loss = bc.simple_loss(f(z, t), eps).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

solver, basis = bc.Ancestral(process=process), process.basis
times = bc.uniform_times(50)
state = bc.SamplerState(torch.randn(4, 1, 16, 16))  # the state stays in frequency space
for t, s in zip(times[:-1], times[1:], strict=True):
    with torch.no_grad():
        eps = f(basis.inverse(state.u), torch.full((4,), t))
    noise = torch.randn_like(eps) if s > 0 else None
    state = solver.step(state, bc.predict(process, eps, "eps", state.u, t), t, s, noise)
samples = basis.inverse(state.u)
print(f"loss {loss.item():.3f}, samples {tuple(samples.shape)}")
