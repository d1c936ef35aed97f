"""JAX keys for the derived seeds of :mod:`blurcore.engine.seeds`."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from blurcore.engine import Stream, derived_seed


def key(seed: int, stream: Stream, *index: int) -> jax.Array:
    """Return a key for one draw, the same with and without float64, whatever generator JAX has as its default."""
    words = divmod(derived_seed(seed, stream, *index), 2**32)
    return jax.random.wrap_key_data(jnp.asarray(np.array(words, dtype=np.uint32)), impl="threefry2x32")


def sample_keys(seed: int, indices: Sequence[int]) -> jax.Array:
    """Return a key for each sample; sample i follows from (seed, i) alone."""
    words = np.array([divmod(derived_seed(seed, Stream.SAMPLE, i), 2**32) for i in indices], dtype=np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")
