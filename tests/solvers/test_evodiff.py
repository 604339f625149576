"""EVODiff against the formulas written out, against a plan, and what its weights have to leave alone."""

import math
from itertools import pairwise

import pytest
import torch
from oracles import mixture, seeded
from stand_ins import Stored

from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, NotFinite, Unsuitable
from girsanov.solvers import EVODiff, evodiff, grid

VP, EDM = processes.VP(), processes.EDM()


class Odd(AbstractDenoiser):
    """D, a function of x alone that mixes pixels and channels; homogeneous: D(cx) = c D(x) for c > 0."""

    def __init__(self, process):
        super().__init__()
        self.process, self.stored = process, ("data",)

    def forward(self, x, t, *, cond=None, anchor=None):
        return (0.4 * x.abs() + 0.3 * x.roll(1, -1) / (1 + t) - 0.2 * x.flip(1),)


class Constant(AbstractDenoiser):
    def __init__(self, process, value):
        super().__init__()
        self.process, self.stored, self.value = process, ("data",), value

    def forward(self, x, t, *, cond=None, anchor=None):
        return (torch.full_like(x, self.value),)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def clamped(a, b, over):
    """⟨a, over⟩/⟨b, over⟩ between -2 and 2, per sample and channel."""
    return ((a * over).sum((2, 3), keepdim=True) / (b * over).sum((2, 3), keepdim=True)).clamp(-2, 2)


def authors(model, times, x):
    """The sampler as in the authors' code for α = 1, formula by formula; x (B, C, H, W), no step to 0."""
    sigma = [model.process.gamma(t) for t in times]
    many, sigmoid = len(times) - 1 > 20, torch.sigmoid
    ask = lambda x, i: model(x, times[i])[0]  # noqa: E731
    old, new = None, ask(x, 0)
    for i in range(1, len(times)):
        s_t, s_s = sigma[i], sigma[i - 1]
        h = 1 / s_t - 1 / s_s
        euler = s_t / s_s * x + s_t * h * new
        if i == 1:
            x, old, new = euler, new, ask(euler, 1)
            continue
        if i == len(times) - 1:
            q = s_t / s_s
            d = 1 - 0.5 * math.sqrt(q if q < 0.5 else q - 0.5)
            return (1 - math.sqrt(s_t * s_s)) * euler + 0.5 * s_t * h * (new - d * old)
        r = math.log(sigma[i - 2] / s_s) / math.log(s_s / s_t)
        weight = 0.5 * (1 - ((s_t + sigma[-1]) / (sigma[0] + sigma[-1])) ** 2)
        base = math.sqrt((s_t / s_s) / (s_s / sigma[i - 2]))
        b1 = (1 - weight) * base + weight * clamped(new, old, old)
        d1 = new - b1 * old
        r_i = (sigmoid(0.25 * b1.abs()) * r).clamp(0.25 * r, 1.5 * r)
        probe = euler + 0.5 * s_t * h / r_i * d1
        answer = ask(probe, i)
        b2 = (1 - weight) * base + weight * clamped(answer, new, new)
        d2 = answer - b2 * new
        before, after = d1 / (r * h), r * d2 / h
        eta = 0.5 * sigmoid((0.5 * clamped(after + before, after - before, after - before)).abs())
        b = -eta / r * d1 + r * (1 - eta) * d2
        star = clamped(probe - euler - 0.5 * s_t * h / r_i * b, d1, d1) / (h * s_t)
        zeta = sigmoid(star.abs() - 0.5)
        if many:
            change = (new - old) / h
            damp = sigmoid(clamped(new, change, change) * (2 - (s_t / s_s) ** 2))
            zeta = sigmoid(-(star.abs() - 0.5) * damp)
        x, old, new = euler + 0.5 * s_t * h / zeta * b, new, answer
    return x


@pytest.mark.parametrize("kind", ["karras", "log-snr"])
@pytest.mark.parametrize("steps", [2, 3, 7, 20, 21])
def test_it_is_the_authors_sampler(kind, steps):
    g, model, x = grid(kind, steps, to_zero=False), Odd(EDM), EDM.reference_std * noise(3, 2, 3, 4)
    expected = authors(model, g.times(EDM), x)
    torch.testing.assert_close(EVODiff(EDM, g)(model, x), expected, rtol=1e-10, atol=1e-10)


