"""Exponentials and logarithms against scipy, and the diffusion of rigid motions against its limits."""

import math

import numpy as np
import pytest
import torch
from oracles import seeded
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from girsanov import processes
from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.processes import SE3Diffusion, se3_exp, se3_log, so3_exp, so3_log
from girsanov.processes.lie import hat, move, rigid, rigid_inverse
from girsanov.processes.schedules import LinearVP

DOUBLE = torch.float64
ANGLES = (0.0, 1e-12, 1e-6, 0.0099, 0.0101, 0.0999, 0.1001, 1.0, 3.0, math.pi - 1e-3, math.pi - 1e-9)
DIFFUSION = SE3Diffusion()


def turns(angle, n=200):
    axis = torch.randn(n, 3, generator=seeded(0), dtype=DOUBLE)
    return axis / axis.norm(dim=1, keepdim=True) * angle


def motions(n=6, seed=1):
    return se3_exp(torch.randn(n, 6, generator=seeded(seed), dtype=DOUBLE))


@pytest.mark.parametrize("angle", ANGLES)
def test_rotations_are_scipys(angle):
    omega = turns(angle)
    rotation = so3_exp(omega)
    expected = Rotation.from_rotvec(omega.numpy())
    np.testing.assert_allclose(rotation.numpy(), expected.as_matrix(), rtol=0, atol=1e-14)
    torch.testing.assert_close(so3_log(rotation), omega, rtol=0, atol=1e-10)


@pytest.mark.parametrize("angle", ANGLES)
def test_motions_are_matrix_exponentials_and_log_undoes_them(angle):
    twist = torch.cat([turns(angle), torch.randn(200, 3, generator=seeded(2), dtype=DOUBLE)], 1)
    found = se3_exp(twist)
    generator = torch.zeros(4, 4, dtype=DOUBLE)
    generator[:3, :3], generator[:3, 3] = hat(twist[0, :3]), twist[0, 3:]
    np.testing.assert_allclose(found[0].numpy(), expm(generator.numpy()), rtol=0, atol=1e-12)
    torch.testing.assert_close(se3_log(found), twist, rtol=0, atol=1e-10)


def test_half_a_turn_may_come_with_either_sign():
    rotation = torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=DOUBLE))
    omega = so3_log(rotation)
    torch.testing.assert_close(omega.abs(), torch.tensor([0.0, math.pi, 0.0], dtype=DOUBLE))
    torch.testing.assert_close(so3_exp(omega), rotation)


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.1, 1.5, 3.0])
def test_gradients_are_finite_differences(angle):
    twist = torch.tensor([[0.6, 0.0, 0.8, 0.0, 0.0, 0.0]], dtype=DOUBLE) * angle
    twist = (twist + torch.tensor([[0.0, 0.0, 0.0, 1.0, -2.0, 0.5]])).requires_grad_()
    assert torch.autograd.gradcheck(se3_exp, twist)
    motion = se3_exp(twist.detach())
    small = torch.zeros(1, 6, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: se3_log(se3_exp(e) @ motion), small)


def test_more_dimensions_and_float32():
    twist = torch.randn(2, 3, 6, generator=seeded(0))
    assert se3_exp(twist).shape == (2, 3, 4, 4)
    torch.testing.assert_close(se3_log(se3_exp(twist)), twist, rtol=1e-4, atol=1e-5)
    assert so3_log(torch.empty(0, 3, 3)).shape == (0, 3)


def test_the_inverse_and_the_action():
    motion, points = motions(), torch.randn(6, 5, 3, generator=seeded(3), dtype=DOUBLE)
    torch.testing.assert_close(motion @ rigid_inverse(motion), torch.eye(4, dtype=DOUBLE).expand(6, 4, 4))
    torch.testing.assert_close(move(rigid_inverse(motion), move(motion, points)), points)


