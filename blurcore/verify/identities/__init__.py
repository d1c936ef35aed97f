"""The identities, one family a module; `IDENTITIES` is the only list of them."""

from blurcore.verify.identities import basis, continuous, marginal, pixel_kernel, predictions, smaller, solver_steps
from blurcore.verify.identity import Identity

FAMILIES: dict[str, tuple[Identity, ...]] = {
    "basis": basis.IDENTITIES,
    "marginal": marginal.IDENTITIES,
    "steps": pixel_kernel.IDENTITIES,
    "parametrisations": predictions.IDENTITIES,
    "continuous time": continuous.IDENTITIES,
    "samplers": solver_steps.IDENTITIES,
    "smaller images": smaller.IDENTITIES,
}
"""The identities by family."""
IDENTITIES: tuple[Identity, ...] = tuple(one for family in FAMILIES.values() for one in family)
"""All identities, in the order of the report."""

__all__ = ["FAMILIES", "IDENTITIES"]
