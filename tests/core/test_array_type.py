"""What the annotation `Array` takes in at run time: arrays of every library, and nothing else."""

import numpy as np
import pytest

from blurcore._typing import Array


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
def test_arrays_of_every_library_are_arrays(xp, shape):
    assert isinstance(xp.asarray(np.ones(shape)), Array)


def test_tracers_of_jax_are_arrays(jax):
    seen = []
    jax.jit(lambda x: seen.append(isinstance(x, Array)) or x)(jax.numpy.ones((2, 3, 4)))
    assert seen == [True]


@pytest.mark.parametrize("value", [[1.0, 2.0], (1.0,), "0.5", 0.5, 1, True, None, range(3), {"a": 1}, object()])
def test_lists_strings_and_numbers_are_none(value):
    assert not isinstance(value, Array)
