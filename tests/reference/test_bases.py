"""The dense bases against scipy, discrete Laplacians, the heat equation on fine grids and Gaussian filters."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.ndimage
from blurcore_reference import oracle

KINDS = ("DCT", "DST", "RealFourier", "Identity")
SIZES = (1, 2, 3, 4, 7, 8)


def laplacian(size: int, boundary: str) -> np.ndarray:
    """Negative second difference; the ghost point beyond an end copies, negates or wraps the point before it."""
    matrix = 2 * np.eye(size)
    for i in range(size):
        for j in (i - 1, i + 1):
            if 0 <= j < size:
                matrix[i, j] -= 1
            elif boundary == "periodic":
                matrix[i, j % size] -= 1
            else:
                matrix[i, i] -= {"reflecting": 1, "absorbing": -1}[boundary]
    return matrix


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_basis_matrix_is_orthonormal(kind, size):
    basis = oracle.basis_matrix(kind, size)
    np.testing.assert_allclose(basis.T @ basis, np.eye(size), atol=1e-14)
    np.testing.assert_allclose(basis @ basis.T, np.eye(size), atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_dense_basis_agrees_with_the_transform_along_axes(kind):
    shape = (3, 1, 4)
    u = np.random.default_rng(0).standard_normal(shape)
    x = oracle.inverse(u, (0, 1, 2), kind)
    np.testing.assert_allclose((oracle.dense_basis(kind, shape) @ u.ravel()).reshape(shape), x, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [(-2, -1), (1, 2), (0,), (3, 0)])
def test_inverse_undoes_forward_on_any_axes(kind, axes):
    x = np.random.default_rng(1).standard_normal((3, 4, 5, 2))
    np.testing.assert_allclose(oracle.inverse(oracle.forward(x, axes, kind), axes, kind), x, atol=1e-14)


def test_dct_is_the_orthonormal_dct_of_scipy():
    x = np.random.default_rng(2).standard_normal((2, 5, 8, 3))
    expected = scipy.fft.dctn(x, type=2, norm="ortho", axes=(1, 2))
    np.testing.assert_allclose(oracle.forward(x, (1, 2), "DCT"), expected, atol=1e-14)


def test_dst_is_the_orthonormal_dst_of_scipy():
    x = np.random.default_rng(3).standard_normal((2, 5, 8, 1))
    expected = scipy.fft.dstn(x, type=2, norm="ortho", axes=(1, 2))
    np.testing.assert_allclose(oracle.forward(x, (1, 2), "DST"), expected, atol=1e-14)


@pytest.mark.parametrize("size", SIZES)
def test_real_fourier_holds_the_parts_of_the_fft(size):
    x = np.random.default_rng(4).standard_normal(size)
    spectrum = scipy.fft.rfft(x, norm="ortho")
    expected = [spectrum[0].real]
    for f in range(1, (size - 1) // 2 + 1):
        expected += [np.sqrt(2) * spectrum[f].real, -np.sqrt(2) * spectrum[f].imag]
    if size % 2 == 0:
        expected.append(spectrum[size // 2].real)
    np.testing.assert_allclose(oracle.forward(x, (0,), "RealFourier"), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "boundary"), [("DCT", "reflecting"), ("DST", "absorbing"), ("RealFourier", "periodic")]
)
@pytest.mark.parametrize("size", [3, 4, 7, 8])
def test_basis_vectors_are_eigenvectors_of_the_discrete_laplacian(kind, boundary, size):
    # the difference operator has 2 - 2 cos(sqrt(lambda)) where the specification has the continuous lambda
    basis = oracle.basis_matrix(kind, size)
    discrete = 2 - 2 * np.cos(np.sqrt(oracle.eigenvalues(kind, (size,))))
    np.testing.assert_allclose(laplacian(size, boundary) @ basis, basis * discrete, atol=1e-13)


@pytest.mark.parametrize(
    ("kind", "boundary"), [("DCT", "reflecting"), ("DST", "absorbing"), ("RealFourier", "periodic")]
)
def test_eigenvalues_are_those_of_the_continuous_heat_equation(kind, boundary):
    # the same interval on ever finer grids: expm of the difference operator damps mode k by exp(-lambda_k tau)
    size, tau = 5, 0.2
    expected = np.exp(-oracle.eigenvalues(kind, (size,)) * tau)
    errors = []
    for finer in (8, 16):
        heat = scipy.linalg.expm(-tau * finer**2 * laplacian(size * finer, boundary))
        modes = oracle.basis_matrix(kind, size * finer)[:, :size]
        errors.append(np.max(np.abs(np.sum(modes * (heat @ modes), axis=0) - expected)))
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order in the grid's spacing


@pytest.mark.parametrize(("kind", "mode"), [("DCT", "reflect"), ("RealFourier", "wrap")])
def test_decay_is_a_gaussian_filter_of_width_sigma_blur(kind, mode):
    process = {"kind": "ColdDiffusion", "blur": {"kind": "SinSquared", "sigma_blur_max": 3.0}, "basis": {"kind": kind}}
    x = np.random.default_rng(5).standard_normal((24, 17))
    blurred = oracle.inverse(oracle.decay(process, 1.0, x.shape) * oracle.forward(x, (0, 1), kind), (0, 1), kind)
    np.testing.assert_allclose(blurred, scipy.ndimage.gaussian_filter(x, 3.0, mode=mode, truncate=9), atol=1e-12)


def test_eigenvalues_have_the_check_values_of_the_specification():
    values = oracle.eigenvalues("DCT", (32, 32))
    assert values[0, 1] == pytest.approx(0.0096383, abs=5e-8)
    assert values.max() == values[-1, -1] == pytest.approx(18.5248, abs=5e-5)
    assert values[0, 0] == 0


def test_eigenvalues_add_over_unequal_axes():
    np.testing.assert_allclose(
        oracle.eigenvalues("DCT", (3, 1, 5))[2, 0, 4], (np.pi * 2 / 3) ** 2 + (np.pi * 4 / 5) ** 2, rtol=1e-15
    )


def test_eigenvalues_of_the_other_bases_follow_their_waves():
    np.testing.assert_allclose(oracle.eigenvalues("DST", (4,)), (np.pi * np.array([1, 2, 3, 4]) / 4) ** 2)
    np.testing.assert_allclose(oracle.eigenvalues("RealFourier", (6,)), (np.pi * np.array([0, 1, 1, 2, 2, 3]) / 3) ** 2)
    np.testing.assert_array_equal(oracle.eigenvalues("Identity", (4, 2)), np.zeros((4, 2)))


def test_basis_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="basis 'FFT' is unknown"):
        oracle.basis_matrix("FFT", 4)


def test_basis_refuses_an_empty_axis():
    with pytest.raises(ValueError, match="at least 1 point"):
        oracle.basis_matrix("DCT", 0)
