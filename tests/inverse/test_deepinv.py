"""Operators and problems there and back, against deepinv's own answers."""

import pytest
import torch

from girsanov.inverse import BlockDownsampling, CircularBlur, ClippedRange, Inpainting, Linear, Spectral
from girsanov.inverse.deepinv import from_deepinv, to_deepinv
from girsanov.noise import Noise

dinv = pytest.importorskip("deepinv")

SHAPE = (1, 6, 8)
MASK = Noise(0).draw(torch.empty(1, *SHAPE), 0)[0] > 0
OURS = {
    "inpainting": Inpainting(MASK),
    "blocks": BlockDownsampling(SHAPE, 2),
    "blur": CircularBlur.gaussian(1.0, SHAPE),
    "composed": BlockDownsampling(SHAPE, 2) @ CircularBlur.gaussian(1.0, SHAPE),
    "clipped": ClippedRange(SHAPE),
}


def draw(shape, seed=1):
    return Noise(seed).draw(torch.empty(3, *shape), 0)


@pytest.mark.parametrize("name", OURS)
def test_ours_as_theirs(name):
    a, x = OURS[name], draw(SHAPE)
    physics = to_deepinv(a, 0.1)
    torch.testing.assert_close(physics.A(x), a(x), atol=1e-5, rtol=1e-5)
    assert float(physics.noise_model.sigma) == pytest.approx(0.1)
    if isinstance(a, Linear):
        y = draw(a.out_shape, 2)
        torch.testing.assert_close(physics.A_adjoint(y), a.adjoint(y), atol=1e-5, rtol=1e-5)
    if isinstance(a, Spectral):
        torch.testing.assert_close(physics.A_dagger(a(x)), a.pinv(a(x)), atol=1e-4, rtol=1e-4)


def test_their_problem_measures_our_signal():
    physics = dinv.physics.Inpainting(
        mask=MASK.float(), img_size=SHAPE, noise_model=dinv.physics.GaussianNoise(0.05)
    )
    x = draw(SHAPE).clamp(-1, 1)
    y = physics.A((x + 1) / 2)
    m = from_deepinv(physics, y, SHAPE)
    torch.testing.assert_close(m.residual(x), torch.zeros_like(m.y), atol=1e-6, rtol=0)
    assert m.std("a test") == pytest.approx(0.1)
    u, v = draw(SHAPE, 3), draw(SHAPE, 4)
    assert isinstance(m.operator, Linear)
    torch.testing.assert_close((m.operator(u) * v).sum(), (u * m.operator.adjoint(v)).sum())


def test_a_problem_without_a_linear_map():
    physics = dinv.physics.Physics(A=lambda u, **_: u.square())
    x = draw(SHAPE).clamp(-1, 1)
    m = from_deepinv(physics, physics.A((x + 1) / 2), SHAPE, 0.1)
    torch.testing.assert_close(m.residual(x), torch.zeros_like(m.y))
