from __future__ import annotations

import builtins
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from blurcore.data import images as images_module
from blurcore.data import load_image, resize_and_crop
from blurcore.errors import ArgumentError, DataError

GRADIENT = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(60)[None] * 4, 90), -1).astype(np.uint8)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_png_is_read_exactly(tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GRADIENT))
    found = load_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, GRADIENT)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".JPEG"])
def test_lossy_formats_are_read_closely(suffix, tmp_path):
    path = saved(tmp_path / f"x{suffix}", Image.fromarray(GRADIENT), quality=95)
    np.testing.assert_allclose(load_image(path).astype(int), GRADIENT, atol=14)


def test_format_is_that_of_the_contents_not_of_the_name(tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GRADIENT), format="JPEG", quality=95)
    assert load_image(path).shape == GRADIENT.shape


@pytest.mark.parametrize(("channels", "expected"), [(1, 1), (3, 3), (None, 3)])
def test_colour_picture_has_the_channels_asked_for(channels, expected, tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GRADIENT))
    assert load_image(path, channels=channels).shape == (40, 60, expected)


@pytest.mark.parametrize(("channels", "expected"), [(1, 1), (3, 3), (None, 1)])
@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_picture_has_the_channels_asked_for(mode, channels, expected, tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GRADIENT[..., 0]).convert(mode))
    assert load_image(path, channels=channels).shape == (40, 60, expected)


def test_grey_of_a_colour_picture_is_that_of_pillow(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, size=(50, 50, 3), dtype=np.uint8)
    path = saved(tmp_path / "x.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(
        load_image(path, channels=1)[..., 0], np.asarray(Image.fromarray(pixels).convert("L"))
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    upright = Image.fromarray(GRADIENT)
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose that undoes each orientation's
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "x.png", stored, exif=exif)
    np.testing.assert_array_equal(load_image(path), GRADIENT)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\xff", b"this is no TIFF header"])
def test_exif_that_cannot_be_read_is_no_reason_to_refuse(exif, tmp_path):
    path = saved(tmp_path / "x.jpg", Image.fromarray(GRADIENT), exif=b"Exif\0\0" + exif)
    assert load_image(path).shape == GRADIENT.shape


def test_transparency_is_composited_on_white(tmp_path):
    pixels = np.zeros((2, 3, 4), dtype=np.uint8)
    pixels[:, 1] = (255, 0, 0, 255)
    pixels[:, 2] = (0, 0, 0, 128)
    path = saved(tmp_path / "x.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(load_image(path)[0], [[255, 255, 255], [255, 0, 0], [127, 127, 127]])


def test_palette_with_transparency_is_composited_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 0, 0, 255])
    image.putpixel((1, 0), 1)
    path = saved(tmp_path / "x.png", image, transparency=0)
    np.testing.assert_array_equal(load_image(path)[0], [[255, 255, 255], [0, 0, 255]])


@pytest.mark.parametrize(("mode", "clear"), [("L", 7), ("RGB", (7, 7, 7))])
def test_transparent_colour_is_composited_on_white(mode, clear, tmp_path):
    image = Image.new(mode, (2, 1), clear)
    image.putpixel((1, 0), 9 if mode == "L" else (9, 9, 9))
    path = saved(tmp_path / "x.png", image, transparency=clear)
    np.testing.assert_array_equal(load_image(path)[0], [[255] * 3, [9] * 3])


