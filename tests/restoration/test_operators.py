"""Operators as linear maps: their matrices against the reference's, in pixels; their transposes; what they solve."""

from __future__ import annotations

import numpy as np
import pytest
from blurcore_reference import bases
from blurcore_reference import restoration as truth

import blurcore as bc
from blurcore import restoration as rs
from blurcore.errors import ArgumentError
from blurcore.restoration.operator import conjugate_gradients
from blurcore.testing.assertions import assert_close

GRID, SIZE = (4, 6), 24
V = bases.dense_basis("DCT", GRID)
RNG = np.random.default_rng(5)
OPERATORS = [
    rs.Identity(),
    rs.Blur(sigma=0.9),
    rs.LowPass(cutoff=0.5),
    rs.Restrict(factor=2),
    rs.Average(factor=2),
    rs.Mask(low=0.25, high=0.75),
]


def built(operator, axes=(1, 2), basis=None):
    return operator.observation(basis or bc.DCT(), GRID, axes=axes)


def pixels(observation):
    """Return the matrix from pictures to pictures, (seen pixels, pixels)."""
    u = (V.T @ np.eye(SIZE)).T.reshape(SIZE, *GRID, 1)  # one picture of one pixel after another
    shown = observation.show(observation.observe(u))
    return shown.reshape(SIZE, -1).T


@pytest.mark.parametrize(
    ("operator", "matrix"),
    [
        (rs.Identity(), np.eye(SIZE)),
        (rs.Blur(sigma=0.9), truth.blur_matrix("DCT", GRID, 0.9)),
        (rs.LowPass(cutoff=0.5), truth.low_pass_matrix("DCT", GRID, 0.5)),
        (rs.Restrict(factor=2), truth.restrict_matrix(GRID, 2)),
        (rs.Average(factor=2), truth.average_matrix(GRID, 2)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_pictures_of_what_is_observed_are_the_reference_ones(operator, matrix):
    np.testing.assert_allclose(pixels(built(operator)), matrix, atol=1e-13)


def test_box_is_hidden_and_a_picture_hides_what_is_black(tmp_path):
    from PIL import Image

    box = pixels(built(rs.Mask(low=0.25, high=0.75)))
    visible = np.ones(GRID)
    visible[1:3, 2:4] = 0  # 1.5 and 4.5 of 6 are rounded to even
    np.testing.assert_allclose(box, np.diag(visible.reshape(-1)), atol=1e-13)
    Image.fromarray((visible * 200).astype(np.uint8)).save(tmp_path / "hole.png")
    np.testing.assert_allclose(pixels(built(rs.Mask(path=str(tmp_path / "hole.png")))), box, atol=1e-13)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_adjoint_is_the_transpose_on_every_library(operator, xp):
    observation = built(operator, axes=(-2, -1))
    u = xp.asarray(RNG.standard_normal((3, 2, *GRID)), "float64")
    hu = observation.observe(u)
    y = xp.asarray(RNG.standard_normal(tuple(hu.shape)), "float64")
    left, right = (np.sum(xp.to_numpy(a) * xp.to_numpy(b)) for a, b in ((hu, y), (u, observation.adjoint(y))))
    assert abs(left - right) < 1e-12 * np.linalg.norm(xp.to_numpy(hu)) * np.linalg.norm(xp.to_numpy(y))


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_what_is_shown_is_read_again(operator, xp):
    observation = built(operator, axes=(-2, -1))
    y = observation.observe(xp.asarray(RNG.standard_normal((2, *GRID)), "float64"))
    assert_close(observation.read(observation.show(y)), xp.to_numpy(y), rtol=0, atol=1e-13, like=y)


@pytest.mark.parametrize("basis", [bc.DCT(), bc.RealFourier()], ids=["DCT", "RealFourier"])
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_solve_inverts_the_covariance_of_what_is_observed(operator, basis, xp):
    """H C H^T + r, as a matrix, from unit vectors; in the real Fourier basis boxes mix frequencies, and are solved too."""
    if isinstance(operator, rs.Restrict) and isinstance(basis, bc.RealFourier):
        return  # refused, below
    observation = built(operator, axes=(-2, -1), basis=basis)
    covariance = RNG.uniform(0.1, 2, GRID)
    eye = np.eye(SIZE).reshape(SIZE, *GRID)
    h = observation.observe(eye).reshape(SIZE, -1).T
    dense = h @ np.diag(covariance.reshape(-1)) @ h.T + 0.01 * np.eye(len(h))
    y = observation.observe(RNG.standard_normal((2, *GRID)))
    found = observation.solve(xp.asarray(y, "float64"), xp.asarray(covariance[None], "float64"), 0.01)
    right = np.linalg.solve(dense, y.reshape(2, -1).T).T.reshape(y.shape)
    # conjugate gradients: 1e-6 of the residual in the preconditioner's norm, times the square root of the condition, 200
    assert_close(found, right, rtol=0, atol=2e-5 * np.abs(right).max(), like=found)


def test_conjugate_gradients_solve_each_item_by_itself():
    """A hard item, an easy one and one that is 0 already, each to its own tolerance."""
    matrix = np.diag([1.0, 10.0, 1e4])
    b = np.array([[1.0, 1.0, 1.0], [0.0, 1e-8, 0.0], [0.0, 0.0, 0.0]])
    found = conjugate_gradients(lambda v: v @ matrix, b, lambda v: v, tolerance=1e-12)
    np.testing.assert_allclose(found, b / np.diag(matrix), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rs.Blur(sigma=-1.0), "sigma must be 0 or more"),
        (lambda: rs.Blur(sigma=float("nan")), "sigma must be a finite number"),
        (lambda: rs.LowPass(cutoff=0.0), "cutoff must be positive"),
        (lambda: rs.Restrict(factor=0), "factor must be a whole number"),
        (lambda: built(rs.Restrict(factor=4)), r"factor must divide every side of the grid \(4, 6\); got 4"),
        (lambda: built(rs.Average(factor=5)), "factor must divide every side"),
        (lambda: built(rs.Restrict(factor=2), basis=bc.RealFourier()), "another than Restrict for RealFourier"),
        (lambda: built(rs.Restrict(factor=2), basis=bc.DST()), "another than Restrict for DST"),
        (lambda: rs.Mask(low=0.8, high=0.2), "low must be at most high"),
        (lambda: built(rs.Mask(low=0.0, high=1.0)), "must leave a pixel to be seen"),
        (lambda: built(rs.Mask(path="none.png")), "none.png"),
    ],
)
def test_mistakes_are_one_sentence(make, message):
    with pytest.raises((ArgumentError, bc.errors.DataError), match=message):
        make()
