"""Where a computation happens: which library, in which precision, on which device, with which constants."""

from blurcore._arrays.axes import align, normalize_axes
from blurcore._arrays.dtypes import as_result, root, together, upcast
from blurcore._arrays.frames import Frame, device_beside, frame
from blurcore._arrays.libraries import (
    is_checkable,
    is_number,
    namespace,
    quiet,
    require_floating,
    require_real,
    to_host,
)
from blurcore._arrays.times import Times, check_step, prepare_times, schedule_time

__all__ = [
    "Frame",
    "Times",
    "align",
    "as_result",
    "check_step",
    "device_beside",
    "frame",
    "is_checkable",
    "is_number",
    "namespace",
    "normalize_axes",
    "prepare_times",
    "quiet",
    "require_floating",
    "require_real",
    "root",
    "schedule_time",
    "to_host",
    "together",
    "upcast",
]