def test_cmyk_jpeg_is_read_as_rgb(tmp_path):
    path = saved(tmp_path / "x.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    np.testing.assert_allclose(load_image(path)[8, 8].astype(int), [255, 0, 0], atol=6)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    levels = np.asarray([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    path = saved(tmp_path / "x.png", Image.fromarray(levels))
    np.testing.assert_array_equal(load_image(path, channels=1)[0, :, 0], [0, 0, 1, 1, 128, 255])


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_animation_gives_its_first_frame(suffix, tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = saved(tmp_path / f"x{suffix}", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(load_image(path)[4, 4], [255, 0, 0])


def test_jpeg_of_several_pictures_gives_its_first(tmp_path):
    """Cameras write them (MPO) under the suffix of JPEG."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    path = saved(tmp_path / "x.jpg", frames[0], format="MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(load_image(path)[8, 8].astype(int), [255, 0, 0], atol=6)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50), (1, 300), (300, 1), (1, 1), (7, 5)])
@pytest.mark.parametrize("size", [(16, 16), (8, 24), (33, 9), (1, 1)])
def test_picture_of_any_shape_is_brought_to_size(shape, size, tmp_path):
    path = saved(tmp_path / "x.png", Image.new("RGB", shape[::-1], (10, 20, 30)))
    found = load_image(path, image_size=size)
    assert found.shape == (*size, 3)
    np.testing.assert_array_equal(found, np.broadcast_to(np.asarray([10, 20, 30], dtype=np.uint8), found.shape))


def test_resizing_keeps_the_centre():
    pixels = np.zeros((30, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = 255
    np.testing.assert_array_equal(resize_and_crop(pixels, (30, 30)), np.full((30, 30, 3), 255))
    tall = pixels.transpose(1, 0, 2)
    assert resize_and_crop(tall, (10, 10))[1:-1].min() > 250


def test_resizing_keeps_proportions():
    """A disc stays a disc in a wide target: rows are cropped, nothing is stretched."""
    y, x = np.mgrid[:120, :120] - 59.5
    disc = ((y**2 + x**2 < 25**2) * 255).astype(np.uint8)[..., None]
    found = resize_and_crop(disc, (40, 60))[..., 0] > 127
    assert abs(int(found.any(axis=0).sum()) - int(found.any(axis=1).sum())) <= 1
    assert abs(int(found.any(axis=0).sum()) - 25) <= 1


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize_and_crop(stripes, (8, 8))[:, 1:-1].astype(int) - 127).max() < 4


def test_resizing_to_the_same_size_changes_nothing():
    assert resize_and_crop(GRADIENT, (40, 60)) is GRADIENT


def test_resizing_a_batch_is_resizing_each_image():
    batch = np.random.default_rng(0).integers(0, 256, size=(3, 9, 11, 3), dtype=np.uint8)
    found = resize_and_crop(batch, (6, 5))
    np.testing.assert_array_equal(found, np.stack([resize_and_crop(image, (6, 5)) for image in batch]))


def test_resizing_refuses_other_arrays_and_sizes():
    with pytest.raises(ArgumentError, match="images must be uint8 of shape"):
        resize_and_crop(GRADIENT.astype(float), (4, 4))
    with pytest.raises(ArgumentError, match=r"image_size must be \(height, width\), two positive integers"):
        resize_and_crop(GRADIENT, (0, 4))
    with pytest.raises(ArgumentError, match="image_size must be"):
        resize_and_crop(GRADIENT, (True, 4))


def png_header(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(1000))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (10_000, 10_000), (100_000, 100_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused_before_it_is_decoded(width, height, tmp_path, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(png_header(width, height))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the bomb was decoded"))
    with pytest.raises(DataError, match=r"bomb.png' cannot be read: .*pixels"):
        load_image(tmp_path / "bomb.png")


def test_decompression_bomb_is_refused_where_the_program_lifted_pillows_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "bomb.png").write_bytes(png_header(100_000, 100_000))
    with pytest.raises(DataError, match="100000 x 100000 pixels are more than 67108864"):
        load_image(tmp_path / "bomb.png")


def test_decompression_bomb_is_refused_where_warnings_are_errors(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(10_000, 10_000))
    with pytest.raises(DataError, match="too many pixels"):
        load_image(tmp_path / "bomb.png")


def test_file_of_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images_module, "MAX_FILE_BYTES", 100)
    path = saved(tmp_path / "x.png", Image.fromarray(GRADIENT))
    with pytest.raises(DataError, match="the file is larger than 100 bytes"):
        load_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9])
def test_truncated_picture_is_refused(suffix, part, tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(64, 64, 3), dtype=np.uint8))
    content = saved(tmp_path / f"x{suffix}", noise).read_bytes()
    (tmp_path / f"x{suffix}").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=r"the image .*x\.(png|jpg|webp)' cannot be read: "):
        load_image(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("format_name", ["GIF", "PPM", "ICO", "TGA"])
def test_picture_of_another_format_is_refused(format_name, tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GRADIENT), format=format_name)
    with pytest.raises(DataError, match="not a PNG, JPEG, WebP, TIFF, BMP or AVIF image"):
        load_image(path)


def test_empty_file_folder_pipe_and_nothing_are_refused(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty.png' cannot be read: the file is empty"):
        load_image(tmp_path / "empty.png")
    with pytest.raises(DataError, match="not a regular file"):
        load_image(tmp_path)
    with pytest.raises(DataError, match=r"nothing.png' cannot be read: No such file or directory"):
        load_image(tmp_path / "nothing.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(DataError, match="not a regular file"):
            load_image(tmp_path / "pipe.png")


def test_any_damage_is_a_data_error(tmp_path):
    """Flipped bytes: a picture comes out or a sentence, never another exception."""
    rng = np.random.default_rng(0)
    for format_name in ("PNG", "JPEG", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(GRADIENT).save(buffer, format=format_name)
        for _ in range(60):
            content = bytearray(buffer.getvalue())
            for place in rng.integers(0, len(content), size=4):
                content[place] = rng.integers(0, 256)
            (tmp_path / "x").write_bytes(content)
            try:
                found = load_image(tmp_path / "x", image_size=(8, 8))
            except DataError as error:
                assert str(error)  # noqa: PT017
            else:
                assert found.shape == (8, 8, 3)


def test_load_image_refuses_arguments_that_make_no_sense(tmp_path):
    with pytest.raises(ArgumentError, match=r"channels must be 1 \(grey\), 3 \(RGB\) or None; got 4"):
        load_image(tmp_path, channels=4)
    with pytest.raises(ArgumentError, match="image_size must be"):
        load_image(tmp_path, image_size=(3,))
    with pytest.raises(ArgumentError, match="image_size must be"):
        load_image(tmp_path, image_size=32)


def test_missing_pillow_is_an_error_with_the_install_command(monkeypatch):
    real = builtins.__import__

    def without_pillow(name, *args, **kwargs):
        if name == "PIL":
            raise ImportError("No module named 'PIL'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(DataError, match=r"needs Pillow \(No module named 'PIL'\); try: pip install 'blurcore\[data\]'"):
        resize_and_crop(GRADIENT, (4, 4))
