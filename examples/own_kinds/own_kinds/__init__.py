"""Kinds of one's own, one file each; `pyproject.toml` declares them, and every command of blurcore knows them."""
