"""The bases: values of SPEC 1 and 10, layouts, precision, refusals, and a basis for graphs."""

import numpy as np
import pytest
from blurcore_reference import bases as reference
from scipy import fft, linalg

import blurcore as bc
from blurcore._arrays import choice
from blurcore.errors import ArgumentError
from blurcore.testing.assertions import EPSILON, assert_close, dtype_name

BASES = [bc.DCT(), bc.DST(), bc.RealFourier(), bc.Identity()]
RNG = np.random.default_rng(0)


def bound(x, axes, dtype):
    """See tests/properties/test_transforms.py: (N + 4) roundings for each axis, relative to the length of the data."""
    length = np.sqrt(np.sum(x**2, axis=axes, keepdims=True))
    return sum(x.shape[a] + 4 for a in axes) * EPSILON[dtype] * length


def path_laplacian(n):
    """Return the graph Laplacian of a path with reflecting ends, whose eigenvectors are the DCT-II."""
    laplacian = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1
    return laplacian


def test_eigenvalues_have_the_check_values_of_the_specification(xp):
    lam = xp.to_numpy(bc.DCT().eigenvalues((32, 32), like=xp.asarray([0.0], "float64")))
    assert lam[0, 0] == 0
    assert round(lam[0, 1], 7) == 0.0096383
    assert round(lam.max(), 4) == 18.5248
    assert lam.max() == lam[31, 31]


@pytest.mark.parametrize("basis", BASES, ids=lambda b: type(b).__name__)
def test_axis_of_size_one_is_left_alone_by_every_basis(xp, basis):
    x = xp.asarray(RNG.standard_normal((3, 1)))
    # a basis of one vector is 1 or -1, and all of ours are 1
    assert_close(basis.forward(x, axes=(1,)), x, rtol=2 * EPSILON["float32"])
    if not isinstance(basis, bc.DST):  # absorbing walls half a pixel away drain even a single pixel
        assert_close(basis.eigenvalues((1,), like=x), [0.0], like=x, rtol=0.0)


@pytest.mark.parametrize("axes", [(1,), (0, 2), (2, 0, 1), (-1, -3)])
def test_dct_is_scipys_orthonormal_dct(xp, axes):
    x = RNG.standard_normal((3, 8, 5))
    array = xp.asarray(x, "float64")
    positive = tuple(a % 3 for a in axes)
    atol = 2 * bound(x, positive, "float64")
    assert_close(
        bc.DCT().forward(array, axes=axes), fft.dctn(x, axes=positive, norm="ortho"), like=array, rtol=0.0, atol=atol
    )
    assert_close(
        bc.DCT().inverse(array, axes=axes), fft.idctn(x, axes=positive, norm="ortho"), like=array, rtol=0.0, atol=atol
    )


@pytest.mark.parametrize("basis", [bc.DCT(), bc.DST()], ids=lambda b: type(b).__name__)
def test_numpy_arrays_need_no_scipy(monkeypatch, basis):
    x = RNG.standard_normal((2, 6, 7))
    fast = basis.forward(x), basis.inverse(x)
    monkeypatch.setattr("blurcore.transforms.has_scipy", lambda: False)
    slow = basis.forward(x), basis.inverse(x)
    for a, b in zip(fast, slow, strict=True):
        assert_close(a, b, rtol=0.0, atol=2 * bound(x, (1, 2), "float64"))


@pytest.fixture(params=["product", "fft"])
def way(request, monkeypatch):
    """Send every axis one way, whatever its length."""
    longest = 0 if request.param == "fft" else 10**9
    monkeypatch.setattr("blurcore._arrays.choice.LONGEST_PRODUCT", dict.fromkeys(choice.LONGEST_PRODUCT, longest))
    monkeypatch.setattr("blurcore.transforms.has_scipy", lambda: False)
    return request.param


FAST = [bc.DCT(), bc.DST(), bc.RealFourier()]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 97])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("basis", FAST, ids=lambda b: type(b).__name__)
def test_transform_is_the_same_by_products_and_by_fft(xp, way, basis, n, dtype):
    """By definition, as the reference writes its matrices."""
    if dtype not in xp.dtypes:
        pytest.skip(f"{xp.name} has no {dtype}")
    x = RNG.standard_normal((2, n, 3))
    array, matrix = xp.asarray(x, dtype), reference.basis_matrix(type(basis).__name__, n).T
    given = xp.to_numpy(array).astype(np.float64)
    for ours, desired in ((basis.forward, matrix @ given), (basis.inverse, matrix.T @ given)):
        assert_close(ours(array, axes=(1,)), desired, like=array, rtol=0.0, atol=2 * bound(x, (1,), dtype))


