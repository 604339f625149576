"""Diagnosis of exact denoisers, and of one with a gauge field put in."""

import pytest
import torch

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture
from girsanov.metrics import add_gauge_field
from girsanov.noise import Noise
from girsanov.processes import EDM, VP, BrownianBridge
from girsanov.solvers import diagnose

LAW = Gaussian(torch.zeros(4), torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0])))


class Turned(AbstractDenoiser):
    stored = ("score",)

    def __init__(self, model):
        super().__init__()
        self.model, self.process, self.shape = model, model.process, model.shape
        a = torch.zeros(4, 4)
        a[0, 1], a[1, 0] = 1.0, -1.0
        self.turn = a

    def forward(self, x, t, *, cond=None, anchor=None):
        return (add_gauge_field(lambda y: self.model.score(y, t), self.turn)(x),)


@pytest.mark.parametrize("process", [VP(), EDM()], ids=["VP", "EDM"])
def test_a_plane_under_an_exact_score(process):
    x = LAW.sample(600, generator=Noise(0))
    times = (0.6, 0.2) if process == VP() else (0.01, 0.003)
    found = diagnose(LAW.denoiser(process), x, times=times, points=3, samples=5)
    assert float(found.asymmetry.max()) < 1e-6
    assert float(found.circulation.max()) < 1e-6
    assert float(found.rotation.max()) < 1e-3
    assert found.dimension.tolist() == [2, 2, 2]
    assert found.samples.shape == (5, 4) and found.variance.shape == (5,)


def test_a_gauge_field_is_seen():
    x = LAW.sample(2000, generator=Noise(0))
    found = diagnose(Turned(LAW.denoiser(VP())), x, times=(0.9,), points=3, samples=5)
    # at t = 0.9 the score is about -x: of |s|² + |As|² = 4 + 2 a third is turned
    assert float(found.rotation) == pytest.approx(1 / 3, abs=0.05)
    assert float(found.asymmetry.min()) > 0.1


def test_many_coordinates_need_projections():
    law = GaussianMixture(torch.zeros(1, 70), 1.0)
    x = law.sample(20, generator=Noise(0))
    with pytest.raises(InputError, match="projections=16"):
        diagnose(law.denoiser(VP()), x)
    found = diagnose(law.denoiser(VP()), x, projections=4, times=(0.5,), points=2, samples=3)
    assert found.dimension is None and float(found.asymmetry.max()) < 1e-6


def test_refused():
    x = LAW.sample(20, generator=Noise(0))
    with pytest.raises(InputError, match="at least 8"):
        diagnose(LAW.denoiser(VP()), x[:3])
    with pytest.raises(InputError, match="t_min"):
        diagnose(LAW.denoiser(VP()), x, times=(2.0,))
    with pytest.raises(Unsuitable, match="data and noise"):
        diagnose(LAW.denoiser(BrownianBridge()), x)
