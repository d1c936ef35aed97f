# ruff: noqa: E501 (tables, one entry a line)
"""Find an implementation in a file, a module, a class or an object, by the names of the paper's appendix and by ours."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from blurcore.errors import ArgumentError
from blurcore.verify.against.adapter import OPERATIONS, Adapter
from blurcore.verify.against.draws import held

Array = np.ndarray[Any, Any]

NAMES: dict[str, tuple[str, ...]] = {
    "transform": ("DCT", "dct_2d", "dct2", "dct2d"),
    "inverse": ("IDCT", "idct_2d", "idct2", "idct2d"),
    "frequency_scaling": ("get_frequency_scaling", "freq_scaling", "get_blur_scaling"),
    "noise_scaling": ("get_noise_scaling_cosine", "get_noise_schaling_cosine", "get_noise_scaling", "get_a_sigma"),
    "marginal": ("get_alpha_sigma", "marginal"),
    "transition": ("transition",),
    "posterior": ("posterior",),
    "diffuse": ("diffuse", "q_sample", "add_noise", "diffuse_blur"),
    "denoise": ("denoise", "p_sample", "denoise_step", "denoise_blur"),
}
"""What the functions are called; case, underscores and `get` do not count."""

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "x": ("x", "x0", "x_0", "x_start", "img", "image", "images", "data", "batch", "original_samples", "input"),
    "z": ("z", "z_t", "x_t", "xt", "zt", "noisy", "sample"),
    "u": ("u", "x_freq", "u_t", "coefs", "freq"),
    "t": ("t", "time", "times", "timesteps", "timestep", "t_batch"),
    "s": ("s", "t_prev", "prev_t", "t_next", "s_batch"),
    "eps": ("eps", "noise", "epsilon"),
    "eps_hat": ("hat_eps", "eps_hat", "eps_pred", "pred_eps", "noise_pred", "pred_noise", "model_output", "u_eps"),
    "net": ("neural_net", "net", "network", "model", "denoiser", "denoise_fn", "model_fn", "nn", "unet", "eps_model"),
    "n": ("img_dim", "image_size", "img_size", "imsize", "size", "n", "dim", "res", "resolution", "height", "width", "h", "w", "img_height", "img_width"),
    "shape": ("shape", "grid"),
    "steps": ("num_steps", "steps", "n_steps", "num_timesteps", "n_timesteps", "num_diffusion_timesteps", "timesteps_total"),
    "sigma_blur_max": ("sigma_blur_max", "sigma_b_max", "blur_sigma_max", "sigma_max", "max_blur", "sigma_blur"),
    "min_scale": ("min_scale", "d_min"),
    "logsnr_min": ("logsnr_min", "log_snr_min"),
    "logsnr_max": ("logsnr_max", "log_snr_max"),
    "device": ("device",),
    "dtype": ("dtype",),
    "b": ("batch_size", "b"),
    "c": ("channels", "num_channels", "in_channels", "c"),
    "key": ("key", "rng", "rng_key", "generator"),
    "none": ("cond", "condition", "y", "labels", "label", "class_labels", "context", "mask", "model_kwargs"),
}  # fmt: skip
"""What parameters and attributes are called."""
_NEEDED = {
    "transform": ("x",), "inverse": ("u",), "frequency_scaling": ("t",), "noise_scaling": ("t",), "marginal": ("t",),
    "transition": ("t", "s"), "posterior": ("t", "s"), "diffuse": ("x", "t"), "denoise": ("z", "t"),
}  # fmt: skip
_WEAK = ("dim", "size", "height", "width")
"""Names that mean N as parameters, and anything as attributes."""
_SETTINGS = ("sigma_blur_max", "min_scale", "logsnr_min", "logsnr_max")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").removeprefix("get")


_OPERATION_OF = {_plain(name): operation for operation, names in NAMES.items() for name in names}
_MEANING_OF = {_plain(name): meaning for meaning, names in _PARAMETERS.items() for name in names}


def _meaning(name: str) -> str | None:
    return "steps" if name == "T" else _MEANING_OF.get(_plain(name))


class UnaskableError(Exception):
    """A function is there and cannot be called: the sentence says why."""


class RaisedError(Exception):
    """The implementation raised, which `__cause__` is."""


class Form(NamedTuple):
    """How times and data are handed in."""

    time: str
    layout: str = "channels first"
    in_steps: bool = False

    def __str__(self) -> str:
        layout = "" if self.layout == "channels first" else f", data {self.layout}"
        return f"t {'in steps, ' if self.in_steps else ''}as {self.time}{layout}"


class Found(Adapter):
    """Functions found by name, called as their parameters' names ask.

    Parameters
    ----------
    functions
        The functions by the adapter's names.
    owner
        The object whose methods they are.
    library
        "numpy", "torch" or "jax": whose arrays they take.
    """

    form = Form("[B, 1, 1, 1]")
    dtype = "float64"

    def __init__(self, functions: dict[str, Callable[..., Any]], owner: Any, library: str) -> None:
        self.functions, self.owner, self.library = functions, owner, library
        known = self._known()
        for name in _SETTINGS:
            if isinstance(known.get(name), (int, float)) and not isinstance(known[name], bool):
                setattr(self, name, float(known[name]))
        for name, meaning in (("size", "n"), ("channels", "c"), ("steps", "steps")):
            value = known.get(meaning)
            if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 1:
                setattr(self, name, int(value))
        self.step_parameter = "denoise" in functions and "steps" in self._meanings("denoise").values()
        if self.step_parameter:
            self.steps = 8
        elif self.steps is None and "denoise" in functions:
            self.steps = self._literal_steps()
        if self.size is None:
            self.size = self._size_of_result()

    def _scopes(self) -> list[dict[str, Any]]:
        """Return the globals of the functions, the attributes of their owner and of its class."""
        scopes: list[dict[str, Any]] = []
        for function in self.functions.values():
            scope = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__globals__", None)
            if scope is not None and not any(scope is s for s in scopes):
                scopes.append(scope)
        if self.owner is not None and hasattr(self.owner, "__dict__"):
            scopes.append(vars(self.owner))
        return scopes

    def _known(self) -> dict[str, Any]:
        """Return settings by meaning: attributes before constants before defaults of parameters."""
        found: dict[str, Any] = {}
        for function in self.functions.values():
            for name, parameter in _parameters(function).items():
                meaning = _meaning(name)
                if meaning is not None and parameter.default is not parameter.empty:
                    found.setdefault(meaning, parameter.default)
        scopes: list[Mapping[str, Any]] = list(self._scopes())
        if self.owner is not None:
            scopes.insert(-1, {k: v for c in reversed(type(self.owner).__mro__) for k, v in vars(c).items()})
        for scope in scopes:
            for name, value in scope.items():
                meaning = "steps" if name == "timesteps" else _meaning(name)
                strong = name not in _WEAK and (len(name) > 1 or name in ("T", "N"))
                if meaning is not None and strong and isinstance(value, (int, float, np.integer)):
                    found[meaning] = value
        return found

    def _literal_steps(self) -> int | None:
        """Return T where `denoise` says 1 / 1000 or 0.001."""
        if "s" in self._meanings("denoise").values():
            return None
        code = getattr(getattr(self.functions["denoise"], "__func__", self.functions["denoise"]), "__code__", None)
        for value in code.co_consts if code is not None else ():
            if isinstance(value, int) and not isinstance(value, bool) and 10 <= value <= 100_000:
                return value
            if isinstance(value, float) and 1e-5 <= value <= 0.1 and abs(1 / value - round(1 / value)) < 1e-6:
                return round(1 / value)
        return None

    def _size_of_result(self) -> int | None:
        """Return N where neither a parameter nor data say it."""
        for operation in ("frequency_scaling", "marginal"):
            if operation in self.functions and not {"n", "shape"} & set(self._meanings(operation).values()):
                for time in ("float", "0-d", "[B]"):
                    try:
                        result = self._with(Form(time))._call(operation, t=np.full(1, 0.5), n=8)
                        shape = np.squeeze(self._numpy(_first(result))).shape
                    except (RaisedError, UnaskableError):
                        continue
                    if len(shape) >= 2:
                        return int(shape[-1])
        return None

    def clips(self) -> bool:
        """Return whether the step back has the appendix's delta."""
        code = getattr(getattr(self.functions["denoise"], "__func__", self.functions["denoise"]), "__code__", None)
        scopes = [s for s in self._scopes() if isinstance(s.get("delta"), float)]
        return (
            "delta" in _parameters(self.functions["denoise"]) or 1e-8 in getattr(code, "co_consts", ()) or bool(scopes)
        )

    def has(self, operation: str) -> bool:
        """Return whether there is such a function.

        Parameters
        ----------
        operation
            Name of a method.
        """
        return operation in self.functions

    def _with(self, form: Form) -> Found:
        other = copy.copy(self)
        other.form = form
        return other

    def views(self, operation: str) -> Iterator[Found]:
        """Yield this implementation with each way in which times and data may be meant.

        Parameters
        ----------
        operation
            Name of a method.
        """
        layouts = (
            ("channels first", "channels last", "one image")
            if operation in ("diffuse", "denoise")
            else ("channels first",)
        )
        if operation in ("transform", "inverse"):
            yield from (self._with(Form("[B]", layout)) for layout in ("channels first", "channels last", "one image"))
            return
        units = (False, True) if self.steps is not None and not self.step_parameter else (False,)
        for in_steps in units:
            for layout in layouts:
                for time in ("[B, 1, 1, 1]", "[B]", "0-d", "float"):
                    if layout != "one image" or time in ("0-d", "float"):
                        yield self._with(Form(time, layout, in_steps))

    # The adapter's methods

    def transform(self, x: Array) -> Array:
        """Return the DCT of data.

        Parameters
        ----------
        x
            Data.
        """
        return self._data("transform", x=x)

    def inverse(self, u: Array) -> Array:
        """Return the data of coefficients.

        Parameters
        ----------
        u
            Coefficients.
        """
        return self._data("inverse", u=u)

    def frequency_scaling(self, t: Array, n: int) -> Array:
        """Return d_t.

        Parameters
        ----------
        t
            Times.
        n
            Number of pixels of a side.
        """
        return self._coefs("frequency_scaling", 1, t=t, n=n)[0]

    def noise_scaling(self, t: Array) -> tuple[Array, Array]:
        """Return a_t and sigma_t.

        Parameters
        ----------
        t
            Times.
        """
        a, sigma = self._coefs("noise_scaling", 2, t=t, n=self.size or 8)
        return a, sigma

    def marginal(self, t: Array, n: int) -> tuple[Array, Array]:
        """Return alpha_t and sigma_t.

        Parameters
        ----------
        t
            Times.
        n
            Number of pixels of a side.
        """
        alpha, sigma = self._coefs("marginal", 2, t=t, n=n)
        return alpha, sigma

    def transition(self, t: Array, s: Array, n: int) -> tuple[Array, Array]:
        """Return alpha_{t|s} and sigma_{t|s}^2.

        Parameters
        ----------
        t
            Times.
        s
            Earlier times.
        n
            Number of pixels of a side.
        """
        alpha, variance = self._coefs("transition", 2, t=t, s=s, n=n)
        return alpha, variance

    def posterior(self, t: Array, s: Array, n: int) -> tuple[Array, Array, Array]:
        """Return the coefficients of u_t and u_0 and the variance.

        Parameters
        ----------
        t
            Times.
        s
            Earlier times.
        n
            Number of pixels of a side.
        """
        z, x, variance = self._coefs("posterior", 3, t=t, s=s, n=n)
        return z, x, variance

    def diffuse(self, x: Array, t: Array, eps: Array) -> Array:
        """Return z_t.

        Parameters
        ----------
        x
            Data.
        t
            Times.
        eps
            Noise.
        """
        return self._data("diffuse", x=x, t=t, eps=eps, noise=eps)

    def denoise(self, z: Array, t: Array, s: Array, eps_hat: Array, noise: Array) -> Array:
        """Return z_s.

        Parameters
        ----------
        z
            Noisy data.
        t
            Times.
        s
            Earlier times.
        eps_hat
            What the network predicts.
        noise
            Noise.
        """
        return self._data("denoise", z=z, t=t, s=s, eps_hat=eps_hat, eps=noise, noise=noise)

    # Calls

    def _meanings(self, operation: str) -> dict[str, str]:
        """Return what each parameter of a function means; what is needed and has no known name goes by its place."""
        names = _parameters(self.functions[operation])
        meanings = {name: meaning for name in names if (meaning := _meaning(name)) is not None}
        aliases = {"transform": {"z": "x", "u": "x"}, "inverse": {"x": "u", "z": "u"}, "diffuse": {"z": "x", "u": "x"},
                   "denoise": {"x": "z", "u": "z"}}  # fmt: skip
        for old, new in aliases.get(operation, {}).items():
            if new not in meanings.values():
                meanings = {name: new if meaning == old else meaning for name, meaning in meanings.items()}
        unknown = [name for name, p in names.items() if name not in meanings and p.default is p.empty]
        missing = [meaning for meaning in _NEEDED[operation] if meaning not in meanings.values()]
        return meanings | dict(zip(unknown, missing, strict=False))

    def _scalar(self) -> bool:
        return self.form.time in ("0-d", "float")

    def _array(self, value: Any, dtype: str | None = None) -> Any:
        dtype = dtype or self.dtype
        if self.library == "torch":
            torch: Any = sys.modules["torch"]
            return torch.asarray(np.array(value), dtype=getattr(torch, dtype))
        if self.library == "jax":
            return sys.modules["jax"].numpy.asarray(value, dtype=dtype)
        return np.array(value, dtype=dtype)

    def _numpy(self, value: Any) -> Array:
        value = value.detach().cpu().resolve_conj().numpy() if hasattr(value, "detach") else value
        try:
            return np.asarray(np.real(value), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UnaskableError(f"it returns {type(value).__name__}, where an array is expected") from error

    def _time(self, t: Array) -> Any:
        t = t * self.steps if self.form.in_steps and self.steps else t
        if self.form.time == "float":
            return float(t[0])
        if self.form.time == "0-d":
            return self._array(t[0])
        return self._array(t[:, None, None, None] if self.form.time == "[B, 1, 1, 1]" else t)

    def _layout(self, x: Array) -> Array:
        """Lay data out as the form has them."""
        if self.form.layout == "one image":
            return np.asarray(x[0, 0])
        return np.moveaxis(x, 1, -1) if self.form.layout == "channels last" else x

    def _call(self, operation: str, *, n: int, **given: Array) -> Any:
        """Call a function with known draws."""
        function = self.functions[operation]
        meanings = self._meanings(operation)
        batch = next(iter(given.values())).shape[0]
        values: dict[str, Any] = {k: self._time(v) for k, v in given.items() if k in ("t", "s")}
        arrays = {k: self._layout(v) for k, v in given.items() if k not in ("t", "s")}
        values |= {k: self._array(v) for k, v in arrays.items()}
        values |= {name: getattr(self, name) for name in _SETTINGS}
        grid = (n, n)
        data_shape = next(iter(arrays.values())).shape if arrays else grid
        values |= {
            "n": n,
            "shape": data_shape,
            "steps": self.steps,
            "device": "cpu",
            "none": None,
            "b": batch,
            "c": self.channels or 3,
        }
        values["dtype"] = getattr(sys.modules[self.library], self.dtype) if self.library == "torch" else self.dtype
        values["net"] = lambda *_, **__: values["eps_hat"]
        if "jax" in sys.modules and self.library == "jax":
            values["key"] = sys.modules["jax"].random.PRNGKey(0)
        elif self.library == "numpy":
            values["key"] = np.random.default_rng(0)
        keywords: dict[str, Any] = {}
        positional: list[Any] = []
        for name, parameter in _parameters(function).items():
            meaning = meanings.get(name)
            has_default = parameter.default is not parameter.empty
            if meaning in values and not (
                has_default and meaning in (*_SETTINGS, "c", "none", "device", "dtype", "b", "key")
            ):
                value = values[meaning]
            elif has_default or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            else:
                raise UnaskableError(f"its parameter {name!r} is not one that I know; write an adapter")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                keywords[name] = value
        noise = arrays.get("noise", np.zeros(1))
        try:
            with ExitStack() as stack:
                stack.enter_context(np.errstate(all="ignore"))
                scopes = self._scopes()
                stack.enter_context(held(noise, *scopes, keywords))
                self._set_network(operation, values["net"], stack)
                return function(*positional, **keywords)
        except Exception as error:
            raise RaisedError from error

    def _set_network(self, operation: str, network: Callable[..., Any], stack: ExitStack) -> None:
        """Put the known prediction where a function calls a network of its module or of its object."""
        function = inspect.unwrap(getattr(self.functions[operation], "__func__", self.functions[operation]))
        called = getattr(getattr(function, "__code__", None), "co_names", ())
        for name in called if operation == "denoise" else ():
            if _meaning(name) == "net":
                stack.enter_context(patch.dict(function.__globals__, {name: network}))
                if self.owner is not None:
                    stack.enter_context(patch.dict(vars(self.owner), {name: network}))

    def _each(self, operation: str, *, n: int, **given: Array) -> Iterator[Any]:
        """Yield the answers to a batch: one, or one for each of its items where a call takes one."""
        if (self._scalar() and "t" in given) or self.form.layout == "one image":
            batch = next(iter(given.values())).shape[0]
            for b in range(batch):
                yield self._call(operation, n=n, **{k: v[b : b + 1] for k, v in given.items()})
        else:
            yield self._call(operation, n=n, **given)

    def _coefs(self, operation: str, number: int, *, n: int, **times: Array) -> list[Array]:
        batch = len(times["t"])
        rows = []
        for answer in self._each(operation, n=n, **times):
            parts = [answer] if number == 1 else answer
            if number > 1 and (not isinstance(parts, (tuple, list)) or len(parts) < number):
                raise UnaskableError(f"it returns {type(answer).__name__}, where {number} values are expected")
            one = 1 if self._scalar() else batch
            rows.append([_grid(self._numpy(part), one, n) for part in parts[:number]])
        return [np.concatenate(column) for column in zip(*rows, strict=True)]

    def _data(self, operation: str, **given: Array) -> Array:
        x = next(iter(given.values()))
        answers = []
        for answer in self._each(operation, n=x.shape[-1], **given):
            value = self._numpy(_first(answer))
            if (
                isinstance(answer, tuple)
                and operation == "denoise"
                and len(answer) > 1
                and _is_noise(self, answer, given["noise"])
            ):
                value = value + self._numpy(answer[1])
            answers.append(value)
        if self.form.layout == "one image":
            return np.stack(answers)[:, None]
        result = np.concatenate(answers)
        return np.moveaxis(result, -1, 1) if self.form.layout == "channels last" else result


def _is_noise(found: Found, answer: tuple[Any, ...], noise: Array) -> bool:
    """Whether the second value of a step is its noise, which some return apart from the mean."""
    second = getattr(answer[1], "shape", None)
    return second == getattr(answer[0], "shape", None) and (bool(noise.any()) or not found._numpy(answer[1]).any())


def _first(answer: Any) -> Any:
    if isinstance(answer, Mapping):
        return answer.get("sample", answer.get("prev_sample", next(iter(answer.values()))))
    return answer[0] if isinstance(answer, (tuple, list)) else answer


def _grid(value: Array, batch: int, n: int) -> Array:
    """Return coefficients as (B, N, N), whatever axes of size 1 they came with."""
    shape = value.shape
    value = np.squeeze(value)
    if value.ndim == 4 and value.shape[0] == batch and (value == value[:, :1]).all():
        value = value[:, 0]
    over_columns = len(shape) > 1 and shape[-1] == n  # where only the last axis is longer than 1
    if value.ndim == 1 and value.shape == (batch,) and not over_columns:
        value = value[:, None, None]
    elif value.ndim == 1 and batch == 1 and value.size != n:
        value = value[0]
    try:
        return np.broadcast_to(value, (batch, n, n))
    except ValueError:
        raise UnaskableError(f"it returns shape {shape}, where ({batch}, 1, {n}, {n}) is expected") from None


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _library(functions: Mapping[str, Callable[..., Any]], owner: Any) -> str:
    """Return whose arrays functions take, read from the modules that they were written in."""
    for function in functions.values():
        scope = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__globals__", {})
        for library in ("torch", "jax"):
            for value in scope.values():
                name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
                if isinstance(name, str) and name.partition(".")[0] == library:
                    return library
    bases = {c.__module__.partition(".")[0] for c in type(owner).__mro__} if owner is not None else set()
    return "torch" if "torch" in bases else "numpy"


def _functions(thing: Any) -> dict[str, Callable[..., Any]]:
    """Return the functions of a module, an object or a mapping that have a known name."""
    if callable(thing) and not inspect.isclass(thing) and inspect.isroutine(thing):
        named = {getattr(thing, "__name__", ""): thing}
    elif isinstance(thing, Mapping):
        named = dict(thing)
    elif isinstance(thing, ModuleType):
        named = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
    else:
        named = {k: getattr(thing, k) for k in dir(thing) if not k.startswith("_") and _plain(k) in _OPERATION_OF}
    own = getattr(thing, "__name__", None)
    # what a module defines goes before what it imports: its DCT before SciPy's dct
    order = sorted(
        named.items(), key=lambda item: isinstance(thing, ModuleType) and getattr(item[1], "__module__", None) != own
    )
    found: dict[str, Callable[..., Any]] = {}
    for key, value in order:
        operation = _OPERATION_OF.get(_plain(key))
        if operation is not None and callable(value) and not inspect.isclass(value):
            found.setdefault(operation, value)
    return {operation: found[operation] for operation in OPERATIONS if operation in found}


def find(thing: Any) -> Adapter:
    """Return what is to be checked as an adapter.

    Parameters
    ----------
    thing
        A module, a function, a mapping of names to functions, a class that needs no arguments, an instance, or an `Adapter`.

    Raises
    ------
    ArgumentError
        Nothing in it has a name that is known.
    """
    if isinstance(thing, Adapter):
        return thing
    if inspect.isclass(thing):
        return find(_make(thing))
    functions = _functions(thing)
    if not functions and isinstance(thing, ModuleType):
        own = [
            v
            for v in vars(thing).values()
            if getattr(v, "__module__", None) == thing.__name__ or not inspect.isclass(v)
        ]
        for value in own:
            if not inspect.isclass(value) and isinstance(value, Adapter):
                return value
        for value in own:
            if inspect.isclass(value) and issubclass(value, Adapter):
                return value()
        for value in own:
            instance = not inspect.isclass(value) and not isinstance(value, ModuleType) and not inspect.isroutine(value)
            if instance and _functions(value):
                return find(value)
        for value in own:
            if inspect.isclass(value) and _functions(value):
                return find(value)
    if not functions:
        names = ", ".join(names[0] for names in NAMES.values())
        raise ArgumentError(
            f"nothing that I know by name is in {_name(thing)}: I look for {names}; else write an adapter"
        )
    owner = None if isinstance(thing, (ModuleType, Mapping)) or inspect.isroutine(thing) else thing
    if inspect.ismethod(thing):
        owner = thing.__self__
    return Found(functions, owner, _library(functions, owner))


def _name(thing: Any) -> str:
    return getattr(thing, "__name__", None) or type(thing).__name__


def _make(kind: type) -> Any:
    required = [
        name
        for name, p in _parameters(kind).items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if required:
        raise ArgumentError(f"{kind.__name__} needs {', '.join(required)}: name an instance, not the class")
    return kind()


def load(target: str) -> Any:
    """Return what ``my_diffusion.py``, ``my_diffusion.py:object`` or ``package.module:object`` names.

    Parameters
    ----------
    target
        A file or a module, and after a colon the object in it.

    Raises
    ------
    ArgumentError
        There is no such file, module or object.
    RaisedError
        The file or the module raised.
    """
    where, attribute = split(target)
    try:
        if where.endswith(".py"):
            path = Path(where).resolve()
            spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", path.stem), path)
            if spec is None or spec.loader is None:
                raise ArgumentError(f"cannot load {where}")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            sys.path.insert(0, str(path.parent))
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, "")
            module = importlib.import_module(where)
    except ArgumentError:
        raise
    except (Exception, SystemExit) as error:
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name is not None
            and f"{where}.".startswith(f"{error.name}.")
        ):
            raise ArgumentError(
                f"there is no module {where!r}; name a file that ends in .py, or package.module:object"
            ) from None
        raise RaisedError from error
    thing: Any = module
    for part in attribute.split(".") if attribute else ():
        if not hasattr(thing, part):
            raise ArgumentError(f"{where} has no {attribute!r}")
        thing = getattr(thing, part)
    return thing


def split(target: str) -> tuple[str, str]:
    """Return the file or module of a target and the object in it.

    Parameters
    ----------
    target
        See `load`.

    Raises
    ------
    ArgumentError
        It names a file that does not exist, or nothing at all.
    """
    found = re.fullmatch(r"(.+?\.py|[^:]+)(?::([A-Za-z_][\w.]*))?", target)
    if found is None:
        raise ArgumentError(f"must be FILE.py, FILE.py:OBJECT or package.module:OBJECT; got {target!r}")
    where = found[1]
    if where.endswith(".py") and not Path(where).is_file():
        raise ArgumentError(f"there is no file {where!r}")
    if not where.endswith(".py") and not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", where):
        raise ArgumentError(f"must be FILE.py, FILE.py:OBJECT or package.module:OBJECT; got {target!r}")
    return where, found[2] or ""
