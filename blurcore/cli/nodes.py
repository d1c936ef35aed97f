"""Settings as a tree for tyro: a kind is chosen first, `--solver DDIM`, and its own settings are flags then, `--solver.eta 0.5`.

tyro reads flags off types, and the type of a kind is not known before its name has been read. So names are read before tyro sees
the words, and tyro is told of the tree that they leave.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from blurcore._late import settings_of
from blurcore.errors import ArgumentError, ConfigError
from blurcore.kinds import ROLES, find_kind, kinds_of, unknown_setting


class Node:
    """A class of settings and the values that are known; what is missing has to be given."""

    cls: type[Any]

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values


def tree_of(settings: Any) -> Node:
    """Return settings as a tree."""
    return _node(type(settings), {f.name: getattr(settings, f.name) for f in settings_of(settings)})


def _node(cls: type[Any], values: dict[str, Any]) -> Node:
    own = type(cls.__name__, (Node,), {"cls": cls, "__doc__": inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]})
    node: Node = own({name: tree_of(v) if dataclasses.is_dataclass(v) else v for name, v in values.items()})
    return node


def roles_in(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node | None]]:
    """Yield the places of a tree that hold a kind, and the kinds; None where none is chosen."""
    for name, value in node.values.items():
        if name in ROLES and (value is None or isinstance(value, Node)):
            yield (*path, name), value
        if isinstance(value, Node):
            yield from roles_in(value, (*path, name))


def path_of(flag: str) -> list[str]:
    """Return the names in a flag."""
    return flag.removeprefix("--").replace("-", "_").split(".")


def choose_kinds(root: Node, words: list[str]) -> list[str]:
    """Apply flags that name a kind to a tree, and return the words that are left.

    What a kind has in common with the one before it keeps its value, everything else is its default.

    Raises
    ------
    ConfigError
        There is no such kind; or a flag is for a setting that the chosen kind does not have.
    """
    left = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        *above, name = path_of(flag.removesuffix(".kind"))
        owner = _descend(root, above)
        here = "" if owner is None else owner.values.get(name, "")
        if not flag.startswith("--") or name not in ROLES or not (here is None or isinstance(here, Node)):
            if flag.startswith("--") and flag.endswith(".kind"):
                raise ConfigError(f"unknown option {flag!r}; see --help")
            left.append(word)
            continue
        cls = find_kind(value if equals else next(remaining, None), name, path=flag)
        names = {field.name for field in settings_of(cls)}
        before = {} if here is None else here.values
        kept = {n: v for n, v in before.items() if n in names and not isinstance(v, Node)}
        assert owner is not None
        owner.values[name] = _node(cls, _defaults(cls) | kept)
    for word in left:
        if word.startswith("--"):
            _refuse_foreign(root, word.partition("=")[0])
    return left


def _descend(node: Any, path: list[str]) -> Node | None:
    for name in path:
        node = node.values.get(name) if isinstance(node, Node) else None
    return node if isinstance(node, Node) else None


def _defaults(cls: type[Any]) -> dict[str, Any]:
    found = {}
    for field in settings_of(cls):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def _refuse_foreign(root: Node, flag: str) -> None:
    """Refuse a flag for a setting that the kind in its place does not have."""
    *above, name = path_of(flag)
    owner = _descend(root, above)
    if not above or owner is None:
        return
    names = {field.name for field in settings_of(owner.cls)}
    if name not in names and name.removeprefix("no_") not in names:
        raise unknown_setting(owner.cls, name, path=flag)


def parse(root: Node, words: list[str], *, prog: str) -> Any:
    """Return the settings of a tree with the flags in `words` applied; tyro ends the program with code 2 where they do not fit.

    Raises
    ------
    ConfigError
        The values of a kind are out of their range.
    """
    import tyro
    from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

    registry = ConstructorRegistry()

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not isinstance(info.default, Node):
            return None
        node, fields = info.default, []
        hints, texts = typing.get_type_hints(node.cls), help_of(node.cls)
        for field in settings_of(node.cls):
            value = node.values.get(field.name, tyro.MISSING)
            if field.name in ROLES and value is None:  # nothing is chosen, and a flag that chooses has been read
                continue
            hint = type(value) if isinstance(value, Node) else hints[field.name]
            fields.append(
                StructFieldSpec(name=field.name, type=hint, default=value, helptext=texts.get(field.name, ""))
            )
        return StructConstructorSpec(instantiate=node.cls, fields=tuple(fields))

    config = (tyro.conf.AvoidSubcommands,)
    try:
        return tyro.cli(type(root), default=root, args=words, prog=prog, config=config, registry=registry)
    except ArgumentError as error:
        raise ConfigError(str(error)) from None


def help_of(cls: type[Any]) -> dict[str, str]:
    """Return the documentation of each setting: the string below it, or its entry under Parameters."""
    found = dict(_parameters(inspect.cleandoc(cls.__doc__ or "")))
    for base in reversed(cls.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for one, following in zip(body, body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(following, ast.Expr):
                found[one.target.id] = " ".join(str(ast.literal_eval(following.value)).split())
    return found


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of a docstring's section Parameters."""
    _, _, section = text.partition("Parameters\n----------\n")
    names: list[str] = []
    lines: list[str] = []
    for line in [*section.partition("\n\n")[0].splitlines(), ""]:
        if line.startswith(" "):
            lines.append(line.strip())
            continue
        yield from ((name, " ".join(lines)) for name in names)
        names, lines = [name.strip() for name in line.split(",")], []


def kinds_help(root: Node) -> str:
    """Return the flags that choose a kind, and what they may choose."""
    lines = []
    for path, node in roles_in(root):
        names = [
            f"{name} (now)" if node is not None and cls is node.cls else name
            for name, cls in kinds_of(path[-1]).items()
        ]
        lines.append(f"  --{'.'.join(path).replace('_', '-')} {{{', '.join(names)}}}")
    return "kinds; what is chosen has settings of its own, with --help after it:\n" + "\n".join(lines)
