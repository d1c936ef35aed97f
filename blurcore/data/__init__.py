"""Images for training: data sets of uint8 arrays (H, W, C), their order, loading, and grids of pictures.

Everything is NumPy, so both backends read the same pixels in the same order; Pillow is imported when a picture is
decoded, resized or written, never before. Nothing is downloaded: the sets with a name ship inside installed packages.
Each source is a kind (:class:`Source`): settings that open a data set, ``blurcore.MNIST().load()``.

Nothing about the order of the data is carried from step to step. The indices of a batch are a function of
(number of images, batch size, step, seed), and its flips of (seed, step), so a resumed run needs the step alone.
"""

from blurcore.data.dataset import ArrayDataset, Dataset
from blurcore.data.decoded import PictureDataset
from blurcore.data.folder_images import FolderDataset
from blurcore.data.grid import save_grid
from blurcore.data.images import load_image, resize_and_crop
from blurcore.data.loader import Loader
from blurcore.data.order import Order, apply_flips, flips, permutation
from blurcore.data.pictures import as_images, save_samples
from blurcore.data.source import Depth, Grids, Images, Located, Parts, Pixels, Source
from blurcore.data.sources import SOURCES
from blurcore.data.values import Samples, to_float, to_uint8

__all__ = [
    "SOURCES",
    "ArrayDataset",
    "Dataset",
    "Depth",
    "FolderDataset",
    "Grids",
    "Images",
    "Loader",
    "Located",
    "Order",
    "Parts",
    "PictureDataset",
    "Pixels",
    "Samples",
    "Source",
    "apply_flips",
    "as_images",
    "flips",
    "load_image",
    "permutation",
    "resize_and_crop",
    "save_grid",
    "save_samples",
    "to_float",
    "to_uint8",
]
