"""Options and operands in any order, for every command that takes an operand."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blurcore as bc
from blurcore.cli.settings import override
from blurcore.cli.word_order import parse
from blurcore.config import EvaluateConfig
from blurcore.engine.restoring import RestoreConfig
from blurcore.kinds import ROLES


def flags_of(cls: type, prefix: str = "") -> dict[str, list[str]]:
    """Return words for every setting of a class by its flag, each with a value of its type."""
    found: dict[str, list[str]] = {}
    for field in dataclasses.fields(cls):
        flag, hint = f"--{prefix}{field.name.replace('_', '-')}", typing.get_type_hints(cls)[field.name]
        options = [option for option in (hint, *typing.get_args(hint)) if option is not type(None)]
        inner = [option for option in options if dataclasses.is_dataclass(option)]
        pair = next((typing.get_args(option) for option in options if typing.get_origin(option) is tuple), None)
        literal = next((typing.get_args(o) for o in options if typing.get_origin(o) is typing.Literal), None)
        if field.name in ROLES and hint is not float:
            found[flag] = ["Name"]
        elif inner:
            found |= flags_of(inner[0], f"{prefix}{field.name.replace('_', '-')}.")
        elif hint is bool:
            found[flag] = []
        elif pair is not None:
            found[flag] = ["8"] * (2 if pair[-1] is not Ellipsis else 3)
        elif literal is not None:
            found[flag] = [str(literal[-1])]
        else:
            found[flag] = ["3"]
    return found


FLAGS = {
    ("train",): flags_of(bc.RunConfig) | {"--process.blur.sigma-blur-max": ["3"], "--process.blur.kind": ["Sin"]},
    ("sample",): flags_of(bc.SampleConfig)
    | {"--solver.eta": ["0.5"], "--device": ["cpu"], "--film": [], "--out": ["drawn"]},
    ("evaluate",): flags_of(bc.SampleConfig) | flags_of(EvaluateConfig) | {"--metrics": ["kid"], "--neighbours": ["3"]},
    ("calibrate",): {"--num-images": ["4"], "--backend": ["jax"]},
    ("restore",): flags_of(RestoreConfig) | {"--simulate": [], "--method.eta": ["0.5"], "--out": ["there"]},
    ("data",): {"--data": ["Folder"], "--data.image-size": ["8", "8"], "--data.flip": [], "--out": ["x.png"]},
    ("info",): {"--json": []},
    ("export",): {"--to": ["diffusers"], "--out": ["there"], "--license": ["mit"]},
    ("figure", "losses"): {"--num-images": ["4"], "--out": ["x.png"]},
    ("figure", "overview"): {"--size": ["4"], "--out": ["x.png"]},
    ("figure", "trajectory"): {"--num-samples": ["4"], "--once": [], "--fps": ["3"]},
}
OPERANDS = {
    "source": Path("pictures"),
    "config": Path("c.toml"),
    "run": Path("RUN"),
    "image": Path("x.jpg"),
    "runs": [Path("A")],
}


@given(st.data())
def test_place_of_the_operand_does_not_matter(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(FLAGS)))
    flags = FLAGS[command]
    chosen = data.draw(st.lists(st.sampled_from(sorted(flags)), unique=True, max_size=4))
    name = {"train": "config", "data": "source", "overview": "image", "trajectory": "runs"}.get(command[-1], "run")
    operand = str(OPERANDS[name][0] if name == "runs" else OPERANDS[name])
    groups = [[flag, *flags[flag]] for flag in chosen]
    if command == ("export",) and "--to" not in chosen:
        groups.append(["--to", "diffusers"])
    if command == ("export",) and "--out" not in chosen:
        groups.append(["--out", "there"])
    place = data.draw(st.integers(0, len(groups)))
    placed = [*groups[:place], [operand], *groups[place:]]
    found, rest = parse([*command, *(word for group in placed for word in group)])
    expected, settings = parse([*command, operand, *(word for group in groups for word in group)])
    assert getattr(found, name) == OPERANDS[name]
    assert (found, rest) == (expected, settings)
    own = [word for flag in chosen for word in [flag, *flags[flag]] if flag in rest]
    assert rest == own


@pytest.mark.parametrize(
    ("words", "runs", "rest"),
    [
        ("sample --label None RUN", "RUN", ["--label", "None"]),
        ("sample --no-last-noise RUN", "RUN", ["--no-last-noise"]),
        ("sample --num_samples 4 RUN", "RUN", ["--num_samples", "4"]),
        ("sample --num-samples=4 RUN", "RUN", ["--num-samples=4"]),
        ("sample --times.values 1 0.5 0 RUN --seed 3", "RUN", ["--times.values", "1", "0.5", "0", "--seed", "3"]),
        ("sample --solver.delta -3 RUN", "RUN", ["--solver.delta", "-3"]),
        ("sample --unknown 4 RUN", "RUN", ["--unknown", "4"]),
        ("sample --num-samples 4 -- -run", "-run", ["--num-samples", "4"]),
        ("sample RUN another", "RUN", ["another"]),
        ("info --unknown RUN", "RUN", ["--unknown"]),
    ],
)
def test_values_are_distinguished_from_operands(words: str, runs: str, rest: list[str]) -> None:
    args, left = parse(words.split())
    assert (args.run, left) == (Path(runs), rest)


def test_runs_may_stand_between_options() -> None:
    args, rest = parse(["figure", "trajectory", "A", "--fps", "3", "B", "--once", "C"])
    assert ([str(run) for run in args.runs], args.fps, args.once, rest) == (["A", "B", "C"], 3, True, [])


def test_settings_before_the_operand_are_applied() -> None:
    _, rest = parse(
        ["sample", "--num-samples", "4", "--times", "Given", "--times.values", "1", "0", "--last-noise", "RUN"]
    )
    settings: Any = override(bc.SampleConfig(), rest, prog="test")
    assert (settings.num_samples, settings.times, settings.last_noise) == (4, bc.Given(values=(1.0, 0.0)), True)
