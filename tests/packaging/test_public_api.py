"""What is public exists, is documented, and is what the documentation says; what is configured is there."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import blurcore as bc
import blurcore.figures

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LIBRARIES = {"blurcore_torch": ("torch",), "blurcore_jax": ("jax",), "blurcore.diffusers": ("torch", "diffusers")}
SETTINGS = [
    *(cls for cls in bc.PROCESSES.values() if cls.__module__.startswith("blurcore.")),  # not those of examples/
    *bc.schedules.NOISE_SCHEDULES.values(),
    *bc.schedules.BLUR_SCHEDULES.values(),
    *bc.transforms.BASES.values(),
]
VALUES = (
    bc.Marginal,
    bc.Difference,
    bc.SDE,
    bc.Transition,
    bc.Posterior,
    bc.TrainingPair,
    bc.Prediction,
    bc.SamplerState,
)


def exporting() -> list[str]:
    """Return the modules that say what they export."""
    found = []
    for folder in ("", "backends", "reference"):
        for package in sorted((ROOT / folder).glob("blurcore*/__init__.py")):
            for path in sorted(package.parent.rglob("*.py")):
                if re.search(r"^__all__", path.read_text(encoding="utf-8"), re.MULTILINE):
                    parts = path.relative_to(package.parents[1]).with_suffix("").parts
                    found.append(".".join(parts).removesuffix(".__init__"))
    return found


def load(name: str) -> Any:
    for package, libraries in LIBRARIES.items():
        if f"{name}.".startswith(f"{package}."):
            for library in libraries:
                pytest.importorskip(library)
    return importlib.import_module(name)


def documented_constants(source: str) -> set[str]:
    """Return the names with a string behind their assignment, which is how this code documents a constant."""
    body = ast.parse(source).body
    names: set[str] = set()
    for node, following in zip(body[:-1], body[1:], strict=True):
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if is_text and isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def has_docstring(thing: Any) -> bool:
    """Whether someone wrote a docstring: not the one that dataclasses and named tuples are given, nor a parent's."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    generated = inspect.isclass(thing) and (text or "").startswith(f"{thing.__name__}(")
    return bool(text) and not generated


@pytest.mark.parametrize("name", exporting())
def test_every_exported_name_exists_and_has_a_docstring(name):
    module = load(name)
    assert len(set(module.__all__)) == len(module.__all__)
    constants = {
        constant
        for pattern in ("blurcore/**/*.py", "backends/blurcore_*/*.py", "reference/blurcore_*/*.py")
        for path in ROOT.glob(pattern)
        for constant in documented_constants(path.read_text(encoding="utf-8"))
    }
    for exported in module.__all__:
        thing = getattr(module, exported)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert has_docstring(thing), f"{name}.{exported} has no docstring"
        elif inspect.ismodule(thing):
            assert thing.__doc__
        elif exported != "__version__":
            assert exported in constants, f"{name}.{exported} has no string behind its assignment"


def public_functions() -> Iterator[tuple[str, Any]]:
    """Yield the exported functions, the constructors and methods of exported classes and of backends, and what draws figures."""
    figures = {f"blurcore.figures.{module.name}" for module in pkgutil.iter_modules(blurcore.figures.__path__)}
    exported = {f"{name}.{thing}": getattr(load(name), thing) for name in exporting() for thing in load(name).__all__}
    exported |= {
        f"{name}.{thing}": value for name in figures for thing, value in vars(load(name)).items() if thing[0] != "_"
    }
    exported |= {f"backend {name}": type(bc.get_backend(name)) for name in bc.available()}
    for name, thing in exported.items():
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            methods = {n: f for n, f in vars(thing).items() if inspect.isfunction(f)}
            yield from ((f"{name}.{n}", f) for n, f in methods.items() if n == "__init__" or not n.startswith("_"))


