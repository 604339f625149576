"""Noises by the slopes of their spectra, mixtures by their ratios, rooms by how fast they decay."""

import math

import pytest
import torch

from girsanov.data import at_snr, babble, hum, noisy_pairs, pink, reverberate
from girsanov.data.noises import KINDS, crops
from girsanov.errors import InputError, UnknownName
from girsanov.noise import Noise

LIKE = torch.empty(50, 8000, dtype=torch.float64)


def voice(seconds=4, rate=8000):
    """Bursts of a tone with gaps, (L,)."""
    t = torch.arange(seconds * rate) / rate
    return torch.sin(2 * math.pi * 300 * t) * (torch.sin(2 * math.pi * 1.5 * t) > -0.5)


def slope(x, low, high):
    """The slope of log power over log frequency between two bins."""
    power = torch.fft.rfft(x).abs().square().mean(0)[low:high].log()
    f = torch.arange(low, high, dtype=x.dtype).log()
    f = f - f.mean()
    return float((power @ f) / (f @ f))


def test_the_power_of_pink_noise_falls_as_one_over_f():
    x = pink(LIKE, Noise(0))
    assert slope(x, 10, 4000) == pytest.approx(-1, abs=0.03)
    assert slope(Noise(0).draw(LIKE, 0), 10, 4000) == pytest.approx(0, abs=0.03)  # white noise is told apart
    torch.testing.assert_close(x.square().mean(1), torch.ones(50, dtype=torch.float64))


def test_hum_is_at_multiples_of_the_mains():
    power = torch.fft.rfft(hum(LIKE, 8000, Noise(0))).abs().square()  # one bin a hertz
    for row in power:
        loud = (row > 1e-6 * row.max()).nonzero()[:, 0].tolist()
        base = 50 if 50 in loud else 60
        assert loud == [base * k for k in range(1, 13)]
        assert float(row[2 * base] / row[base]) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("snr", [-5.0, torch.linspace(0, 20, 50).double()])
def test_the_ratio_of_a_mixture(snr):
    x, n = Noise(0).draw(LIKE, 0), 7 * pink(LIKE, Noise(1))
    left = at_snr(x, n, snr) - x
    found = 10 * (x.square().sum(1) / left.square().sum(1)).log10()
    torch.testing.assert_close(found, torch.as_tensor(snr, dtype=torch.float64).expand(50))


def test_the_tail_loses_60_db_in_t60():
    x = torch.zeros(200, 8000, dtype=torch.float64)
    x[:, 0] = 1  # the answer is the response of the room
    tail = reverberate(x, 8000, 0.5, Noise(0), direct=3.0)[:, 1:4001]
    assert float(10 * (1 / tail.square().sum(1)).log10().mean()) == pytest.approx(3.0, abs=1e-6)
    power = 10 * tail.square().mean(0).reshape(40, 100).mean(1).log10()
    time = torch.arange(40, dtype=torch.float64) * 100 / 8000
    time = time - time.mean()
    assert float(power @ time / (time @ time)) == pytest.approx(-60 / 0.5, rel=0.02)


def test_the_direct_sound_comes_first_and_unchanged():
    x = Noise(0).draw(LIKE, 0)
    quiet = reverberate(x, 8000, 0.3, Noise(1), direct=200.0)
    torch.testing.assert_close(quiet, x, rtol=0, atol=1e-8)


def test_crops_are_pieces_that_are_not_silent():
    speech = torch.cat([torch.zeros(5000), voice(1), torch.zeros(5000)])
    found = crops(speech, 40, 500, Noise(0))
    assert (found.square().mean(1) > 0).all()
    windows = {tuple(row.tolist()) for row in speech.unfold(0, 500, 1)}
    assert all(tuple(row.tolist()) in windows for row in found)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_differ_by_their_noise_and_peak_at_one(kind):
    clean, noisy = noisy_pairs(voice(), 6, 2000, 8000, kinds=(kind,), snr=(5, 5), source=Noise(3))
    torch.testing.assert_close(noisy.abs().amax(1), torch.ones(6))
    ratio = 10 * (clean.square().sum(1) / (noisy - clean).square().sum(1)).log10()
    if kind != "room":
        torch.testing.assert_close(ratio, torch.full((6,), 5.0), rtol=0, atol=1e-3)
    again = noisy_pairs(voice(), 6, 2000, 8000, kinds=(kind,), snr=(5, 5), source=Noise(3))
    assert torch.equal(again[1], noisy)


def test_babble_has_unit_power():
    found = babble(voice(), torch.empty(4, 2000), Noise(0), voices=3)
    torch.testing.assert_close(found.square().mean(1), torch.ones(4))


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: at_snr(torch.zeros(1, 9), torch.ones(1, 9), 0.0), InputError),
        (lambda: at_snr(torch.ones(1, 9), torch.zeros(1, 9), 0.0), InputError),
        (lambda: at_snr(torch.ones(1, 9), torch.ones(1, 8), 0.0), InputError),
        (lambda: reverberate(torch.ones(1, 9), 8000, 0.0, Noise(0)), InputError),
        (lambda: crops(torch.zeros(99), 1, 9, Noise(0)), InputError),
        (lambda: crops(torch.ones(8), 1, 9, Noise(0)), InputError),
        (lambda: babble(voice(), LIKE, Noise(0), voices=0), InputError),
        (lambda: noisy_pairs(voice(), 2, 100, 8000, kinds=()), InputError),
        (lambda: noisy_pairs(voice(), 2, 100, 8000, kinds=("punk",)), UnknownName),
    ],
)
def test_bad_input_is_refused(make, error):
    with pytest.raises(error):
        make()
