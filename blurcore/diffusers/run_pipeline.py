"""A run as a saved pipeline of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMPipeline, DiffusionPipeline, UNet2DModel

from blurcore._typing import StrPath
from blurcore.config import RunConfig
from blurcore.diffusers.conversion import is_unet2d, to_unet2d
from blurcore.diffusers.heat_dissipation import BlurredDataPrior, HeatDissipationPipeline, HeatDissipationScheduler
from blurcore.diffusers.network import RunUNet
from blurcore.diffusers.pipeline import BlurringPipeline
from blurcore.diffusers.scheduler import BlurringScheduler
from blurcore.engine.nesting import restore_sizes
from blurcore.engine.priors import restore_prior
from blurcore.engine.sampling import has_noise, objective_of
from blurcore.errors import ConfigError
from blurcore.runs.checkpoint import SAMPLING, Arrays, newest_checkpoint, require_same_arrays
from blurcore.runs.config_file import read_config
from blurcore.runs.hub import refuse_full, write_card, write_whole
from blurcore.samplers import Ancestral
from blurcore.serial import to_dict

_PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction", "residual": "residual"}
_SCHEDULERS = {cls.__name__: cls for cls in (BlurringScheduler, HeatDissipationScheduler)}
_STEPS = 1000  # of a network that knows all times: as many as DDPM has, or a few more

_THEIRS = """\
import blurcore.diffusers  # diffusers wants to have seen it before it loads its classes
from diffusers import DDPMPipeline"""

_USAGE = """\
```
pip install 'blurcore[diffusers]'
```

