r"""Scales of the network's input and target on smaller images, which keep both of order one (SPEC 11).

A smaller image's noise is :math:`r = \sqrt{M / N}` times as strong, and so are its coefficients. States are divided by
:math:`c_t` (:func:`blurcore.resolution.input_scale`), v with them; eps and x0 are of order one as they are.
"""

from __future__ import annotations

from typing import Generic, NamedTuple

from blurcore._typing import A_co


class Units(NamedTuple, Generic[A_co]):
    """Three numbers for each example, (batch,)."""

    input_scale: A_co
    """The network's input is the state divided by this."""
    target_scale: A_co
    """The network's target is divided by this."""
    weight: A_co
    """The loss times this is the loss of the same frequencies of the whole image."""
