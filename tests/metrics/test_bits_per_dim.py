"""Bits per dimension of laws whose code length is known."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.metrics import bits_per_dim


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_uniform_levels_cost_their_logarithm(levels):
    nats = -48 * math.log(2)  # uniform on [-1, 1]^48 has density 2^-48
    assert bits_per_dim(nats, 48, levels) == pytest.approx(math.log2(levels))


def test_a_certain_level_costs_nothing():
    nats = 10 * math.log(256 / 2)  # all mass on one cell of width 2/256 in each of 10 dimensions
    assert bits_per_dim(nats, 10, 256) == pytest.approx(0, abs=1e-12)


def test_continuous_data_and_batches():
    entropy = 0.5 * math.log2(2 * math.pi * math.e)  # of a standard normal, in bits
    mean_nats = torch.distributions.Normal(0.0, 1.0).entropy() * -3
    torch.testing.assert_close(bits_per_dim(mean_nats.repeat(4), 3), torch.full((4,), entropy))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="dims is 0"):
        bits_per_dim(1.0, 0)
    with pytest.raises(InputError, match="levels is 1"):
        bits_per_dim(1.0, 3, 1)
