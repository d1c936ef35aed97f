"""Pixels of more and of fewer than 8 bits, and the formats that bring them."""

from __future__ import annotations

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import blurcore as bc
from blurcore.data import ArrayDataset, FolderDataset, formats, load_image
from blurcore.data.levels import to_eight_bits
from blurcore.errors import ConfigError, DataError

AVIF = "AVIF" in formats.formats()  # Pillow 11.3 brings it
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (6, 5, 7, 1), dtype=np.uint16)
WIDE[0, 0, :2, 0] = 0, 65535


def scaled(pixels, bits):
    """The nearest of 0..255 by the definition, in float64, which holds 32 bits exactly."""
    return np.rint(np.asarray(pixels, dtype=np.float64) * 255 / (2**bits - 1)).astype(np.uint8)


def png(pixels, kind, depth, transparent=None):
    """A PNG of any bits and kind of colour (0 grey, 2 RGB, 4 grey with alpha), which Pillow cannot write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = pixels.shape[:2]
    flat = pixels.reshape(height, -1)
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in flat]
    else:
        bits = (flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    clear = b"" if transparent is None else chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + clear + data + chunk(b"IEND", b"")


@given(st.integers(1, 32), st.data())
def test_scaling_to_8_bits_rounds_to_the_nearest(bits, data):
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=20))
    found = to_eight_bits(np.asarray([*values, 0, 2**bits - 1], dtype=np.uint32), bits)
    exact = np.asarray([*values, 0, 2**bits - 1], dtype=np.float64) * 255 / (2**bits - 1)
    assert np.abs(found - exact).max() <= 0.5 + 1e-9
    assert found[-2:].tolist() == [0, 255]


class TestArrays:
    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    @pytest.mark.parametrize("dtype", ["<u2", ">u2"])
    def test_uint16_is_scaled_from_16_bits_and_recorded(self, dtype, suffix, tmp_path, caplog):
        (np.save if suffix == ".npy" else np.savez)(tmp_path / f"x{suffix}", WIDE.astype(dtype))
        data = bc.ArrayFile(path=str(tmp_path / f"x{suffix}")).load()
        np.testing.assert_array_equal(data[:], scaled(WIDE, 16))
        assert "scaled to 8 bits from the 16 of its uint16" in data.source
        assert caplog.records == []

    @pytest.mark.parametrize("memory", [2**30, 0], ids=["kept", "on-access"])
    @pytest.mark.parametrize(
        ("dtype", "bits"), [("u2", 12), ("i2", 12), ("i8", 8), ("u1", 4), ("u4", 32), ("i4", 31), ("u8", 20), ("?", 1)]
    )
    def test_white_is_the_largest_value_of_the_bits(self, dtype, bits, memory, monkeypatch):
        monkeypatch.setattr("blurcore.data.dataset.MEMORY_LIMIT", memory)
        pixels = RNG.integers(0, 2**bits, (3, 4, 5, 3)).astype(dtype)
        data = ArrayDataset(pixels, bits=bits)
        np.testing.assert_array_equal(data[:], scaled(pixels, bits))
        np.testing.assert_array_equal(data[np.asarray([2, 0])], scaled(pixels[[2, 0]], bits))
        assert data.fingerprint == ArrayDataset(scaled(pixels, bits)).fingerprint

    def test_booleans_are_black_and_white(self, tmp_path):
        np.savez(tmp_path / "x.npz", COLOUR[None] > 128)
        data = bc.ArrayFile(path=str(tmp_path / "x.npz")).load()
        np.testing.assert_array_equal(data[0], np.where(COLOUR > 128, 255, 0))

    def test_scaled_images_are_resized_and_converted(self):
        wide = COLOUR[None].astype(np.uint16) * 257
        for options in ({"image_size": (8, 8)}, {"channels": 1}, {"image_size": (8, 8), "channels": 1}):
            np.testing.assert_array_equal(ArrayDataset(wide, **options)[:], ArrayDataset(COLOUR[None], **options)[:])

    @pytest.mark.parametrize(("dims", "shape"), [(1, (5, 9)), (3, (5, 2, 4, 6))])
    def test_signals_and_volumes_have_bits_too(self, dims, shape, tmp_path):
        pixels = RNG.integers(0, 1024, shape).astype(np.uint16)
        np.save(tmp_path / "x.npy", pixels)
        data = bc.ArrayFile(path=str(tmp_path / "x.npy"), dims=dims, bits=10).load()
        np.testing.assert_array_equal(data[:][..., 0], scaled(pixels, 10))

    @pytest.mark.parametrize(
        ("pixels", "bits", "message"),
        [
            (WIDE, 12, r"must hold pixels from 0 to 4095, as data.bits = 12 says; got \d+ to 65535"),
            (WIDE.astype(np.int32) - 1, 16, r"must hold pixels from 0 to 65535, as data.bits = 16 says; got -1 to"),
            (WIDE.astype(np.uint32), None, r"got uint32, whose range is not known: say how many bits .* by data.bits"),
            (WIDE > 3, 8, r"data.bits must be 1, or not be given, for '.*', which holds bool; got 8"),
        ],
    )
    def test_pixels_that_do_not_fit_are_refused(self, pixels, bits, message, tmp_path):
        np.save(tmp_path / "x.npy", pixels)
        with pytest.raises(DataError, match=message):
            bc.ArrayFile(path=str(tmp_path / "x.npy"), bits=bits).load()

    def test_uint16_that_uses_few_of_its_bits_is_warned_of(self, caplog):
        """Scaled from 16 bits it would be all but black."""
        with caplog.at_level(logging.WARNING, logger="blurcore"):
            data = ArrayDataset(np.full((2, 3, 3, 1), 4000, np.uint16), source="x.npy")
        assert data[:].max() == 16
        assert "the largest found is 4000, which fits into 12 bits" in caplog.text
        caplog.clear()
        assert ArrayDataset(np.full((2, 3, 3, 1), 4000, np.uint16), bits=12)[:].max() == 249
        assert caplog.text == ""

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"kind": "Digits", "bits": 8},
                "unknown setting data.bits, a setting of Folder, ArrayFile, .*: Digits has: values, split",
            ),
            ({"kind": "ArrayFile", "path": "x", "bits": 0}, "in data: bits must be from 1 to 32; got 0"),
            ({"kind": "Folder", "path": "x", "bits": 33}, "in data: bits must be from 1 to 32; got 33"),
        ],
    )
    def test_bits_that_make_no_sense_are_refused(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            bc.from_dict({"data": settings}, bc.RunConfig)


class TestPictures:
    def test_bits_of_a_folder_are_those_of_its_wide_pictures(self, tmp_path):
        Image.fromarray(WIDE[0, ..., 0] >> 4).save(tmp_path / "a.png")
        Image.fromarray(WIDE[0, ..., 0] >> 4).save(tmp_path / "b.tif")
        Image.fromarray(COLOUR[:5, :7, 0]).save(tmp_path / "c.png")
        Image.fromarray(WIDE[0, ..., 0]).save(tmp_path / "d.png")
        data = FolderDataset(tmp_path, image_size=None, channels=1, bits=12)
        assert [path for path, _ in data.rejected] == ["d.png"]
        assert "to 65535, of which 12 bits hold 0 to 4095" in data.rejected[0][1]
        for i, expected in enumerate([scaled(WIDE[0] >> 4, 12)] * 2 + [COLOUR[:5, :7, :1]]):
            np.testing.assert_array_equal(data[i], expected)
        assert data.fingerprint != FolderDataset(tmp_path, image_size=None, channels=1).fingerprint

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_transparent_grey_of_any_depth_is_white_and_the_rest_is_grey(self, depth, tmp_path):
        pixels = RNG.integers(0, 2**depth, (4, 8, 1))
        pixels[0, :2, 0], clear = (0, 1), int(pixels[1, 1, 0])
        (tmp_path / "x.png").write_bytes(png(pixels, 0, depth, (clear,)))
        expected = np.where(pixels == clear, 255, scaled(pixels, depth))
        np.testing.assert_array_equal(load_image(tmp_path / "x.png", channels=None), expected)

    def test_transparent_colour_of_16_bits_is_white(self, tmp_path):
        pixels = np.asarray([[[0x1234, 0x5678, 0x9ABC], [0x3412, 0x7856, 0xBC9A]]])
        (tmp_path / "x.png").write_bytes(png(pixels, 2, 16, (0x1234, 0x5678, 0x9ABC)))
        np.testing.assert_array_equal(load_image(tmp_path / "x.png")[0], [[255] * 3, [0x34, 0x78, 0xBC]])

    def test_grey_of_16_bits_with_alpha_is_composited_on_white_and_stays_grey(self, tmp_path):
        pixels = np.asarray([[[0x8000, 0xFFFF], [0x8000, 0], [0, 0x8080]]])
        (tmp_path / "x.png").write_bytes(png(pixels, 4, 16))
        np.testing.assert_array_equal(load_image(tmp_path / "x.png", channels=None)[0, :, 0], [128, 255, 127])

    def test_colours_of_16_bits_are_read_in_16_bits_alone(self, tmp_path):
        (tmp_path / "x.png").write_bytes(png(COLOUR.astype(int) * 257, 2, 16))
        np.testing.assert_array_equal(load_image(tmp_path / "x.png"), COLOUR)
        with pytest.raises(DataError, match="colours of 16 bits, of which the upper 8 are read"):
            FolderDataset(tmp_path, image_size=None, bits=12)


def saved(image, suffix, **options):
    stream = io.BytesIO()
    image.save(stream, Image.registered_extensions()[suffix], **options)
    return stream.getvalue()


def image_of(mode):
    return Image.fromarray(COLOUR).convert(mode)


class TestFormats:
    @pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".bmp"])
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
    def test_lossless_formats_are_read_as_png(self, mode, suffix, tmp_path):
        image = image_of("RGB").quantize(8) if mode == "P" else image_of(mode)
        (tmp_path / f"x{suffix}").write_bytes(saved(image, suffix.lower()))
        (tmp_path / "y.png").write_bytes(saved(image, ".png"))
        found, expected = (load_image(tmp_path / name, channels=None) for name in (f"x{suffix}", "y.png"))
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
    def test_tiff_of_16_bits_is_scaled(self, compression, tmp_path):
        wide = WIDE[0, ..., 0]
        (tmp_path / "x.tif").write_bytes(saved(Image.fromarray(wide), ".tif", compression=compression))
        big = Image.frombytes("I;16B", wide.shape[::-1], wide.astype(">u2").tobytes())
        (tmp_path / "big.tif").write_bytes(saved(big, ".tif", compression=compression))
        (tmp_path / "negative.tif").write_bytes(
            saved(Image.fromarray(65535 - wide), ".tif", compression=compression, tiffinfo={262: 0})
        )
        for name in ("x.tif", "big.tif", "negative.tif"):
            np.testing.assert_array_equal(load_image(tmp_path / name, channels=None)[..., 0], scaled(wide, 16))

    def test_cmyk_tiff_is_read_as_rgb(self, tmp_path):
        (tmp_path / "x.tif").write_bytes(saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), ".tif"))
        np.testing.assert_array_equal(load_image(tmp_path / "x.tif")[0, 0], [255, 0, 0])

    @pytest.mark.parametrize(("dtype", "reason"), [(np.float32, "floating point"), (np.int32, "numbers with a sign")])
    def test_tiff_of_unknown_range_is_rejected_with_the_reason(self, dtype, reason, tmp_path):
        (tmp_path / "x.tif").write_bytes(saved(Image.fromarray(COLOUR[..., 0].astype(dtype)), ".tif"))
        with pytest.raises(DataError, match=reason):
            load_image(tmp_path / "x.tif")

    @pytest.mark.parametrize("suffix", [".tif", ".webp", ".avif"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_is_applied_once(self, orientation, suffix, tmp_path):
        if suffix == ".avif" and not AVIF:
            pytest.skip("Pillow without AVIF")
        upright = np.zeros((24, 40, 3), np.uint8)
        upright[:12, :10] = 255
        inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
        image = Image.fromarray(upright)
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = image if orientation == 1 else image.transpose(Image.Transpose(inverse[orientation]))
        (tmp_path / f"x{suffix}").write_bytes(saved(stored, suffix, exif=exif))
        found = load_image(tmp_path / f"x{suffix}")
        assert found.shape == upright.shape
        assert np.abs(found.astype(int) - upright).mean() < 6

    def test_first_page_of_a_tiff_is_taken_and_counted(self, tmp_path):
        pages = [Image.fromarray(page) for page in (COLOUR, 255 - COLOUR)]
        pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
        pages[0].save(tmp_path / "y.tif")
        data = FolderDataset(tmp_path, image_size=None)
        np.testing.assert_array_equal(data[0], COLOUR)
        assert data.source.endswith("2 images, 0 left out, the first page of each of 1 TIFF of several")

    def test_jfif_and_avif_are_pictures(self, tmp_path):
        smooth = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None] * 6, (40, 60, 3))
        (tmp_path / "x.jfif").write_bytes(saved(Image.fromarray(smooth), ".jpg", quality=95))
        if AVIF:
            (tmp_path / "y.AVIF").write_bytes(saved(Image.fromarray(smooth), ".avif", quality=95))
        data = FolderDataset(tmp_path, image_size=None)
        assert len(data) == 1 + AVIF
        assert np.abs(data[:].astype(int) - smooth).max() < 12

    def test_avif_is_named_where_pillow_lacks_it(self, tmp_path, monkeypatch):
        if AVIF:
            monkeypatch.setattr("PIL.AvifImagePlugin.SUPPORTED", False)
        formats.formats.cache_clear()
        try:
            (tmp_path / "x.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(100))
            with pytest.raises(DataError, match="not a PNG, JPEG, WebP, TIFF or BMP image"):
                load_image(tmp_path / "x.avif")
        finally:
            formats.formats.cache_clear()

    @pytest.mark.parametrize("suffix", [".tif", ".bmp", ".avif"])
    def test_any_damage_is_a_data_error(self, suffix, tmp_path):
        if suffix == ".avif" and not AVIF:
            pytest.skip("Pillow without AVIF")
        rng, content = np.random.default_rng(0), saved(Image.fromarray(COLOUR), suffix)
        for part in (0.01, 0.3, 0.6, 0.9):
            (tmp_path / "x").write_bytes(content[: int(len(content) * part)])
            with pytest.raises(DataError):
                load_image(tmp_path / "x")
        for _ in range(40):
            harmed = bytearray(content)
            for place in rng.integers(0, len(content), size=4):
                harmed[place] = rng.integers(0, 256)
            (tmp_path / "x").write_bytes(harmed)
            try:
                found = load_image(tmp_path / "x", image_size=(8, 8))
            except DataError as error:
                assert str(error)  # noqa: PT017
            else:
                assert found.shape == (8, 8, 3)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_bombs_are_refused_before_a_pixel_is_decoded(self, tmp_path, monkeypatch):
        small = saved(Image.new("1", (8, 8)), ".bmp")
        bomb = small[:18] + struct.pack("<ii", 60_000, 60_000) + small[26:]
        (tmp_path / "x.bmp").write_bytes(bomb)
        tiff = saved(Image.new("1", (8, 8)), ".tif")
        entry = tiff.index(struct.pack("<HHI", 256, 4, 1))
        (tmp_path / "x.tif").write_bytes(tiff[: entry + 8] + struct.pack("<I", 60_000_000) + tiff[entry + 12 :])
        monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the bomb was decoded"))
        for name in ("x.bmp", "x.tif"):
            with pytest.raises(DataError, match="pixels"):
                load_image(tmp_path / name)
