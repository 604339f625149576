"""The parts of the EVODiff paper that the sampler's own tests do not cover."""

import torch

from girsanov import processes, solvers
from girsanov.exact import Gaussian
from girsanov.papers.solvers import evodiff as paper


def test_every_sampler_spends_the_calls_and_ends_on_the_exact_path_of_easy_data():
    model = Gaussian(torch.zeros(1, 2, 2), 1e-8).denoiser(processes.VP())  # the answer is 0 everywhere
    for name, sampler in paper.samplers(10).items():
        assert sampler.calls == 10, name
        assert paper.draw(model, sampler, 5, 0).abs().max() < 1e-2, name


def test_a_recorder_changes_nothing_and_keeps_every_answer():
    model = Gaussian(torch.ones(2, 3), 0.5).denoiser(processes.VP())
    seen, sampler = paper.Recorded(model), solvers.EVODiff(processes.VP(), solvers.grid("log-snr", 6))
    torch.testing.assert_close(paper.draw(seen, sampler, 4, 1), paper.draw(model, sampler, 4, 1))
    assert len(seen.answers) == 6
