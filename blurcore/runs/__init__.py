"""A run folder: everything that `sample` and `--resume` need, in open formats, the same for every backend.

::

    RUN/config.toml                     the resolved configuration
    RUN/metrics.jsonl                   one JSON object a line
    RUN/checkpoints/step-00001000/      weights as safetensors, state.json, manifest.json (sizes and hashes, written last)
    RUN/samples/                        pictures
"""

from blurcore.runs.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, save_checkpoint
from blurcore.runs.config_file import read_config, write_config
from blurcore.runs.folder import RunFolder

__all__ = [
    "Checkpoint",
    "RunFolder",
    "load_checkpoint",
    "newest_checkpoint",
    "read_config",
    "save_checkpoint",
    "write_config",
]
