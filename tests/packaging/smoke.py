"""Tries an installed package from outside the repository: `python -I smoke.py core|torch|jax`; `nox -s build` runs it.

With the core alone the mathematics works and everything else says what to install; with a backend the command line verifies,
trains, samples, and goes on with the run.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from importlib.metadata import files, version
from pathlib import Path

import numpy as np

import blurcore as bc

MOST_BYTES = 2 * 2**20


def command(*words: str, code: int = 0) -> str:
    """Run the installed program, and return what it said."""
    program = Path(sys.executable).with_name("blurcore")
    done = subprocess.run([str(program), *words], capture_output=True, text=True, timeout=600, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == code, (words, done.returncode, said)
    assert "Traceback" not in said, said
    return said


def try_core() -> None:
    """The package is where it was installed, small, of one version, and computes."""
    assert "site-packages" in bc.__file__, bc.__file__
    assert version("blurcore") == bc.__version__
    assert command("--version").strip() == f"blurcore {bc.__version__}"
    installed = [path for path in files("blurcore") or [] if "__pycache__" not in path.parts]
    core = sum(path.locate().stat().st_size for path in installed if path.parts[0] == "blurcore")
    assert core < MOST_BYTES, f"the core takes {core} bytes, more than {MOST_BYTES}"
    x = np.random.default_rng(0).standard_normal((2, 8, 12))
    process = bc.BlurringDiffusion()
    assert np.allclose(bc.diffuse(process, x, 0.0, np.zeros_like(x)), x, atol=1e-2)
    assert not {"torch", "jax", "matplotlib"} & set(sys.modules)


def try_core_alone() -> None:
    """What is not there is asked for in one sentence."""
    for name in ("torch", "jax", "scipy", "tyro"):
        assert importlib.util.find_spec(name) is None, f"{name} came with the core"
    assert "pip install 'blurcore[torch]'" in command("demo", code=2)
    assert "pip install 'blurcore[cli]'" in command("figure", "snr", code=2)


def try_backend(backend: str) -> None:
    """Verify, train, sample, go on."""
    assert "all " in command("verify", "--quick", "--backend", backend)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = folder / "tiny.toml"
        settings.write_text(
            '[data]\nkind = "Digits"\n[model]\nbase_channels = 8\nchannel_multipliers = [1]\nnum_res_blocks = 1\n'
            "attention_levels = []\nnorm_groups = 4\n[train]\nsteps = 3\nbatch_size = 8\nwarmup_steps = 1\n"
            'objective = { kind = "Denoising", prediction = "v" }\n'
            '[sample]\nnum_samples = 2\ntimes = { kind = "Uniform", num_steps = 2 }\n'
        )
        run = str(folder / "run")
        command("train", str(settings), "--out", run, "--backend", backend)
        command("sample", run, "--num-samples", "2", "--times.num-steps", "2")
        command("train", str(settings), "--out", run, "--backend", backend, "--train.steps", "5", "--resume")
        assert list((folder / "run" / "samples").rglob("*.png"))


if __name__ == "__main__":
    kind = sys.argv[1]
    try_core()
    try_core_alone() if kind == "core" else try_backend(kind)
    print(f"{kind}: works")
