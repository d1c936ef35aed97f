"""Products are in the precision of their arrays, whatever a library has been told to do with products elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import blurcore as bc

X = np.random.default_rng(0).standard_normal((2, 32, 31, 3)).astype(np.float32)
BASES = (bc.DCT(), bc.DST(), bc.RealFourier(), bc.Dense(*np.linalg.eigh(np.cov(X.reshape(62, 96)) + np.eye(62))[::-1]))
LAYOUTS = ((1, 2), (0, 3), (2, 3), (1,))
"""The grid before other axes, around them, at the end: each way that a product is laid out."""


def transforms(x):
    """Return the transforms of x in each basis and layout, there and back."""
    for basis in BASES[:3]:
        for axes in LAYOUTS:
            yield basis.forward(x, axes=axes)
            yield basis.inverse(x, axes=axes)
    yield BASES[3].forward(x.reshape(62, 96), axes=(0,))


@pytest.fixture
def switches(torch):
    """PyTorch's switches for float32 products, to be read; put back at the end."""

    def read():
        found = []
        for get in (
            torch.get_float32_matmul_precision,
            lambda: torch.backends.cuda.matmul.allow_tf32,
            lambda: torch.backends.cuda.matmul.fp32_precision,  # since 2.9
            lambda: torch.backends.mkldnn.matmul.fp32_precision,
        ):
            try:
                found.append(get())
            except (RuntimeError, AttributeError):
                found.append(None)  # of two generations of switches that differ, the old one refuses
        return found

    yield read
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast_changes_no_transform(torch, dtype):
    x = torch.from_numpy(X)
    exact = list(transforms(x))
    with torch.autocast("cpu", getattr(torch, dtype)):
        assert (x[0, ..., 0] @ x[0, ..., 0].T).dtype == getattr(torch, dtype)  # elsewhere it is on, and stays so
        for got, want in zip(transforms(x), exact, strict=True):
            assert torch.equal(got, want)
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("default", ["float64", "meta"])
def test_defaults_of_torch_change_no_transform(torch, default):
    x = torch.from_numpy(X)
    exact = list(transforms(x))
    try:
        if default == "meta":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(torch.float64)
        assert all(torch.equal(got, want) for got, want in zip(transforms(x), exact, strict=True))
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_autocast_of_a_step_reaches_no_gradient_of_ours(torch):
    def gradient(on):
        x = torch.from_numpy(X[..., 0]).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=on):
            loss = (bc.DCT().forward(x) ** 3).sum()
        loss.backward()
        return x.grad

    assert torch.equal(gradient(True), gradient(False))


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
@pytest.mark.no_type_checks
def test_autocast_round_a_compiled_transform_changes_nothing(torch):
    x = torch.from_numpy(X)
    for traced_within in (True, False):
        torch._dynamo.reset()
        compiled = torch.compile(lambda x: bc.DCT().forward(x, axes=(1, 2)), fullgraph=True, backend="aot_eager")
        for on in (traced_within, not traced_within):
            with torch.autocast("cpu", torch.bfloat16, enabled=on):
                assert torch.equal(compiled(x), bc.DCT().forward(x, axes=(1, 2)))


def set_old(torch, value):
    torch.set_float32_matmul_precision(value)


def set_cuda(torch, value):
    torch.backends.cuda.matmul.allow_tf32 = value


def set_new(torch, value):
    for switch in value:
        getattr(torch.backends, switch).matmul.fp32_precision = value[switch]


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        (set_old, "high"),
        (set_old, "medium"),
        (set_cuda, True),
        (set_new, {"cuda": "tf32"}),
        (set_new, {"mkldnn": "bf16"}),
        (set_new, {"cuda": "tf32", "mkldnn": "bf16"}),
    ],
)
def test_switches_of_torch_are_off_in_our_products_and_as_before_after_them(torch, switches, switch, value):
    from torch.overrides import TorchFunctionMode

    if switch is set_new and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("PyTorch has them since 2.9")
    seen = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, f, types, args=(), kwargs=None):
            if f in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__):
                seen.append(switches())
            return f(*args, **(kwargs or {}))

    torch.set_float32_matmul_precision("highest")
    off = switches()
    switch(torch, value)
    on = switches()
    assert on != off
    with Watch():
        list(transforms(torch.from_numpy(X)))
        bc.diffuse(bc.BlurringDiffusion(), torch.from_numpy(X[..., 0]), 0.5, torch.from_numpy(X[..., 0]))
    assert len(seen) > 20
    assert all(state == off for state in seen)
    assert switches() == on


def test_a_product_in_tf32_would_be_off_by_a_thousandth():
    """What docs/torch_loop.md says of `torch.compile` with the switch on: two axes, two factors each, of 2^-11."""

    def tf32(x):
        bits = np.float32(x).view(np.uint32)
        return ((bits + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32).astype(np.float64)

    x = X[..., 0].astype(np.float64)
    rows, columns = (tf32(m) for m in bc.DCT().matrices(x.shape[1:]))
    got = tf32(rows @ tf32(x)) @ columns.T
    off = np.linalg.norm(got - bc.DCT().forward(x)) / np.linalg.norm(x)
    assert 2**-13 < off < 4 * 2**-11


def test_default_precision_of_jax_changes_no_product(jax):
    x = jax.numpy.asarray(X)
    with jax.default_matmul_precision("bfloat16"):
        for axes in LAYOUTS:
            program = str(jax.make_jaxpr(lambda x, axes=axes: bc.DST().inverse(x, axes=axes))(x))
            assert (
                program.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == program.count("dot_general[") > 0
            )
