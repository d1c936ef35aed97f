"""JAX: arrays on any device. `BACKEND` is the entry point's object."""

from blurcore_jax.backend import BACKEND

__all__ = ["BACKEND"]
