"""An implementation whose functions were found by name, called as the names of their parameters ask."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from blurcore.verify.against.adapter import Adapter
from blurcore.verify.against.names import NEEDED, SETTINGS, WEAK, is_bare_transform, meaning_of
from blurcore.verify.against.probes import held

Array = np.ndarray[Any, Any]


class UnaskableError(Exception):
    """A function was found but cannot be called; the message says why."""


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
    notes
        What else is to be said of them.
    """

    form = Form("[B, 1, 1, 1]")

    def __init__(
        self, functions: dict[str, Callable[..., Any]], owner: Any, library: str, notes: tuple[str, ...] = ()
    ) -> None:
        self.functions, self.owner, self.library, self.notes = functions, owner, library, notes
        if library == "jax" and not sys.modules["jax"].config.jax_enable_x64:
            self.dtype = "float32"
        known = self._known()
        for name in SETTINGS:
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
            for name, parameter in parameters(function).items():
                meaning = meaning_of(name)
                if meaning is not None and parameter.default is not parameter.empty:
                    found.setdefault(meaning, parameter.default)
        scopes: list[Mapping[str, Any]] = list(self._scopes())
        if self.owner is not None:
            scopes.insert(-1, {k: v for c in reversed(type(self.owner).__mro__) for k, v in vars(c).items()})
        for scope in scopes:
            for name, value in scope.items():
                meaning = "steps" if name == "timesteps" else meaning_of(name)
                strong = name not in WEAK and (len(name) > 1 or name in ("T", "N"))
                if meaning is not None and strong and isinstance(value, (int, float, np.integer)):
                    found[meaning] = value
        return found

    def _literal_steps(self) -> int | None:
        """Return T if `denoise` contains the step 1 / T as a literal, such as 1 / 1000 or 0.001."""
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
        """Return the grid size N where neither a parameter nor the data determine it."""
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
            "delta" in parameters(self.functions["denoise"]) or 1e-8 in getattr(code, "co_consts", ()) or bool(scopes)
        )

    def has(self, operation: str) -> bool:
        """Return whether there is such a function.

        Parameters
        ----------
        operation
            Name of a method.
        """
        return operation in self.functions

    def is_of_one_axis(self, operation: str) -> bool:
        """Return whether a function called `dct` or `idct` is a helper, which transforms rows or columns alone.

        Parameters
        ----------
        operation
            Name of a method.
        """
        function = self.functions.get(operation)
        if function is None or not is_bare_transform(getattr(function, "__name__", "")):
            return False
        rng = np.random.default_rng(1)
        x, order = rng.standard_normal((2, 3, self.size or 8, self.size or 8)), rng.permutation(self.size or 8)
        for view in self.views(operation):
            for axis in (-2, -1):  # what leaves an axis alone goes with any order of it
                try:
                    answer = getattr(view, operation)(x)
                    if np.allclose(getattr(view, operation)(x.take(order, axis)), answer.take(order, axis), atol=1e-5):
                        return True
                except (RaisedError, UnaskableError, IndexError, ValueError):
                    continue
        return False

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
        names = parameters(self.functions[operation])
        meanings = {name: meaning for name in names if (meaning := meaning_of(name)) is not None}
        aliases = {
            "transform": {"z": "x", "u": "x"},
            "inverse": {"x": "u", "z": "u"},
            "diffuse": {"z": "x", "u": "x"},
            "denoise": {"x": "z", "u": "z"},
        }
        for old, new in aliases.get(operation, {}).items():
            if new not in meanings.values():
                meanings = {name: new if meaning == old else meaning for name, meaning in meanings.items()}
        unknown = [name for name, p in names.items() if name not in meanings and p.default is p.empty]
        missing = [meaning for meaning in NEEDED[operation] if meaning not in meanings.values()]
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
        values |= {name: getattr(self, name) for name in SETTINGS}
        grid = (n, n)
        data_shape = next(iter(arrays.values())).shape if arrays else grid
        values |= {
            "n": n,
            "shape": data_shape,
            "steps": self.steps,
            "device": "cpu",
            "none": None,
            "norm": "ortho",
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
        for name, parameter in parameters(function).items():
            meaning = meanings.get(name)
            has_default = parameter.default is not parameter.empty
            if meaning in values and not (
                has_default and meaning in (*SETTINGS, "c", "none", "device", "dtype", "b", "key")
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
            if meaning_of(name) == "net":
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


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function or a class; empty if they cannot be inspected."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
