"""A run as a folder to publish: averaged weights alone, a model card, a picture; still a run folder, from which `sample` draws."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from blurcore._typing import StrPath
from blurcore.errors import ConfigError, OutputError
from blurcore.runs.card import PICTURE, model_card
from blurcore.runs.checkpoint import SAMPLING, Checkpoint, newest_checkpoint, save_checkpoint
from blurcore.runs.config_file import read_config, write_config
from blurcore.runs.description import describe_run, pictures, read_evaluation
from blurcore.runs.files import PARTIAL, is_occupied

_USAGE = """\
```
pip install 'blurcore[{backend}]'
blurcore sample {name} --num-samples 16
```

or, where `{name}` is this folder, as `huggingface_hub.snapshot_download` returns it:

```python
from pathlib import Path

import blurcore as bc
from blurcore.runs import read_config

folder = Path("{name}")
settings = read_config(folder / "config.toml").sample
images = bc.get_backend("{backend}").sample(folder, settings).images  # uint8, (n, *grid, C)
```"""


def export_hub_folder(run: StrPath, out: StrPath, *, license_id: str = "unknown") -> None:
    """Write what `huggingface_hub.upload_folder` takes; weights in safetensors.

    Parameters
    ----------
    run
        The run folder; its newest undamaged checkpoint is taken.
    out
        A folder that is not there, or is empty.
    license_id
        Licence of the weights, an identifier of the Hub's list.

    Raises
    ------
    ConfigError
        `run` is no run folder, or `out` is not empty.
    CheckpointError
        There is no checkpoint to load.
    """
    run, out = Path(run), Path(out)
    config = read_config(run / "config.toml")
    refuse_full(out)
    checkpoint = newest_checkpoint(run, groups=SAMPLING)

    def write(folder: Path) -> None:
        write_config(replace(config, data=config.data.anonymous()), folder / "config.toml")
        kept = {name: checkpoint.groups[name] for name in SAMPLING if name in checkpoint.groups}
        groups = {"model": {}, "optimizer": {}, **kept}  # a run that goes on needs them, a sampler does not
        save_checkpoint(folder, Checkpoint(checkpoint.step, groups, checkpoint.state), keep=1)
        for path in (run / "metrics.jsonl", *run.glob("calibration.*")):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        if (found := read_evaluation(run)) is not None:
            text = json.dumps(_without_paths(found), indent=1)
            (folder / "evaluation.json").write_text(text + "\n", encoding="utf-8")
        notes = ["The optimiser's state and the last weights are left out: training cannot be resumed from here."]
        if "prior" in checkpoint.groups:
            notes.append("Sampling starts from blurred training data, which are part of the folder.")
        usage = _USAGE.format(name=out.name, backend=checkpoint.state["backend"])
        write_card(folder, run, name=out.name, license_id=license_id, usage=usage, library="blurcore", notes=notes)

    write_whole(out, write)


def _without_paths(value: Any) -> Any:
    """Return what JSON has for other eyes: of paths of this machine, the last part."""
    if isinstance(value, dict):
        return {name: _without_paths(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_paths(part) for part in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def write_card(
    folder: Path, run: Path, *, name: str, license_id: str, usage: str, library: str, notes: list[str]
) -> None:
    """Write README.md, and the newest grid of samples of a run beside it."""
    about: dict[str, Any] = describe_run(run)
    shown = pictures(run)
    if shown:
        shutil.copyfile(shown[-1], folder / PICTURE)
    card = model_card(about, name=name, license_id=license_id, usage=usage, library=library, notes=notes)
    (folder / "README.md").write_text(card, encoding="utf-8")


def refuse_full(out: Path) -> None:
    """Refuse a folder in which there is something.

    Raises
    ------
    ConfigError
        There is.
    """
    if is_occupied(out):
        raise ConfigError(f"--out must be a folder that is not there or is empty; {out} is not")


def write_whole(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder that then becomes `out`, or, where `out` is there and empty, whose content moves there.

    An empty folder may be a mount, or a link to a folder elsewhere, whose place nothing else can take.
    """
    partial = out / PARTIAL if out.is_dir() else out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        write(partial)
        if partial.parent == out:
            for path in sorted(
                partial.iterdir(), key=Path.is_file
            ):  # what says that this is a run, or a pipeline, last
                path.replace(out / path.name)
        else:
            partial.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
