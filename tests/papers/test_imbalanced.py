"""The eight modes of papers on rare ones."""

import pytest
import torch

from girsanov import networks
from girsanov.noise import Noise
from girsanov.papers import imbalanced
from girsanov.processes import VP


def test_the_weights_of_the_ring_fall_from_100_to_1_and_its_mean_square_is_one():
    law = imbalanced.ring()
    assert float(law.weights[0] / law.weights[-1]) == pytest.approx(100)
    assert torch.allclose(law.means.square().mean(1), torch.ones(8, dtype=torch.float64))


def test_shares_of_the_modes_themselves_are_counts():
    law = imbalanced.ring()
    x = law.means[[0, 0, 0, 5]] * 1.2  # not on the modes, and nearest to them
    assert imbalanced.shares(x.float(), law).tolist() == [0.75, 0, 0, 0, 0, 0.25, 0, 0]
    drawn = imbalanced.shares(law.sample(100_000, generator=Noise(0)), law)
    error = (law.weights * (1 - law.weights) / 100_000).sqrt()
    assert ((drawn - law.weights).abs() < 5 * error).all()


def test_equal_modes_count_one_each_and_empty_ones_nothing():
    assert imbalanced.effective(torch.tensor([0.25, 0.0, 0.25, 0.5])) == pytest.approx(2**1.5)
    assert imbalanced.effective(torch.full((8,), 1 / 8)) == pytest.approx(8)


def test_training_follows_the_seed_and_leaves_the_global_state_alone():
    before, found = torch.get_rng_state(), []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = networks.MLP(2, hidden=8, depth=1)
        model = imbalanced.trained(VP(), net, torch.ones(50, 2), steps=3, batch=10, seed=1)
        found.append(model.noise(torch.ones(1, 2), 0.5).detach())
    assert torch.equal(*found) and torch.equal(before, torch.get_rng_state())
