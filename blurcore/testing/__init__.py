"""Shipped with the package for those who extend it: assertions and hypothesis strategies for processes and grids."""
