"""Weight averages against their sums written out, and combinations against profiles tabulated by hand."""

import numpy as np
import pytest
import torch

from girsanov.errors import InputError
from girsanov.training.averages import LONGEST, Average, Profile, combine, exponent_of, power, ramped


def followed(decay, steps=60):
    """A weight that walks, and its average by the class."""
    weight = torch.zeros(3, dtype=torch.float64)
    walk = torch.randn(steps, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    average = Average([weight], decay)
    for t, value in enumerate(walk, start=1):
        weight.copy_(value)
        average.update(t)
    return walk, average.values[0]


@pytest.mark.parametrize("length", [0.02, 0.1, 0.25])
def test_a_power_average_is_its_sum(length):
    walk, found = followed(power(length))
    edges = torch.arange(len(walk) + 1, dtype=torch.float64) ** (exponent_of(length) + 1)
    weights = edges.diff() / edges[-1]
    torch.testing.assert_close(found, (weights[:, None] * walk).sum(0))
    wrong = torch.arange(1, len(walk) + 1, dtype=torch.float64) ** exponent_of(length)
    assert not torch.allclose(found, (wrong[:, None] / wrong.sum() * walk).sum(0), rtol=1e-3)


def test_a_constant_decay_is_exponential():
    walk, found = followed(lambda step: 0.9)
    weights = 0.1 * 0.9 ** torch.arange(len(walk) - 1, -1, -1, dtype=torch.float64)
    torch.testing.assert_close(found, (weights[:, None] * walk).sum(0))


def test_the_first_step_is_taken_as_it_is():
    walk, found = followed(ramped(0.9999), steps=1)
    assert torch.equal(found, walk[0])


def test_a_ramp_is_the_power_average_until_its_decay_is_reached():
    decay = ramped(0.99)
    assert [decay(t) for t in (1, 10, 100)] == [power(0.1)(t) for t in (1, 10, 100)]
    assert decay(5000) == 0.99 < power(0.1)(5000)


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, LONGEST])
def test_the_length_is_the_standard_deviation_of_the_profile(length):
    gamma, tau = exponent_of(length), (np.arange(10**6) + 0.5) / 10**6
    density = (gamma + 1) * tau**gamma
    mean = (density * tau).mean()
    assert np.sqrt((density * (tau - mean) ** 2).mean()) == pytest.approx(length, rel=1e-4)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.3, float("nan")])
def test_a_length_that_no_average_has_is_refused(length):
    with pytest.raises(InputError, match="length"):
        exponent_of(length)


def tabulated(profile, end, points=200_000):
    tau = (np.arange(points) + 0.5) * end / points
    inside = tau < profile.end
    return np.where(
        inside, (profile.exponent + 1) * (tau / profile.end) ** profile.exponent / profile.end, 0.0
    )


@pytest.mark.parametrize("length, bound", [(0.03, 0.05), (0.07, 0.01), (0.15, 0.05)])
def test_a_combination_is_the_wanted_profile(length, bound):
    stored = [Profile(exponent_of(s), t) for t in range(100, 1601, 100) for s in (0.05, 0.1)]
    wanted = Profile(exponent_of(length), 1600)
    mix = combine(stored, wanted)
    found = sum(c * tabulated(p, 1600) for c, p in zip(mix.coefficients, stored))
    right = tabulated(wanted, 1600)
    error = np.sqrt(((found - right) ** 2).sum() / (right**2).sum())
    assert error == pytest.approx(mix.error, abs=2e-3) and error < bound
    assert sum(mix.coefficients) == pytest.approx(1, abs=1e-9)


def test_a_stored_profile_needs_no_other():
    stored = [Profile(exponent_of(s), t) for t in (500, 1000) for s in (0.05, 0.1)]
    mix = combine(stored, stored[3])
    assert mix.coefficients == pytest.approx([0, 0, 0, 1], abs=1e-6) and mix.error < 1e-4


def test_what_cannot_be_combined_is_said():
    alone = [Profile(exponent_of(s), 1000) for s in (0.05, 0.1)]
    assert combine(alone, Profile(exponent_of(0.01), 1000)).error > 0.5
