"""Constants are made once for each library, dtype and device, and outlive whatever machinery they were made in."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import blurcore as bc
from blurcore._arrays import constants

SHAPE = (2, 5, 5)


@pytest.fixture
def made(monkeypatch):
    """The sizes of the matrices that were worked out, on shelves that are empty at the start."""
    sizes = []
    recipe = constants._recipes["DCT"]
    monkeypatch.setattr(constants, "_kept", constants._Kept())
    monkeypatch.setattr(constants, "_programs", {})
    monkeypatch.setitem(constants._recipes, "DCT", lambda *n: sizes.append(n) or recipe(*n))
    return sizes


def test_matrix_is_worked_out_once(xp, made):
    for _ in range(3):
        bc.DCT().forward(xp.asarray(np.ones((2, 11, 11)), "float32"))
        bc.DCT().inverse(xp.asarray(np.ones((2, 11, 11)), "float32"))
    assert len(made) <= 1  # SciPy needs none for NumPy's


def test_what_is_kept_is_bounded_in_bytes_and_the_last_used_stays(xp, made, monkeypatch):
    kept = constants._kept
    like = xp.asarray(np.zeros((100, 100)), "float64")
    monkeypatch.setattr(constants, "_MOST_BYTES", 3 * constants._size(like))
    library, device = _place(xp, like)

    def ask(n):
        return constants.constant("DCT", (n,), library, library.float64, device)

    for n in (100, 99, 98, 100, 97, 100, 96, 200):  # the last is more than all that may be kept
        assert ask(n).shape == (n, n)
        assert sum(constants._size(a) for a in kept.arrays.values()) == kept.bytes <= constants._MOST_BYTES
    assert made == [(n,) for n in (100, 99, 98, 97, 96, 200)]
    assert {key[1] for key in kept.arrays} == {(97,), (100,), (96,)}


def test_each_dtype_has_its_own(xp, made):
    library, device = _place(xp, xp.asarray(np.zeros(1), "float64"))
    for dtype in (library.float32, library.float64, library.float32):
        assert constants.constant("DCT", (7,), library, dtype, device).dtype == dtype
    assert made == [(7,), (7,)]


def _place(xp, like):
    """Where the constants of a library are kept: those of JAX on the host."""
    return (np, None) if xp.name == "jax" else (xp.xp, None if xp.name == "numpy" else like.device)


def test_threads_that_ask_for_many_sizes_all_get_theirs(made, monkeypatch):
    """More than may be kept, so that each forgets what others look for; a short switch interval lets them meet."""
    monkeypatch.setattr(constants, "_MOST_BYTES", 8 * 30**2 * 4)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            orders = [np.random.default_rng(i).integers(2, 30, 1000).tolist() for i in range(4)]
            wrong = list(pool.map(lambda order: [n for n in order if not _is_matrix(n)], orders))
    finally:
        sys.setswitchinterval(before)
    assert wrong == [[], [], [], []]
    assert sum(map(constants._size, constants._kept.arrays.values())) == constants._kept.bytes


def _is_matrix(n):
    return constants.constant("DCT", (n,), np, np.float64, None).shape == (n, n)


def test_constant_of_numpy_is_read_only(made):
    with pytest.raises(ValueError, match="read-only"):
        constants.constant("DCT", (5,), np, np.float64, None)[0] = 1.0


def test_writing_to_what_a_basis_hands_out_changes_no_later_result():
    basis, x = bc.DST(), np.random.default_rng(0).standard_normal((3, 20, 20))
    before = basis.forward(x), basis.eigenvalues((20, 20))
    basis.matrices((20,), like=x)[0][:] = 7.0
    basis.eigenvalues((20, 20), like=x)[:] = 7.0
    np.testing.assert_array_equal(basis.forward(x), before[0])
    np.testing.assert_array_equal(basis.eigenvalues((20, 20)), before[1])


class TestTorch:
    def forward(self, torch, n):
        x = torch.from_numpy(np.random.default_rng(n).standard_normal((2, n, n)).astype(np.float32))
        return bc.DCT().forward(x.requires_grad_())

    def test_constants_of_inference_mode_serve_training(self, torch, made):
        with torch.inference_mode():
            bc.DCT().forward(torch.ones((2, 13, 13)))
        self.forward(torch, 13).sum().backward()
        assert made == [(13,)]

    @pytest.mark.parametrize("transform", ["vmap", "grad", "nested"])
    def test_constants_of_functional_transforms_do_not_leak(self, torch, made, transform):
        x = torch.ones((2, 14, 14))
        if transform == "vmap":
            torch.func.vmap(bc.DCT().forward)(x)
        elif transform == "grad":
            torch.func.grad(lambda x: bc.DCT().forward(x).sum())(x)
        else:
            torch.func.vmap(torch.func.grad(lambda x: bc.DCT().forward(x).square().sum()))(x)
        self.forward(torch, 14).sum().backward()

    @pytest.mark.slow
    @pytest.mark.parametrize("strict", [True, False])
    @pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
    def test_constants_are_part_of_an_exported_program_and_do_not_leak(self, torch, made, strict):
        class Module(torch.nn.Module):
            def forward(self, x):
                return bc.DCT().forward(x)

        x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 15, 15)).astype(np.float32))
        program = torch.export.export(Module(), (x,), strict=strict)
        torch.testing.assert_close(program.module()(x), bc.DCT().forward(x))
        self.forward(torch, 15).sum().backward()

    @pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
    @pytest.mark.no_type_checks
    def test_compiled_program_serves_many_sizes_and_works_no_matrix_out_again(self, torch, made):
        compiled = torch.compile(
            lambda x: bc.DCT().inverse(bc.DCT().forward(x) * 2), fullgraph=True, backend="aot_eager"
        )
        for n in (12, 16, 20, 24):
            x = torch.ones((2, n, n))
            torch.testing.assert_close(compiled(x), 2 * x)
        count = len(made)
        assert count <= 4
        torch.testing.assert_close(compiled(x), 2 * x)
        assert len(made) == count


class TestJax:
    def test_constants_made_within_a_trace_do_not_leak(self, jax, made):
        x = np.ones((2, 17, 17), np.float32)
        with jax.checking_leaks():
            traced = jax.jit(bc.DCT().forward)(x)
        np.testing.assert_allclose(traced, bc.DCT().forward(jax.numpy.asarray(x)), atol=1e-5)
        assert made == [(17,)]

    def test_compiled_program_holds_the_matrix_and_calls_no_cosine(self, jax):
        text = str(jax.make_jaxpr(bc.DCT().forward)(np.ones((2, 18, 18), np.float32)))
        assert "cos" not in text
        assert "dot_general" in text

    @pytest.mark.parametrize("axes", [(-1,), (0,), (1, 2)])
    def test_products_keep_float32_on_accelerators(self, jax, axes):
        text = str(jax.make_jaxpr(lambda x: bc.DST().forward(x, axes=axes))(np.ones((2, 18, 18), np.float32)))
        assert text.count("dot_general[") == text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") > 0
