"""A run's network, or a sampling step with it, as a program of `jax.export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export as jax_export

from blurcore._typing import StrPath
from blurcore.config import SampleConfig
from blurcore.engine import SamplingPlan
from blurcore.engine.carried import Carried, carried, describe
from blurcore.samplers import SamplerState
from blurcore_jax.run import load_run
from blurcore_jax.sampler import Guidance, grid_axes, guided


def _step(plan: SamplingPlan, steps: Carried, graphdef: Any, params: Any) -> Any:
    """Return the step as a function of the inputs that `steps` names, channels last."""
    step, guidance = steps.step, Guidance(plan.settings.guidance, plan.config.model.num_classes)

    def program(*inputs: jax.Array) -> tuple[jax.Array, ...]:
        given = dict(zip(steps.inputs, inputs, strict=True))
        z, k = given["state"], given["k"]
        rows = tuple(jnp.asarray(value)[k][None] for value in steps.values)
        index = None if steps.places is None else jnp.asarray(steps.places)
        laid = [row[0] for row in step.expand(rows, index, plan.grid, z.ndim)]
        condition = jnp.full(z.shape[:1], jnp.asarray(steps.conditions)[k])
        output = guided(nnx.merge(graphdef, params), z, condition, given.get("label"), guidance).astype(jnp.float32)
        memory = {name: given[name] for name in steps.memory}
        state = SamplerState(step.basis.forward(z, axes=step.axes), **memory)
        after = step.take(laid, state, output, given.get("noise"))
        return (step.basis.inverse(after.u, axes=step.axes), *(getattr(after, name) for name in steps.memory))

    return program


def export(folder: StrPath, settings: SampleConfig, path: StrPath, *, form: str, part: str) -> dict[str, Any]:
    """Write a run's network, or a sampling step with it, to a file: what `jax.export.deserialize` reads.

    Parameters
    ----------
    folder
        The run folder.
    settings
        Solver, times, clipping, guidance; of a network the times alone count, which are named in what is returned.
    path
        The file.
    form
        "jax-export".
    part
        "step" or "network".

    Returns
    -------
    dict
        What a user of the program has to know (:func:`blurcore.engine.carried.describe`).

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, or the steps are not for it.
    """
    del form
    config, graphdef, params, image_shape, _, _ = load_run(folder)
    plan = SamplingPlan(config, settings, image_shape, axes=grid_axes(image_shape))
    steps = carried(plan) if part == "step" else None
    (batch,) = jax_export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *image_shape), np.float32)
    kinds: dict[str, Any] = {
        "k": jax.ShapeDtypeStruct((), np.int32),
        "label": jax.ShapeDtypeStruct((batch,), np.int32),
        "condition": jax.ShapeDtypeStruct((batch,), np.float32),
    }

    def network(z: jax.Array, condition: jax.Array, *label: jax.Array) -> jax.Array:
        model = nnx.merge(graphdef, params)
        said = model(z, condition, None, *label) if label else model(z, condition)
        return said.astype(jnp.float32)

    about = describe(plan, steps) | {"layout": "channels last"}
    program = network if steps is None else _step(plan, steps, graphdef, params)
    made = jax_export.export(jax.jit(program), platforms=("cpu", "cuda"))(
        *(kinds.get(name, images) for name in about["inputs"])
    )
    Path(path).write_bytes(made.serialize())
    return about
