"""The parts of the paper on fractional noise that the library's own tests do not cover."""

import pytest
import torch

from girsanov.exact import GaussianMixture
from girsanov.papers.base import BUDGETS
from girsanov.papers.processes import gfdm
from girsanov.papers.report import Report


def test_orthogonal_features_are_as_diverse_as_they_are_many():
    x = torch.eye(5, 7)[:, [6, 0, 1, 2, 3, 4, 5]].repeat(3, 1) * torch.rand(15, 1).add(0.1)
    assert gfdm.vendi(x) == pytest.approx(5)
    assert gfdm.vendi(torch.ones(9, 4)) == pytest.approx(1)


def test_two_unequal_features_have_the_entropy_of_their_shares():
    x = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 2.0]])
    shares = torch.tensor([0.75, 0.25], dtype=torch.float64)
    assert gfdm.vendi(x) == pytest.approx(float((-shares * shares.log()).sum().exp()))


@pytest.mark.parametrize("hurst", gfdm.HURSTS)
def test_the_reverse_equation_recovers_a_gaussian(hurst):
    """As the head of the module says, within 5 % after 100 steps, also for narrow data."""
    law = GaussianMixture(torch.tensor([[0.4, -0.2]], dtype=torch.float64), 0.3**2)
    x = gfdm.reverse(law.denoiser(gfdm.process(hurst)), 4000, 100, 0)
    error = 0.3 / 4000**0.5
    assert (x.mean(0) - law.means[0]).abs().max() < 5 * error + 0.01
    assert (x.std(0) / 0.3 - 1).abs().max() < 0.05


def test_the_digits_are_judged_by_the_exponent_closest_to_the_data():
    report = Report(gfdm.PAPER, BUDGETS["cpu"])
    report.kept["data"] = 9.0
    for hurst, distance in ((0.5, 3.0), (0.7, 2.0), (0.9, 1.0)):
        for name in ("flow", "reverse"):
            report.kept[f"{name} {hurst}"] = [(distance + seed, 10 * hurst) for seed in range(3)]
    gfdm.best(report)
    assert report.numbers[gfdm.CLOSER.name] == {s: (1.0 + s, 3.0 + s) for s in range(3)}
    assert report.numbers[gfdm.DIVERSE.name] == dict.fromkeys(range(3), (9.0, 5.0))
    assert "Judged: H = 0.9" in report.notes[gfdm.CLOSER.name]