WAVES = {  # the sixth vector of each basis, but for its length
    "DCT": lambda n: np.cos(np.pi * 5 * (np.arange(n) + 0.5) / n),
    "DST": lambda n: np.sin(np.pi * 6 * (np.arange(n) + 0.5) / n),
    "RealFourier": lambda n: np.cos(np.pi * 6 * np.arange(n) / n),
}


@pytest.mark.parametrize("basis", FAST, ids=lambda b: type(b).__name__)
def test_long_axes_need_no_matrix(xp, basis, monkeypatch):
    """A matrix of this size takes seconds and gigabytes; a prime is the FFT's worst case."""
    if xp.name == "array_api_strict":  # an extension that the standard leaves to the libraries
        xp.xp.set_array_api_strict_flags(enabled_extensions=("fft",))
    monkeypatch.setattr(type(basis), "_matrix_of", lambda *_: pytest.fail("a matrix was asked for"))
    n = 8191
    wave = WAVES[type(basis).__name__](n) * np.sqrt(2 / n)
    u = np.stack([np.eye(1, n, 5)[0], RNG.standard_normal(n)])
    array = xp.asarray(u, "float64")
    x = basis.inverse(array, axes=-1)
    assert_close(x[0, ...], wave, like=array, rtol=0.0, atol=1e-13)
    assert_close(basis.forward(x, axes=-1), array, rtol=0.0, atol=1e-13 * np.linalg.norm(u))


@pytest.mark.parametrize("basis", FAST, ids=lambda b: type(b).__name__)
def test_gradient_is_the_same_by_products_and_by_fft(torch, way, basis):
    x = torch.from_numpy(RNG.standard_normal((6, 5))).requires_grad_()
    for f in (basis.forward, basis.inverse):
        assert torch.autograd.gradcheck(f, x)
        assert torch.autograd.gradgradcheck(f, x)


def test_fft_takes_long_axes_and_those_of_large_prime_factors_later(torch):
    def chosen(*shape, inverse=False):
        return choice.fft_axes(torch.empty(shape), (0, 1), inverse=inverse)

    assert chosen(192, 192) == ()
    assert chosen(192, 256) == (1,)
    assert chosen(384, 384, inverse=True) == ()
    assert chosen(193, 400) == (1,)  # 193 is a prime
    assert chosen(1021, 256) == (0, 1)
    assert chosen(0, 256) == ()
    assert choice.fft_axes(torch.empty((384, 384), requires_grad=True), (0, 1), inverse=False) == ()


@pytest.mark.parametrize("kind", ["DCT", "DST", "RealFourier"])
def test_axis_between_two_others_is_left_alone(xp, kind):
    basis = getattr(bc, kind)()
    x = xp.asarray(RNG.standard_normal((2, 3, 4)), "float64")
    one_by_one = basis.forward(basis.forward(x, axes=(0,)), axes=(2,))
    assert_close(basis.forward(x, axes=(0, 2)), one_by_one, rtol=0.0, atol=bound(xp.to_numpy(x), (0, 2), "float64"))


def test_axes_may_be_a_single_number(xp):
    x = xp.asarray(RNG.standard_normal((2, 6)))
    assert_close(bc.DCT().forward(x, axes=-1), bc.DCT().forward(x, axes=(-1,)), rtol=0.0)


@pytest.mark.parametrize("basis", BASES, ids=lambda b: type(b).__name__)
def test_empty_batch_goes_through(xp, basis):
    x = xp.asarray(np.zeros((0, 3, 4, 5)))
    for result in (basis.forward(x), basis.inverse(x)):
        assert_close(result, np.zeros((0, 3, 4, 5)), like=x)


