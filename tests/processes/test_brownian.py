"""Brownian motion against its closed law, whole, refined, asked in any order, and its areas."""

import math

import pytest
import torch
from oracles import seeded
from scipy import stats

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.brownian import BrownianMotion, BrownianPath, levy_area, space_time_area

N = 40_000
ALPHA = 1e-5
TIMES = torch.tensor([2.0, 2.1, 2.5, 4.0, 4.01]).double()


def assert_standard(z):
    """Independent standard normals (N, K): each by Kolmogorov-Smirnov, and every product."""
    for column in z.T:
        assert stats.kstest(column.numpy(), "norm").pvalue > ALPHA
    correlations = torch.corrcoef(z.T) - torch.eye(z.shape[1]).double()
    assert correlations.abs().max() < 5 / math.sqrt(len(z))


def test_increments_are_independent_with_drift_and_volatility():
    motion = BrownianMotion(drift=1.5, volatility=0.7)
    paths = simulate(motion, torch.full((N,), 3.0).double(), TIMES, seed=0)
    assert (paths[:, 0] == 3).all()
    dt = TIMES.diff()
    assert_standard((paths.diff(dim=1) - 1.5 * dt) / (0.7 * dt.sqrt()))


def test_shapes_types_and_starts():
    paths = simulate(BrownianMotion(), torch.zeros(3, 2, 5), TIMES, seed=0)
    assert paths.shape == (3, 5, 2, 5) and paths.dtype == torch.float32
    assert simulate(BrownianMotion(), n=4, times=TIMES, seed=0).dtype == torch.float64
    assert simulate(BrownianMotion(), n=4, times=torch.tensor([0, 1, 2]), seed=0).dtype == torch.float32
    one = simulate(BrownianMotion(), torch.ones(2, 3), torch.tensor([1.0]), seed=0)
    assert torch.equal(one, torch.ones(2, 1, 3))


def test_a_path_does_not_depend_on_its_batch():
    whole = simulate(BrownianMotion(), n=70, times=TIMES, seed=5)
    assert torch.equal(
        whole[64:], BrownianMotion().simulate(whole[64:, 0], TIMES, generator=Noise(5, first=64))
    )


def refined(motion, seed=1):
    finer = torch.cat([TIMES, torch.tensor([2.05, 3.0, 3.5]).double()]).sort().values
    paths = simulate(motion, n=N, times=TIMES, seed=0)
    return finer, paths, motion.refine(TIMES, paths, finer, generator=Noise(seed))


def test_a_refined_path_holds_the_coarse_one_and_has_the_law_of_the_fine_one():
    motion = BrownianMotion(drift=-1.0, volatility=2.0)
    finer, coarse, fine = refined(motion)
    assert torch.equal(fine[:, torch.isin(finer, TIMES)], coarse)
    dt = finer.diff()
    assert_standard((fine.diff(dim=1) + dt) / (2 * dt.sqrt()))


def test_refinement_in_single_precision_keeps_every_bit():
    times, motion = torch.linspace(0, 1, 11), BrownianMotion()
    finer = torch.cat([times, torch.rand(50, generator=seeded(0))]).unique()
    paths = simulate(motion, torch.zeros(5, 2), times, seed=0)
    fine = motion.refine(times, paths, finer, generator=seeded(1))
    assert fine.dtype == torch.float32 and torch.equal(fine[:, torch.isin(finer, times)], paths)


@pytest.mark.parametrize(
    "finer", [[2.0, 2.1, 2.5, 4.0], [2.0, 2.5, 4.0, 4.01], [1.0, 2.0, 2.1, 2.5, 4.0, 4.01]]
)
def test_a_finer_grid_must_hold_the_coarse_one(finer):
    paths = simulate(BrownianMotion(), n=2, times=TIMES, seed=0)
    with pytest.raises(InputError, match="hold them all"):
        BrownianMotion().refine(TIMES, paths, torch.tensor(finer).double())


