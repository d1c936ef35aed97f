"""A sampling step with its network, made ready to be carried to where blurcore is not: tables of all steps, and what they are called.

The state is kept in data space, so that whoever takes the steps needs no transform. Of a linear step that is exact: the bases are
orthonormal, and white noise is white in both spaces.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from blurcore.engine.plan import SamplingPlan
from blurcore.engine.priors import start_of
from blurcore.engine.steps import LENGTHS, LinearStep
from blurcore.errors import ConfigError
from blurcore.starts import default_start, leaves_image

Host = np.ndarray[Any, Any]


class Carried(NamedTuple):
    """The steps of a plan in one table.

    `values`: weights, each (steps, frequencies); `conditions`: what the network is shown of the time, (steps,); `places`: that of
    each frequency of the grid in the weights, None where they are laid out already; `memory`: what is remembered beside the state, by
    name, zeros at first; `takes_noise`, `takes_label`: what else goes in.
    """

    step: LinearStep
    values: tuple[Host, ...]
    conditions: Host
    places: Host | None
    memory: tuple[str, ...]
    takes_noise: bool
    takes_label: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what goes in, in order."""
        more = ("label",) * self.takes_label + ("noise",) * self.takes_noise
        return ("state", *self.memory, "k", *more)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what comes out, in order: what goes in again."""
        return tuple(f"next_{name}" for name in ("state", *self.memory))


def carried(plan: SamplingPlan) -> Carried:
    """Return the steps of a plan in one table.

    Raises
    ------
    ConfigError
        The solver chooses its own steps or takes ones that are not linear, the predicted images are clipped in a way that depends on
        the batch, or sampling starts from images or on smaller ones.
    """
    config, settings = plan.config, plan.settings
    grid, name = plan.image_shape[:-1], type(settings.solver).__name__
    if plan.adaptive:
        raise ConfigError(f"sample.solver must be one of fixed steps to be carried elsewhere; got {name}")
    start = start_of(config, settings, grid)
    if leaves_image(config.process, grid) or start != default_start(config.process, grid):
        raise ConfigError(
            f"sample.start must be Noise to be carried elsewhere, where there are no images; got {type(start).__name__}"
        )
    if plan.smaller:
        raise ConfigError(
            "a run that samples on smaller images first cannot be carried elsewhere: its steps have several sizes"
        )
    if np.ptp(plan.first_sigma) > 0:
        raise ConfigError("the first state must have the same noise in every frequency to be carried elsewhere")
    plan.length = len(plan.stages)  # all in one block, of one structure
    (block,) = plan.blocks()
    if not isinstance(block.step, LinearStep):
        raise ConfigError(f"sample.solver must take linear steps to be carried elsewhere; {name} does not here")
    first = block.step.start(plan.solver.start(np.zeros((1,) * (len(grid) + 2))))
    fields = [field for field, value in first._asdict().items() if value is not None and field not in LENGTHS]
    return Carried(
        step=block.step,
        values=tuple(block.values),
        conditions=block.conditions,
        places=plan.index,
        memory=tuple(field for field in fields if field != "u"),
        takes_noise=block.step.uses_noise,
        takes_label=config.model.num_classes > 0,
    )


def describe(plan: SamplingPlan, steps: Carried | None) -> dict[str, Any]:
    """Return what a user of the program has to know, as JSON has it; for a network alone without `steps`."""
    config = plan.config
    about: dict[str, Any] = {
        "image_shape": list(plan.image_shape),
        "range": {"symmetric": [-1.0, 1.0], "unit": [0.0, 1.0]}.get(config.data.values, config.data.values),
        "prediction": plan.objective.prediction,
        "times": [float(t) for t in plan.stages[:, 0]],
        "conditions": [float(c) for c in plan.conditions],
        "embedding": config.model.embedding,
        "num_classes": config.model.num_classes,
    }
    if steps is None:
        inputs = ["z", "condition", *["label"] * (config.model.num_classes > 0)]
        return about | {"part": "network", "inputs": inputs, "outputs": ["prediction"]}
    return about | {
        "part": "step",
        "solver": type(plan.settings.solver).__name__,
        "steps": len(plan.stages),
        "ends": [float(s) for s in plan.stages[:, 1]],
        "first_sigma": float(plan.first_sigma.flat[0]),
        "guidance": plan.settings.guidance,
        "inputs": list(steps.inputs),
        "outputs": list(steps.outputs),
        "use": "state = first_sigma * standard normal numbers, memory = zeros; for k = 0 .. steps - 1: state, memory = program(state,"
        " memory, k, ...); the last state is the image",
    }
