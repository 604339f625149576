"""The tomography of the paper on forward models: projections by hand, reconstructions, blindness."""

import math

import pytest
import torch

from girsanov.inverse import ForwardModelDenoiser
from girsanov.noise import Noise
from girsanov.objectives import IndirectMatching
from girsanov.papers.inverse import dfm
from girsanov.processes import VP

SIGNALS = Noise(0).draw(torch.empty(4, 1, 16, 16), 0)


def at(angle):
    return dfm.shown(SIGNALS, torch.full((4, 1), angle))[:, 0] * 6


def test_projections_along_the_axes_are_sums_of_columns_and_rows():
    inside = slice(4, 20)
    torch.testing.assert_close(at(0)[:, inside], SIGNALS.sum(2)[:, 0])
    torch.testing.assert_close(at(18)[:, inside], SIGNALS.sum(3)[:, 0])


def test_no_angle_loses_anything():
    for k in range(dfm.ANGLES):
        torch.testing.assert_close(at(k).sum(1), SIGNALS.sum((1, 2, 3)), rtol=1e-4, atol=1e-4)


def test_a_point_moves_along_a_sine():
    point = torch.zeros(1, 1, 16, 16)
    point[0, 0, 3, 12] = 1.0  # x = 4.5, y = -4.5 from the centre
    line = torch.arange(dfm.BINS) - (dfm.BINS - 1) / 2
    for k in range(dfm.ANGLES):
        shown = dfm.shown(point, torch.tensor([[k]]))[0, 0] * 6
        angle = k * math.pi / dfm.ANGLES
        place = 4.5 * math.cos(angle) - 4.5 * math.sin(angle)
        assert float((shown * line).sum()) == pytest.approx(place, abs=1e-5)


def test_reconstructions_show_what_was_observed_with_least_norm():
    known, found = dfm.world(), dfm.reconstructed()
    again = dfm.shown(found[:5], known.angles[:5])
    torch.testing.assert_close(again, known.observed[:5], rtol=0, atol=2e-3)
    rays = dfm.projector().matrices[known.angles[:5]].flatten(1, 2)
    least = torch.linalg.pinv(rays, rtol=1e-4) @ known.observed[:5].flatten(1)[..., None]
    torch.testing.assert_close(found[:5].flatten(1), least[..., 0], rtol=0, atol=2e-3)


def test_the_regressor_does_not_see_what_is_drawn():
    known = dfm.Context.of(SIGNALS.abs(), 0)
    for blind in (True, False):
        net = dfm.Tomographer(0, blind=blind)
        torch.nn.init.normal_(net.net.network.head.weight, generator=torch.Generator().manual_seed(0))
        model = ForwardModelDenoiser(net, dfm.projector(), VP())
        x = torch.randn(4, 1, dfm.BINS, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            a, b = model.signal(x, 0.2, cond=known.cond), model.signal(-x, 0.7, cond=known.cond)
        assert torch.equal(a, b) == blind
    assert (known.drawn != known.angles).all()
    torch.testing.assert_close(known.observed, dfm.shown(known.truth, known.angles))


def test_supervision_compares_signals_and_draws_as_ours():
    known, net = dfm.world(), dfm.Tomographer(0)
    model = ForwardModelDenoiser(net, dfm.projector(), VP())
    few = known.observed[:6], known.angles[:6]
    signal, _, _ = IndirectMatching().ask(model, *few, Noise(3))
    loss = dfm.Supervised(IndirectMatching())
    cond = {"angles": few[1], "signal": known.hidden[:6]}
    found = loss(model, few[0], cond=cond, generator=Noise(3))
    torch.testing.assert_close(found, (signal - known.hidden[:6]).square().mean((1, 2, 3)))
    assert loss(model, few[0], cond={**cond, "signal": signal.detach()}, generator=Noise(3)).abs().max() == 0
