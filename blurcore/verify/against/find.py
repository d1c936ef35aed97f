"""Find an implementation in a file, a module, a class or an object, by the names of the paper's appendix and by ours."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from blurcore.errors import ArgumentError
from blurcore.verify.against.adapter import OPERATIONS, Adapter
from blurcore.verify.against.diffusers_scheduler import Scheduler, is_scheduler
from blurcore.verify.against.found import Found, RaisedError, parameters
from blurcore.verify.against.names import NAMES, SETTINGS, is_bare_transform, meaning_of, operation_of


def _library(functions: Mapping[str, Callable[..., Any]], owner: Any) -> str:
    """Return whose arrays functions take, read from the modules that they were written in."""
    for function in functions.values():
        scope = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__globals__", {})
        for library in ("torch", "jax"):
            for value in scope.values():
                name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
                if isinstance(name, str) and name.partition(".")[0] == library:
                    return library
    bases = {c.__module__.partition(".")[0] for c in type(owner).__mro__} if owner is not None else set()
    return "torch" if "torch" in bases else "numpy"


def _functions(thing: Any) -> dict[str, Callable[..., Any]]:
    """Return the functions of a module, an object or a mapping that have a known name."""
    if callable(thing) and not inspect.isclass(thing) and inspect.isroutine(thing):
        named = {getattr(thing, "__name__", ""): thing}
    elif isinstance(thing, Mapping):
        named = dict(thing)
    elif isinstance(thing, ModuleType):
        named = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
    else:
        named = {k: getattr(thing, k) for k in dir(thing) if not k.startswith("_") and operation_of(k)}
    own = getattr(thing, "__name__", None)

    def rank(item: tuple[str, Any]) -> tuple[bool, bool]:
        # dct_2d goes before dct, and what a module defines before what it imports: its DCT before SciPy's dct
        return (
            is_bare_transform(item[0]),
            isinstance(thing, ModuleType) and getattr(item[1], "__module__", None) != own,
        )

    found: dict[str, Callable[..., Any]] = {}
    for key, value in sorted(named.items(), key=rank):
        operation = operation_of(key)
        if operation is not None and callable(value) and not inspect.isclass(value):
            found.setdefault(operation, value)
    return {operation: found[operation] for operation in OPERATIONS if operation in found}


def find(thing: Any) -> Adapter:
    """Return what is to be checked as an adapter.

    Parameters
    ----------
    thing
        A module, a function, a mapping of names to functions, a class whose arguments are known by name, an instance, a scheduler
        of diffusers, or an `Adapter`.

    Raises
    ------
    ArgumentError
        Nothing in it has a name that is known.
    RaisedError
        A class raised when it was made.
    """
    if isinstance(thing, Adapter):
        return thing
    if inspect.isclass(thing):
        return find(_make(thing))
    if is_scheduler(thing):
        return Scheduler(thing)
    if isinstance(thing, ModuleType):
        return _find_in_module(thing)
    functions = _functions(thing)
    if not functions:
        raise _nothing_in(thing)
    owner = None if isinstance(thing, Mapping) or inspect.isroutine(thing) else thing
    if inspect.ismethod(thing):
        owner = thing.__self__
    return Found(functions, owner, _library(functions, owner))


def _find_in_module(module: ModuleType) -> Adapter:
    """Return an adapter of a module, or its functions joined with the methods of the object or class that has most of them."""
    values = [v for v in vars(module).values() if not isinstance(v, ModuleType) and not inspect.isroutine(v)]
    classes = [v for v in values if inspect.isclass(v) and v.__module__ == module.__name__]
    instances = [v for v in values if not inspect.isclass(v)]
    for value in instances:
        if isinstance(value, Adapter):
            return value
    for value in classes:
        if issubclass(value, Adapter):
            return value()
    for value in (*instances, *classes):
        if is_scheduler(value):
            return find(value)
    functions = _functions(module)
    thing = max((*instances, *classes), key=lambda v: len(_functions(v)), default=None)
    if thing is None or not _functions(thing):
        if not functions:
            raise _nothing_in(module)
        return Found(functions, None, _library(functions, None))
    if not functions:
        return find(thing)
    try:
        owner = _make(thing) if inspect.isclass(thing) else thing
    except (ArgumentError, RaisedError) as error:
        why = error.__cause__ or error
        note = f"the class {_name(thing)} was not asked ({type(why).__name__}: {why}); name an instance: FILE.py:OBJECT"
        return Found(functions, None, _library(functions, None), (note,))
    methods = _functions(owner)
    joined = functions | methods if len(methods) >= len(functions) else methods | functions
    return Found({name: joined[name] for name in OPERATIONS if name in joined}, owner, _library(joined, owner))


def _nothing_in(thing: Any) -> ArgumentError:
    names = ", ".join(names[0] for names in NAMES.values())
    return ArgumentError(f"nothing that I know by name is in {_name(thing)}: I look for {names}; else write an adapter")


def _name(thing: Any) -> str:
    return getattr(thing, "__name__", None) or type(thing).__name__


_ARGUMENTS = {"n": 16, "steps": 1000, "c": 3, "device": "cpu", "none": None, "net": lambda z, *_, **__: z}
"""What a class is made with where it has no defaults, by the meaning of its parameters."""


def _make(kind: type) -> Any:
    """Return an instance.

    Raises
    ------
    ArgumentError
        It needs an argument whose name is not known.
    RaisedError
        It raised.
    """
    settings = {name: getattr(Adapter, name) for name in SETTINGS}
    arguments, unknown = {}, []
    for name, p in parameters(kind).items():
        if p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        meaning = "steps" if name == "timesteps" else meaning_of(name)
        if meaning in _ARGUMENTS or meaning in settings:
            arguments[name] = {**_ARGUMENTS, **settings}[meaning]
        else:
            unknown.append(name)
    if unknown:
        raise ArgumentError(f"{kind.__name__} needs {', '.join(unknown)}: name an instance, not the class")
    try:
        return kind(**arguments)
    except Exception as error:
        raise RaisedError from error


def load(target: str) -> Any:
    """Return what ``my_diffusion.py``, ``my_diffusion.py:object`` or ``package.module:object`` names.

    Parameters
    ----------
    target
        A file or a module, and after a colon the object in it.

    Raises
    ------
    ArgumentError
        There is no such file, module or object.
    RaisedError
        The file or the module raised.
    """
    where, attribute = split(target)
    try:
        if where.endswith(".py"):
            path = Path(where).resolve()
            spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", path.stem), path)
            if spec is None or spec.loader is None:
                raise ArgumentError(f"cannot load {where}")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            sys.path.insert(0, str(path.parent))
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, "")
            module = importlib.import_module(where)
    except ArgumentError:
        raise
    except (Exception, SystemExit) as error:
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name is not None
            and f"{where}.".startswith(f"{error.name}.")
        ):
            raise ArgumentError(
                f"there is no module {where!r}; name a file that ends in .py, or package.module:object"
            ) from None
        raise RaisedError from error
    thing: Any = module
    for part in attribute.split(".") if attribute else ():
        if not hasattr(thing, part):
            raise ArgumentError(f"{where} has no {attribute!r}")
        thing = getattr(thing, part)
    return thing


def split(target: str) -> tuple[str, str]:
    """Return the file or module of a target and the object in it.

    Parameters
    ----------
    target
        See `load`.

    Raises
    ------
    ArgumentError
        It names a file that does not exist, or nothing at all.
    """
    found = re.fullmatch(r"(.+?\.py|[^:]+)(?::([A-Za-z_][\w.]*))?", target)
    if found is None:
        raise ArgumentError(f"must be FILE.py, FILE.py:OBJECT or package.module:OBJECT; got {target!r}")
    where = found[1]
    if where.endswith(".py") and not Path(where).is_file():
        raise ArgumentError(f"there is no file {where!r}")
    if not where.endswith(".py") and not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", where):
        raise ArgumentError(f"must be FILE.py, FILE.py:OBJECT or package.module:OBJECT; got {target!r}")
    return where, found[2] or ""
