"""docs/diffusers.md: its three lines turn a training loop of diffusers into a blurring one."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc

torch: Any = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")
bd: Any = pytest.importorskip("blurcore.diffusers")

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "diffusers_training_loop.py"
PAGE = (ROOT / "docs" / "diffusers.md").read_text(encoding="utf-8")
OFFICIAL, EXAMPLE = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)


def changes(diff: str) -> list[tuple[str, str]]:
    """Return the lines that a diff takes away and adds, without their indentation."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return [(line[0], line[1:].strip()) for line in lines]


def patched(diff: str, source: str) -> str:
    """Apply a diff, each of whose hunks must be there as it stands, exactly once, where it says."""
    for head, hunk in re.findall(r"(@@ .*? @@)\n((?:[ +-].*\n)+)", diff):
        old, new = ("".join(line[1:] + "\n" for line in hunk.splitlines() if line[0] in kept) for kept in (" -", " +"))
        assert source.count(old) == 1
        line = int(re.search(r"\+(\d+)", head)[1])  # type: ignore[index]
        assert source[: source.index(old)].count("\n") + 1 == line
        source = source.replace(old, new)
    return source


def run(script: Path, out: Path, *words: str) -> None:
    before = sys.argv
    small = (
        "--dataset",
        "digits",
        "--resolution",
        "8",
        "--num_steps",
        "3",
        "--eval_batch_size",
        "2",
        "--train_batch_size",
        "4",
    )
    sys.argv = [str(script), "--output_dir", str(out), *small, "--ddpm_num_inference_steps", "5", *words]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


def test_change_is_three_lines_and_the_same_for_the_original_and_the_example():
    assert sorted(changes(OFFICIAL)) == sorted(changes(EXAMPLE))
    assert [sign for sign, _ in changes(OFFICIAL)].count("+") == 3


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_three_lines_train_save_load_and_sample_a_blurring_model(prediction, tmp_path, capsys):
    script = tmp_path / SCRIPT.name
    script.write_text(patched(EXAMPLE, SCRIPT.read_text(encoding="utf-8")), encoding="utf-8")
    run(script, tmp_path / "out", "--prediction_type", prediction)
    assert "step 3 loss" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"sample_00.png", "sample_01.png"}
    pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path / "out")
    assert isinstance(pipeline.scheduler, bd.BlurringScheduler)
    assert pipeline.scheduler.process == bc.BlurringDiffusion()
    assert pipeline.scheduler.config.prediction_type == prediction
    pipeline.set_progress_bar_config(disable=True)
    first = pipeline(batch_size=2, num_inference_steps=5, generator=torch.Generator().manual_seed(0)).images[0]
    from PIL import Image

    np.testing.assert_array_equal(np.asarray(first), np.asarray(Image.open(tmp_path / "out" / "sample_00.png")))


def test_example_is_ddpm_without_them(tmp_path):
    run(SCRIPT, tmp_path / "out")
    assert type(diffusers.DDPMPipeline.from_pretrained(tmp_path / "out").scheduler) is diffusers.DDPMScheduler
