"""The U-Net of the PyTorch backend: shapes, counts, weights, and each of its parts against a second text of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blurcore.config import MODEL_PRESETS, ModelConfig
from blurcore.errors import ArgumentError

torch: Any = pytest.importorskip("torch")
model_module: Any = pytest.importorskip("blurcore_torch.model")
Attention, Sinusoids, UNet = model_module.Attention, model_module.Sinusoids, model_module.UNet
num_parameters, scale_log_snr = model_module.num_parameters, model_module.scale_log_snr

TINY = MODEL_PRESETS["tiny"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are faster on one thread, by far on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(config: ModelConfig = TINY, *, channels: int = 1, size: tuple[int, int] = (16, 24), seed: int = 0) -> Any:
    """Return a network in evaluation mode, as it starts."""
    return UNet(config, in_channels=channels, out_channels=channels, image_size=size, seed=seed).eval()


def perturbed(*args: Any, **kwargs: Any) -> Any:
    """Return a network none of whose parameters is zero, so that every layer shows in the output."""
    network = build(*args, **kwargs)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def inputs(batch: int = 2, channels: int = 1, size: tuple[int, int] = (16, 24)) -> tuple[Any, Any]:
    """Return images and times."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(batch, channels, *size, generator=generator), torch.linspace(0.1, 0.9, batch)


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (16, 24), (4, 40)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channel_multipliers": (1, 2, 3), "attention_levels": (0, 2), "num_heads": 2},
        {"channel_multipliers": (2, 1), "num_res_blocks": 2, "attention_levels": ()},
        {"channel_multipliers": (3,), "attention_levels": (0,)},
        {"patch_size": 2, "channel_multipliers": (1, 2)},
    ],
)
def test_unet_output_has_the_size_of_the_image_and_the_channels_asked_for(
    size: tuple[int, int], changes: dict[str, Any]
) -> None:
    network = UNet(replace(TINY, **changes), in_channels=3, out_channels=2, image_size=size)
    x, t = inputs(channels=3, size=size)
    assert network(x, t).shape == (2, 2, *size)


def test_unet_works_on_other_sizes_than_the_one_it_was_built_for() -> None:
    network = perturbed(size=(28, 28))
    assert network(*inputs(size=(16, 24))).shape == (2, 1, 16, 24)


@pytest.mark.parametrize("size", [(7, 5), (1, 1), (13, 28)])
def test_unet_of_one_level_takes_odd_sizes(size: tuple[int, int]) -> None:
    config = replace(TINY, channel_multipliers=(1,), attention_levels=(0,))
    assert perturbed(config, size=size)(*inputs(size=size)).shape == (2, 1, *size)


@pytest.mark.parametrize("base", [2, 3, 5])
def test_unet_takes_narrow_and_odd_widths(base: int) -> None:
    network = perturbed(replace(TINY, base_channels=base, norm_groups=1))
    assert torch.isfinite(network(*inputs())).all()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "near"),
    [((30, 28), (32, 28)), ((28, 27), (28, 28)), ((2, 28), (4, 28)), ((0, 28), (4, 28)), ((-4, 28), (4, 28))],
)
def test_unet_refuses_sizes_that_do_not_halve_and_names_one_that_does(
    size: tuple[int, int], near: tuple[int, int]
) -> None:
    config = replace(TINY, channel_multipliers=(1, 2, 2))
    with pytest.raises(ArgumentError) as caught:
        build(config, size=size)
    message = str(caught.value)
    assert "image_size must be multiples of 4" in message
    assert "patch_size 1, 3 levels" in message
    assert f"such as {near}; got {size}" in message
    build(config, size=near)


def test_unet_counts_the_patch_size_among_what_must_divide_the_image() -> None:
    with pytest.raises(ArgumentError, match=r"multiples of 6 \(patch_size 3, 2 levels\)"):
        build(replace(TINY, patch_size=3), size=(28, 30))


