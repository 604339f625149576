"""On Gaussian data everything the paper says of the early phase is exact."""

import pytest
import torch
from oracles import seeded

from girsanov import processes
from girsanov.papers import BUDGETS, Report, digits
from girsanov.papers.processes import painters as paper
from girsanov.solvers import GaussianFlow, grid, heun, trajectory

VP = processes.VP()


@pytest.fixture(scope="module")
def gaussian():
    """The Gaussian of the digits: its flow, its exact denoiser, trajectories and their times."""
    flow = GaussianFlow.of(digits.split().x, VP)
    model, times = flow.law.denoiser(VP), grid("uniform", 60, to_zero=False).times(VP)
    x = torch.randn(8, 1, 8, 8, generator=seeded(0), dtype=torch.float64)
    return flow, model, trajectory(heun(VP, times), model, x), times


def test_the_closed_form_is_the_trajectory(gaussian):
    flow, _, path, times = gaussian
    error = paper.relative_error(flow.trajectory(path[:, 0], times), path)
    assert error[0] < 1e-12 and error[:-6].max() < 0.01  # the rest is Heun's error where the noise ends


def test_the_error_of_a_wrong_gaussian_is_seen(gaussian):
    flow, _, path, times = gaussian
    wrong = GaussianFlow(flow.law.mean, float(flow.variances.mean()), VP)
    assert paper.relative_error(wrong.trajectory(path[:, 0], times), path).max() > 0.3


def test_changes_follow_the_formula_and_emergence_the_variance(gaussian):
    _, model, path, times = gaussian
    report = Report(paper.PAPER, BUDGETS["cpu"])
    paper.changes(report, 0, model, path[:3, 0], times)
    paper.shape(
        report,
        0,
        model,
        trajectory(heun(VP, times), model, torch.randn(64, 1, 8, 8, generator=seeded(1)).double()),
        times,
    )
    found = {name: numbers[0][0] for name, numbers in report.numbers.items()}
    assert found["size of a change"] < 0.03
    assert found["early changes matter more"] == 1
    assert found["outline first"] > 0.9
