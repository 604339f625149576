"""Registration with networks that know the answer, or half of it, and what is refused."""

import math

import pytest
import torch
from oracles import seeded

from girsanov.errors import InputError
from girsanov.networks import weighted_kabsch
from girsanov.noise import Noise
from girsanov.processes import SE3Diffusion, se3_exp, se3_log
from girsanov.processes.lie import move, rigid_inverse
from girsanov.solvers import register
from girsanov.solvers.registration import path

DOUBLE = torch.float64
SOURCE = torch.randn(4, 20, 3, generator=seeded(0), dtype=DOUBLE) / 2
MOTION = se3_exp(torch.randn(4, 6, generator=seeded(1), dtype=DOUBLE))
TARGET = move(MOTION, SOURCE)


def half(source, target):
    """Goes half of the way."""
    return se3_exp(se3_log(weighted_kabsch(source, target)) / 2)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
@pytest.mark.parametrize("noise", [False, True])
def test_a_perfect_network_is_right_after_any_number_of_steps(steps, noise):
    answers = path(weighted_kabsch, SOURCE, TARGET, steps=steps, noise=noise, generator=Noise(0))
    assert len(answers) == steps
    for answer in answers:
        torch.testing.assert_close(answer, MOTION, rtol=0, atol=1e-10)


def test_one_step_is_the_network():
    torch.testing.assert_close(register(half, SOURCE, TARGET, steps=1), half(SOURCE, TARGET))


def test_steps_are_those_of_the_paper():
    """By hand: H ← Exp(g_0 Log Ĥ_0 + g_1 Log H) at t = ⅔, then the answer there, and again at ⅓."""
    process, now = SE3Diffusion(), torch.eye(4, dtype=DOUBLE).expand(4, 4, 4)
    for s, t in ((1.0, 2 / 3), (2 / 3, 1 / 3), (1 / 3, 0.0)):
        answer = half(move(now, SOURCE), TARGET) @ now
        if t:
            g0, g1, _ = process.coefficients(s, t)
            now = se3_exp(g0 * se3_log(answer) + g1 * se3_log(now))
    torch.testing.assert_close(register(half, SOURCE, TARGET, steps=3), answer, rtol=1e-9, atol=1e-9)


def test_iterating_brings_a_timid_network_nearer():
    def error(steps):
        found = register(half, SOURCE, TARGET, steps=steps)
        return se3_log(found @ rigid_inverse(MOTION)).norm(dim=1).mean().item()

    assert error(10) < 0.6 * error(1)


@pytest.mark.parametrize(
    "source, match",
    [
        (torch.zeros(4, 20, 2), r"\(4, 20, 2\)"),
        (torch.zeros(4, 2, 3), "at least 3"),
        (torch.linspace(-1, 1, 9)[None, :, None].expand(4, 9, 3), "on a line"),
        (torch.zeros(4, 9, 3), "on a line"),
        (torch.full((4, 9, 3), math.nan), "NaN"),
        (SOURCE[:2], "2 sources for 4 targets"),
    ],
)
def test_bad_clouds_are_refused(source, match):
    with pytest.raises(InputError, match=match):
        register(weighted_kabsch, source.to(DOUBLE), TARGET)
    with pytest.raises(InputError, match="steps is 0"):
        register(weighted_kabsch, SOURCE, TARGET, steps=0)


def test_another_scale_is_warned_of():
    with pytest.warns(UserWarning, match="one scale"):
        register(weighted_kabsch, 100 * SOURCE, 100 * TARGET, steps=1)
