"""Which backend works where none is named: the one that trained the run, if it is installed, else the one that is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blurcore as bc
from blurcore import registry
from blurcore.cli import main
from blurcore.errors import BackendError
from blurcore.registry import choose_backend
from blurcore.runs import Checkpoint, save_checkpoint, write_config
from blurcore.runs.origin import trained_with

JAX = ("jax", "flax", "optax")
BOTH = ("torch", *JAX)
NONE_IS_THERE = (
    "no backend that trains and samples is installed; try: pip install 'blurcore[torch]' or pip install 'blurcore[jax]'"
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a machine on which these of the two frameworks' libraries are installed, and no others."""

    def install(*libraries: str) -> None:
        monkeypatch.setattr(registry, "_is_found", lambda module: module in libraries)
        monkeypatch.setattr(registry, "available", lambda: ("numpy", "reference"))

    return install


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the backends that the command line asks for; it gets none."""
    names: list[str] = []

    def get(name: str) -> None:
        names.append(name)
        raise BackendError("enough seen")

    monkeypatch.setattr("blurcore.cli.settings.get_backend", get)
    return names


def write_run(folder: Path, *, trained: str | None, backend: str = "auto") -> Path:
    """Write a run whose newest checkpoint says who trained it, or that has no checkpoint yet."""
    folder.mkdir()
    config = bc.RunConfig(backend=backend, data=bc.Digits(), model=bc.MODEL_PRESETS["tiny"])
    write_config(config, folder / "config.toml")
    if trained is not None:
        arrays = {"w": np.zeros(3, np.float32)}
        state = {"image_shape": [8, 8, 1], "data": "", "totals": {}, "backend": trained, "version": "0"}
        save_checkpoint(folder, Checkpoint(2, {"model": arrays, "ema": arrays, "optimizer": {}}, state), keep=1)
    return folder


@pytest.mark.parametrize(
    ("libraries", "name", "trained", "chosen"),
    [
        (BOTH, "auto", None, "torch"),
        (BOTH, "auto", "torch", "torch"),
        (BOTH, "auto", "jax", "jax"),
        (BOTH, "auto", "mlx", "torch"),
        (BOTH, "jax", "torch", "jax"),
        (JAX, "auto", None, "jax"),
        (JAX, "auto", "torch", "jax"),
        (JAX, "torch", "jax", "torch"),
        (("torch", "jax"), "auto", "jax", "torch"),  # JAX without Flax computes and does not train
        (("torch",), "auto", "jax", "torch"),
        ((), "numpy", None, "numpy"),
    ],
)
def test_choice(installed: Any, libraries: tuple[str, ...], name: str, trained: str | None, chosen: str) -> None:
    installed(*libraries)
    assert choose_backend(name, trained_with=trained) == chosen


@pytest.mark.parametrize("libraries", [(), ("jax",), ("flax", "optax")])
def test_without_any_the_hint_names_both(
    installed: Any, libraries: tuple[str, ...], tmp_path: Path, capsys: Any
) -> None:
    installed(*libraries)
    run = str(write_run(tmp_path / "run", trained="jax"))
    for words in (["demo", "--out", str(tmp_path / "demo")], ["train", f"{run}/config.toml"], ["sample", run]):
        assert main(words) == 2
        assert capsys.readouterr() == ("", f"blurcore: error: {NONE_IS_THERE}\n")
    with pytest.raises(BackendError, match="no backend that trains and samples is installed"):
        bc.get_backend("auto")


def test_backend_of_another_package_that_trains_is_taken_where_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own:
        name = "own"

        def processes(self) -> None: ...

        train = sample = network = processes

    module = types.ModuleType("own_package")
    module.BACKEND, module.__spec__ = Own(), importlib.util.find_spec("json")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_package", module)
    declared = {
        "torch": "blurcore_torch:BACKEND",
        "numpy": "blurcore.numpy_backend:BACKEND",
        "own": "own_package:BACKEND",
    }
    points = {name: EntryPoint(name, value, registry.GROUP) for name, value in declared.items()}
    monkeypatch.setattr(registry, "_declared", lambda: points)
    for library in BOTH:
        monkeypatch.setitem(sys.modules, library, None)
    assert choose_backend() == "own"
    assert bc.get_backend("auto").name == "own"
    del points["own"]
    with pytest.raises(BackendError, match="installed"):
        choose_backend()


def test_library_that_cannot_be_found_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "only_a_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "hidden", None)
    monkeypatch.setitem(sys.modules, "without_a_spec", types.ModuleType("without_a_spec"))
    assert registry._is_found("json")
    for module in ("only_a_folder", "hidden", "without_a_spec", "no_such_library"):
        assert not registry._is_found(module)

    class Blocks:
        def find_spec(self, name: str, *_: object) -> None:
            raise ImportError(f"{name} is blocked")

    monkeypatch.setattr(sys, "meta_path", [Blocks()])
    assert not registry._is_found("no_such_library")


def test_choice_imports_no_framework(default_backend: str) -> None:
    code = "import sys; from blurcore.registry import choose_backend; print(choose_backend(), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    chosen, *modules = done.stdout.split()
    assert chosen == default_backend
    assert {"torch", "jax", "flax", "optax"}.isdisjoint(modules)


COMMANDS = (
    "sample RUN",
    "evaluate RUN",
    "evaluate RUN --likelihood discrete",
    "calibrate RUN",
    "explore --no-browser --port 0 --run RUN",
    "figure losses RUN --out a.png",
    "figure trajectory RUN --out a.webp",
    "train RUN/config.toml --out RUN --resume",
)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("flags", ["", "--backend auto"])
def test_command_on_a_run_takes_the_backend_that_trained_it_or_the_one_that_is_there(
    installed: Any, taken: list[str], tmp_path: Path, capsys: Any, words: str, flags: str
) -> None:
    run = write_run(tmp_path / "run", trained="torch", backend="auto" if words.startswith("train") else "torch")
    command = [*words.replace("RUN", str(run)).split(), *flags.split()]
    for libraries, name in ((BOTH, "torch"), (JAX, "jax")):
        installed(*libraries)
        assert main(command) == 2
        assert taken.pop() == name
        note = "backend: jax (torch, which trained the run, is not installed)\n"
        said = capsys.readouterr().err
        assert (
            said == (note if name == "jax" and not words.startswith("train") else "") + "blurcore: error: enough seen\n"
        )
    assert main([*words.replace("RUN", str(run)).split(), "--backend", "torch"]) == 2
    assert taken == ["torch"]


@pytest.mark.parametrize(("libraries", "name"), [(BOTH, "torch"), (JAX, "jax")])
def test_new_run_takes_torch_or_what_is_there(
    installed: Any, taken: list[str], tmp_path: Path, libraries: tuple[str, ...], name: str
) -> None:
    installed(*libraries)
    run = write_run(tmp_path / "run", trained=None)
    assert main(["train", str(run / "config.toml"), "--out", str(tmp_path / "new")]) == 2
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert taken == [name, name]


def test_info_names_the_backend_of_the_run_and_the_one_in_use(installed: Any, tmp_path: Path, capsys: Any) -> None:
    run = str(write_run(tmp_path / "run", trained="torch"))
    for libraries, here, said in (
        (BOTH, "torch", "torch"),
        (JAX, "jax", "jax (torch, which trained the run, is not installed)"),
        ((), None, f"none ({NONE_IS_THERE})"),
    ):
        installed(*libraries)
        assert main(["info", run]) == 0
        rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
        assert (rows["backend"], rows["here"]) == ("torch, blurcore 0", said)
        assert main(["info", run, "--json"]) == 0
        about = json.loads(capsys.readouterr().out)
        assert (about["backend"], about["backend_here"]) == ("torch", here)


def test_run_without_a_readable_checkpoint_has_the_backend_of_its_configuration(tmp_path: Path) -> None:
    assert trained_with(write_run(tmp_path / "new", trained=None, backend="jax")) == "jax"
    run = write_run(tmp_path / "run", trained="jax", backend="torch")
    assert trained_with(run) == "jax"
    (state,) = run.glob("checkpoints/*/state.json")
    state.write_text("{")
    assert trained_with(run) == "torch"