def test_forward_refuses_the_same_sizes_in_the_same_words() -> None:
    network = build(size=(16, 16))
    with pytest.raises(ArgumentError) as at_construction:
        build(size=(16, 15))
    with pytest.raises(ArgumentError) as in_forward:
        network(*inputs(size=(16, 15)))
    assert str(in_forward.value) == str(at_construction.value)


def test_forward_refuses_wrong_channels_ranks_and_times() -> None:
    network = build()
    x, t = inputs()
    for bad_x, bad_t in ((x.repeat(1, 2, 1, 1), t), (x[0], t[:1]), (x, t[:1]), (x, t[:, None]), (x, t[0])):
        with pytest.raises(ArgumentError, match=r"x must be \(B, 1, H, W\) and cond \(B,\); got"):
            network(bad_x, bad_t)


def test_unet_refuses_an_image_size_of_four_numbers_and_no_channels() -> None:
    with pytest.raises(ArgumentError, match=r"image_size \(8, 8, 8, 8\)"):
        UNet(TINY, in_channels=1, out_channels=1, image_size=(8, 8, 8, 8))
    with pytest.raises(ArgumentError, match="in_channels 0"):
        UNet(TINY, in_channels=0, out_channels=1, image_size=(8, 8))


def test_unet_refuses_heads_that_do_not_divide_the_width_of_the_middle() -> None:
    config = replace(TINY, attention_levels=(), num_heads=3)
    with pytest.raises(ArgumentError, match=r"num_heads must divide.*got 3 for a width of 16"):
        build(config)


def test_unet_refuses_a_width_too_small_for_a_sine_and_a_cosine() -> None:
    with pytest.raises(ArgumentError, match=r"base_channels must be at least 2.*got 1"):
        build(replace(TINY, base_channels=1, norm_groups=1))


# --- parameters -------------------------------------------------------------------------------------------------------


def parameters_by_hand(
    base: int, multipliers: tuple[int, ...], blocks: int, attention_levels: tuple[int, ...], channels: int
) -> int:
    """Count the parameters from the description in Ho et al., level by level, without looking at the module."""

    def conv(a: int, b: int, k: int) -> int:
        return (k * k * a + 1) * b

    def block(a: int, b: int) -> int:
        shortcut = conv(a, b, 1) if a != b else 0
        return 2 * a + conv(a, b, 3) + (4 * base + 1) * b + 2 * b + conv(b, b, 3) + shortcut

    def attention(c: int) -> int:
        return 2 * c + 4 * conv(c, c, 1)

    total = (base + 1) * 4 * base + (4 * base + 1) * 4 * base + conv(channels, base, 3)
    stack, now = [base], base
    for level, multiplier in enumerate(multipliers):
        width = base * multiplier
        for _ in range(blocks):
            total += block(now, width) + (attention(width) if level in attention_levels else 0)
            now = width
            stack.append(now)
        if level + 1 < len(multipliers):
            total += conv(now, now, 3)
            stack.append(now)
    total += 2 * block(now, now) + attention(now)
    for level in range(len(multipliers) - 1, -1, -1):
        width = base * multipliers[level]
        for _ in range(blocks + 1):
            total += block(now + stack.pop(), width) + (attention(width) if level in attention_levels else 0)
            now = width
        total += conv(now, now, 3) if level else 0
    assert not stack
    return total + 2 * now + conv(now, channels, 3)


def test_default_unet_has_the_parameters_of_ddpm() -> None:
    by_hand = parameters_by_hand(128, (1, 2, 2, 2), 2, (1,), 3)
    assert by_hand == 35_746_307  # 35.7 million in the paper
    assert num_parameters(build(ModelConfig(), channels=3, size=(32, 32))) == by_hand


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_presets_have_the_parameters_counted_by_hand(name: str) -> None:
    config = MODEL_PRESETS[name]
    by_hand = parameters_by_hand(
        config.base_channels, config.channel_multipliers, config.num_res_blocks, config.attention_levels, 1
    )
    assert num_parameters(build(config, size=(28, 28))) == by_hand


