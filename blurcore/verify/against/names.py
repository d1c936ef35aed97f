"""The names under which functions, parameters and attributes of an implementation are known."""

from __future__ import annotations

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
    "n": (
        "img_dim",
        "image_size",
        "img_size",
        "imsize",
        "size",
        "n",
        "dim",
        "res",
        "resolution",
        "height",
        "width",
        "h",
        "w",
        "img_height",
        "img_width",
    ),
    "shape": ("shape", "grid"),
    "steps": (
        "num_steps",
        "steps",
        "n_steps",
        "num_timesteps",
        "n_timesteps",
        "num_diffusion_timesteps",
        "timesteps_total",
    ),
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
    "norm": ("norm",),
}
"""What parameters and attributes are called."""
NEEDED = {
    "transform": ("x",),
    "inverse": ("u",),
    "frequency_scaling": ("t",),
    "noise_scaling": ("t",),
    "marginal": ("t",),
    "transition": ("t", "s"),
    "posterior": ("t", "s"),
    "diffuse": ("x", "t"),
    "denoise": ("z", "t"),
}
WEAK = ("dim", "size", "height", "width")
"""Names that mean N as parameters, and anything as attributes."""
SETTINGS = ("sigma_blur_max", "min_scale", "logsnr_min", "logsnr_max")


def plain(name: str) -> str:
    """Return a name without case, underscores and `get`."""
    return name.lower().replace("_", "").removeprefix("get")


_OPERATION_OF = {plain(name): operation for operation, names in NAMES.items() for name in names}
_MEANING_OF = {plain(name): meaning for meaning, names in _PARAMETERS.items() for name in names}


def operation_of(name: str) -> str | None:
    """Return the operation that a function of this name is, or None."""
    return _OPERATION_OF.get(plain(name))


def meaning_of(name: str) -> str | None:
    """Return the meaning of a parameter or an attribute, or None."""
    return "steps" if name == "T" else _MEANING_OF.get(plain(name))


def is_bare_transform(name: str) -> bool:
    """Return whether a name may mean the transform of one axis: that is what libraries call `dct`."""
    return name in ("dct", "idct")