@pytest.mark.parametrize(("shape", "axes"), [((2, 256), (1,)), ((2, 16, 24), (1, 2))])
@pytest.mark.parametrize("basis", BASES[:3], ids=lambda b: type(b).__name__)
def test_half_precision_is_accumulated_in_float32_and_rounded_once_for_all_axes(xp, basis, shape, axes):
    for dtype in set(xp.dtypes) - {"float64", "float32"}:
        x = RNG.standard_normal(shape)
        half = xp.asarray(x, dtype)
        exact = xp.to_numpy(half)
        result = basis.forward(half, axes=axes)
        # in float32, then rounded once
        desired = basis.forward(exact, axes=axes)
        atol = bound(exact, axes, "float32")
        assert_close(result, desired, like=half, rtol=EPSILON[dtype] / 2, atol=atol)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_read_only_and_strided_arrays_are_read_and_never_written(dtype):
    x = RNG.standard_normal((4, 12, 10)).astype(dtype)
    views = [x[:, ::2, ::-1], x[::-1, :6, ::3], np.transpose(x, (2, 0, 1))[:, :, ::-4], np.asfortranarray(x)]
    for view in views:
        view.flags.writeable = False
        kept = view.copy()
        for basis in BASES:
            for f in (basis.forward, basis.inverse):
                assert_close(f(view, axes=(1, 2)), f(kept, axes=(1, 2)), rtol=0.0, atol=0.0)
        assert np.array_equal(view, kept)


@pytest.mark.parametrize("basis", BASES[:3], ids=lambda b: type(b).__name__)
def test_arrays_that_are_not_real_floating_are_refused(xp, basis):
    for values in (
        np.zeros((2, 2), dtype=np.int32),
        np.zeros((2, 2), dtype=bool),
        np.zeros((2, 2), dtype=np.complex64),
    ):
        x = xp.xp.asarray(values)
        for name, f in (("x", basis.forward), ("u", basis.inverse)):
            with pytest.raises(ArgumentError, match=f"{name} must be real floating; got dtype .*{dtype_name(x)}"):
                f(x)


@pytest.mark.parametrize("shape", [(), (0,), (4, -1), (2.0, 2), 0])
def test_grid_shapes_of_anything_but_positive_integers_are_refused(shape):
    for call in (bc.DCT().eigenvalues, bc.DST().matrices):
        with pytest.raises(ArgumentError, match="shape must be a tuple of sizes >= 1; got"):
            call(shape)
    with pytest.raises(ArgumentError, match="shape must be a tuple of sizes >= 1; got"):
        bc.GaussianDiffusion().marginal(0.5, shape=shape)


@pytest.mark.parametrize("basis", BASES, ids=lambda b: type(b).__name__)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1024])
def test_matrices_are_orthonormal_to_rounding_at_any_size(basis, n):
    (matrix,) = basis.matrices((n,))
    # off by four roundings each, N products: |M M^T - 1| <= (2 * 4 + N) eps |row| |row| elementwise, at the very worst
    assert_close(matrix @ matrix.T, np.eye(n), rtol=0.0, atol=(n + 8) * EPSILON["float64"])


@pytest.mark.parametrize("basis", BASES[:3], ids=lambda b: type(b).__name__)
@pytest.mark.parametrize("n", [4, 7, 33])
def test_eigenvalues_are_those_of_the_second_derivative_of_the_basis_functions(basis, n):
    """The rows are samples of sines and cosines; their frequency, read off the samples, squared is lambda."""
    (matrix,) = basis.matrices((n,))
    lam = basis.eigenvalues((n,))
    for row, value in zip(matrix, lam, strict=True):
        # f(i + 1) + f(i - 1) = 2 cos(w) f(i) for a wave of frequency w = sqrt(lambda)
        assert_close(row[2:] + row[:-2], 2 * np.cos(np.sqrt(value)) * row[1:-1], rtol=0.0, atol=64 * EPSILON["float64"])


def test_bases_are_values():
    assert bc.DCT() == bc.DCT() != bc.DST()
    assert len({bc.DCT(), bc.DCT(), bc.Identity()}) == 2