def test_num_parameters_leaves_frozen_ones_out() -> None:
    network = build()
    total = num_parameters(network)
    network.first.requires_grad_(False)
    assert num_parameters(network) == total - 8 * 10


def test_state_dict_has_the_documented_keys_and_nothing_else() -> None:
    block = ["norm1", "conv1", "embed", "norm2", "conv2"]
    attention = ["norm", "query", "key", "value", "out"]
    layers = ["embedding.0", "embedding.2", "first", "last_norm", "last", "encoder.0.down", "decoder.1.up"]
    layers += [f"middle.{part}.{layer}" for part in ("before", "after") for layer in block]
    layers += [f"middle.attention.{layer}" for layer in attention]
    for side, count in (("encoder", 1), ("decoder", 2)):
        for level in (0, 1):
            layers += [f"{side}.{level}.blocks.{i}.{layer}" for i in range(count) for layer in block]
        layers += [f"{side}.1.attention.{i}.{layer}" for i in range(count) for layer in attention]
    layers += ["encoder.1.blocks.0.shortcut"]  # 8 -> 16; encoder.0 keeps its 8
    layers += [f"decoder.{level}.blocks.{i}.shortcut" for level in (0, 1) for i in (0, 1)]  # of 32, 24, 24, 16 channels
    assert set(build().state_dict()) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


# --- the start --------------------------------------------------------------------------------------------------------


def test_unet_starts_as_the_constant_zero() -> None:
    assert torch.equal(build()(*inputs()), torch.zeros(2, 1, 16, 24))


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = build(seed=5).state_dict()
    torch.manual_seed(2)
    again, other = build(seed=5).state_dict(), build(seed=6).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = [key for key in first if first[key].ndim > 1 and first[key].any()]
    assert len(drawn) > 20
    assert not any(torch.equal(first[key], other[key]) for key in drawn)


def test_weights_do_not_depend_on_the_default_dtype() -> None:
    single = build().state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        double = build().state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(double[key].dtype == torch.float64 and torch.equal(double[key].float(), single[key]) for key in single)


def test_construction_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    build()
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_unet_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        network = build()
    assert {p.device.type for p in [*network.parameters(), *network.buffers()]} == {"meta"}
    network.to_empty(device="cpu").initialise(0)
    expected = build()
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in network.state_dict().items())
    assert torch.equal(network.sinusoids.frequencies, expected.sinusoids.frequencies)


def test_initial_weights_have_the_variance_of_the_fan_average() -> None:
    network = build(MODEL_PRESETS["small"], size=(28, 28))
    for layer, fans in (
        (network.middle.before.conv1, 9 * 64),
        (network.middle.attention.query, 64),
        (network.encoder[1].blocks[0].conv1, 9 * (32 + 64) / 2),
        (network.encoder[1].blocks[0].embed, (128 + 64) / 2),
        (network.embedding[0], (32 + 128) / 2),
    ):
        values = layer.weight.detach().double().flatten()
        assert values.abs().max() <= math.sqrt(3 / fans) * (1 + 1e-6)
        # the variance of n uniform values has a relative standard deviation of sqrt(0.8 / n)
        assert abs(values.var() * fans - 1) < 5 * math.sqrt(0.8 / len(values))
        assert not layer.bias.any()


def test_last_convolutions_of_branches_are_zero_and_no_others() -> None:
    state = build().state_dict()
    zero = {key.split(".")[-2] for key, value in state.items() if key.endswith("weight") and not value.any()}
    assert zero == {"conv2", "out", "last"}
    assert all(state[key].any() == (key.split(".")[-2] not in zero) for key in state if key.endswith("weight"))


# --- gradients and modes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"patch_size": 2, "num_heads": 2}, {"embedding": "log_snr"}])
def test_gradients_reach_every_parameter(changes: dict[str, Any]) -> None:
    network = perturbed(replace(TINY, **changes)).train()
    network(*inputs()).square().sum().backward()
    for name, parameter in network.named_parameters():
        if name.endswith("key.bias"):
            continue  # adds the same to every score of a query, which the softmax takes away
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-6, name


