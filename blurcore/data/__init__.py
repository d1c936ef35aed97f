"""Images for training: data sets of uint8 arrays (H, W, C), their order, loading, and grids of pictures.

Everything is NumPy, so both backends read the same pixels in the same order; Pillow is imported when a picture is
decoded, resized or written, never before. Nothing is downloaded: the sets with a name ship inside installed packages.

Nothing about the order of the data is carried from step to step. The indices of a batch are a function of
(number of images, batch size, step, seed), and its flips of (seed, step), so a resumed run needs the step alone.
"""

from blurcore.data.dataset import ArrayDataset, Dataset
from blurcore.data.folder import FolderDataset
from blurcore.data.grid import save_grid
from blurcore.data.images import load_image, resize_and_crop
from blurcore.data.labels import load_labels
from blurcore.data.loader import Loader
from blurcore.data.loading import NAMES, load
from blurcore.data.order import Order, apply_flips, batch_indices, flips, permutation
from blurcore.data.pictures import as_images, save_samples
from blurcore.data.values import Samples, to_float, to_uint8

__all__ = [
    "NAMES",
    "ArrayDataset",
    "Dataset",
    "FolderDataset",
    "Loader",
    "Order",
    "Samples",
    "apply_flips",
    "as_images",
    "batch_indices",
    "flips",
    "load",
    "load_image",
    "load_labels",
    "permutation",
    "resize_and_crop",
    "save_grid",
    "save_samples",
    "to_float",
    "to_uint8",
]
