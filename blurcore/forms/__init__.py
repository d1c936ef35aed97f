"""Forms in which a run is carried elsewhere: kinds under the role ``form``, for `blurcore export RUN --to FORM`."""

from blurcore.forms.form import Form
from blurcore.forms.programs import ONNX, JaxExport, TorchExport
from blurcore.forms.published import Diffusers, HubFolder

FORMS = {cls.__name__: cls for cls in (Diffusers, HubFolder, TorchExport, ONNX, JaxExport)}
"""The forms that a command can name."""

__all__ = ["FORMS", "ONNX", "Diffusers", "Form", "HubFolder", "JaxExport", "TorchExport"]