class TestDense:
    def make(self, n=7):
        values, vectors = linalg.eigh(path_laplacian(n))
        return bc.Dense(vectors, np.maximum(values, 0.0))

    def test_dense_basis_of_a_graph_laplacian_diagonalises_it(self, xp):
        n, laplacian = 7, path_laplacian(7)
        basis = self.make(n)
        x = RNG.standard_normal((3, n))
        array = xp.asarray(x, "float64")
        u = basis.forward(array, axes=(1,))
        smoothed = basis.inverse(u * basis.eigenvalues((n,), like=array)[None, :], axes=(1,))
        # eigh is backward stable: |V diag V^T - L| <= c n eps |L|, and |L| <= 4
        assert_close(smoothed, x @ laplacian, like=array, rtol=0.0, atol=64 * n * EPSILON["float64"] * np.abs(x).sum())
        assert_close(basis.inverse(u, axes=(1,)), x, like=array, rtol=0.0, atol=8 * bound(x, (1,), "float64"))

    def test_dense_basis_carries_a_process_on_a_graph(self, xp):
        basis = self.make()
        process = bc.BlurringDiffusion(basis=basis)
        x, eps = (xp.asarray(RNG.standard_normal((4, 7)), "float64") for _ in range(2))
        t = xp.asarray([0.0, 0.3, 0.7, 1.0], "float64")
        z = bc.diffuse(process, x, t, eps, axes=(1,))
        m = process.marginal(t, shape=(7,))
        desired = xp.to_numpy(m.alpha) * (xp.to_numpy(x) @ basis._vectors) @ basis._vectors.T
        desired = desired @ np.eye(7)
        blurred = (xp.to_numpy(x) @ basis._vectors * xp.to_numpy(m.alpha)) @ basis._vectors.T
        atol = 4 * bound(xp.to_numpy(x), (1,), "float64") + 4 * EPSILON["float64"] * np.abs(xp.to_numpy(eps))
        assert_close(z, blurred + xp.to_numpy(m.sigma) * xp.to_numpy(eps), like=x, rtol=0.0, atol=atol)
        post = bc.posterior(process, 0.6, 0.5, shape=(7,))
        assert post.variance.shape == (7,)

    def test_dense_basis_copies_what_it_is_given(self):
        vectors, values = np.eye(2), np.zeros(2)
        basis = bc.Dense(vectors, values)
        vectors[0, 0] = values[0] = 5.0
        assert_close(basis.matrices((2,))[0], np.eye(2), rtol=0.0)
        assert_close(basis.eigenvalues((2,)), np.zeros(2), rtol=0.0)

    def test_dense_basis_is_compared_by_identity(self):
        basis = bc.Dense(np.eye(2), np.zeros(2))
        assert basis == basis
        assert basis != bc.Dense(np.eye(2), np.zeros(2))
        assert bc.BlurringDiffusion(basis=basis) == bc.BlurringDiffusion(basis=basis)

    @pytest.mark.parametrize(
        ("vectors", "eigenvalues", "message"),
        [
            (np.eye(2), np.zeros((2, 1)), "eigenvalues must be a vector"),
            (np.eye(3), np.zeros(2), r"vectors must be a matrix of shape \(2, 2\)"),
            (2 * np.eye(2), np.zeros(2), "vectors must be orthonormal to 1e-6"),
            (np.full((2, 2), np.nan), np.zeros(2), "vectors must be orthonormal to 1e-6"),
            (np.eye(2), np.array([-1.0, 0.0]), "eigenvalues must be finite, 0 or more; got"),
            (np.eye(2), np.array([np.nan, 0.0]), "eigenvalues must be finite, 0 or more; got"),
            (np.eye(2), np.array([np.inf, 0.0]), "eigenvalues must be finite, 0 or more; got"),
            (np.zeros((0, 0)), np.zeros(0), "eigenvalues must be a vector"),
        ],
    )
    def test_dense_basis_refuses_what_is_no_eigenbasis(self, vectors, eigenvalues, message):
        with pytest.raises(ArgumentError, match=message):
            bc.Dense(vectors, eigenvalues)

    def test_dense_basis_refuses_a_grid_of_another_size(self, xp):
        with pytest.raises(ArgumentError, match=r"shape must be \(7,\) for this eigenbasis; got an axis of 6"):
            self.make().forward(xp.asarray(np.zeros((2, 6))), axes=(1,))
        with pytest.raises(ArgumentError, match=r"shape must be \(7,\) for this eigenbasis; got an axis of 6"):
            self.make().eigenvalues((6,))
