"""One way to open and save a figure, with no window and no global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blurcore.errors import ConfigError


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure; its folder is made.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise ConfigError(f"cannot write the figure {path}: {error.strerror or error}") from None
