"""Weights in the layout that checkpoints have (the state dict of `blurcore_torch.model`), from Flax and back: one table.

=========================  ==================  =====================================
Flax (last part of path)   checkpoint          axes
=========================  ==================  =====================================
kernel of a convolution    weight              (rows, columns, in, out) -> (out, in, rows, columns); 1 to 3 axes
kernel of a dense layer    weight              (in, out) -> (out, in)
embedding of labels        weight              as it is
scale of a norm            weight              as it is
bias                       bias                as it is
=========================  ==================  =====================================

The rest of the path is the same, joined by dots; ``nnx.Sequential`` adds a part ``layers``, which is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from blurcore.runs.checkpoint import Arrays, require_same_arrays
from blurcore_jax.devices import gather


class Rule(NamedTuple):
    """How one kind of parameter is called in a checkpoint, and how its axes are ordered there."""

    name: str
    axes: tuple[int, ...]


TABLE = {
    ("kernel", 5): Rule("weight", (4, 3, 0, 1, 2)),
    ("kernel", 4): Rule("weight", (3, 2, 0, 1)),
    ("kernel", 3): Rule("weight", (2, 1, 0)),
    ("kernel", 2): Rule("weight", (1, 0)),
    ("embedding", 2): Rule("weight", (0, 1)),
    ("scale", 1): Rule("weight", (0,)),
    ("bias", 1): Rule("bias", (0,)),
}


def _entries(state: Any) -> list[tuple[tuple[Any, ...], str, Rule, Any]]:
    """Return (path, name in the checkpoint, rule, value) for each parameter."""
    entries = []
    for path, variable in nnx.to_flat_state(state):
        value = variable.get_value() if isinstance(variable, nnx.Variable) else variable
        rule = TABLE[str(path[-1]), value.ndim]
        name = ".".join([*(str(part) for part in path[:-1] if part != "layers"), rule.name])
        entries.append((path, name, rule, value))
    return entries


def to_layout(state: Any) -> Arrays:
    """Return a model's parameters, an ``nnx.State``, as arrays by their name in a checkpoint, copied to the host.

    Where they are spread over the devices of several processes, all must ask.
    """
    # On the CPU the host may be given the device's own memory, which the next step writes to. The copy keeps the device's
    # order, which is fast; whoever writes it in the order of the layout can do so in the background.
    return {name: np.transpose(np.array(gather(value)), rule.axes) for _, name, rule, value in _entries(state)}


def in_layout(state: Any) -> dict[str, jax.Array]:
    """Return what :func:`to_layout` returns, left on the devices."""
    return {name: jnp.transpose(value, rule.axes) for _, name, rule, value in _entries(state)}


def layout_shapes(state: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter in a checkpoint, by its name there."""
    return {name: tuple(value.shape[a] for a in rule.axes) for _, name, rule, value in _entries(state)}


def from_layout(state: Any, arrays: Mapping[str, np.ndarray], *, what: str) -> Any:
    """Return a state like `state` (arrays or shapes) that has the values of a checkpoint, as NumPy arrays.

    Raises
    ------
    CheckpointError
        Names are missing or too many, or shapes or dtypes differ; all are listed.
    """
    entries = _entries(state)
    require_same_arrays(layout_shapes(state), arrays, what=what)
    values = iter(np.transpose(arrays[name], np.argsort(rule.axes)) for _, name, rule, _ in entries)
    leaves, structure = jax.tree.flatten(state)
    if len(leaves) != len(entries):
        raise TypeError(f"a state of parameters alone is wanted; got {len(leaves)} leaves for {len(entries)} of them")
    return jax.tree.unflatten(structure, [next(values).astype(leaf.dtype) for leaf in leaves])
