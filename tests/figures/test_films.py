"""Films: their frames, times and loops, and the exact denoiser's stories, which must end at an image of the set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.cli import main
from blurcore.data import ArrayDataset
from blurcore.errors import ArgumentError, DataError
from blurcore.figures.film import evenly, write_film
from blurcore.figures.trajectory import Story, draw_trajectory, oracle_processes, tell_exact

SUFFIXES = pytest.mark.parametrize("suffix", ["webp", "gif"])


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Return the frames, RGB, and how long each is shown, in milliseconds."""
    frames, times = [], []
    with Image.open(path) as film:
        for k in range(film.n_frames):
            film.seek(k)
            film.load()
            frames.append(np.asarray(film.convert("RGB")))
            times.append(round(film.info["duration"]))
    return frames, times


@SUFFIXES
@pytest.mark.parametrize("channels", [1, 3])
def test_film_shows_every_frame_for_its_time(suffix, channels, tmp_path):
    frames = list(np.random.default_rng(0).integers(0, 256, (5, 12, 16, channels), dtype=np.uint8))
    path = tmp_path / f"new/film.{suffix}"
    write_film(frames, path, milliseconds=120)
    shown, times = frames_of(path)
    assert times == [120] * 4 + [2000]
    for before, after in zip(frames, shown, strict=True):
        assert after.shape == (12, 16, 3)
        if suffix == "webp" or channels == 1:
            np.testing.assert_array_equal(after, np.broadcast_to(before, after.shape))
    assert [path.name for path in path.parent.iterdir()] == [path.name]


@SUFFIXES
def test_film_loops_by_default(suffix, tmp_path):
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8))
    write_film(frames, tmp_path / f"again.{suffix}")
    write_film(frames, tmp_path / f"once.{suffix}", loop=False)
    with Image.open(tmp_path / f"again.{suffix}") as again, Image.open(tmp_path / f"once.{suffix}") as once:
        assert again.info["loop"] == 0
        assert once.info.get("loop", 1) == 1


def test_film_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"the film cannot be written to '.*a\.gif'"):
        write_film([np.zeros((2, 2, 1), np.uint8)] * 2, tmp_path / "file" / "a.gif")


def test_frames_are_chosen_evenly_with_both_ends():
    assert evenly(5, 9) == [0, 1, 2, 3, 4]
    assert evenly(101, 5) == [0, 25, 50, 75, 100]


@pytest.fixture(scope="module")
def digits() -> ArrayDataset:
    return ArrayDataset(bc.Digits().load()[:40])


@pytest.mark.parametrize("process", oracle_processes(8), ids=lambda process: type(process).__name__)
def test_sample_of_an_exact_denoiser_is_an_image_of_the_set(process, digits):
    story = tell_exact(process, digits, num_samples=3, num_steps=60, seed=1)
    assert len(story.states) == len(story.captions) == 61
    assert (story.captions[0], story.captions[-1]) == ("t = 1.00", "t = 0.00")
    known = digits[:].astype(int)
    for image in story.states[-1].astype(int):
        # what is left at t = 0 is at most the noise of the process, a hundredth of the range or 3 of its levels
        assert np.abs(known - image).max(axis=(1, 2, 3)).min() <= 8
    assert np.abs(story.states[0].astype(int)[:, None] - known).max(axis=(2, 3, 4)).min() > 64


@SUFFIXES
def test_trajectory_has_as_many_frames_as_asked_for_and_ends_at_the_last_state(suffix, tmp_path):
    states = [np.full((1, 4, 4, 1), level, np.uint8) for level in (0, 80, 160, 240)]
    small = [np.full((1, 2, 3, 3), level, np.uint8) for level in (255, 0)]
    stories = [
        Story("one\nprocess", states, [f"t = {k}" for k in range(4)]),
        Story("another", small, ["begin", "end"]),
    ]
    path = tmp_path / f"film.{suffix}"
    draw_trajectory(stories, path, frames=7, fps=10, loop=False)
    frames, times = frames_of(path)
    assert times == [100] * 6 + [2000]
    assert {frame.shape for frame in frames} == {frames[0].shape}
    heights = frames[0].shape[0]
    middle = [frame[heights // 2, frame.shape[1] // 4].tolist() for frame in frames]
    assert middle == [[level] * 3 for level in (0, 0, 80, 160, 160, 160, 240)]


def test_numbers_that_make_no_sense_are_refused(tmp_path):
    story = Story("a", [np.zeros((1, 2, 2, 1), np.uint8)] * 2, ["", ""])
    with pytest.raises(ArgumentError, match="frames must be at least 2; got 1"):
        draw_trajectory([story], tmp_path / "a.gif", frames=1)
    with pytest.raises(ArgumentError, match="fps must be from 1 to 50 frames a second; got 51"):
        draw_trajectory([story], tmp_path / "a.gif", fps=51)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--out film.png", "--out must end in one of .webp, .gif; got 'film.png'"),
        ("--frames 1", "--frames must be at least 2; got 1"),
        ("--fps 0", "--fps must be at least 1; got 0"),
        ("--fps 51", "--fps must be at most 50; got 51"),
        ("--num-samples 0", "--num-samples must be at least 1; got 0"),
        ("--seed -1", "--seed must be 0 or more; got -1"),
        ("nowhere", "nowhere"),
    ],
)
def test_mistake_is_named(flags, message, capsys):
    assert main(["figure", "trajectory", *flags.split()]) == 2
    assert message in capsys.readouterr().err


def test_four_processes_are_drawn_with_no_run_at_all(tmp_path, capsys):
    path = tmp_path / "film.gif"
    assert main(["figure", "trajectory", "--num-samples", "1", "--frames", "3", "--once", "--out", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    frames, _ = frames_of(path)
    assert len(frames) == 3
    assert (frames[0] != frames[-1]).any()
