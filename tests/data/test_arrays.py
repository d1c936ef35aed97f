from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest

import blurcore as bc
from blurcore.data import arrays
from blurcore.errors import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, size=(5, 6, 7, 3), dtype=np.uint8)


def open_array(path, **settings):
    return bc.ArrayFile(path=str(path), **settings).load()


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (COLOUR, COLOUR),
        (COLOUR[..., :1], COLOUR[..., :1]),
        (COLOUR[..., 0], COLOUR[..., :1]),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (COLOUR[..., :1].transpose(0, 3, 1, 2), COLOUR[..., :1]),
        (np.asfortranarray(COLOUR), COLOUR),
        (COLOUR[:, :3, :, 0], COLOUR[:, :3, :, :1]),
        (COLOUR[:, :1, :1, :1], COLOUR[:, :1, :1, :1]),
    ],
    ids=["NHWC", "NHW1", "NHW", "NCHW", "N1HW", "fortran", "NHW-of-height-3", "one-pixel"],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".NPY"])
def test_array_is_read_in_each_clear_layout(stored, expected, suffix, tmp_path):
    path = tmp_path / f"images{suffix}"
    with open(path, "wb") as file:
        if suffix == ".npz":
            np.savez_compressed(file, stored)
        else:
            np.save(file, stored)
    data = open_array(path)
    assert data.image_shape == expected.shape[1:]
    assert data.name == "ArrayFile"
    assert path.name in data.source
    np.testing.assert_array_equal(data[:], expected)
    np.testing.assert_array_equal(data[np.asarray([4, 0])], expected[[4, 0]])


