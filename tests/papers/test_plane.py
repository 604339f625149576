"""The small network in the plane: a function of its seed, and the global state untouched."""

import torch

from girsanov.noise import Noise
from girsanov.objectives import velocity_loss
from girsanov.papers import plane
from girsanov.processes import StochasticInterpolant


def trained(seed, steps=2):
    like = torch.empty(steps * plane.BATCH, 2, dtype=torch.float64)
    ends = Noise(0).draw(like, 0), Noise(0).draw(like, 1)
    return plane.model(StochasticInterpolant(), "velocity", velocity_loss(), ends, seed=seed)


def test_it_follows_from_the_seed_alone():
    before = torch.get_rng_state()
    first, again, other = (trained(seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(v, again[name]) for name, v in first.items())
    assert any(not torch.equal(v, other[name]) for name, v in first.items())
