"""A process as a corruption process of hackable_diffusion (JAX): its protocol, four methods, data channels last.

The library is not imported, because its protocol asks for methods alone; give this to its losses in the place of its
`GaussianProcess`. Its sampler steps read `corruption_process.schedule`, one number for all frequencies, which here would be
wrong: sample with the solvers of this package, as in jax_training_loop.py.
"""

from __future__ import annotations

import dataclasses

import jax

import blurcore as bc

KINDS = {"x0": "x0", "epsilon": "eps", "score": "score", "v": "v"}
"""What hackable_diffusion calls a prediction, and what it is called here."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrequencyProcess:
    """x_t = V (alpha_t V^T x_0) + sigma_t eps, for arrays (B, H, W, C) and times (B,) or (B, 1, 1, 1)."""

    process: bc.Process = bc.BlurringDiffusion()
    axes: tuple[int, ...] = (1, 2)

    def sample_from_invariant(self, key, data_spec):
        return jax.random.normal(key, data_spec.shape, data_spec.dtype)

    def corrupt(self, key, x0, time):
        noise, t = self.sample_from_invariant(key, x0), time.reshape(-1)
        pairs = {
            name: bc.training_pair(self.process, x0, t, noise, prediction=kind, axes=self.axes)
            for name, kind in KINDS.items()
        }
        return pairs["x0"].z, {name: pair.target for name, pair in pairs.items()}

    def convert_predictions(self, prediction, xt, time):
        ((source, value),) = prediction.items()
        basis, m = self.process.basis, bc.marginal_for(self.process, time.reshape(-1), xt, axes=self.axes)
        u, coded = (basis.forward(x, axes=self.axes) for x in (xt, value))
        return {
            name: basis.inverse(bc.convert(coded, KINDS[source], kind, z=u, marginal=m), axes=self.axes)
            for name, kind in KINDS.items()
        }

    def get_schedule_info(self, time):
        """Of the constant frequency, which is what a network is told."""
        t = time.reshape(-1)
        alpha, sigma = (c.reshape(time.shape) for c in self.process.marginal(t, shape=(1, 1)))
        logsnr = self.process.log_snr(t, shape=(1, 1)).reshape(time.shape)
        return {"time": time, "alpha": alpha, "sigma": sigma, "logsnr": logsnr}


if __name__ == "__main__":
    import jax.numpy as jnp

    process = FrequencyProcess()
    x0 = jnp.zeros((4, 16, 12, 1)) + 0.5
    time = jnp.linspace(0.1, 0.9, 4)
    xt, targets = process.corrupt(jax.random.key(0), x0, time)
    again = process.convert_predictions({"v": targets["v"]}, xt, time)
    print(f"x0 from v is off by {float(abs(again['x0'] - x0).max()):.1e}")