def two_point(process, times):
    """The method for b = 1, η = 0, ζ = r_i = r: corrected by half the difference of the last two answers."""
    plan = solvers.PlanBuilder(process, name="two-point")
    x, now = plan.call(plan.start, times[0])
    past = before = None
    for s, t in pairwise(times[:-1]):
        ratio = process.gamma(t) * process.alpha(s) / (process.gamma(s) * process.alpha(t))
        gain = process.alpha(t) * (1 - ratio)
        h = process.log_snr(t) - process.log_snr(s)
        euler = process.gamma(t) / process.gamma(s) * x + gain * now.data
        if past is None or t == times[-2]:
            x, answer = plan.call(euler, t)
        else:
            _, answer = plan.call(euler + gain * h / (2 * before) * (now.data - past.data), t)
            x = euler + gain / 2 * (answer.data - now.data)
        past, now, before = now, answer, h
    return plan.finish(now.data, times[-1])


def test_with_fixed_weights_it_is_a_plan(monkeypatch):
    model = mixture().denoiser(VP)
    times = grid("quadratic", 8).times(VP)
    monkeypatch.setattr(evodiff, "balance", lambda step, ratio: torch.ones_like(ratio))
    monkeypatch.setattr(evodiff, "control", torch.ones_like)
    monkeypatch.setattr(evodiff, "mix", lambda step, d11, d12, d22: torch.zeros_like(d11))
    monkeypatch.setattr(evodiff, "scale", lambda step, eta, *_: torch.full_like(eta, step.r))
    x = noise(20, 3)
    expected = solvers.run(two_point(VP, times), model, x)
    found = EVODiff(VP, times, last="ddim")(model, x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(found, solvers.run(solvers.ddim(VP, times), model, x), atol=1e-3)


def test_samples_scale_with_the_answers():
    model, sampler, x = Odd(VP), EVODiff(VP, grid("quadratic", 9)), noise(4, 3, 2, 5)
    torch.testing.assert_close(sampler(model, 1000 * x), 1000 * sampler(model, x), rtol=1e-11, atol=0)


@pytest.mark.parametrize("shape", [(2, 3, 3), (5,), (2, 4)])
def test_a_sample_depends_on_no_other(shape):
    model, sampler, x = Odd(VP), EVODiff(VP, grid("karras", 7)), noise(8, *shape)
    x[1] *= 100
    whole = sampler(model, x)
    for i in range(8):
        torch.testing.assert_close(sampler(model, x[i : i + 1]), whole[i : i + 1], rtol=1e-12, atol=1e-12)


def test_the_schedule_does_not_matter_at_equal_signal_to_noise():
    times = grid("log-snr", 8, to_zero=False, start=0.7).times(VP)
    same = [EDM.time_at(VP.log_snr(t)) for t in times]
    law, x = mixture(), noise(10, 3)
    first = EVODiff(VP, times)(law.denoiser(VP), x) / VP.alpha(times[-1])
    second = EVODiff(EDM, same)(law.denoiser(EDM), x / VP.alpha(0.7))
    torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("process", [VP, EDM])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_settled_answers_give_ddim(process, value):
    g, model = grid("log-snr", 6, to_zero=False), Constant(process, value)
    x = process.reference_std * noise(3, 2, 2, 2)
    expected = solvers.run(solvers.ddim(process, g), model, x)
    torch.testing.assert_close(EVODiff(process, g, last="ddim")(model, x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("process", [processes.RectifiedFlow(), processes.CosineVP(), processes.VE()])
def test_it_starts_where_there_is_no_signal_and_spends_the_calls_it_states(process):
    for steps in (1, 2, 3, 6, 24):
        model = Stored(mixture().denoiser(process), "noise" if process.alpha(1.0) else "velocity")
        sampler = EVODiff(process, grid("uniform", steps))
        x = solvers.sample(model, 5, plan=sampler, seed=1)
        assert x.shape == (5, 3) and torch.isfinite(x).all()
        assert model.calls == sampler.calls == steps


def test_half_precision_keeps_its_type():
    x = noise(2, 2, 3, 3).to(torch.bfloat16)
    assert EVODiff(VP, grid("log-snr", 4))(Odd(VP), x).dtype == torch.bfloat16


def test_what_it_refuses():
    with pytest.raises(Unsuitable, match="one-sided"):
        EVODiff(processes.MeanReverting(), grid("uniform", 4))
    with pytest.raises(InputError, match="ddim"):
        EVODiff(VP, grid("uniform", 4), last="ddmi")
    with pytest.raises(InputError, match="decreasing"):
        EVODiff(VP, [0.1, 1.0])
    with pytest.raises(Unsuitable, match="another process"):
        EVODiff(VP, grid("uniform", 4))(Odd(EDM), noise(2, 2))
    with pytest.raises(NotFinite, match="4 calls"):
        EVODiff(VP, grid("uniform", 4))(Constant(VP, math.nan), noise(2, 2))
    with pytest.raises(Unsuitable, match="EVODiff depend on the state"):
        solvers.to_diffusers(EVODiff(VP, grid("uniform", 4)))
