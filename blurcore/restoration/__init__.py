r"""Restoring what was observed through a linear operator: samples of :math:`p(u_0 | y)`, :math:`y = H u_0 + n` (SPEC 12).

=================== =============================== =======================================================================
operator            what is seen                    H in frequency space
=================== =============================== =======================================================================
:class:`Identity`   noisy data                      1
:class:`Blur`       blurred data                    diagonal, :math:`e^{-\lambda \sigma_B^2 / 2}`
:class:`LowPass`    the low frequencies             diagonal, 1 or 0
:class:`Restrict`   the smaller image of SPEC 11    diagonal, :math:`\sqrt{M / N}` for each axis, or 0
:class:`Average`    means of boxes of pixels        one coarse frequency for each group of fine ones, its aliases
:class:`Mask`       some of the pixels              dense
=================== =============================== =======================================================================

=================== ======================================================================================================
method              how the observation steers the sampler
=================== ======================================================================================================
:class:`Calibrated` draws :math:`u_0` given :math:`u_t` and y, with the network's error as the covariance; no gradient
:class:`DDRM`       Kawar et al. (2022): what is seen well replaces the prediction; diagonal operators alone
:class:`PiGDM`      Song et al. (2023): the gradient of the network, weighted by a covariance for each frequency
:class:`DPS`        Chung et al. (2023): the gradient of the distance to what was observed
=================== ======================================================================================================

Both are kinds: frozen dataclasses of scalars, registered by name. The mathematics runs on any Array API array, and the
gradient through the network is a function that the caller brings (:class:`Guess`).
"""

from blurcore.restoration.average import Average
from blurcore.restoration.chain import Spectrum, restore
from blurcore.restoration.conditional import Calibrated
from blurcore.restoration.ddrm import DDRM
from blurcore.restoration.diagonal import Blur, Identity, LowPass, Restrict
from blurcore.restoration.dps import DPS
from blurcore.restoration.mask import Mask
from blurcore.restoration.method import Covariance, Guess, Method, Noise, Problem, Stage, posterior_shift
from blurcore.restoration.operator import Observation, Operator
from blurcore.restoration.pigdm import PiGDM

OPERATORS = {cls.__name__: cls for cls in (Identity, Blur, LowPass, Restrict, Average, Mask)}
"""The operators that a configuration can name."""
METHODS = {cls.__name__: cls for cls in (Calibrated, DDRM, PiGDM, DPS)}
"""The methods that a configuration can name."""

__all__ = [
    "DDRM",
    "DPS",
    "METHODS",
    "OPERATORS",
    "Average",
    "Blur",
    "Calibrated",
    "Covariance",
    "Guess",
    "Identity",
    "LowPass",
    "Mask",
    "Method",
    "Noise",
    "Observation",
    "Operator",
    "PiGDM",
    "Problem",
    "Restrict",
    "Spectrum",
    "Stage",
    "posterior_shift",
    "restore",
]