def test_npy_is_memory_mapped_and_gives_plain_arrays(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    data = open_array(tmp_path / "x.npy")
    assert isinstance(data._images, np.memmap)
    assert type(data[0]) is np.ndarray
    assert type(data[:2]) is np.ndarray
    data[:2][...] = 0
    np.testing.assert_array_equal(data[:], COLOUR)


def test_array_is_brought_to_size_and_channels(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    data = open_array(tmp_path / "x.npy", image_size=(4, 4), channels=1)
    assert data[:].shape == (5, 4, 4, 1)


def test_fingerprint_of_an_array_follows_its_contents_not_its_place(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    np.savez(tmp_path / "y.npz", images=COLOUR)
    np.save(tmp_path / "z.npy", COLOUR[::-1])
    one, two, three = (open_array(tmp_path / name).fingerprint for name in ("x.npy", "y.npz", "z.npy"))
    assert one == two != three


@pytest.mark.parametrize("key", ["images", "x", "arr_0"])
def test_npz_of_several_arrays_gives_the_one_with_a_known_name(key, tmp_path):
    np.savez(tmp_path / "x.npz", labels=np.arange(5), **{key: COLOUR})
    np.testing.assert_array_equal(open_array(tmp_path / "x.npz")[:], COLOUR)


def test_npz_of_one_array_may_have_any_name(tmp_path):
    np.savez(tmp_path / "x.npz", pictures=COLOUR)
    data = open_array(tmp_path / "x.npz")
    np.testing.assert_array_equal(data[:], COLOUR)
    assert data.source == "x.npz[pictures], an array of (5, 6, 7, 3)"


def test_npz_without_a_known_name_is_refused_with_the_names_it_has(tmp_path):
    np.savez(tmp_path / "x.npz", a=COLOUR, b=COLOUR)
    with pytest.raises(DataError, match=r"one named images, x, arr_0; it holds \['a', 'b'\]"):
        open_array(tmp_path / "x.npz")


def test_npz_without_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DataError, match="it holds none"):
        open_array(tmp_path / "x.npz")


def test_npz_larger_than_memory_should_hold_is_refused_before_it_is_read(tmp_path):
    """The header alone decides: 16 TiB would never fit."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("images.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**12, 2**12, 1)}
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(DataError, match=r"has 17592186044416 bytes, more than 4294967296; save it as \.npy"):
        open_array(tmp_path / "x.npz")


def test_npz_with_a_header_of_the_second_version_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array(member, COLOUR, version=(2, 0))
    np.testing.assert_array_equal(open_array(tmp_path / "x.npz")[:], COLOUR)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (COLOUR / np.float32(255), r"must hold uint8 pixels; got float32, whose range is not known: convert it"),
        (COLOUR.astype(np.int64), r"got int64, whose range is not known: say how many bits a pixel has by data\.bits"),
        (COLOUR.astype("S3"), r"must hold pixels, whole numbers such as uint8; got \|S3"),
        (COLOUR[0, :, :, 0], r"must have the shape \(n, H, W\), .* got \(6, 7\)"),
        (COLOUR[None], r"must have the shape \(n, H, W\), .* got \(1, 5, 6, 7, 3\)"),
        (COLOUR[0], r"\(6, 7, 3\), which may be one image \(H, W, C\) or 6 images of width 3: add the missing axis"),
        (COLOUR[:, :3], r"which may be \(n, H, W, C\) or \(n, C, H, W\): it is ambiguous"),
        (COLOUR[..., :2], r"must have 1 or 3 channels, in its last axis or in axis 1; got the shape \(5, 6, 7, 2\)"),
        (COLOUR[:0], r"at least one image of at least one pixel; got the shape \(0, 6, 7, 3\)"),
    ],
    ids=["float", "int", "bytes", "2-d", "5-d", "one-image", "ambiguous", "two-channels", "no-image"],
)
def test_array_of_another_kind_is_refused(stored, message, tmp_path):
    np.savez(tmp_path / "x.npz", stored)
    with pytest.raises(DataError, match=message):
        open_array(tmp_path / "x.npz")
    if stored.size:
        np.save(tmp_path / "x.npy", stored)
        with pytest.raises(DataError, match=message):
            open_array(tmp_path / "x.npy")


def test_empty_npy_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR[:0])
    with pytest.raises(DataError, match=r"x\.npy"):
        open_array(tmp_path / "x.npy")


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_pickle_called_npy_is_refused_and_does_not_run(tmp_path):
    marker = str(tmp_path / "ran")
    payloads = {"bare.npy": pickle.dumps(Payload(marker)), "bare.npz": pickle.dumps(Payload(marker))}
    for name, content in payloads.items():
        (tmp_path / name).write_bytes(content)
    objects = np.asarray([Payload(marker)], dtype=object)
    np.save(tmp_path / "object.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "object.npz", images=objects)
    for name in ("bare.npy", "bare.npz", "object.npy", "object.npz"):
        with pytest.raises(DataError, match=rf"{name}"):
            open_array(tmp_path / name)
        assert not os.path.exists(marker)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("length", [0, 3, 60, 200, -20])
def test_truncated_file_is_refused(suffix, length, tmp_path):
    whole = tmp_path / f"whole{suffix}"
    (np.save if suffix == ".npy" else np.savez)(whole, COLOUR)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(DataError, match="is not a readable NumPy file of numbers"):
        open_array(path)


def test_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(DataError, match=r"data.path must be a .npy or .npz file that exists; got .*nothing.npy"):
        open_array(tmp_path / "nothing.npy")


def test_folder_instead_of_a_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.path must be a \.npy or \.npz file that exists"):
        open_array(tmp_path)


def test_file_of_another_suffix_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"data\.path must end in \.npy or \.npz"):
        open_array(tmp_path / "x.csv")


def test_layout_of_a_negative_shape_is_refused():
    with pytest.raises(DataError, match="at least one image"):
        arrays.layout_of((-1, 4, 4), "x")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(("dims", "shape"), [(1, (5, 9)), (1, (5, 9, 4)), (3, (5, 2, 4, 6)), (3, (5, 2, 4, 6, 2))])
def test_signals_and_volumes_are_read_with_and_without_channels(dims, shape, suffix, tmp_path):
    stored = RNG.integers(0, 256, size=shape, dtype=np.uint8)
    (np.save if suffix == ".npy" else np.savez)(tmp_path / f"x{suffix}", stored)
    data = open_array(tmp_path / f"x{suffix}", dims=dims)
    assert data.image_shape == (shape[1:] if len(shape) == dims + 2 else (*shape[1:], 1))
    np.testing.assert_array_equal(data[:].reshape(shape), stored)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "stored", [np.zeros((5, 4, 3, 2), np.uint8), np.zeros(5, np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_signals_of_another_rank_are_refused(stored, suffix, tmp_path):
    (np.save if suffix == ".npy" else np.savez)(tmp_path / f"x{suffix}", stored)
    with pytest.raises(DataError, match=r"must hold uint8 of the shape \(n, L\) or \(n, L, C\), as data.dims = 1 says"):
        open_array(tmp_path / f"x{suffix}", dims=1)


class TestLabels:
    """They are read as the images are."""

    def labels_of(self, path, **arrays):
        with open(path, "wb") as file:
            np.savez(file, images=COLOUR, **arrays)
        return bc.ArrayFile(path=str(path)).load().labels()

    @pytest.mark.parametrize("dtype", ["u1", ">i4", "i8"])
    @pytest.mark.parametrize("name", ["x.npz", "M.NPZ"])
    def test_labels_are_found_where_the_images_are(self, name, dtype, tmp_path):
        found = self.labels_of(tmp_path / name, labels=np.arange(5, dtype=dtype))
        assert found.dtype == np.int64
        assert found.tolist() == [0, 1, 2, 3, 4]
        assert len(open_array(tmp_path / name)) == 5

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (
                np.arange(5)[:, None],
                r"labels in '.*x\.npz' must have the shape \(n,\), one for each image; got \(5, 1\)",
            ),
            (np.asarray(3), r"must have the shape \(n,\), one for each image; got \(\)"),
            (np.arange(5.0), r"must be whole numbers, 0 or more; got float64"),
            (np.arange(5) > 2, r"must be whole numbers, 0 or more; got bool"),
            (np.arange(5) - 1, r"must be whole numbers, 0 or more; got -1"),
            (np.asarray([2**63], np.uint64), r"must be whole numbers, 0 or more; got 9223372036854775808"),
        ],
    )
    def test_labels_of_another_kind_are_refused_by_what_is_wrong(self, labels, message, tmp_path):
        with pytest.raises(DataError, match=message):
            self.labels_of(tmp_path / "x.npz", labels=labels)

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_any_flipped_bit_is_a_data_error(self, save, tmp_path):
        """Of the labels, in the file: wherever it is, what is read is right or refused."""
        labels = np.arange(300, dtype=np.int64)
        save(tmp_path / "x.npz", labels=labels, images=COLOUR)
        content = (tmp_path / "x.npz").read_bytes()
        for place in np.random.default_rng(0).integers(0, len(content), size=60):
            harmed = bytearray(content)
            harmed[place] ^= 1
            (tmp_path / "x.npz").write_bytes(harmed)
            try:
                found = bc.ArrayFile(path=str(tmp_path / "x.npz")).load().labels()
            except DataError as error:
                assert "x.npz" in str(error)  # noqa: PT017
            else:
                if found is not None:  # the name of the array may be what was harmed
                    np.testing.assert_array_equal(found, labels)

    def test_labels_that_are_pickled_are_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"x\.npz"):
            self.labels_of(tmp_path / "x.npz", labels=np.asarray([None], dtype=object))