def test_dropout_acts_in_training_alone() -> None:
    network = perturbed(replace(TINY, dropout=0.5))
    x, t = inputs()
    assert torch.equal(network(x, t), network(x, t))
    network.train()
    torch.manual_seed(0)
    first = network(x, t)
    assert not torch.allclose(first, network(x, t))
    torch.manual_seed(0)
    assert torch.equal(network(x, t), first)


def test_training_mode_changes_nothing_without_dropout() -> None:
    network = perturbed()
    evaluated = network(*inputs())
    assert torch.equal(network.train()(*inputs()), evaluated)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    network = perturbed()
    x, t = inputs(batch=4)
    together = network(x, t)
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # fused attention has no batching rule: a loop
def test_functional_call_and_vmap_agree_with_the_module() -> None:
    network = perturbed()
    weights = {name: value.detach() for name, value in network.named_parameters()}
    x, t = inputs(batch=3)

    def one(image: Any, time: Any) -> Any:
        return torch.func.functional_call(network, weights, (image[None], time[None]))[0]

    torch.testing.assert_close(torch.vmap(one)(x, t), network(x, t), rtol=1e-4, atol=1e-5)


# --- precision and layout ---------------------------------------------------------------------------------------------


def test_bf16_autocast_gives_a_finite_output_near_that_of_float32() -> None:
    network = perturbed()
    x, t = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x, t)
    exact = network(x, t)
    assert half.dtype == torch.bfloat16
    assert torch.isfinite(half).all()
    assert (half.float() - exact).norm() < 0.05 * exact.norm()


def test_embedding_is_in_float32_under_autocast() -> None:
    network = perturbed()
    times = torch.tensor([0.5, 0.5005])
    exact = network._embed(times, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network._embed(times, None), exact)


def test_channels_last_changes_the_layout_and_not_the_values() -> None:
    network = perturbed(replace(TINY, patch_size=2, num_heads=2))
    x, t = inputs()
    expected = network(x, t)
    moved = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), t)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)


def test_float64_model_agrees_with_float32() -> None:
    network = perturbed()
    x, t = inputs()
    double = copy.deepcopy(network).double()(x.double(), t.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(network(x, t).double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("autocast", [False, True])
def test_compiled_unet_is_one_graph_and_agrees_with_eager(autocast: bool) -> None:
    network = perturbed(replace(TINY, patch_size=2)).train()
    # All but the code for the machine, which test_trainer.py has made: it takes a minute here.
    compiled = torch.compile(network, fullgraph=True, dynamic=False, backend="aot_eager")
    x, t = inputs()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = compiled(x, t)
        expected = network(x, t)
    assert (output.float() - expected.float()).norm() <= (0.05 if autocast else 1e-5) * expected.float().norm()
    output.float().square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


# --- the embedding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [2, 3, 8, 9, 128])
def test_sinusoids_are_sines_and_cosines_of_a_geometric_series(width: int) -> None:
    values = [0.0, 0.5, 31.0, 999.5, 1000.0]
    half = width // 2
    expected = [
        [
            f(np.float32(v) * np.float32(10000.0 ** (-k / max(half - 1, 1))))
            for f in (np.sin, np.cos)
            for k in range(half)
        ]
        + [0.0] * (width % 2)
        for v in values
    ]
    got = Sinusoids(width)(torch.tensor(values))
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), np.array(expected, dtype=np.float32), atol=2e-6)


def test_sinusoids_stay_in_float32_when_the_model_is_cast() -> None:
    network = build().to(torch.bfloat16)
    assert network.sinusoids.frequencies.dtype == torch.float32
    assert torch.equal(network.sinusoids.frequencies, build().sinusoids.frequencies)
    assert network(inputs()[0].bfloat16(), inputs()[1]).dtype == torch.bfloat16


