"""Checkpoints in parts, by Orbax: each device's part of every array, in TensorStore's files, which hold no Python objects.

Loading this module takes a second, so it is imported where there are parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from blurcore.errors import CheckpointError
from blurcore.runs.checkpoint import Arrays


def write_shards(groups: dict[str, dict[str, jax.Array]], path: Path) -> None:
    """Write the groups of a checkpoint into a new folder, each process its shards; every process must call it.

    Raises
    ------
    CheckpointError
        Writing failed; says why.
    """
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(path.absolute(), groups, force=True)  # what is there is of a save that did not finish
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot write the parts of a checkpoint to {path}: {error}") from error


def read_shards(path: Path) -> dict[str, Arrays]:
    """Return the groups of a folder of parts as whole arrays of the host; each process reads all of them.

    Raises
    ------
    CheckpointError
        The parts cannot be read.
    """
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree: Any = checkpointer.metadata(path.absolute()).item_metadata.tree
            on_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            groups: dict[str, Arrays] = checkpointer.restore(path.absolute(), restore_args=on_host)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"cannot read the parts of the checkpoint {path}: {error}") from error
    return groups
