"""Smaller images while high frequencies are dead: the process restricted to them, exactly (SPEC 11)."""

from blurcore.resolution.growth import embed_state, grow
from blurcore.resolution.nested import Nested
from blurcore.resolution.portions import Portion, loss_weight, portions
from blurcore.resolution.power import mean_power
from blurcore.resolution.resolution import Full, Resolution
from blurcore.resolution.restriction import FirstFrequencies, RestrictedProcess, input_scale, restrict, scale_of, shrink
from blurcore.resolution.rungs import Rung, dead_deviation, memory_of, restrict_solver, rungs
from blurcore.resolution.sizes import Resolutions, dropped_amplitude, halved, resolutions_for
from blurcore.resolution.units import Units

RESOLUTIONS = {cls.__name__: cls for cls in (Full, Nested)}
"""The choices of sizes that a configuration can name."""

__all__ = [
    "RESOLUTIONS",
    "FirstFrequencies",
    "Full",
    "Nested",
    "Portion",
    "Resolution",
    "Resolutions",
    "RestrictedProcess",
    "Rung",
    "Units",
    "dead_deviation",
    "dropped_amplitude",
    "embed_state",
    "grow",
    "halved",
    "input_scale",
    "loss_weight",
    "mean_power",
    "memory_of",
    "portions",
    "resolutions_for",
    "restrict",
    "restrict_solver",
    "rungs",
    "scale_of",
    "shrink",
]
