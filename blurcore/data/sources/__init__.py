"""Kinds of data: five sets that ship inside packages, and what people have."""

from blurcore.data.sources.array_file import ArrayFile
from blurcore.data.sources.arrow import Arrow
from blurcore.data.sources.brain import Brain
from blurcore.data.sources.cifar import CIFAR
from blurcore.data.sources.hdf5 import HDF5
from blurcore.data.sources.idx import IDX
from blurcore.data.sources.image_folder import Folder
from blurcore.data.sources.membrane import Membrane
from blurcore.data.sources.mnist import MNIST
from blurcore.data.sources.parquet import Parquet
from blurcore.data.sources.photos import Photos
from blurcore.data.sources.uci_digits import Digits
from blurcore.data.sources.web_dataset import WebDataset
from blurcore.data.sources.zip_archive import Zip

SOURCES = {
    cls.__name__: cls
    for cls in (
        MNIST,
        Photos,
        Digits,
        Membrane,
        Brain,
        Folder,
        ArrayFile,
        IDX,
        CIFAR,
        Zip,
        WebDataset,
        Parquet,
        Arrow,
        HDF5,
    )
}
"""The kinds of data that a configuration can name."""

__all__ = [
    "CIFAR",
    "HDF5",
    "IDX",
    "MNIST",
    "SOURCES",
    "ArrayFile",
    "Arrow",
    "Brain",
    "Digits",
    "Folder",
    "Membrane",
    "Parquet",
    "Photos",
    "WebDataset",
    "Zip",
]
