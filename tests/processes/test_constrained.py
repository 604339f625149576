"""The constrained process: its clock, its paths, what a network may learn, and saving."""

import json

import pytest
import torch
from scipy.stats import kstest
from set_examples import SETS, within

import girsanov as gv
from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.noise import Noise
from girsanov.processes import Box, Constrained, Learnable, ReflectedWalk, Simplex
from girsanov.processes.base import Perturbable, Simulable
from girsanov.processes.saved import process_from

LINE = Constrained(Box([0.0], [1.0]), steps=60)
GRID = torch.tensor([0.0, 0.1, 0.35, 1.0])


def test_what_it_can_do():
    for capability in (Simulable, Perturbable, Learnable):
        assert isinstance(LINE, capability)
    assert not isinstance(LINE, gv.processes.Convertible)


@pytest.mark.parametrize("name", [name for name in SETS if name != "matrices 3"])
def test_no_path_leaves(name):
    process = Constrained(SETS[name], steps=120)
    x0 = process.reference(torch.empty(500, process.inside.features), generator=Noise(0))
    paths = gv.simulate(process, x0, GRID, seed=0)
    assert paths.shape == (500, 4, process.inside.features) and torch.equal(paths[:, 0], x0)
    assert within(name, paths.flatten(0, 1)).all()
    torch.testing.assert_close(gv.simulate(process, x0[:7], GRID, seed=0), paths[:7])


def test_at_one_the_law_is_nearly_uniform():
    """What is left of the slowest mode is exp(-½ π² 10/12) = 0.016; of its cosine from one end, as much."""
    x0 = torch.zeros(20_000, 1, dtype=torch.float64)
    x = LINE.simulate(x0, torch.tensor([0.0, 1.0]), generator=torch.Generator().manual_seed(0))[:, 1, 0]
    assert abs((torch.pi * x).cos().mean()) < 0.03
    assert kstest(x.numpy(), "uniform").statistic < 0.025


def test_rows_may_have_their_own_times():
    x0 = torch.full((20_000, 1), 0.5, dtype=torch.float64)
    t = torch.linspace(0, 1, 20_000, dtype=torch.float64) * 0.05
    _, moved = LINE.perturb(x0, t, generator=Noise(0))
    early, late = moved[:4000].std(), moved[-4000:].std()
    expected = ((LINE.clock(t[:4000])).mean().sqrt(), LINE.clock(t[-4000:]).mean().sqrt())
    torch.testing.assert_close(torch.stack([early, late]), torch.stack(expected), rtol=0.05, atol=0)


def test_the_score_vanishes_at_the_boundary_and_is_left_alone_within():
    x = torch.tensor([[0.0], [LINE.margin / 2], [0.5], [1.5]])
    found = LINE.finish("score", x, torch.full((4,), 0.3), torch.ones(4, 1))
    scale = 1 / LINE.width(0.3)
    torch.testing.assert_close(found[:, 0], scale * torch.tensor([0.0, 0.5, 1.0, 0.0]))
    torch.testing.assert_close(LINE.finish("score", x, 0.3, torch.ones(4, 1)), found)


def test_the_width_is_that_of_the_motion_first_and_of_the_set_at_last():
    assert LINE.width(0.0) == pytest.approx(LINE.margin)
    assert LINE.width(1.0) == pytest.approx(12**-0.5, rel=0.1)
    assert LINE.width(0.1) ** 2 - LINE.margin**2 == pytest.approx(LINE.clock(0.1), rel=0.15)


def test_other_words_are_refused():
    model = gv.Denoiser(gv.networks.MLP(1), LINE, predicts="score", data_std=None)
    x = torch.full((2, 1), 0.5)
    assert model.score(x, 0.5).shape == (2, 1)
    for word in ("data", "noise", "velocity"):
        with pytest.raises(Unsuitable, match=f"'{word}' was asked of a model of Constrained"):
            getattr(model, word)(x, 0.5)
    assert gv.Denoiser(gv.networks.MLP(1), LINE).stored == ("score",)
    for wrong in ({"predicts": "data"}, {"data_std": 0.7}):
        with pytest.raises(Unsuitable, match="leave predicts and data_std out"):
            gv.Denoiser(gv.networks.MLP(1), LINE, **wrong)
    with pytest.raises(Unsuitable):
        gv.sample(model, 2, solver="euler", shape=(1,))


@pytest.mark.parametrize("name", [name for name in SETS if name != "matrices 3"])
def test_saving(name, tmp_path):
    process = Constrained(SETS[name], steps=30)
    assert process_from(json.loads(json.dumps(process.to_config()))) == process
    model = gv.Denoiser(gv.networks.MLP(process.inside.features), process, predicts="score", data_std=None)
    gv.save(model, tmp_path / "model")
    assert gv.load(tmp_path / "model").process == process


def test_bad_configurations_are_refused():
    good = LINE.to_config()
    with pytest.raises(UnknownName, match="unknown set 'Bocks'"):
        process_from({**good, "inside": {"set": "Bocks"}})
    for broken in ({"inside": {"set": "Box"}}, {"inside": None}, {"stepps": 3}, {"steps": "many"}):
        with pytest.raises(InputError):
            process_from({**good, **broken})


def test_bad_input_is_refused():
    x0 = torch.tensor([[0.5], [1.5]])
    with pytest.raises(InputError, match=r"1 of 2 rows of x0.*index 1.*facet 1 by 0.5"):
        LINE.simulate(x0, GRID)
    with pytest.raises(InputError, match="no x_1"):
        LINE.simulate(x0[:1], GRID, end=x0[:1])
    with pytest.raises(InputError, match="steps is 0"):
        Constrained(Simplex(2), steps=0)
    with pytest.raises(InputError, match="variance is -1"):
        Constrained(Simplex(2), variance=-1.0)
    with pytest.raises(Unsuitable, match="ReflectedWalk needs facets"):
        Constrained(SETS["polygon"], walk=ReflectedWalk())
    with pytest.raises(Unsuitable, match="inside is str"):
        Constrained("usa")


def test_too_long_steps_are_told():
    process = Constrained(Simplex(10), steps=2, variance=0.0764)
    with pytest.warns(UserWarning, match=r"variance of 0.0191.*steps=8"):
        process.simulate(process.reference(torch.empty(64, 10), generator=Noise(0)), GRID, generator=Noise(0))
