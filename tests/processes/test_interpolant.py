"""Laws of paths, and conversions between predictions, on every process."""

import math
from itertools import permutations

import pytest
import torch
from oracles import DRIVEN, EVERY, ONE_SIDED, TWO_SIDED, mixture, seeded

import girsanov.processes as processes
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import normal
from girsanov.processes import Perturbable, simulate
from girsanov.processes.conversion import WORDS, unknowns
from girsanov.processes.laws import stability

N = 40_000


@pytest.mark.parametrize("process", DRIVEN.values(), ids=DRIVEN)
def test_transitions_compose(process):
    p = stability(process.law)
    r, s, t = 0.11, 0.42, 0.83
    first, second, whole = process.transition(r, s), process.transition(s, t), process.transition(r, t)
    assert second.state * first.state == pytest.approx(whole.state)
    assert second.state * first.anchor + second.anchor == pytest.approx(whole.anchor, abs=1e-12)
    assert (second.state * first.std) ** p + second.std**p == pytest.approx(whole.std**p)


def stores(process):
    """Legal storages of a process."""
    if len(unknowns(process)) == 2 or process.end == "anchor":
        words = [w for w in WORDS if w != "end" and not (process.noiseless and w in ("noise", "score"))]
        words = [w for w in words if w != "score" or process.law is normal]
        return [(w,) for w in words if not (process.noiseless and w == "v_prediction")]
    return [("velocity", "noise"), ("data", "noise"), ("data", "end"), ("velocity", "score")]


def determined(process, stored, want):
    """On the encoding-decoding path only one end is present at a time: the other cannot be told."""
    lost = getattr(process.schedule, "path", "") == "encoding-decoding"
    return not lost or want in stored or (set(stored) == {"velocity", "noise"} and want == "score")


@pytest.mark.parametrize("process", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("t", [0.1, 0.37, 0.9])
def test_conversion_agrees_with_the_definition_of_every_word(process, t):
    """For known (x_0, x_1, z) every word is a known number; each storage must reproduce it."""
    values = (0.7, -1.1, 0.4)
    known = tuple(v if i in unknowns(process) else 0.0 for i, v in enumerate(values))
    if process.end == "anchor":
        known = values

    def truth(word):
        return sum(c * v for c, v in zip(process.row(word, t), known, strict=True))

    x = sum(c * v for c, v in zip(process.schedule.values(t), known, strict=True))
    for stored in stores(process):
        for want in WORDS:
            if process.noiseless and want in ("noise", "score", "v_prediction"):
                continue
            if (want == "end" and process.end == "noise") or (want == "score" and process.law is not normal):
                continue
            if not determined(process, stored, want):
                continue
            found = process.coefficients(want, stored, t)
            answer = found.state * x + found.anchor * known[1]
            answer += sum(c * truth(word) for c, word in zip(found.words, stored, strict=True))
            assert answer == pytest.approx(truth(want), rel=1e-8, abs=1e-8), (stored, want)


def test_conversion_runs_on_tensors_with_gradients():
    t = torch.tensor([0.2, 0.7], dtype=torch.float64, requires_grad=True)
    found = processes.VP().coefficients("velocity", ("noise",), t)
    on_floats = [processes.VP().coefficients("velocity", ("noise",), s) for s in (0.2, 0.7)]
    assert found.state.tolist() == pytest.approx([f.state for f in on_floats])
    found.words[0].sum().backward()
    assert torch.isfinite(t.grad).all()


def test_undefined_conversions_name_the_kind_and_the_time():
    flow = processes.RectifiedFlow()
    with pytest.raises(InputError, match=r"data is undefined from noise at t = 1\.0"):
        flow.coefficients("data", ("noise",), 1.0)
    with pytest.raises(InputError, match="score is undefined at t = 0"):
        flow.coefficients("score", ("data",), 0.0)
    assert flow.coefficients("data", ("velocity",), 1.0).words == (-1.0,)
    with pytest.raises(InputError, match="two words"):
        processes.StochasticInterpolant().coefficients("score", ("velocity",), 0.5)
    with pytest.raises(InputError, match="Did you mean velocity"):
        flow.coefficients("velocty", ("data",), 0.5)


def test_ends_are_asked_for_and_refused():
    x0 = torch.zeros(2, 1)
    with pytest.raises(InputError, match="has no x_1"):
        processes.VP().perturb(x0, 0.5, end=x0)
    with pytest.raises(InputError, match="needs x_1"):
        processes.BrownianBridge().perturb(x0, 0.5)
    with pytest.raises(InputError, match="needs x_1"):
        processes.BrownianBridge().reference(x0)


@pytest.mark.parametrize("times", [[0.5, 0.1], [0.1, 0.1], [0.0, 1.5], [-0.1, 0.5], []])
def test_bad_times_are_refused(times):
    with pytest.raises(InputError, match="times"):
        simulate(processes.VP(), torch.zeros(2, 1), torch.tensor(times))


def test_bad_states_are_refused():
    with pytest.raises(InputError, match=r"index \(1, 0\)"):
        simulate(processes.VP(), torch.tensor([[0.0], [math.nan]]), torch.tensor([0.0, 0.5]))
    with pytest.raises(Unsuitable, match="Simulable"):
        simulate(object(), torch.zeros(2, 1), torch.tensor([0.0, 0.5]))


def test_reference_is_close_to_the_law_at_one():
    """Second moments agree for data of unit variance, exactly."""
    for process in ONE_SIDED.values():
        alpha, _, gamma = process.schedule.values(1.0)
        assert process.reference_std**2 == pytest.approx(alpha**2 + gamma**2)
        assert isinstance(process, Perturbable)


def test_a_flow_with_every_end():
    """Brownian bridge from a mixture to its anchor: simulated from x_0 it arrives at x_1."""
    law, bridge = mixture(), processes.BrownianBridge(0.5)
    x0, end = law.sample(5, generator=seeded(0)), law.sample(5, generator=seeded(1))
    paths = simulate(bridge, x0, torch.linspace(0, 1, 20), end=end, seed=0)
    torch.testing.assert_close(paths[:, -1], end)


@pytest.mark.parametrize("a, b", list(permutations(("linear/brownian", "trigonometric/brownian"), 2)))
def test_processes_compare_by_value(a, b):
    assert TWO_SIDED[a] != TWO_SIDED[b] and TWO_SIDED[a] == TWO_SIDED[a]
