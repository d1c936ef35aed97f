r"""Where sampling starts: noise alone, or with what a process leaves of an image at t = 1 (SPEC 7).

A state at t = 1 is :math:`\alpha_1 u_0 + \sigma_1 n`. Where :math:`\alpha_1` is not small beside :math:`\sigma_1` the first part has
to come from somewhere: from blurred training images, as in inverse heat dissipation (Rissanen et al. 2022, section 3.3), or from
a Gaussian mixture that was fitted to them, as in cold diffusion (Bansal et al. 2022, section 5.2).
"""

from blurcore.starts.blurred import BlurredData
from blurcore.starts.given import Image, LowResolution
from blurcore.starts.mixture import Mixture
from blurcore.starts.noise import Noise
from blurcore.starts.start import FromTheEnd, Prior, Start, default_start, leaves_image
from blurcore.starts.support import Support

STARTS = {cls.__name__: cls for cls in (Noise, BlurredData, Mixture, Image, LowResolution)}
"""The starts that a configuration can name."""

__all__ = [
    "STARTS",
    "BlurredData",
    "FromTheEnd",
    "Image",
    "LowResolution",
    "Mixture",
    "Noise",
    "Prior",
    "Start",
    "Support",
    "default_start",
    "leaves_image",
]