def test_every_path_may_be_a_string():
    """mypy holds what is annotated so; `read_shards` and the like are called by the loop alone, with a folder of its own."""
    annotations = {
        f"{name}({parameter.name})": str(parameter.annotation)
        for name, function in public_functions()
        if "shards" not in name
        for parameter in inspect.signature(function).parameters.values()
    }
    assert len([text for text in annotations.values() if "StrPath" in text]) > 20
    assert [name for name, text in annotations.items() if re.match(r"Path\b", text)] == []


def test_list_finds_the_modules():
    assert {"blurcore", "blurcore.verify", "blurcore.samplers", "blurcore_reference.oracle"} <= set(exporting())


def test_all_of_the_core_is_sorted_as_ruff_sorts_and_star_gives_it():
    names: dict[str, Any] = {}
    exec("from blurcore import *", names)
    assert set(bc.__all__) - {"__version__"} <= set(names)
    public = {name for name, value in vars(bc).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == set(bc.__all__) - {"__version__"}, (
        "imported into blurcore/__init__.py and not exported, or the reverse"
    )


def documented_parameters(text: str) -> list[str]:
    """Return the names under `Parameters` of a numpydoc docstring."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        return []
    heads = [line for line in section.group(1).splitlines() if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for head in heads for name in head.partition(" : ")[0].split(",")]


FUNCTIONS = {name: getattr(bc, name) for name in bc.__all__ if inspect.isfunction(getattr(bc, name))}
CLASSES = {name: getattr(bc, name) for name in bc.__all__ if inspect.isclass(getattr(bc, name))}


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_documented_parameters_are_those_of_the_signature(name):
    thing = getattr(bc, name)
    documented = documented_parameters(inspect.getdoc(thing) or "")
    if not documented:
        return
    parameters = [p for p in inspect.signature(thing).parameters if not p.startswith("_")]
    assert set(documented) <= set(parameters), f"{name} documents {set(documented) - set(parameters)}"
    if name in FUNCTIONS:
        assert set(documented) == set(parameters), f"{name} leaves out {set(parameters) - set(documented)}"


@pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
def test_settings_are_frozen_comparable_values_of_plain_scalars(cls):
    one, same = cls(), cls()
    assert one == same
    assert hash(one) == hash(same)
    assert one is not same
    assert dataclasses.is_dataclass(cls)
    for field in dataclasses.fields(cls):
        value = getattr(one, field.name)
        assert field.kw_only
        assert isinstance(value, (bool, int, float, str, tuple)) or dataclasses.is_dataclass(value)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field.name, value)


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_values_that_hold_arrays_are_named_tuples(cls):
    """Trees for JAX and torch without any registration."""
    assert issubclass(cls, tuple)
    assert cls._fields


def test_registry_has_the_backends_that_the_project_declares():
    declared = PROJECT["project"]["entry-points"]["blurcore.backends"]
    assert set(declared) <= set(bc.names())
    for target in declared.values():
        module, _, attribute = target.partition(":")
        assert attribute == "BACKEND"
        path = Path(*module.split("."))
        places = [ROOT / folder / path for folder in ("", "backends", "reference")]
        assert any(place.with_suffix(".py").is_file() or (place / "__init__.py").is_file() for place in places), target


def test_folders_and_files_that_the_configuration_names_exist():
    targets = PROJECT["tool"]["hatch"]["build"]["targets"]
    named = [
        *targets["wheel"]["packages"],
        *targets["sdist"]["only-include"],
        *PROJECT["tool"]["pytest"]["ini_options"]["testpaths"],
        *PROJECT["tool"]["pyright"]["include"],
        *PROJECT["tool"]["pyright"]["extraPaths"],
        *(name if name == "blurcore" else f"backends/{name}" for name in PROJECT["tool"]["mypy"]["packages"]),
        PROJECT["tool"]["hatch"]["version"]["path"],
        PROJECT["project"]["readme"],
        *PROJECT["project"]["license-files"],
    ]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_extras_that_extras_name_exist():
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in (text for texts in extras.values() for text in texts if text.startswith("blurcore[")):
        named = requirement.removeprefix("blurcore[").partition("]")[0].split(",")
        assert set(named) <= set(extras)


def test_version_is_one_that_installers_understand():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", bc.__version__)
