"""A grid whose steps shrink towards the data as a power."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Power:
    """Times :math:`((T - i) / T)^p`."""

    num_steps: int = 100
    """T."""
    power: float = 1.5
    """p > 0: 1 is even, 2 quadratic."""

    def times(self, process):
        return tuple(((self.num_steps - i) / self.num_steps) ** self.power for i in range(self.num_steps + 1))

    def with_steps(self, num_steps):
        return replace(self, num_steps=num_steps)
