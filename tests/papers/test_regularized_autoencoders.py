"""The parts of the autoencoder paper that the library's own tests do not cover."""

import torch

from girsanov.noise import Noise
from girsanov.papers.processes import regularized_autoencoders as paper


def test_the_score_is_a_finite_difference_of_the_log_density():
    x = paper.LAW.sample(20, generator=Noise(0))
    step = torch.tensor([1e-5, 0.0], dtype=torch.float64)
    slope = (paper.LAW.log_prob(x + step) - paper.LAW.log_prob(x - step)) / 2e-5
    torch.testing.assert_close(paper.score_of(paper.LAW, x)[:, 0], slope, rtol=1e-5, atol=1e-6)
