"""Planarity of curves with known shape; emergence times of the Gaussian flow in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from girsanov.errors import InputError
from girsanov.metrics import emergence_times, planarity


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CLOCK = torch.linspace(0, 1, 2001, dtype=torch.float64)


@pytest.mark.parametrize("pitch", [0.0, 0.5, 2.0, 100.0])
def test_a_helix_has_the_share_of_its_covariance(pitch):
    """(cos 2πu, sin 2πu, pitch·u): the sine and the height have covariance −pitch/2π."""
    turn = 2 * math.pi * CLOCK
    helix = torch.stack([turn.cos(), turn.sin(), pitch * CLOCK], 1)[None]
    slope = -pitch / (2 * math.pi)
    covariance = [[0.5, 0, 0], [0, 0.5, slope], [0, slope, pitch**2 / 12]]
    values = np.linalg.eigvalsh(covariance)
    assert float(planarity(helix)) == pytest.approx(values[1:].sum() / values.sum(), abs=1e-3)


def test_a_rotation_between_two_points_is_planar_wherever_it_lies():
    """x_t ≈ α x_0 + √(1 − α²) x_1 is the paper's approximation; no coordinate system is singled out."""
    angle = CLOCK[::50, None] * math.pi / 2
    path = torch.stack(
        [angle.cos() * draw(64, seed=k) + angle.sin() * draw(64, seed=k + 9) for k in range(3)]
    )
    torch.testing.assert_close(planarity(path), torch.ones(3).double())
    moved = 5 * path.reshape(3, -1, 4, 16) + draw(4, 16, seed=30)
    torch.testing.assert_close(planarity(moved), torch.ones(3).double())


def test_a_random_cloud_is_not_planar():
    share = planarity(draw(20, 400, 10))
    assert share.shape == (20,) and float(share.mean()) == pytest.approx(0.2, abs=0.08)
    assert (share > 0.2).all()  # the best plane beats any fixed one


def test_paths_are_judged_one_by_one_in_any_dtype():
    paths = draw(4, 12, 3, 2)
    together = planarity(paths)
    torch.testing.assert_close(together[2:3], planarity(paths[2:3]))
    torch.testing.assert_close(planarity(paths.float()), together, rtol=1e-6, atol=0)
    torch.testing.assert_close(planarity(paths[:, :3]), torch.ones(4).double())


def gaussian_answers(variances, times, batch=6):
    """The denoised answers along the probability flow of N(m, diag λ) under α = cos(πt/2), γ = sin(πt/2).

    Along an axis, x̂_0 − m = λ α / √(α² λ + γ²) times a number that stays the same along the path.
    """
    alpha, gamma = torch.cos(times * math.pi / 2)[:, None], torch.sin(times * math.pi / 2)[:, None]
    gain = variances * alpha / (alpha**2 * variances + gamma**2).sqrt()
    return 3 + draw(batch, 1, len(variances)) * gain


VARIANCES = torch.tensor([30.0, 4.0, 1.0, 0.3, 0.01], dtype=torch.float64)


@pytest.mark.parametrize("batch", [2, 50])
def test_gaussian_features_emerge_where_signal_meets_noise(batch):
    """α² λ = γ² at t = (2/π) atan √λ."""
    times = torch.linspace(1, 0, 201, dtype=torch.float64)
    found = emergence_times(gaussian_answers(VARIANCES, times, batch), times, torch.eye(5))
    torch.testing.assert_close(found, 2 / math.pi * VARIANCES.sqrt().atan(), rtol=0, atol=2e-3)
    assert stats.spearmanr(VARIANCES, found).statistic > 0.999


def test_interpolation_beats_the_grid_and_direction_length_does_not_matter():
    times = torch.linspace(1, 0, 21).square()
    answers = gaussian_answers(VARIANCES, times.double()).reshape(6, 21, 5, 1).float()
    directions = (7 * torch.eye(5)).reshape(5, 5, 1)
    found = emergence_times(answers, times, directions)
    torch.testing.assert_close(found, 2 / math.pi * VARIANCES.sqrt().atan(), rtol=0, atol=0.01)


def test_a_feature_emerges_for_good():
    rise_and_fall = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])  # variance in units of the final one
    answers = torch.tensor([-1.0, 1.0])[:, None, None] * rise_and_fall.sqrt()[:, None]
    times = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.0])
    assert emergence_times(answers, times, torch.eye(1)).tolist() == pytest.approx([0.5])
    early = torch.tensor([-1.0, 1.0])[:, None, None] * torch.ones(5, 1)
    assert emergence_times(early, times, torch.eye(1)).tolist() == [1.0]


def test_bad_input_is_refused():
    path, times = draw(3, 4, 2), torch.tensor([1.0, 0.5, 0.2, 0.0])
    for bad, says in [
        (path[:, :1], "at least 2 times"),
        (path[:, 0, 0], "at least 2 times"),
        (path[:0], "0 samples"),
        (path * torch.inf, "path holds"),
        (torch.ones(2, 4, 3), "path 0 does not move"),
    ]:
        with pytest.raises(InputError, match=says):
            planarity(bad)
    for arguments, says in [
        ((path, times.flip(0), torch.eye(2)), "decreasing"),
        ((path, times[:3], torch.eye(2)), "for 4 states"),
        ((path, times, torch.eye(3)), "give directions"),
        ((path[:1], times, torch.eye(2)), "at least 2"),
        ((path, times, torch.tensor([[1.0, 0.0], [0.0, 0.0]])), "direction 1 has no variance"),
        ((torch.ones(3, 4, 2) * path[:1], times, torch.eye(2)), "direction 0 has no variance"),
    ]:
        with pytest.raises(InputError, match=says):
            emergence_times(*arguments)
