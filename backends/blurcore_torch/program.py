"""A run's network, or a sampling step with it, as a program of `torch.export` or ONNX."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from blurcore._typing import StrPath
from blurcore.config import SampleConfig
from blurcore.engine import SamplingPlan
from blurcore.engine.carried import Carried, carried, describe
from blurcore.errors import ConfigError
from blurcore.samplers import SamplerState
from blurcore_torch.run import load_run
from blurcore_torch.sampler import grid_axes, guided


class StepProgram(nn.Module):
    """One step of a sampler: state, memory, number of the step (and label, noise) to the next state and memory, channels first."""

    def __init__(self, plan: SamplingPlan, steps: Carried, network: nn.Module) -> None:
        super().__init__()
        self.network, self.steps = network, steps
        self.grid, self.guidance, self.num_classes = plan.grid, plan.settings.guidance, plan.config.model.num_classes
        self.register_buffer("conditions", torch.from_numpy(steps.conditions))
        self.register_buffer("index", None if steps.places is None else torch.from_numpy(steps.places))
        for i, value in enumerate(steps.values):
            self.register_buffer(f"weight{i}", torch.from_numpy(value))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the next state and memory; the inputs are those of `steps.inputs`, in order."""
        steps, step = self.steps, self.steps.step
        given = dict(zip(steps.inputs, inputs, strict=True))
        z, k = given["state"], given["k"].reshape(1)
        rows = [getattr(self, f"weight{i}").index_select(0, k) for i in range(len(steps.values))]
        laid = [row[0] for row in step.expand(tuple(rows), self.index, self.grid, z.ndim)]
        condition = self.conditions.index_select(0, k).expand(z.shape[0])
        output = guided(self.network, z, condition, given.get("label"), self.guidance, self.num_classes)
        memory = {name: given[name] for name in steps.memory}
        state = SamplerState(step.basis.forward(z, axes=step.axes), **memory)
        after = step.take(laid, state, output, given.get("noise"))
        return (step.basis.inverse(after.u, axes=step.axes), *(getattr(after, name) for name in steps.memory))


def export(folder: StrPath, settings: SampleConfig, path: StrPath, *, form: str, part: str) -> dict[str, Any]:
    """Write a run's network, or a sampling step with it, to a file.

    Parameters
    ----------
    folder
        The run folder.
    settings
        Solver, times, clipping, guidance; of a network the times alone count, which are named in what is returned.
    path
        The file.
    form
        "torch-export": a program of `torch.export` (.pt2); "onnx": a model for ONNX Runtime and others.
    part
        "step" or "network".

    Returns
    -------
    dict
        What a user of the program has to know (:func:`blurcore.engine.carried.describe`).

    Raises
    ------
    ConfigError, CheckpointError
        The folder holds no run, the steps are not for it, or what writes ONNX is not installed.
    """
    config, network, image_shape, _, _ = load_run(folder, torch.device("cpu"))
    network.requires_grad_(False)
    plan = SamplingPlan(config, settings, image_shape, axes=grid_axes(image_shape))
    *grid, channels = image_shape
    z = torch.zeros(2, channels, *grid)
    steps = carried(plan) if part == "step" else None
    label = torch.zeros(2, dtype=torch.int64)
    if steps is None:
        module, inputs = (
            network,
            (z, torch.full((2,), float(plan.conditions[0])), *[label] * (config.model.num_classes > 0)),
        )
    else:
        module = StepProgram(plan, steps, network).eval()
        others = {"k": torch.tensor(0), "label": label}
        inputs = tuple(others.get(name, z).clone() for name in steps.inputs)  # one tensor twice would be one input
    about = describe(plan, steps) | {"layout": "channels first"}
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} if v.ndim else None for v in inputs)
    program = torch.export.export(module, inputs, dynamic_shapes=(shapes,) if steps is not None else shapes)
    if form == "onnx":
        _write_onnx(program, path, about)
    else:
        torch.export.save(program, str(path))
    return about


def _write_onnx(program: Any, path: StrPath, about: dict[str, Any]) -> None:
    try:
        import_module("onnxscript")
    except ImportError as error:
        raise ConfigError(f"--to onnx needs onnx and onnxscript ({error}); try: pip install 'blurcore[onnx]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own, of its own code
        made: Any = torch.onnx.export(
            program, dynamo=True, input_names=about["inputs"], output_names=about["outputs"], verbose=False
        )
    made.save(str(path), external_data=False)