@pytest.mark.parametrize(("embedding", "scale"), [("time", 1.0), ("log_snr", 40.0)])
def test_embedding_tells_neighbouring_times_apart(embedding: str, scale: float) -> None:
    network = build(replace(TINY, embedding=embedding))
    grid = (torch.arange(1001) / 1000 - (0.5 if embedding == "log_snr" else 0.0)) * scale
    distances = (network._embed(grid, None)[1:] - network._embed(grid, None)[:-1]).norm(dim=1)
    assert distances.min() > 1e-3
    first, last = network._embed(grid[[0, -1]], None)
    assert (first - last).norm() > 0.1


def test_output_depends_on_the_time() -> None:
    network = perturbed()
    x, _ = inputs(batch=1)
    early, late = network(x, torch.tensor([0.2])), network(x, torch.tensor([0.8]))
    assert (early - late).abs().max() > 1e-3


def test_log_snr_is_scaled_to_the_range_of_ddpm_steps_and_clipped() -> None:
    values = torch.tensor([math.inf, 25.0, 20.0, 10.0, 0.0, -10.0, -20.0, -1e6, -math.inf])
    expected = torch.tensor([0.0, 0.0, 0.0, 250.0, 500.0, 750.0, 1000.0, 1000.0, 1000.0])
    assert torch.equal(scale_log_snr(values), expected)


def test_infinite_log_snr_gives_a_finite_output() -> None:
    network = perturbed(replace(TINY, embedding="log_snr"))
    assert torch.isfinite(network(inputs()[0], torch.tensor([math.inf, -math.inf]))).all()


# --- the parts, against a second text ---------------------------------------------------------------------------------


def group_norm(x: np.ndarray, layer: Any, groups: int) -> np.ndarray:
    """Normalise (B, C, H, W) by groups of neighbouring channels, in NumPy."""
    parts = x.reshape(len(x), groups, -1)
    parts = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + 1e-6)
    weight, bias = (v.detach().double().numpy()[:, None, None] for v in (layer.weight, layer.bias))
    return parts.reshape(x.shape) * weight + bias


def convolve(x: np.ndarray, layer: Any, *, pad: tuple[int, int], stride: int = 1) -> np.ndarray:
    """Correlate (B, C, H, W) with the layer's weights, after `pad` zeros before and behind, in NumPy."""
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    k = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), pad, pad))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bchwij,ocij->bohw", windows, weight) + bias[:, None, None]


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def attend(x: np.ndarray, layer: Any, heads: int, groups: int) -> np.ndarray:
    """Self-attention written out: one image, one head and one query at a time."""
    h = group_norm(x, layer.norm, groups)
    q, k, v = (convolve(h, part, pad=(0, 0)) for part in (layer.query, layer.key, layer.value))
    batch, channels, height, width = x.shape
    depth = channels // heads
    mixed = np.zeros((batch, channels, height * width))
    for b in range(batch):
        for j in range(heads):
            rows = slice(j * depth, (j + 1) * depth)
            qs, ks, vs = (a[b, rows].reshape(depth, -1) for a in (q, k, v))
            for pixel in range(height * width):
                scores = np.exp(qs[:, pixel] @ ks / math.sqrt(depth))
                mixed[b, rows, pixel] = vs @ (scores / scores.sum())
    return x + convolve(mixed.reshape(x.shape), layer.out, pad=(0, 0))


def residual(x: np.ndarray, e: np.ndarray, block: Any, groups: int) -> np.ndarray:
    """One residual block without dropout."""
    h = convolve(silu(group_norm(x, block.norm1, groups)), block.conv1, pad=(1, 1))
    weight, bias = block.embed.weight.detach().double().numpy(), block.embed.bias.detach().double().numpy()
    h = h + (e @ weight.T + bias)[:, :, None, None]
    h = convolve(silu(group_norm(h, block.norm2, groups)), block.conv2, pad=(1, 1))
    return h + (convolve(x, block.shortcut, pad=(0, 0)) if x.shape[1] != h.shape[1] else x)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("layout", ["contiguous_format", "channels_last"])
