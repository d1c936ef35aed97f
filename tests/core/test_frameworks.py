"""Inside the frameworks' own machinery: differentiated, compiled, mapped, traced; the result is the one outside.

Everything is linear or smooth and in float32: compilers may reorder sums of up to 42 products, so 100 units in the last
place of the largest value are allowed.
"""

from __future__ import annotations

import numpy as np
import pytest
from equal_snr import EqualSNR
from scipy import fft

import blurcore as bc

RNG = np.random.default_rng(4)
X = RNG.standard_normal((3, 2, 6, 7)).astype(np.float32)
EPS = RNG.standard_normal(X.shape).astype(np.float32)
W = RNG.standard_normal(X.shape).astype(np.float32)
T = np.array([0.2, 0.5, 0.9], dtype=np.float32)
PROCESSES = {name: bc.PROCESSES[name]() for name in ("BlurringDiffusion", "GaussianDiffusion", "HeatDissipation")}
PROCESSES["of one's own"] = EqualSNR(spectrum=(2.0, 0.5, 0.1))
TOLERANCE = {"rtol": 0.0, "atol": 100 * 2.0**-23 * 5}


def loss_of(process, x, t, eps):
    pair = bc.training_pair(process, x, t, eps, prediction="v")
    return bc.simple_loss(pair.z, pair.target)


def step_of(process, u, x0, noise, t, s):
    solver = bc.DDIM(process=process, eta=0.5)
    return solver.step(bc.SamplerState(u), bc.predict(process, x0, "x0", u, t), t, s, noise).u


@pytest.fixture(scope="module", params=PROCESSES)
def process(request):
    return PROCESSES[request.param]


class TestTorch:
    def test_gradient_of_the_dct_is_its_transpose(self, torch):
        x = torch.from_numpy(X).requires_grad_()
        (bc.DCT().forward(x) * torch.from_numpy(W)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), fft.idctn(W, axes=(-2, -1), norm="ortho"), **TOLERANCE)

    def test_second_derivatives_are_exact_in_float64(self, torch):
        x = torch.from_numpy(X[:1, :1].astype(np.float64)).requires_grad_()
        assert torch.autograd.gradcheck(bc.DCT().forward, x)
        assert torch.autograd.gradgradcheck(bc.DCT().forward, x)

    # array-api-compat caches its answer by type; Dynamo looks through the cache, which changes nothing here.
    @pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
    @pytest.mark.no_type_checks
    def test_compiled_without_a_graph_break(self, torch, process):
        self.compile(torch, process, "eager")

    @pytest.mark.nightly
    @pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
    def test_compiled_to_the_end(self, torch):
        self.compile(torch, bc.BlurringDiffusion(), "inductor")

    def compile(self, torch, process, backend):
        x, t, eps = (torch.from_numpy(a) for a in (X, T, EPS))
        compiled = torch.compile(lambda x, t, eps: loss_of(process, x, t, eps), fullgraph=True, backend=backend)
        np.testing.assert_allclose(compiled(x, t, eps).numpy(), loss_of(process, x, t, eps).numpy(), rtol=1e-5)
        arguments = (x, eps, eps, t, t - 0.1)
        step = torch.compile(lambda *arguments: step_of(process, *arguments), fullgraph=True, backend=backend)
        np.testing.assert_allclose(step(*arguments).numpy(), step_of(process, *arguments).numpy(), **TOLERANCE)

    def test_mapped_over_single_items(self, torch, process):
        x, t, eps = (torch.from_numpy(a) for a in (X, T, EPS))
        mapped = torch.func.vmap(lambda x, t, eps: bc.diffuse(process, x, t, eps))(x, t, eps)
        np.testing.assert_allclose(mapped.numpy(), bc.diffuse(process, x, t, eps).numpy(), **TOLERANCE)

    def test_functional_gradient_in_time_is_that_of_finite_differences(self, torch, process):
        x, t, eps = (torch.from_numpy(a.astype(np.float64)) for a in (X, T, EPS))

        def total(t):
            return (bc.diffuse(process, x, t, eps) * eps).sum()

        h = 1e-6
        slope = torch.func.grad(total)(t)
        finite = torch.stack([(total(t + h * d) - total(t - h * d)) / (2 * h) for d in torch.eye(3, dtype=t.dtype)])
        # central differences: h^2 |f'''| ~ 1e-12 * 1e5, and 1e-16 * 100 / h of rounding
        np.testing.assert_allclose(slope.numpy(), finite.numpy(), rtol=1e-5, atol=1e-6)


class TestJax:
    def test_gradient_of_the_dct_is_its_transpose(self, jax):
        gradient = jax.grad(lambda x: (bc.DCT().forward(x) * W).sum())(jax.numpy.asarray(X))
        np.testing.assert_allclose(np.asarray(gradient), fft.idctn(W, axes=(-2, -1), norm="ortho"), **TOLERANCE)

    def test_traced(self, jax, process):
        x, t, eps = (jax.numpy.asarray(a) for a in (X, T, EPS))
        compiled = jax.jit(lambda x, t, eps: loss_of(process, x, t, eps))(x, t, eps)
        np.testing.assert_allclose(np.asarray(compiled), np.asarray(loss_of(process, x, t, eps)), rtol=1e-5)
        expected = np.asarray(step_of(process, x, eps, eps, 0.5, 0.4))
        constant = jax.jit(lambda x, eps: step_of(process, x, eps, eps, 0.5, 0.4))(x, eps)
        np.testing.assert_allclose(np.asarray(constant), expected, **TOLERANCE)
        traced = jax.jit(lambda *arguments: step_of(process, *arguments))
        # The difference of traced float32 times is off by 1e-7 / 0.1, and so is the step.
        np.testing.assert_allclose(np.asarray(traced(x, eps, eps, 0.5, 0.4)), expected, rtol=0.0, atol=1e-4)

    def test_mapped_over_single_items(self, jax, process):
        x, t, eps = (jax.numpy.asarray(a) for a in (X, T, EPS))
        mapped = jax.vmap(lambda x, t, eps: bc.diffuse(process, x, t, eps))(x, t, eps)
        np.testing.assert_allclose(np.asarray(mapped), np.asarray(bc.diffuse(process, x, t, eps)), **TOLERANCE)

    def test_gradient_in_time_is_torchs(self, jax, torch, process):
        """Two frameworks differentiate the same code, in float64."""

        def total(x, t, eps):
            return (bc.diffuse(process, x, t, eps) * eps).sum()

        wide = [a.astype(np.float64) for a in (X, T, EPS)]
        with jax.enable_x64(True):
            ours = jax.grad(total, argnums=1)(*(jax.numpy.asarray(a) for a in wide))
        x, t, eps = (torch.from_numpy(a) for a in wide)
        theirs = torch.func.grad(total, argnums=1)(x, t, eps)
        np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), rtol=1e-11)
