"""Each basis agrees with its dense matrix, keeps lengths and is its own undoing, wherever the grid lies in the data."""

import numpy as np
from blurcore_reference import oracle
from hypothesis import given
from hypothesis import strategies as st

import blurcore as bc
from blurcore.testing import strategies as bst
from blurcore.testing.assertions import EPSILON, assert_close, tolerance

BASES = (bc.DCT(), bc.DST(), bc.RealFourier(), bc.Identity())


def normwise(x, layout, work, passes=1):
    """Return a bound on the error of each element of a transform.

    A sum of N products is off by at most N roundings of sum |m||x|, and sum |m||x| <= |row| |x| = |x| by Cauchy and
    Schwarz, the rows having length 1; each element of the matrix is off by four roundings itself. Axes add up.
    """
    length = np.sqrt(np.sum(x**2, axis=layout.axes, keepdims=True))
    return passes * (sum(layout.grid) + 4 * len(layout.grid)) * EPSILON[work] * length


@given(st.data())
def test_transform_agrees_with_the_dense_matrix_and_is_undone_by_its_inverse(xp, data):
    basis, layout = data.draw(st.sampled_from(BASES)), data.draw(bst.layouts())
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    x = data.draw(bst.data(layout.shape))
    array, kind = xp.asarray(x, dtype), type(basis).__name__
    # the reference makes the same sums in float64: its error is of the same bound, hence two passes
    bound = normwise(x, layout, dtype, passes=2)
    forward, inverse = (f(array, axes=layout.axes) for f in (basis.forward, basis.inverse))
    assert_close(forward, oracle.forward(x, layout.axes, kind), like=array, rtol=0.0, atol=bound)
    assert_close(inverse, oracle.inverse(x, layout.axes, kind), like=array, rtol=0.0, atol=bound)
    assert_close(basis.inverse(forward, axes=layout.axes), x, like=array, rtol=0.0, atol=bound)
    energy = np.sum(xp.to_numpy(forward) ** 2, axis=layout.axes)
    # | |u|^2 - |x|^2 | <= 2 |x| |error|, and the error's length is at most sqrt(points) times its largest element
    length = np.sqrt(np.sum(x**2, axis=layout.axes))
    slack = 2 * length * np.max(bound) * np.sqrt(np.prod(layout.grid)) + 4 * EPSILON["float64"] * length**2
    assert_close(energy, length**2, rtol=0.0, atol=slack)


@given(st.data())
def test_eigenvalues_agree_with_exact_fractions_of_pi_squared(xp, data):
    basis, shape = data.draw(st.sampled_from(BASES)), data.draw(bst.grid_shapes())
    dtype = data.draw(st.sampled_from(("float32", "float64")))
    like = xp.asarray(np.zeros(1), dtype)
    desired = oracle.eigenvalues(type(basis).__name__, shape)
    # (k pi / N)^2: four roundings in float64, one for each sum, and one to float32
    rtol = tolerance("float64", roundings=8) + (tolerance("float32", roundings=0.5) if dtype == "float32" else 0.0)
    assert_close(basis.eigenvalues(shape, like=like), desired, like=like, rtol=rtol)
