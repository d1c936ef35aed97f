from __future__ import annotations

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from blurcore.data import load_image, save_grid
from blurcore.data.grid import make_grid, most_that_fit
from blurcore.data.pictures import grids_that_fit
from blurcore.errors import ArgumentError, DataError

IMAGES = np.random.default_rng(0).integers(0, 200, size=(5, 4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("columns", "shape"), [(None, (14, 26)), (1, (32, 10)), (5, (8, 42)), (9, (8, 42)), (2, (20, 18))]
)
def test_grid_is_as_wide_as_asked_for(columns, shape, tmp_path):
    save_grid(IMAGES, tmp_path / "grid.png", columns=columns)
    assert load_image(tmp_path / "grid.png").shape == (*shape, 3)


def test_grid_holds_each_image_row_by_row_on_white(tmp_path):
    save_grid(IMAGES, tmp_path / "grid.png", columns=3, padding=1)
    grid = load_image(tmp_path / "grid.png")
    covered = np.zeros(grid.shape[:2], dtype=bool)
    for number, image in enumerate(IMAGES):
        top, left = 1 + number // 3 * 5, 1 + number % 3 * 7
        np.testing.assert_array_equal(grid[top : top + 4, left : left + 6], image)
        covered[top : top + 4, left : left + 6] = True
    assert (grid[~covered] == 255).all()


def test_grid_is_scaled_pixel_by_pixel(tmp_path):
    save_grid(IMAGES[:1], tmp_path / "grid.png", padding=0, scale=3)
    found = load_image(tmp_path / "grid.png")
    np.testing.assert_array_equal(found, np.kron(IMAGES[0], np.ones((3, 3, 1), dtype=np.uint8)))


def test_grid_of_grey_images_is_a_grey_png(tmp_path):
    save_grid(IMAGES[..., :1], tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert (image.format, image.mode) == ("PNG", "L")


def test_grid_is_a_png_whatever_its_name_and_makes_its_folder(tmp_path):
    save_grid(IMAGES, tmp_path / "new" / "folder" / "grid.dat")
    with Image.open(tmp_path / "new" / "folder" / "grid.dat") as image:
        assert image.format == "PNG"
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["grid.dat"]


def test_grid_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    save_grid(IMAGES, tmp_path / "grid.png")
    before = (tmp_path / "grid.png").read_bytes()

    def fail(self, file, **options):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(DataError, match=r"the grid cannot be written to .*grid.png': No space left on device"):
        save_grid(IMAGES[:1], tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def test_grid_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="the grid cannot be written to"):
        save_grid(IMAGES, tmp_path / "file" / "grid.png")


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (IMAGES.astype(np.float32), {}, "images must be uint8 of shape"),
        (IMAGES[0], {}, r"images must be uint8 of shape \(n, H, W, C\)"),
        (IMAGES[:0], {}, "not empty"),
        (IMAGES[..., :2], {}, "with C = 1 or 3"),
        (IMAGES, {"columns": 0}, "columns must be at least 1; got 0"),
        (IMAGES, {"padding": -1}, "padding must be 0 or more pixels; got -1"),
        (IMAGES, {"scale": 0}, "scale must be at least 1; got 0"),
        (IMAGES, {"scale": 10_000}, "images must be few and small enough for 67108864 pixels"),
    ],
)
def test_grid_refuses_arguments_that_make_no_sense(images, settings, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        save_grid(images, tmp_path / "grid.png", **settings)
    assert list(tmp_path.iterdir()) == []


@hypothesis.given(
    count=st.integers(1, 30),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    columns=st.none() | st.integers(1, 12),
    pixels=st.integers(1, 2000),
    side=st.none() | st.integers(5, 60),
)
def test_most_images_that_fit_are_found_among_all_numbers(count, size, columns, pixels, side):
    sizes = {n: make_grid(np.zeros((n, *size, 1), np.uint8), columns).shape[:2] for n in range(1, count + 1)}
    fit = [n for n in sizes if math.prod(sizes[n]) <= pixels and max(sizes[n]) <= (side or max(sizes[n]))]
    assert most_that_fit(count, size, columns=columns, pixels=pixels, side=side) == max(fit, default=0)


@pytest.mark.parametrize(
    ("shape", "limits", "grid", "said"),
    [
        ((30, 6, 5, 1), {"pixels": 500}, (18, 23, 1), "shows the first 6 of 30 images: the limit is 500 pixels"),
        ((9, 6, 5, 3), {"side": 20}, (18, 16, 3), "the first 4 of 9 images: the limit is 67,108,864 pixels, 20 a side"),
        ((3, 4, 6, 5, 1), {"pixels": 700}, (18, 30, 1), "the first 8 of 12 slices"),
        ((9, 40, 2), {"side": 200}, (134, 166, 1), "the first 4 of 9 signals"),
        ((2, 6, 5, 1), {"pixels": 20}, None, "is not written, as none of 2 images fits"),
    ],
)
def test_grid_of_too_many_samples_shows_those_that_fit_with_a_warning(shape, limits, grid, said, caplog):
    samples = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = grids_that_fit([samples, samples], "grid.png", **limits)
    assert [picture.shape for picture in found] == ([] if grid is None else [grid, grid])
    assert len(caplog.messages) == 1
    assert said in caplog.messages[0]
    if shape[0] == 30:  # which ones
        np.testing.assert_array_equal(found[0][2:8, 2:7], samples[0])
