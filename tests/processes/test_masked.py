"""Masking: its law against the binomial, its times against order statistics, its answers and refusals."""

import json

import pytest
import torch
from scipy import stats

from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.noise import Noise
from girsanov.processes import Masked, Perturbable, Simulable, simulate

KINDS = ["linear", "cosine", (1.0, 0.9, 0.2, 0.0)]
DATA = torch.randint(0, 4, (4000, 6), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("schedule", KINDS)
def test_alpha_falls_from_one_to_zero_and_is_inverted(schedule):
    process = Masked(4, schedule)
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    alpha = process.alpha(t)
    assert float(alpha[0]) == pytest.approx(1, abs=1e-15) and float(alpha[-1]) == pytest.approx(0, abs=1e-15)
    assert bool((alpha[1:] < alpha[:-1]).all())
    assert torch.allclose(process.time_at(alpha), t, atol=1e-7)
    assert process.alpha(0.3) == pytest.approx(float(process.alpha(torch.tensor(0.3, dtype=torch.float64))))
    assert process.time_at(process.alpha(0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("schedule", KINDS)
def test_the_time_of_the_nth_mask_is_an_order_statistic(schedule):
    """1 - α(t) ~ Beta(n, L - n + 1), and n coordinates are masked."""
    process = Masked(4, schedule)
    for n in (1, 4, 6):
        state = process.stopped(DATA, torch.full((4000,), n), generator=Noise(n))
        assert bool(((state.x == 4).sum(1) == n).all())
        share = (1 - process.alpha(state.t)).numpy()
        assert stats.kstest(share, stats.beta(n, 6 - n + 1).cdf).pvalue > 1e-4
        places = (state.x == 4).sum(0)
        assert bool(((places / 4000 - n / 6).abs() < 0.04).all())


def test_paths_stay_masked_and_have_the_marginals():
    process, times = Masked(4, "cosine"), torch.tensor([0.0, 0.3, 0.6, 1.0])
    path = simulate(process, DATA, times, seed=0)
    assert path.shape == (4000, 4, 6) and torch.equal(path[:, 0], DATA)
    masked = path == 4
    assert not bool((masked[:, :-1] & ~masked[:, 1:]).any()) and bool(masked[:, -1].all())
    for i in (1, 2):
        share = float(masked[:, i].double().mean())
        assert share == pytest.approx(1 - process.alpha(float(times[i])), abs=0.015)
    assert isinstance(process, Perturbable) and isinstance(process, Simulable)


def test_it_starts_all_masked_and_works_on_matrices():
    process = Masked(2)
    graphs = torch.randint(0, 2, (3, 5, 5))
    assert torch.equal(process.reference(graphs.float()), torch.full((3, 5, 5), 2))
    state = process.stopped(graphs, torch.tensor([1, 12, 25]), generator=Noise(0))
    assert (state.x == 2).flatten(1).sum(1).tolist() == [1, 12, 25]
    with pytest.raises(InputError, match="no x_1"):
        process.reference(graphs, anchor=graphs)


@pytest.mark.parametrize("extra", [0, 1])
def test_answers_keep_what_is_known_and_never_say_mask(extra):
    process, x = Masked(3), torch.tensor([[0, 3, 2]])
    raw = torch.randn(1, 3, 3 + extra, requires_grad=True)
    logits = process.finish("logits", x, 0.5, raw)
    law = process.read("data", ("logits",), (logits,), x, 0.5)
    assert torch.equal(law[0, 0], torch.tensor([1.0, 0, 0]).double())
    assert torch.equal(law[0, 2], torch.tensor([0, 0, 1.0]).double())
    assert torch.allclose(law[0, 1], raw[0, 1, :3].double().softmax(-1))
    torch.log_softmax(logits, -1)[0, 1, 1].backward()
    assert bool(raw.grad.isfinite().all()) and float(raw.grad[0, 0].abs().sum()) == 0
    with pytest.raises(Unsuitable, match="each of 3 classes"):
        process.finish("logits", x, 0.5, torch.zeros(1, 3, 5))
    with pytest.raises(Unsuitable, match="score"):
        process.read("score", ("logits",), (logits,), x, 0.5)


@pytest.mark.parametrize("schedule", KINDS)
def test_it_is_rebuilt_from_json(schedule):
    process = Masked(27, schedule)
    assert Masked.from_config(json.loads(json.dumps(process.to_config()))) == process
    with pytest.raises(InputError, match="rebuilt"):
        Masked.from_config({**process.to_config(), "code": "print()"})


@pytest.mark.parametrize(
    "given, told",
    [
        (lambda: Masked(1), "at least 2"),
        (lambda: Masked(3, (1.0, 0.5, 0.6, 0.0)), "must decrease from 1"),
        (lambda: Masked(3, (0.9, 0.0)), "must decrease from 1"),
        (lambda: Masked(4).perturb(torch.tensor([[0, 4]]), 0.5), "4, which is the mask"),
        (lambda: Masked(4).perturb(torch.tensor([[-1, 3]]), 0.5), "from -1 to 3"),
        (lambda: Masked(4).perturb(torch.rand(2, 3), 0.5), "integers"),
        (lambda: Masked(4).check_state(torch.tensor([[0, 5]])), "0 to 4"),
        (lambda: simulate(Masked(4), torch.tensor([[0, 4]]), torch.tensor([0.0, 1.0])), "mask"),
    ],
)
def test_what_is_refused(given, told):
    with pytest.raises(InputError, match=told):
        given()
    with pytest.raises(UnknownName, match="linear"):
        Masked(3, "linaer")
