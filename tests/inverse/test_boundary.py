"""The best start, where the flow is affine and the best start is known."""

import pytest
import torch

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.inverse import select_start
from girsanov.noise import Noise
from girsanov.processes import VP, BrownianBridge
from girsanov.solvers import GaussianFlow, ddim, dpm_multistep, grid, sample

STD, SHAPE = 0.3, (1, 2, 2)


class Around(AbstractDenoiser):
    """The exact denoiser of x_0 ~ N(y, s²), y being given as cond."""

    process, stored, shape = VP(), ("data",), SHAPE

    def forward(self, x, t, *, cond=None, anchor=None):
        alpha, gamma = self.process.alpha(t), self.process.gamma(t)
        gain = alpha * STD**2 / (alpha**2 * STD**2 + gamma**2)
        return (cond + gain * (x - alpha * cond),)


def squared(x, truth):
    return (x - truth).square().flatten(1).sum(1)


def references(m=6, seed=0):
    torch.manual_seed(seed)
    y = torch.randn(m, *SHAPE, dtype=torch.float64)
    return y, y + STD * torch.randn(m, *SHAPE, dtype=torch.float64)


PLAN = dpm_multistep(VP(), grid("ddpm", 200))


def test_the_best_start_is_the_nearest_to_the_known_one():
    y, x = references()
    found = select_start(PLAN, Around(), y, x, distance=squared, candidates=40, generator=Noise(1))
    starts = VP().reference(x.new_empty(40, *SHAPE), generator=Noise(1))
    # h(x_1, y) is affine in both: with unit slopes read off the exact flow of each mean.
    exact = torch.stack([GaussianFlow(y[i], STD**2, VP()).solution(starts, 0.0) for i in range(len(x))], 1)
    expected = (exact - x).square().flatten(2).sum(2)
    torch.testing.assert_close(found.distances, expected, rtol=2e-3, atol=1e-5)
    slope = (exact[1, 0] - exact[0, 0]) / (starts[1] - starts[0])
    target = starts[0] + (x - exact[0]).mean(0) / slope
    best = (starts - target).square().flatten(1).sum(1).argmin()
    assert torch.equal(found.x, starts[best])
    assert not torch.equal(best, torch.tensor(0))


def test_the_order_of_the_references_does_not_matter():
    y, x = references()
    turned = torch.tensor([3, 5, 0, 1, 4, 2])
    a, b = (
        select_start(PLAN, Around(), y[i], x[i], distance=squared, candidates=20, generator=Noise(2))
        for i in (torch.arange(6), turned)
    )
    assert torch.equal(a.x, b.x)
    torch.testing.assert_close(a.distances[:, turned], b.distances, rtol=1e-12, atol=0)


def test_one_candidate_is_the_answer_whatever_the_batches():
    y, x = references()
    one = select_start(PLAN, Around(), y, x, distance=squared, candidates=1, generator=Noise(3))
    assert torch.equal(one.x, VP().reference(x.new_empty(1, *SHAPE), generator=Noise(3))[0])
    a, b = (
        select_start(PLAN, Around(), y, x, distance=squared, candidates=9, batch_size=n, generator=Noise(3))
        for n in (7, 256)
    )
    assert torch.equal(a.x, b.x)
    torch.testing.assert_close(a.distances, b.distances)


def test_every_sample_starts_there():
    y, x = references()
    start = select_start(PLAN, Around(), y, x, distance=squared, candidates=5, generator=Noise(4))
    assert start.calls == PLAN.calls
    drawn = sample(Around(), 6, cond=y, plan=start, seed=0)
    again = sample(Around(), 6, cond=y, plan=start, seed=1)
    assert torch.equal(drawn, again)
    expected = PLAN(Around(), start.x.expand(6, *SHAPE).float(), cond=y)
    torch.testing.assert_close(drawn, expected)


def test_other_sizes_get_tiles():
    y, x = references()
    start = select_start(PLAN, Around(), y, x, distance=squared, candidates=2, generator=Noise(5))
    seen = []

    class Wide(Around):
        def forward(self, x, t, *, cond=None, anchor=None):
            seen.append(x)
            return super().forward(x, t, cond=cond)

    start(Wide(), torch.zeros(1, 1, 3, 5, dtype=torch.float64), cond=torch.zeros(1, 1, 3, 5).double())
    column = torch.arange(5) % 2
    assert torch.equal(seen[0][0, 0], start.x[0][torch.arange(3) % 2][:, column])


def test_what_does_not_fit_is_refused():
    y, x = references()
    with pytest.raises(Unsuitable, match=r"must be deterministic.*Set eta=0"):
        select_start(ddim(VP(), grid("ddpm", 5), eta=1.0), Around(), y, x, distance=squared)
    with pytest.raises(InputError, match="there is no reference"):
        select_start(PLAN, Around(), y[:0], x[:0], distance=squared)
    with pytest.raises(InputError, match="6 y for 5 x"):
        select_start(PLAN, Around(), y, x[:5], distance=squared)
    with pytest.raises(InputError, match="the model draws"):
        select_start(PLAN, Around(), y, torch.zeros(6, 1, 4, 4), distance=squared)
    with pytest.raises(InputError, match="0 candidates"):
        select_start(PLAN, Around(), y, x, distance=squared, candidates=0)
    with pytest.raises(InputError, match="one number each"):
        select_start(PLAN, Around(), y, x, distance=lambda a, b: (a - b).square(), candidates=1)

    class Bridged(Around):
        process = BrownianBridge()

    with pytest.raises(Unsuitable, match="starts from a known end"):
        select_start(PLAN, Bridged(), y, x, distance=squared)
