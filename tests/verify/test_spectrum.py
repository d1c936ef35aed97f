"""The closed form of samplers' errors against the reference's recursion, and the figure that shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blurcore_reference import oracle as reference

import blurcore as bc
from blurcore.cli import main
from blurcore.verify.sampler_spectrum import entries, natural_spectrum, output_variance, times_of_entry

PROCESS = bc.BlurringDiffusion()
KINDS = {
    "ancestral": "ancestral",
    "ancestral, noise in the last step": "ancestral",
    "ancestral, upper variance": "ancestral_upper",
    "DDIM": "ddim",
    "Euler": "euler",
    "Heun (two calls a step)": "heun",
    "DPM-Solver++ 2M": "dpmpp_2m",
    "calibrated ancestral, noise in the last step": "calibrated",
}


def test_closed_form_is_that_of_the_reference() -> None:
    spectrum = natural_spectrum(PROCESS, (5, 4))
    np.testing.assert_allclose(spectrum, 0.01 / (reference.eigenvalues("DCT", (5, 4)) + 0.01), rtol=1e-14)
    checked = set()
    for entry in entries(PROCESS, 12, spectrum):
        kind = KINDS.get(entry.name)
        if kind is None:
            continue
        times = times_of_entry(entry, PROCESS, 12)
        got = output_variance(entry.solver, times, spectrum, last_noise=entry.last_noise)
        expected = reference.sampler_variance(
            bc.to_dict(PROCESS), list(times), spectrum, kind, last_noise=entry.last_noise
        )
        np.testing.assert_allclose(got, expected, rtol=1e-8, err_msg=entry.name)
        checked.add(entry.name)
    assert checked == set(KINDS)


def test_solver_with_memory_and_noise_has_the_variance_of_its_sample_paths() -> None:
    """20,000 paths, 12 frequencies: 5 standard errors of sqrt(2 / 20000) are a false alarm in 100,000 seeds; it is fixed."""
    from blurcore import oracle

    spectrum, count, rng = natural_spectrum(PROCESS, (4, 3)), 20_000, np.random.default_rng(0)
    solver, times = bc.DPMSolverSDE(process=PROCESS), bc.log_snr_times(8, PROCESS.noise)
    state = solver.start(PROCESS.marginal(1.0, shape=(4, 3)).sigma * rng.standard_normal((count, 4, 3)))
    for t, s in solver.stages(times):
        m = bc.marginal_for(PROCESS, t, state.u)
        x0 = oracle.gaussian_denoiser(state.u, mean=0.0, variance=spectrum, marginal=m)
        noise = rng.standard_normal((count, 4, 3)) if s > 0 else None
        state = solver.step(state, oracle.exact_prediction(x0, state.u, m), t, s, noise)
    expected = output_variance(solver, times, spectrum)
    np.testing.assert_allclose((state.u**2).mean(axis=0), expected, rtol=5 * np.sqrt(2 / count))


def test_figure_writes_plot_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["figure", "sampler-error", "--out", str(tmp_path / "a" / "e.png"), "--table", str(tmp_path / "t.md")]
    assert main([*words, "--steps", "5", "10", "--size", "8"]) == 0
    table = capsys.readouterr().out
    assert "| sampler | grid | 5 | 10 |" in table
    page = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert table.splitlines()[2] in page
    assert "(a/e.png)" in page
    assert main([*words, "--steps", "0"]) == 2
