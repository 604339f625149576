"""The predictor-corrector of the paper, written again as a loop, and completed digits."""

import math

import torch
from oracles import seeded

from girsanov.papers.processes import score_sde as paper
from girsanov.processes import VE
from girsanov.solvers import PredictorCorrector, grid, sample


def width(x, law):
    return float(torch.cdist(x.double(), law.means).amin(1).square().mean().sqrt()) / math.sqrt(2)


def by_hand(law, n, steps):
    """Algorithms 2 and 4 with σ_i from 50 to 0.01 evenly in log, and the mean of the last step."""
    levels = torch.logspace(math.log10(0.01), math.log10(50), steps, dtype=torch.float64).tolist()
    draw = seeded(0)

    def noise():
        return torch.randn(n, 2, generator=draw, dtype=torch.float64)

    def score(x, sigma):
        v, apart = paper.WIDTH**2 + sigma**2, law.means - x[:, None]
        return (torch.softmax(-apart.square().sum(2) / (2 * v), 1)[..., None] * apart).sum(1) / v

    x = 50 * noise()
    for i in reversed(range(steps)):
        s, z = score(x, levels[i]), noise()
        e = 2 * (0.16 * z.norm(dim=1).mean() / s.norm(dim=1).mean()) ** 2
        x = x + e * s + (2 * e).sqrt() * z
        gain = levels[i] ** 2 - (levels[i - 1] ** 2 if i else 0)
        mean = x + gain * score(x, levels[i])
        x = mean + gain**0.5 * noise()
    return mean


def test_the_sampler_is_that_of_the_paper():
    law, process, n = paper.ring(), VE(0.01, 50.0), 20_000
    method = PredictorCorrector(process, grid("uniform", 20), snr=paper.SNR)
    found = width(sample(law.denoiser(process), n, plan=method, batch_size=n, seed=0), law)
    assert abs(found - width(by_hand(law, n, 20), law)) < 4 * 0.24 / math.sqrt(2 * n)


def test_what_is_known_stays():
    law = paper.GaussianMixture(torch.zeros(1, 1, 8, 8), 0.2)
    x = law.sample(3, generator=seeded(1))
    found = paper.completed(law.denoiser(VE(0.01, 50.0)), x, 20, seed=0)
    assert torch.equal(found[:, :, :4], x[:, :, :4])
    assert float((found - x)[:, :, 4:].abs().mean()) > 0.1