def test_attention_is_the_softmax_formula(heads: int, layout: str) -> None:
    torch.manual_seed(0)
    layer = Attention(2, 16, replace(TINY, num_heads=heads)).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    x = torch.randn(2, 16, 3, 5, dtype=torch.float64)
    got = layer(x.to(memory_format=getattr(torch, layout)))
    np.testing.assert_allclose(got.detach().numpy(), attend(x.numpy(), layer, heads, groups=4), rtol=1e-10, atol=1e-10)


def test_unet_is_the_network_of_the_module_docstring() -> None:
    """The whole network once more in NumPy, for two levels, two blocks, patches and attention with two heads."""
    config = replace(TINY, num_res_blocks=2, patch_size=2, num_heads=2, attention_levels=(1,))
    net = perturbed(config, channels=3, size=(8, 12)).double()
    x, t = inputs(channels=3, size=(8, 12))
    groups = config.norm_groups

    angles = 1000 * t.numpy()[:, None] * net.sinusoids.frequencies.numpy()
    features = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float64)
    (w0, b0), (w2, b2) = (
        [p.detach().numpy() for p in (layer.weight, layer.bias)] for layer in (net.embedding[0], net.embedding[2])
    )
    e = silu(silu(features @ w0.T + b0) @ w2.T + b2)

    folded = x.double().numpy().reshape(2, 3, 4, 2, 6, 2).transpose(0, 1, 3, 5, 2, 4).reshape(2, 12, 4, 6)
    h = convolve(folded, net.first, pad=(1, 1))
    skips = [h]
    for i in (0, 1):
        h = residual(h, e, net.encoder[0].blocks[i], groups)
        skips.append(h)
    h = convolve(h, net.encoder[0].down, pad=(0, 1), stride=2)
    skips.append(h)
    for i in (0, 1):
        h = attend(residual(h, e, net.encoder[1].blocks[i], groups), net.encoder[1].attention[i], 2, groups)
        skips.append(h)
    h = residual(h, e, net.middle.before, groups)
    h = residual(attend(h, net.middle.attention, 2, groups), e, net.middle.after, groups)
    for i in (0, 1, 2):
        joined = np.concatenate([h, skips.pop()], axis=1)
        h = attend(residual(joined, e, net.decoder[1].blocks[i], groups), net.decoder[1].attention[i], 2, groups)
    h = convolve(h.repeat(2, axis=2).repeat(2, axis=3), net.decoder[1].up, pad=(1, 1))
    for i in (0, 1, 2):
        h = residual(np.concatenate([h, skips.pop()], axis=1), e, net.decoder[0].blocks[i], groups)
    h = convolve(silu(group_norm(h, net.last_norm, groups)), net.last, pad=(1, 1))
    expected = h.reshape(2, 3, 2, 2, 4, 6).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 8, 12)

    with torch.no_grad():
        np.testing.assert_allclose(net(x.double(), t).numpy(), expected, rtol=1e-5, atol=1e-5)


# --- memory -----------------------------------------------------------------------------------------------------------


def kept_for_the_backward_pass(network: Any, x: Any, t: Any) -> int:
    """Bytes of the tensors, each counted once, that the graph of a forward pass holds on to, parameters aside."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(x, t)
    del output
    return sum(kept.values())


def test_gradient_checkpointing_keeps_a_fraction_of_the_activations() -> None:
    config = replace(TINY, num_res_blocks=2)
    x, t = inputs(batch=4, size=(16, 16))
    plain, sparing = (
        UNet(config, in_channels=1, out_channels=1, image_size=(16, 16), gradient_checkpointing=on)
        for on in (False, True)
    )
    assert kept_for_the_backward_pass(sparing, x, t) < 0.3 * kept_for_the_backward_pass(plain, x, t)