ORDERS = {
    "forward": [0.1, 0.4, 0.5, 1.3, 2.0],
    "backward": [2.0, 1.3, 0.5, 0.4, 0.1],
    "any": [0.5, 2.0, 0.1, 1.3, 0.4],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_a_path_asked_in_any_order_is_brownian(order):
    path = BrownianPath(torch.empty(N).double(), generator=Noise(0))
    values = {t: path.at(t) for t in order}
    times = sorted(order)
    walk = torch.stack([torch.zeros(N).double(), *(values[t] for t in times)], 1)
    assert_standard(walk.diff(dim=1) / torch.tensor([0.0, *times]).double().diff().sqrt())
    assert all(torch.equal(path.at(t), values[t]) for t in times)
    assert torch.equal(path(0.4, 1.3), values[1.3] - values[0.4])


def test_known_times_are_laid_out_and_others_fall_between():
    times = torch.tensor([1.0, 2.0, 3.0]).double()
    path = BrownianPath(torch.empty(N).double(), times, generator=Noise(0))
    asked = [path(a, b) for a, b in ((1.0, 1.5), (1.5, 2.0), (2.0, 3.0), (3.0, 7.0))]
    assert_standard(torch.stack(asked, 1) / torch.tensor([0.5, 0.5, 1.0, 4.0]).double().sqrt())
    assert torch.equal(path(1.0, 3.0), path.at(torch.tensor(3.0)))
    with pytest.raises(InputError, match="starts at 1"):
        path.at(0.5)
    with pytest.raises(InputError, match="ask from there on"):
        path.at(math.nan)


def test_the_area_of_levy_has_the_law_that_its_integral_has():
    """On a fine walk, A given (W, H) has mean H⊗W - W⊗H and variance h²/12: the same two numbers for ours."""
    h, steps, n = 2.0, 400, 10_000
    walk = simulate(
        BrownianMotion(), torch.zeros(n, 2).double(), torch.linspace(0, h, steps + 1).double(), seed=0
    )
    middle, step = (walk[:, 1:] + walk[:, :-1]) / 2, walk.diff(dim=1)
    w = walk[:, -1]
    area = middle.mean(1) - w / 2
    exact = (middle[..., 0] * step[..., 1] - middle[..., 1] * step[..., 0]).sum(1) / 2
    drawn = levy_area(w, area, h, generator=Noise(1))
    assert torch.equal(drawn, -drawn.mT)
    assert abs(area.var().item() / (h / 12) - 1) < 5 * math.sqrt(1 / n)
    mean = area[:, 0] * w[:, 1] - w[:, 0] * area[:, 1]
    for a in (exact, drawn[:, 0, 1]):
        rest = a - mean
        assert abs((rest * mean).mean().item()) < 5 * (rest * mean).std().item() / math.sqrt(n)
        assert (
            abs(rest.var().item() - h**2 / 12) < 5 * rest.square().std().item() / math.sqrt(n) + h**2 / steps
        )


def test_the_space_time_area_has_its_variance():
    drawn = space_time_area(torch.zeros(N).double(), 3.0, generator=Noise(0))
    assert_standard((drawn / math.sqrt(0.25))[:, None])


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: BrownianMotion(volatility=0.0), "volatility is 0"),
        (lambda: BrownianMotion(drift=math.nan), "drift is nan"),
        (lambda: simulate(BrownianMotion(), n=0, times=TIMES), "n is 0"),
        (lambda: simulate(BrownianMotion(), n=3), "times is missing"),
        (lambda: simulate(BrownianMotion(), times=TIMES), "or the number of paths"),
        (lambda: simulate(BrownianMotion(), torch.zeros(2), TIMES, n=2), "one of the two"),
        (lambda: simulate(BrownianMotion(), n=2, times=torch.tensor([0.0, 1.0, 1.0])), r"times\[1\] is 1"),
        (lambda: simulate(BrownianMotion(), n=2, times=torch.tensor([0.0, math.inf])), "infinity"),
        (lambda: simulate(BrownianMotion(), n=2, times=torch.zeros(0)), "at least one"),
        (
            lambda: simulate(BrownianMotion(), n=2, times=TIMES, end=torch.zeros(2)),
            "needs a process that is Ended",
        ),
        (lambda: simulate(BrownianMotion(), torch.zeros(2).long(), TIMES), "floating-point"),
        (lambda: levy_area(torch.zeros(2, 3), torch.zeros(2, 2), 1.0), r"must both be \(B, d\)"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
