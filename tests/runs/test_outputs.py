"""What commands write: the result first, what may fail after it, nothing over the result of other settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blurcore.data import pictures
from blurcore.errors import DataError, OutputError
from blurcore.runs import newest_checkpoint

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("picture", ["data.pictures.write_picture", "figures.film.write_film"])
def test_samples_are_saved_before_the_pictures_that_may_fail(
    blurcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: str
) -> None:
    def fail(picture: Any, path: Path) -> None:
        raise OutputError(f"{path} cannot be written")

    monkeypatch.setattr(f"blurcore.{picture}", fail)
    code, out, says = blurcore("sample", tmp_path / "run", "--num-samples", "3", "--film", "--out", tmp_path / "out")
    assert (code, "cannot be written" in says) == (1, True)
    assert np.load(tmp_path / "out" / "samples.npz")["images"].shape == (3, 4, 4, 1)
    assert f"images: {tmp_path / 'out' / 'samples.npz'}" in out


def test_more_samples_than_fit_into_a_picture_are_all_saved(
    blurcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(pictures.grids_that_fit.__kwdefaults__, "pixels", 20_000)
    code, out, _ = blurcore("sample", tmp_path / "run", "--num-samples", "9", "--film", "--out", tmp_path / "out")
    assert (code, "grid: " in out, "film: " in out) == (0, True, True)
    assert f"{tmp_path / 'out' / 'grid.png'} shows the first 4 of 9 images" in caplog.text
    assert len(np.load(tmp_path / "out" / "samples.npz")["images"]) == 9


@pytest.mark.parametrize("every", ["sample", "evaluate"])
def test_checkpoint_is_saved_before_a_picture_that_fails(
    train: Any, trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: str
) -> None:
    """At step 4, whose checkpoint is due, and at step 3, where it is not: the next attempt is past the picture."""

    def fail(self: Any, settings: Any, prior: Any) -> None:
        raise DataError("no picture")

    monkeypatch.setattr(trainer, "sample", fail)
    monkeypatch.setattr("blurcore.engine.loop.check_evaluation", lambda *given: None)
    monkeypatch.setattr("blurcore.engine.loop.Reference", lambda data: None)
    for step in ("3", "4"):
        code, says = train(f"--train.{every}-every", step, "--out", str(tmp_path / step))
        assert (code, "no picture" in says) == (2, True)
        assert newest_checkpoint(tmp_path / step).step == int(step)
