"""Measures of speech on signals whose errors are known."""

import math
import sys

import pytest
import torch

from girsanov.errors import InputError, MissingExtra
from girsanov.metrics import estoi, log_spectral_distance, si_sdr
from girsanov.noise import Noise

X = Noise(0).draw(torch.empty(3, 8000, dtype=torch.float64), 0)
N = Noise(1).draw(torch.empty(3, 8000, dtype=torch.float64), 0)


def orthogonal(n, x):
    """n without its mean and its part along x, (B, T)."""
    n, x = (v - v.mean(1, keepdim=True) for v in (n, x))
    return n - (n * x).sum(1, keepdim=True) / x.square().sum(1, keepdim=True) * x


@pytest.mark.parametrize("db", [-10.0, 0.0, 17.0])
def test_si_sdr_is_the_ratio_to_what_is_orthogonal(db):
    n = orthogonal(N, X)
    x = X - X.mean(1, keepdim=True)
    n = n * (x.norm(dim=1) / n.norm(dim=1))[:, None] * 10 ** (-db / 20)
    torch.testing.assert_close(si_sdr(x + n, X), torch.full((3,), db, dtype=torch.float64))


def test_si_sdr_does_not_see_level_and_offset():
    torch.testing.assert_close(si_sdr(3 * (X + N) + 5, X), si_sdr(X + N, X))
    assert (si_sdr(2 * X, X) > 200).all()


def test_the_log_spectral_distance_of_a_gain_is_its_decibels():
    found = log_spectral_distance(X * 10 ** (6 / 20), X)
    torch.testing.assert_close(found, torch.full((3,), 6.0, dtype=torch.float64), rtol=1e-4, atol=0)
    assert log_spectral_distance(X, X).abs().max() == 0


def test_the_log_spectral_distance_is_blind_to_the_sign():
    assert log_spectral_distance(-X, X).abs().max() < 1e-9
    assert (log_spectral_distance(N, X) > 3).all()


def test_estoi_is_one_for_the_reference_and_falls_with_noise():
    pytest.importorskip("pystoi")
    t = torch.arange(16000) / 8000
    speech = torch.sin(2 * math.pi * 500 * t) * (1 + torch.sin(2 * math.pi * 4 * t))
    speech = speech + 0.3 * Noise(0).draw(torch.empty(1, 16000), 0) * (1 + torch.cos(2 * math.pi * 3 * t))
    noise = Noise(1).draw(torch.empty(1, 16000), 0)
    assert float(estoi(speech, speech, 8000)) == pytest.approx(1, abs=1e-3)
    near, far = (float(estoi(speech + level * noise, speech, 8000)) for level in (0.3, 3.0))
    assert far < near < 1


def test_estoi_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pystoi", None)
    with pytest.raises(MissingExtra, match=r"girsanov\[audio\]"):
        estoi(X, X, 8000)


@pytest.mark.parametrize(
    "call",
    [
        lambda: si_sdr(X, X[:, :10]),
        lambda: si_sdr(X[0], X[0]),
        lambda: si_sdr(X, 0 * X),
        lambda: si_sdr(X * math.nan, X),
        lambda: log_spectral_distance(X[:, :100], X[:, :100]),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
