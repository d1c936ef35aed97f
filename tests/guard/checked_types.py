"""Types checked while the tests run: what blurcore's functions are given and give back is what their annotations say.

With ``BLURCORE_GUARD=types`` `sitecustomize` has typeguard put checks into blurcore's modules as they are imported, and
tests/conftest.py registers this module with pytest, so that what they find is a failure of the test. A test that hands
over a wrong type on purpose says so with ``pytest.raises``: what is found inside, before the refusal, is forgotten.
In a program that a test starts, the first thing found is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import typeguard
from typeguard import _checkers

found: list[str] = []
"""What was found since the last test."""

NUMBERS: dict[type, tuple[type, ...]] = {
    bool: (bool, np.bool),
    int: (int, np.integer),
    float: (int, float, np.integer, np.floating),
}
"""What goes for a Python number."""

Checker = Callable[[Any, Any, tuple[Any, ...], typeguard.TypeCheckMemo], None]


def install() -> None:
    """Check blurcore's modules from their import on."""
    typeguard.config.forward_ref_policy = typeguard.ForwardRefPolicy.ERROR
    typeguard.checker_lookup_functions.insert(0, checker_for)
    typeguard.install_import_hook("blurcore")


def checker_for(origin: Any, args: tuple[Any, ...], extras: tuple[Any, ...]) -> Checker | None:
    """Return the check of a type that typeguard would look at in another way, or too slowly."""
    del args, extras
    if origin in NUMBERS:
        return check_number
    if getattr(origin, "_is_protocol", False):
        return check_protocol
    if isinstance(origin, type) and issubclass(origin, tuple) and hasattr(origin, "_fields"):
        return check_named_tuple
    return None


def check_number(value: Any, origin: Any, args: tuple[Any, ...], memo: typeguard.TypeCheckMemo) -> None:
    """Take NumPy's numbers for Python's, as blurcore does."""
    del args, memo
    if not isinstance(value, NUMBERS[origin]):
        raise typeguard.TypeCheckError(f"is not a number of type {origin.__name__}")


_known: set[tuple[type, type]] = set()


def check_protocol(value: Any, origin: Any, args: tuple[Any, ...], memo: typeguard.TypeCheckMemo) -> None:
    """Look at each class once; typeguard would compare the signatures of all methods at each call, of arrays for seconds."""
    if (type(value), origin) in _known:
        return
    if not origin.__module__.startswith("blurcore"):
        return  # hypothesis's `draw` is none of its own
    if origin.__module__ != "blurcore._typing":
        _checkers.check_protocol(value, origin, args, memo)
    elif not isinstance(value, sys.modules["blurcore._typing"].Array):
        raise typeguard.TypeCheckError("is not an array")
    _known.add((type(value), origin))


def check_named_tuple(value: Any, origin: Any, args: tuple[Any, ...], memo: typeguard.TypeCheckMemo) -> None:
    """Look at the fields by the names of their own module; typeguard takes those of the module that asks."""
    del args
    if not isinstance(value, origin):
        raise typeguard.TypeCheckError(f"is not a {origin.__qualname__}")
    # A name that is imported for type checkers alone is skipped.
    config = replace(memo.config, forward_ref_policy=typeguard.ForwardRefPolicy.IGNORE)
    inside = typeguard.TypeCheckMemo(vars(sys.modules[origin.__module__]), {}, config=config)
    for name, annotation in origin.__annotations__.items():
        typeguard.check_type_internal(getattr(value, name), annotation, inside)


def keep(error: typeguard.TypeCheckError, memo: typeguard.TypeCheckMemo) -> None:
    """Write down what was found, and let the call go on, so that blurcore's own answer is seen."""
    del memo
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("typeguard"):
        frame = frame.f_back
    found.append(f"{frame.f_code.co_filename}:{frame.f_lineno}: {error}")


@contextmanager
def forgetful(*args: Any, **kwargs: Any) -> Iterator[Any]:
    """Do what `pytest.raises` does, and forget what was found inside."""
    before = len(found)
    with _raises(*args, **kwargs) as info:
        yield info
    del found[before:]


_raises = pytest.raises


def pytest_configure() -> None:
    """Collect what is found rather than raise it, and know which tests mean it."""
    typeguard.config.typecheck_fail_callback = keep
    pytest.raises = forgetful


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test in which, or in whose fixtures, a value was not of its annotated type."""
    del item
    try:
        return (yield)
    finally:
        problems = list(dict.fromkeys(found))
        found.clear()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)
