"""Options and operands in any order: `sample --num-samples 4 RUN` is `sample RUN --num-samples 4`.

The options of `train`, `sample`, `evaluate`, `restore`, `data` and `export` that are settings are read by tyro, once the operand has named
the file or the run that holds their defaults. So they are told from operands before, by the number of words that each takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from blurcore.cli.parser import build_parser

_ANY = sys.maxsize


def parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return a command with its own options and operands, and the remaining words: its settings and unknown words.

    Parameters
    ----------
    words
        Those after `blurcore`.
    """
    parser = build_parser()
    command, leaf = _descend(parser, words)
    if not any(action.nargs != argparse.PARSER for action in leaf._get_positional_actions()):
        return parser.parse_known_args(words)
    own = leaf._option_string_actions
    operands: list[str] = []
    options: list[str] = []
    settings: list[str] = []
    left = words[len(command) :]
    while left:
        word = left.pop(0)
        if word == "--":
            operands += left
            break
        flag, equals, _ = word.partition("=")
        if not flag.startswith("-"):
            operands.append(word)
            continue
        taken = options if flag in own else settings
        taken.append(word)
        count = 0 if equals else _count(own[flag]) if flag in own else _count_of_setting(command[0], flag, left)
        while count and left and not left[0].startswith("--") and left[0] not in own:
            taken.append(left.pop(0))
            count -= 1
    marked = ["--", *operands] if any(word.startswith("-") for word in operands) else []
    args, unknown = parser.parse_known_args([*command, *([] if marked else operands), *options, *marked])
    return args, [*settings, *unknown]


def _descend(parser: argparse.ArgumentParser, words: list[str]) -> tuple[list[str], argparse.ArgumentParser]:
    """Return the words that name a command (two for a figure), and its parser."""
    command: list[str] = []
    for word in words:
        deeper = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if deeper is None or word not in deeper.choices:
            break
        command.append(word)
        parser = deeper.choices[word]
    return command, parser


def _count(option: argparse.Action) -> int:
    """Return how many words an option of a command itself takes at most."""
    if option.nargs is None:
        return 1
    return option.nargs if isinstance(option.nargs, int) else _ANY


def _count_of_setting(command: str, flag: str, following: list[str]) -> int:
    """Return how many of the words that follow a setting's flag are its value; 1 for a flag that is not known."""
    from blurcore.config import EvaluateConfig, RunConfig, SampleConfig

    roots: dict[str, list[Any]] = {
        "train": [RunConfig],
        "sample": [SampleConfig],
        "evaluate": [SampleConfig, EvaluateConfig],
    }
    if command == "restore":
        from blurcore.engine.restoring import RestoreConfig

        roots["restore"] = [RestoreConfig]
    if command == "data":
        from blurcore.cli.data import Shown

        roots["data"] = [Shown]
    if command == "export":
        from blurcore.cli.export import Exported

        roots["export"] = [Exported]
    if command not in roots:
        return 0
    path = flag.removeprefix("--").replace("-", "_").split(".")
    hint = next(_hints(roots[command], path), None)
    positive = [*path[:-1], path[-1].removeprefix("no_")]
    if bool in (hint, next(_hints(roots[command], positive), None)):
        return 0
    options = [hint, *typing.get_args(hint)]
    fixed = next((typing.get_args(option) for option in options if typing.get_origin(option) is tuple), None)
    if fixed is None or following[:1] == ["None"]:
        return 1
    if fixed[-1] is not Ellipsis:
        return len(fixed)
    return next((i for i, word in enumerate(following) if not _is_number(word)), len(following))


def _hints(classes: Iterable[Any], path: list[str]) -> Iterator[Any]:
    """Yield the types that the setting of this path may have, in classes of settings."""
    from blurcore.kinds import ROLES, kinds_of

    for cls in classes:
        if (hint := typing.get_type_hints(cls).get(path[0])) is None:
            continue
        if len(path) == 1:
            yield hint
            continue
        inner = [option for option in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(option)]
        yield from _hints([*inner, *(kinds_of(path[0]).values() if path[0] in ROLES else ())], path[1:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