```python
{imports}

pipeline = {pipeline}.from_pretrained("{name}")
images = pipeline(batch_size=4, num_inference_steps={steps}{more}).images
```"""


def export_pipeline(run: StrPath, out: StrPath, *, license_id: str = "unknown") -> None:
    """Write a run's averaged weights and its process as a pipeline, with a model card; weights in safetensors.

    Parameters
    ----------
    run, out, license_id
        As for :func:`blurcore.runs.hub.export_hub_folder`.

    Raises
    ------
    ConfigError
        As there; or the process is cold diffusion, for which diffusers has no kind of scheduler.
    CheckpointError
        There is no checkpoint to load, or it does not fit the configuration.
    """
    run, out = Path(run), Path(out)
    refuse_full(out)
    pipeline = pipeline_of(run)
    kind = type(pipeline)
    steps = _num_steps(read_config(run / "config.toml"))
    usage = _USAGE.format(
        imports=_THEIRS if kind is DDPMPipeline else f"from blurcore.diffusers import {kind.__name__}",
        pipeline=kind.__name__,
        name=out.name,
        steps=steps,
        more="" if len(pipeline.unet.config.sample_size) == 2 else ', output_type="pt"',
    )
    notes = [
        "`DDIMPipeline` would silently put a scheduler in the place of this one that knows nothing of the blur: use the pipeline above."
    ]
    if kind is HeatDissipationPipeline:
        notes.append("Sampling starts from blurred training data, which are part of the folder.")

    def write(folder: Path) -> None:
        pipeline.save_pretrained(folder, safe_serialization=True)
        write_card(folder, run, name=out.name, license_id=license_id, usage=usage, library="diffusers", notes=notes)

    write_whole(out, write)


def pipeline_of(run: StrPath) -> DiffusionPipeline:
    """Return a run as a pipeline; errors as for :func:`export_pipeline`."""
    config = read_config(Path(run) / "config.toml")
    checkpoint = newest_checkpoint(run, groups=SAMPLING)
    shape = checkpoint.state["image_shape"]
    if not has_noise(config.process, tuple(shape[:-1])):
        raise ConfigError(
            f"process must have noise for --to diffusers, whose schedulers are Gaussian; {type(config.process).__name__} has none:"
            " take --to hub-folder, from which `blurcore sample` draws"
        )
    grid, resolution = tuple(shape[:-1]), restore_sizes(config, checkpoint.state).resolution
    if len(resolution.resolutions(grid).sizes) > 1:
        raise ConfigError(
            f"resolution must be of one size for --to diffusers, whose pipelines do not grow; got {resolution.words(grid)}: take"
            " --to hub-folder, from which `blurcore sample` draws"
        )
    steps = _train_steps(config)
    network = _network(config, shape, checkpoint.groups["ema"], steps)
    scheduler = _scheduler(config, steps)
    own: dict[str, Any] = {"data_range": config.data.values, "num_steps": min(_num_steps(config), steps)}
    prior = restore_prior(config, config.sample, tuple(shape), checkpoint.groups.get("prior"))
    if prior is not None:
        if prior.points is None:
            raise ConfigError(
                f"sample.start must be BlurredData for --to diffusers; got {type(config.sample.start).__name__}"
            )
        kept = BlurredDataPrior.of(prior.support.grid, prior.support.frequencies, prior.points)
        return HeatDissipationPipeline(network, scheduler, kept, **own)
    sigma = np.asarray(config.process.marginal(1.0, shape=tuple(shape[:-1])).sigma)
    white = np.allclose(sigma, 1.0, atol=1e-3)  # DDPMPipeline starts from standard normal numbers
    if len(shape) == 3 and white and config.data.values == "symmetric" and not config.model.num_classes:
        return DDPMPipeline(network, scheduler)
    return BlurringPipeline(network, scheduler, **own)


def _num_steps(config: RunConfig) -> int:
    return config.sample.times.num_steps


def _train_steps(config: RunConfig) -> int:
    """Return N: the levels of a run that has some, else so many that the run's own grid is among the times (k + 1) / N."""
    steps = config.sample.times.num_steps
    return objective_of(config).levels or steps * -(-_STEPS // steps)


def _prediction_type(config: RunConfig) -> str:
    """Return what diffusers calls a run's prediction."""
    prediction = objective_of(config).prediction
    if prediction not in _PREDICTIONS:
        raise ConfigError(
            f"train.objective.prediction must be {', '.join(_PREDICTIONS)} for a pipeline of diffusers, which has no word for"
            f" {prediction!r}"
        )
    return _PREDICTIONS[prediction]


def _scheduler(config: RunConfig, steps: int) -> BlurringScheduler:
    """Return the scheduler that takes the steps of the run's solver, or ancestral ones where there is none."""
    chosen = config.sample.solver.scheduler or Ancestral().scheduler
    cls: Any = _SCHEDULERS[chosen.name]
    clipping = _clipping(config) if cls.clips else {}
    common = {
        "num_train_timesteps": steps,
        "process": to_dict(config.process),
        "prediction_type": _prediction_type(config),
        "timestep_spacing": "trailing",
    }
    scheduler: BlurringScheduler = cls(**common, **chosen.settings, **clipping)
    return scheduler


def _clipping(config: RunConfig) -> dict[str, Any]:
    """Return what diffusers calls the clipping of a run."""
    if config.sample.clip == "off":
        return {"clip_sample": False}
    if config.data.values != "symmetric":
        raise ConfigError(
            f"sample.clip must be off for --to diffusers with data.values {config.data.values!r}; its clipping is that of [-1, 1]"
        )
    if config.sample.clip == "static":
        return {"clip_sample": True}
    ratio = config.sample.clip_quantile
    return {"thresholding": True, "dynamic_thresholding_ratio": ratio, "sample_max_value": 1e9}


def _network(config: RunConfig, shape: list[int], weights: Arrays, steps: int) -> UNet2DModel | RunUNet:
    """Return the run's network as a diffusers model: a `UNet2DModel` where it can be one, else our wrapper."""
    network: RunUNet = RunUNet(
        sample_size=shape[:-1],
        in_channels=shape[-1],
        out_channels=shape[-1],
        model=to_dict(config.model),
        num_train_timesteps=steps,
        process=to_dict(config.process),
    )
    parameters = dict(network.network.named_parameters())
    require_same_arrays({k: tuple(p.shape) for k, p in parameters.items()}, weights, what="averaged weights")
    if is_unet2d(config.model, shape, steps):
        return to_unet2d(config.model, shape, weights)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.asarray(weights[name])))
    network.eval()
    return network
