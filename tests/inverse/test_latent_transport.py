"""Latent transport where the law is Gaussian: moments, errors, and the line between."""

import warnings

import pytest
import torch

from girsanov.errors import InputError
from girsanov.inverse import LatentTransport
from girsanov.noise import Noise
from girsanov.transport import gaussian_w2


def same(x):
    return x


def gaussian(n, cov, seed):
    """Images (n, 1, 2, 2) with N(0, cov) in the four pixels."""
    z = Noise(seed).draw(torch.empty(n, 4, dtype=torch.float64), 0)
    return (z @ torch.linalg.cholesky(cov).T).reshape(n, 1, 2, 2)


HALF = Noise(9).draw(torch.empty(4, 4, dtype=torch.float64), 0)
DATA = HALF @ HALF.T + 0.1 * torch.eye(4)
MEAN = DATA @ torch.linalg.inv(DATA + torch.eye(4)) @ DATA
"""Of pixels, and of E[x | x + noise]."""


def moments(x):
    return x.flatten(1).mean(0), torch.cov(x.flatten(1).T)


def test_patches_that_do_not_overlap_get_the_moments_of_the_target():
    """Images of 2×2 patches side by side: the fold is then no mean."""
    source, target = (gaussian(4 * 50, c, s).reshape(50, 2, 2, 2, 2) for c, s in ((MEAN, 0), (DATA, 1)))
    source, target = (v.permute(0, 1, 3, 2, 4).reshape(50, 1, 4, 4) + 3 for v in (source, 2 * target))
    found = LatentTransport(same, same, patch=2, stride=2)
    found.update(source[:20], "source")
    found.update(source[20:], "source")
    found.update(target, "target")
    moved = found.transport(source)
    for a, b in zip(*(moments(cut(v)) for v in (moved, target)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8)


def cut(x):
    """The four 2×2 patches of each image."""
    return x.reshape(-1, 2, 2, 2, 2).transpose(2, 3).reshape(-1, 1, 2, 2)


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (3, 1), (3, 2), (4, 3)])
def test_equal_laws_leave_images_as_they_are(patch, stride):
    x = Noise(0).draw(torch.empty(100, 2, 7, 7, dtype=torch.float64), 0)
    found = LatentTransport(same, same, patch, stride)
    found.update(x, "source")
    found.update(x, "target")
    torch.testing.assert_close(found.transport(x), x, atol=1e-8, rtol=0)


def test_the_line_has_the_least_error_at_every_distance():
    """With E[x | y] at one end: MMSE + (1 - α)² W₂², and the distance to the data is α W₂."""
    n = 60_000
    x = gaussian(n, DATA, 2)
    y = x + Noise(3).draw(x, 0)
    guess = (y.flatten(1) @ torch.linalg.solve(DATA + torch.eye(4), DATA)).reshape(x.shape)
    found = LatentTransport(same, same, patch=2)
    found.update(guess, "source")
    found.update(gaussian(n, DATA, 4), "target")
    zero = torch.zeros(4).double()
    mmse, far = float((DATA - MEAN).trace()), float(gaussian_w2(zero, MEAN, zero, DATA))
    for alpha in (-0.3, 0.0, 0.5, 1.0):
        moved = found.transport(guess, alpha)
        error = float((moved - x).square().flatten(1).sum(1).mean())
        assert error == pytest.approx(mmse + (1 - alpha) ** 2 * far**2, rel=0.02)
        if alpha >= 0:
            distance = float(gaussian_w2(zero, torch.cov(moved.flatten(1).T), zero, DATA))
            assert distance == pytest.approx(alpha * far, abs=0.05)
    assert torch.equal(found.transport(guess[:5], 1.0), guess[:5])


def test_images_go_through_the_encoder_and_back():
    x = gaussian(200, DATA, 0)
    found = LatentTransport(lambda v: 2 * v + 1, lambda z: (z - 1) / 2, patch=2)
    plain = LatentTransport(same, same, patch=2)
    for each in (found, plain):
        each.update(x, "source")
        each.update(gaussian(200, MEAN, 1), "target")
    torch.testing.assert_close(found.transport(x), plain.transport(x))


def test_missing_directions_are_drawn_and_said():
    flat = gaussian(300, DATA, 0).mean((2, 3), keepdim=True).expand(-1, -1, 2, 2)
    found = LatentTransport(same, same, patch=2)
    found.update(flat, "source")
    found.update(gaussian(300, DATA, 1), "target")
    with pytest.warns(UserWarning, match="3 of 4 directions"):
        moved = found.transport(flat, seed=0)
    n = len(flat)
    error = (torch.cov(moved.flatten(1).T) - moments(gaussian(300, DATA, 1))[1]).abs()
    variance = DATA.diag()
    assert bool((error < 5 * ((variance[:, None] * variance + DATA**2) / n).sqrt()).all())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert torch.equal(found.transport(flat, seed=0), moved)
        assert not torch.equal(found.transport(flat, seed=1), moved)
    torch.testing.assert_close(found.transport(flat[:90], seed=0), moved[:90])


def test_bad_input_is_refused():
    x = gaussian(5, DATA, 0)
    ready = LatentTransport(same, same, patch=2)
    ready.update(x, "source")
    half = LatentTransport(same, same, patch=2)
    half.update(x, "source")
    colour = LatentTransport(same, same, patch=2)
    colour.update(x, "source")
    colour.update(x.expand(-1, 3, -1, -1), "target")
    ready.update(x, "target")
    lossy = LatentTransport(same, lambda z: z[..., :1], patch=2)
    lossy.moments = ready.moments
    for says, call in {
        "patch is 0": lambda: LatentTransport(same, same, 0),
        "stride is 3": lambda: LatentTransport(same, same, 2, 3),
        "source": lambda: ready.update(x, "sauce"),
        "no target images yet": half.compute,
        "no target images": lambda: half.transport(x),
        "equal channels": colour.compute,
        "do not fill": lambda: ready.update(x[..., :1], "source"),
        "stride that divides 3": lambda: LatentTransport(same, same, 2, 2).update(
            x.repeat(1, 1, 1, 3)[..., :5].repeat(1, 1, 3, 1)[..., :5, :], "source"
        ),
        "latent images are": lambda: LatentTransport(torch.flatten, same).update(x, "source"),
        "holds": lambda: ready.transport(x * torch.nan),
        "alpha is nan": lambda: ready.transport(x, float("nan")),
        "as many channels": lambda: ready.transport(x.expand(-1, 3, -1, -1)),
        "the decoder gave": lambda: lossy.transport(x),
    }.items():
        with pytest.raises(InputError, match=says):
            call()
