"""One Brownian path behind plans of different numbers of steps."""

import math
from itertools import pairwise

import pytest
import torch
from oracles import ALPHA
from scipy import stats
from test_convergence import LAW, times

from girsanov import processes, solvers
from girsanov.errors import InputError
from girsanov.noise import Noise, SharedPath
from girsanov.solvers import grid, run

VP = processes.VP()


def sde2m(process, g):
    return solvers.dpm_multistep(process, g, stochastic=True, lower_order_final=False)


SOLVERS = {
    "ancestral": solvers.ancestral,
    "sde-2m": sde2m,
    "sa": solvers.sa_solver,
    "1s": solvers.dpm_singlestep_sde,
}


def paths(make, counts):
    """The ends of runs with these numbers of steps, from one start and one path."""
    plans = {n: make(VP, times(VP, 0.8, 0.2, n, "log-snr")) for n in counts}
    shared, model = SharedPath(Noise(0), *plans.values()), LAW.denoiser(VP)
    x = Noise(1).draw(torch.empty(2000, 1, dtype=torch.float64), 0)
    return [run(plan, model, x, generator=shared) for plan in plans.values()], plans, model, x


@pytest.mark.parametrize("name", SOLVERS)
def test_one_path_gives_one_sample_as_the_steps_get_finer(name):
    """Strong convergence: the noise is additive, so its order is 1."""
    ends, plans, model, x = paths(SOLVERS[name], (20, 40, 80, 160))
    gaps = [(a - b).square().mean().sqrt().item() for a, b in pairwise(ends)]
    assert all(math.log2(a / b) > 0.8 for a, b in pairwise(gaps)), gaps
    apart = run(plans[160], model, x, generator=Noise(0))  # not the same path: as far as two samples are
    assert (apart - ends[-1]).square().mean().sqrt() > 20 * gaps[-1]


def test_all_solvers_of_the_same_equation_meet():
    plans = [make(VP, times(VP, 0.8, 0.2, 200, "log-snr")) for make in SOLVERS.values()]
    shared = SharedPath(Noise(0), *plans)
    x = Noise(1).draw(torch.empty(500, 1, dtype=torch.float64), 0)
    ends = [run(plan, LAW.denoiser(VP), x, generator=shared) for plan in plans]
    assert all((end - ends[1]).square().mean().sqrt() < 0.02 for end in ends)


def test_coarse_draws_are_sums_of_fine_ones():
    fine, coarse = (solvers.ancestral(VP, times(VP, 0.8, 0.2, n, "log-snr")) for n in (6, 3))
    shared, like = SharedPath(Noise(0), fine, coarse), torch.empty(50, 2, dtype=torch.float64)

    def increment(span):
        return math.sqrt(span[1] - span[0]) * shared.draw(like, 0, span=span)

    for i, whole in enumerate(coarse.spans):
        parts = [s for s in fine.spans if whole[0] <= s[0] < whole[1]]
        assert len(parts) == 2
        total = sum(increment(s) for s in parts)
        torch.testing.assert_close(increment((parts[0][0], parts[-1][1])), total, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(increment(whole), total, rtol=1e-6, atol=1e-6, msg=str(i))


def test_the_draws_are_standard_normal_and_independent():
    plans = [solvers.ancestral(VP, grid("log-snr", n)) for n in (5, 8)]
    shared, like = SharedPath(Noise(3), *plans), torch.empty(20_000, 1, dtype=torch.float64)
    draws = [shared.draw(like, i, span=s)[:, 0] for i, s in enumerate(plans[0].spans)]
    for draw in draws:
        assert stats.kstest(draw.numpy(), "norm").pvalue > ALPHA
    between = torch.corrcoef(torch.stack(draws)) - torch.eye(len(draws))
    assert between.abs().max() < 5 / 20_000**0.5


def test_batches_do_not_matter():
    plan, model = solvers.ancestral(VP, grid("log-snr", 5)), LAW.denoiser(VP)
    shared, x = SharedPath(Noise(0), plan), Noise(1).draw(torch.empty(100, 1, dtype=torch.float64), 0)
    whole = run(plan, model, x, generator=shared)
    rest = run(plan, model, x[70:], generator=shared.shifted(70))
    torch.testing.assert_close(whole[70:], rest)


def test_a_plan_of_another_path_is_refused():
    plan, other = (solvers.ancestral(VP, grid("log-snr", n)) for n in (5, 7))
    with pytest.raises(InputError, match="give its plan to SharedPath"):
        run(other, LAW.denoiser(VP), torch.zeros(2, 1), generator=SharedPath(Noise(0), plan))
    with pytest.raises(InputError, match="give SharedPath"):
        SharedPath(Noise(0))
