"""Hugging Face diffusers: schedulers for the processes of this package, pipelines, and networks of runs as its models.

diffusers writes the module of each class into a saved pipeline (``model_index.json``), and looks there again when it loads it,
provided that somebody has imported it (from 0.42.1 on): whoever loads a pipeline says ``import blurcore.diffusers`` before. All public
classes therefore say that they live here, whatever file they are written in. It then looks in that same module
for the names of its own base classes, to know how to load a component: they must stay here too.

Alone of all that is in `blurcore`, this subpackage imports a framework. Nothing else imports it.
"""

from __future__ import annotations

from blurcore.errors import BackendError

try:
    import diffusers
    import torch  # noqa: F401 (diffusers can be imported without, and is then an empty shell)
    from diffusers import DiffusionPipeline, ModelMixin, SchedulerMixin
except ImportError as error:
    raise BackendError(
        f"blurcore.diffusers needs diffusers and PyTorch ({error}); try: pip install 'blurcore[diffusers]'"
    ) from None

from blurcore.diffusers.heat_dissipation import BlurredDataPrior, HeatDissipationPipeline, HeatDissipationScheduler
from blurcore.diffusers.network import RunUNet
from blurcore.diffusers.pipeline import BlurringPipeline
from blurcore.diffusers.scheduler import BlurringScheduler, BlurringSchedulerOutput

__all__ = [
    "BlurredDataPrior",
    "BlurringPipeline",
    "BlurringScheduler",
    "BlurringSchedulerOutput",
    "DiffusionPipeline",
    "HeatDissipationPipeline",
    "HeatDissipationScheduler",
    "ModelMixin",
    "RunUNet",
    "SchedulerMixin",
]

for _public in (
    BlurredDataPrior,
    BlurringPipeline,
    BlurringScheduler,
    BlurringSchedulerOutput,
    HeatDissipationPipeline,
    HeatDissipationScheduler,
    RunUNet,
):
    _public.__module__ = __name__

for _pipeline in (BlurringPipeline, HeatDissipationPipeline):
    # `DiffusionPipeline.from_pretrained` looks for the class that a saved pipeline names in diffusers, and nowhere else.
    setattr(diffusers, _pipeline.__name__, _pipeline)
