"""Write the reference, a page for each module, from what `import blurcore as bc` brings and from the modules' own lists.

The build calls it; the pages are not kept in the repository.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
from pathlib import Path

import blurcore

FOLDER = Path(__file__).parent / "reference"
LEFT_OUT = ("cli", "diffusers")  # commands have a page of their own; what is for diffusers stands in a file of its own
DIFFUSERS = """\
diffusers
=========

``import blurcore.diffusers`` (extra ``diffusers``); :doc:`its page <../diffusers>` shows how they are used.

.. autoclass:: blurcore.diffusers.BlurringScheduler
   :members: from_process, set_timesteps, step, add_noise, get_velocity, init_noise

.. autoclass:: blurcore.diffusers.BlurringPipeline
   :members: __call__

.. autoclass:: blurcore.diffusers.HeatDissipationScheduler
   :members: get_residual

.. autoclass:: blurcore.diffusers.HeatDissipationPipeline
   :members: __call__

.. autoclass:: blurcore.diffusers.BlurredDataPrior
   :members:

.. autoclass:: blurcore.diffusers.RunUNet
"""


def modules() -> list[str]:
    """Return the public modules of the first level, by name."""
    found = [info.name for info in pkgutil.iter_modules(blurcore.__path__)]
    return [name for name in found if not name.startswith("_") and name not in LEFT_OUT]


def exported() -> dict[str, list[str]]:
    """Return the names of `blurcore` by the module in which each is written; private and missing ones under other names."""
    found: dict[str, list[str]] = {}
    for name in sorted(blurcore.__all__, key=str.lower):
        home = getattr(getattr(blurcore, name), "__module__", "").split(".")
        found.setdefault(home[1] if home[0] == "blurcore" and len(home) > 1 else "", []).append(name)
    return found


def entry(name: str) -> str:
    """Return the directive of a name of `blurcore`."""
    value = getattr(blurcore, name)
    if inspect.isclass(value):
        return (
            f".. autoclass:: blurcore.{name}\n   :members:\n   :undoc-members:\n   :inherited-members: object, tuple\n"
        )
    return f".. autofunction:: blurcore.{name}\n"


def page(module: str, names: list[str]) -> str:
    """Return the page of a module; empty if nothing of it is public."""
    full = f"blurcore.{module}"
    own = [name for name in getattr(importlib.import_module(full), "__all__", []) if name not in blurcore.__all__]
    if not names and not own:
        return ""
    names = [name for name in names if callable(getattr(blurcore, name))]
    head = f"{full}\n{'=' * len(full)}\n\n.. automodule:: {full}\n"
    if own:
        head += f"   :members: {', '.join(own)}\n   :imported-members:\n"
    return "\n".join([head, *map(entry, names)])


def write() -> None:
    """Write all pages."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    names = exported()
    pages = {module: page(module, names.pop(module, [])) for module in modules()}
    pages["diffusers"] = DIFFUSERS
    arrays = [name for left in names.values() for name in left if callable(getattr(blurcore, name))]
    pages["arrays"] = "\n".join(["Arrays\n======\n", *map(entry, arrays)])
    for name, text in pages.items():
        if text:
            (FOLDER / f"{name}.rst").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
