"""What a run is and how far it has come, from its folder alone and without a framework."""

from __future__ import annotations

import json
import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from blurcore._typing import StrPath
from blurcore.errors import CheckpointError
from blurcore.runs.checkpoint import complete_checkpoints, read_json
from blurcore.runs.config_file import read_config
from blurcore.runs.folder import read_metrics
from blurcore.runs.origin import trained_with
from blurcore.serial import to_dict

_log = logging.getLogger(__name__)


def describe_run(folder: StrPath) -> dict[str, Any]:
    """Return the description of a run as JSON values.

    Parameters
    ----------
    folder
        The run folder.

    Returns
    -------
    dict
        "process", "data", "model", "resolution", "train", "sample" (settings), "data_description" (what the data are), "prediction"
        (what the network predicts), "parameters" (None: not known, without a checkpoint in one piece), "image_shape", "images" (how
        many it trains on) and "left_out" (how many files of a folder it does not, by suffix), "resolutions" (sizes of images, and
        since when each is enough), "steps" (done, and planned), "loss" (of the last line of metrics), "checkpoints" (step and bytes
        of each), "bytes" (of the whole folder), "backend" and "version" (that wrote the newest checkpoint), "pictures", "samples"
        (folders), "evaluation" (what `blurcore evaluate` wrote), "calibrated".

    Raises
    ------
    ConfigError
        It is no run folder.
    CheckpointError
        The newest checkpoint's state cannot be read.
    """
    folder = Path(folder)
    config = read_config(folder / "config.toml")
    checkpoints = complete_checkpoints(folder)
    state = read_json(checkpoints[-1] / "state.json") if checkpoints else {}
    lines = read_metrics(folder / "metrics.jsonl") if (folder / "metrics.jsonl").is_file() else []
    lines = [line for line in lines if isinstance(line.get("step"), int)]
    losses = [line for line in lines if isinstance(line.get("loss"), (int, float))]
    settings = to_dict(config)
    return {
        "run": str(folder),
        **{name: settings[name] for name in ("process", "data", "model", "resolution", "train", "sample", "seed")},
        "data_description": config.data.description,
        "prediction": config.train.objective.prediction,
        "parameters": _count_parameters([path / "ema.safetensors" for path in checkpoints]),
        "image_shape": state.get("image_shape"),
        "images": images if isinstance(images := state.get("images"), int) else None,
        "left_out": _counts(state.get("left_out")),
        "resolutions": state.get("resolutions"),
        "steps": {
            "done": max([state.get("step", 0), *(line["step"] for line in lines)]),
            "planned": config.train.steps,
        },
        "loss": {"step": losses[-1]["step"], "value": losses[-1]["loss"]} if losses else None,
        "checkpoints": [{"step": int(path.name.removeprefix("step-")), "bytes": _size(path)} for path in checkpoints],
        "bytes": _size(folder),
        "backend": trained_with(folder),
        "version": state.get("version"),
        "pictures": [str(path.relative_to(folder)) for path in pictures(folder)],
        "samples": sorted(path.parent.name for path in (folder / "samples").glob("*/samples.npz")),
        "evaluation": read_evaluation(folder),
        "calibrated": bool(list(folder.glob("calibration.*"))),
    }


def pictures(folder: StrPath) -> list[Path]:
    """Return the grids of samples in a run folder, the newest last."""
    samples = Path(folder) / "samples"
    found = [*samples.glob("*.png"), *samples.glob("*/grid.png")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def read_evaluation(folder: StrPath) -> dict[str, Any] | None:
    """Return what the newest `blurcore evaluate` wrote into a run folder, if it did."""
    try:
        found = json.loads((Path(folder) / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _count_parameters(files: list[Path]) -> int | None:
    """Return how many numbers the newest of these files that can be read holds, from its header alone; None if there is none.

    Raises
    ------
    CheckpointError
        There are some, and none can be read.
    """
    from safetensors import SafetensorError, safe_open

    problem = None
    for file in filter(Path.is_file, reversed(files)):
        try:
            with safe_open(file, framework="numpy") as weights:
                names = weights.keys()
                count = sum(int(math.prod(weights.get_slice(name).get_shape())) for name in names)
            if problem is not None:
                _log.warning("%s; the parameters are those of %s", problem, file.parent.name)
            return count
        except (OSError, SafetensorError) as error:
            problem = problem or f"the checkpoint file {file} cannot be read: {error}"
    if problem is not None:
        raise CheckpointError(problem)
    return None


def _counts(value: Any) -> dict[str, int] | None:
    """Return the counts of left-out files in a checkpoint; None if it has none."""
    fits = isinstance(value, dict) and all(isinstance(count, int) for count in value.values())
    return value if fits else None


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # an old checkpoint goes away while a run goes on
            total += path.stat().st_size if path.is_file() else 0
    return total