def test_the_path_runs_from_the_motion_to_the_identity():
    start, one = motions(), torch.eye(4, dtype=DOUBLE).expand(6, 4, 4)
    torch.testing.assert_close(DIFFUSION.between(start, 0.0), start, rtol=0, atol=1e-12)
    torch.testing.assert_close(DIFFUSION.between(start, 1.0), one, rtol=0, atol=1e-12)
    end = motions(seed=9)
    torch.testing.assert_close(DIFFUSION.between(start, 1.0, end=end), end, rtol=0, atol=1e-12)
    half = DIFFUSION.schedule.values(0.5)[0]
    torch.testing.assert_close(DIFFUSION.between(start, 0.5), se3_exp(half * se3_log(start)))


def test_it_moves_with_the_frames():
    """From the left the path, from the right the noisy state too, moves as both its ends do."""
    start, end, frame = motions(seed=1), motions(seed=2), motions(1, seed=3)
    t = torch.linspace(0.1, 0.9, 6, dtype=DOUBLE)
    path = DIFFUSION.between(start, t, end=end)
    torch.testing.assert_close(DIFFUSION.between(frame @ start, t, end=frame @ end), frame @ path)
    noisy = DIFFUSION.perturb(start, t, end=end, generator=Noise(0))
    again = DIFFUSION.perturb(start @ frame, t, end=end @ frame, generator=Noise(0))
    torch.testing.assert_close(again, noisy @ frame)


@pytest.mark.parametrize("s, t", [(1.0, 0.8), (0.6, 0.4), (0.9, 0.1)])
def test_the_reverse_step_has_ddpms_posterior(s, t):
    """β√ᾱ'/(1-ᾱ), (1-ᾱ')√α/(1-ᾱ) and β(1-ᾱ')/(1-ᾱ), with ᾱ at s, ᾱ' at t, α = ᾱ/ᾱ', β = 1 - α."""
    for diffusion in (DIFFUSION, SE3Diffusion(LinearVP())):
        bar, before = (diffusion.schedule.values(u)[0] ** 2 for u in (s, t))
        alpha = bar / before
        expected = (
            (1 - alpha) * math.sqrt(before) / (1 - bar),
            (1 - before) * math.sqrt(alpha) / (1 - bar),
            (1 - alpha) * (1 - before) / (1 - bar),
        )
        assert diffusion.coefficients(s, t) == pytest.approx(expected, abs=1e-10)


def test_the_last_step_is_the_answer_and_the_mean_of_the_others_is_between():
    truth, now = motions(seed=1), motions(seed=2)
    assert torch.equal(DIFFUSION.reverse(now, truth, 0.2, 0.0), truth)
    one = torch.eye(4, dtype=DOUBLE).expand(6, 4, 4)
    # From t = 1, where a = 0, a perfect answer leads onto the path itself.
    torch.testing.assert_close(DIFFUSION.reverse(one, truth, 1.0, 0.6), DIFFUSION.between(truth, 0.6))
    drawn = DIFFUSION.reverse(now, truth, 0.5, 0.4, noise=True, generator=Noise(0))
    assert not torch.allclose(drawn, DIFFUSION.reverse(now, truth, 0.5, 0.4), atol=1e-4)


EYE = torch.eye(4, dtype=DOUBLE)


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: so3_log(2 * torch.eye(3)), r"‖RᵀR - I‖ is 3"),
        (lambda: so3_log(-torch.eye(3)), "det R is -1"),
        (lambda: so3_log(torch.zeros(2, 3)), r"\(2, 3\)"),
        (lambda: so3_log(torch.eye(3).long()), "floating-point"),
        (lambda: so3_log(torch.full((3, 3), math.nan)), "NaN"),
        (lambda: se3_log(EYE[:3]), "4, 4"),
        (lambda: se3_log(EYE + EYE.flip(0)), "last row"),
        (lambda: se3_log(rigid(torch.eye(3), torch.tensor([0.0, math.inf, 0.0]))), "infinite"),
        (lambda: SE3Diffusion(rotation_std=-0.1), "rotation_std"),
        (lambda: SE3Diffusion(processes.schedules.Straight()), "preserve variance"),
        (lambda: DIFFUSION.reverse(EYE[None], EYE[None], 0.1, 0.5), "1 >= s > t >= 0"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(InputError, match=match):
        call()
