"""Sphinx: the pages of this folder, and the reference from the docstrings.

Code cells of pages and notebooks are run in the build, each in a folder of its own; an exception in one fails it.
"""

import re
import sys
from pathlib import Path

from blurcore import __version__

sys.path.insert(0, str(Path(__file__).parent))
import reference_pages

reference_pages.write()

project = "blurcore"
author = "The blurcore authors"
release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_execution_show_tb = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_google_docstring = False
exclude_patterns = ["_build", "speed_tables.md"]  # the latter is part of speed.md
html_theme = "furo"
html_title = f"blurcore {release}"
suppress_warnings = ["ref.python"]  # `batch_size` is a setting of two classes, and neither is meant to be a link


def keep_stars(app, what, name, obj, options, lines):
    """Escape the stars of shapes such as (*grid, C), which are no emphasis, outside of literals."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<=[(, ])\*(?=\w)", r"\\*", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def mend_links_back(app, pagename, templatename, context, doctree):
    """Let a module's source link to where its names are documented: viewcode takes the first name's prefix for all of them."""
    objects = app.env.get_domain("py").objects

    def mended(link):
        first, *rest = link[1].split(".")
        names = (".".join((first, *rest[cut:])) for cut in range(len(rest)))
        return f'#{next((name for name in names if name in objects), link[1])}"'

    if pagename.startswith("_modules/"):
        context["body"] = re.sub(r'#(blurcore[\w.]+)"', mended, context["body"])


def setup(app):
    """Connect them."""
    app.connect("autodoc-process-docstring", keep_stars, priority=900)
    app.connect("html-page-context", mend_links_back)
