"""What every metric between two samples has in common; a new one joins the list."""

import numpy as np
import pytest
import torch

from girsanov import metrics
from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.transport import points, wasserstein


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sliced(x, y):
    return metrics.sliced_wasserstein(x, y, projections=40, generator=Noise(0))


def precision(x, y):
    return metrics.precision_recall(x, y).precision


def nearest(x, y):
    return metrics.nearest_distance(x, y).sum()


def ratio(x, y):
    return metrics.nearest_train_ratio(x, y, 2 * y.flip(0))


# name: (metric, the power of the unit that it scales with)
METRICS = {
    "sliced": (sliced, 1),
    "energy": (metrics.energy_distance, 1),
    "mmd": (metrics.mmd, 0),
    "1nn": (metrics.nearest_neighbour_test, 0),
    "precision": (precision, 0),
    "nearest": (nearest, 1),
    "ratio": (ratio, 0),
    "frechet": (metrics.frechet_distance, 2),
    "wasserstein": (wasserstein, 1),
}
X, Y = draw(33, 2, 3), draw(21, 2, 3, seed=1) + 0.5


@pytest.mark.parametrize("name", METRICS)
class TestEveryMetric:
    def test_order_of_rows_does_not_matter(self, name):
        metric, _ = METRICS[name]
        assert float(metric(X.flip(0), Y.roll(5, 0))) == pytest.approx(float(metric(X, Y)), rel=1e-9)

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_it_scales_with_its_unit(self, name, unit):
        metric, power = METRICS[name]
        assert float(metric(unit * X, unit * Y)) == pytest.approx(unit**power * float(metric(X, Y)), rel=1e-9)

    def test_the_frame_does_not_matter(self, name):
        metric, _ = METRICS[name]
        if name == "sliced":
            pytest.skip("directions are drawn in a fixed frame")
        turn = torch.linalg.qr(draw(6, 6)).Q
        turned = [(s.flatten(1) @ turn + (0 if name == "ratio" else 3)) for s in (X, Y)]
        assert float(metric(*turned)) == pytest.approx(float(metric(X, Y)), rel=1e-9)

    def test_blocks_do_not_matter(self, name, monkeypatch):
        metric, _ = METRICS[name]
        whole = float(metric(X, Y))
        for block in (1, 100):
            monkeypatch.setattr(points, "BLOCK", block)
            assert float(metric(X, Y)) == pytest.approx(whole, rel=1e-10)

    def test_float32_is_summed_in_float64(self, name):
        metric, _ = METRICS[name]
        x, y = X.float(), Y.float()
        assert float(metric(x, y)) == pytest.approx(float(metric(x.double(), y.double())), rel=1e-12)
        assert float(metric(x, y)) == pytest.approx(float(metric(X, Y)), rel=1e-4)

    def test_input_and_global_random_state_are_left_alone(self, name):
        metric, _ = METRICS[name]
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 - the legacy global state is what must not move
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        x, y = X.clone(), Y.clone()
        metric(x, y)
        assert torch.equal(x, X) and torch.equal(y, Y)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002

    @pytest.mark.parametrize(
        "y, says",
        [
            (Y * torch.nan, "NaN"),
            (torch.where(Y > 1, torch.inf, Y), "NaN or infinite"),
            (Y[:0], "0 samples"),
            (Y[:, :1], "give equal ones"),
            (Y.numpy(), "ndarray"),
            (torch.complex(Y, Y), "complex"),
        ],
        ids=["nan", "inf", "empty", "shape", "type", "complex"],
    )
    def test_bad_samples_are_refused(self, name, y, says):
        metric, _ = METRICS[name]
        if name == "ratio" and not isinstance(y, torch.Tensor):
            pytest.skip("the stand-in flips y before the metric sees it")
        with pytest.raises(InputError, match=says):
            metric(X, y)
