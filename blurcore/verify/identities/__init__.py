"""The identities, one family a module; `IDENTITIES` is the only list of them."""

from blurcore.verify.identities import basis, continuous, conversion, kernel, marginal, sampling
from blurcore.verify.identity import Identity

FAMILIES: dict[str, tuple[Identity, ...]] = {
    "basis": basis.IDENTITIES,
    "marginal": marginal.IDENTITIES,
    "steps": kernel.IDENTITIES,
    "parametrisations": conversion.IDENTITIES,
    "continuous time": continuous.IDENTITIES,
    "samplers": sampling.IDENTITIES,
}
"""The identities by family."""
IDENTITIES: tuple[Identity, ...] = tuple(one for family in FAMILIES.values() for one in family)
"""All identities, in the order of the report."""

__all__ = ["FAMILIES", "IDENTITIES"]
