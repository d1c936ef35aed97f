r"""What a network is shown and says of smaller images, beside the whole one: the scaling that keeps both of order one (SPEC 11).

A smaller image's noise is :math:`r = \sqrt{M / N}` times as strong, and so are its coefficients. States are divided by
:math:`c_t` (:func:`blurcore.resolution.input_scale`), v with them; eps and x0 are of order one as they are.
"""

from __future__ import annotations

from typing import Generic, NamedTuple

from blurcore._typing import A


class Units(NamedTuple, Generic[A]):
    """Three numbers for each example, (batch,)."""

    shown: A
    """The network is shown the state divided by this,"""
    said: A
    """and says its target divided by this;"""
    weight: A
    """its loss, times this, is that of the same frequencies of the whole image."""
