"""What the README and `examples/` show is run as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_readme_torch_example_trains_and_samples(run_code: Any) -> None:
    torch = pytest.importorskip("torch")
    names = run_code(ROOT / "README.md")
    layer = torch.nn.Conv2d(1, 1, 3, padding=1)

    def network(z, t):  # type: ignore[no-untyped-def]
        return layer(z) + t.view(-1, 1, 1, 1)

    names["loss"](network, torch.zeros(4, 1, 8, 12)).backward()
    assert layer.weight.grad.abs().sum() > 0
    assert names["sample"](network, (2, 1, 8, 12), num_steps=3).shape == (2, 1, 8, 12)


@pytest.mark.parametrize(
    ("script", "library", "settings"),
    [
        ("torch_training_loop.py", "torch", {}),
        ("jax_training_loop.py", "optax", {"JAX_ENABLE_X64": "0"}),
        ("jax_training_loop.py", "optax", {"JAX_ENABLE_X64": "1", "JAX_DEBUG_NANS": "1"}),
    ],
)
def test_embedding_example_runs(script: str, library: str, settings: dict[str, str]) -> None:
    pytest.importorskip(library)
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **settings},
    )
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stdout
