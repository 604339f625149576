"""Enhancement with a model that answers with its anchor: the recording comes back."""

import math

import pytest
import torch

from girsanov import processes
from girsanov.data import Spectrogram
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError
from girsanov.inverse import enhance, speech_sampler
from girsanov.inverse.speech import cut, join
from girsanov.noise import Noise

SPECTROGRAM = Spectrogram(62, 16)
X = 3 * Noise(0).draw(torch.empty(1, 4000), 0)[0]


class Anchor(AbstractDenoiser):
    """Takes the noisy speech for the clean one."""

    process, stored = processes.OUVE(), ("data",)

    def __init__(self, frames=None):
        super().__init__()
        self.shape = None if frames is None else (2, 32, frames)

    def forward(self, x, t, *, cond=None, anchor=None):
        return (anchor,)


@pytest.mark.parametrize("frames", [None, 16, 33, 400])
def test_a_model_that_changes_nothing_gives_the_recording_back(frames):
    found = enhance(Anchor(frames), X, SPECTROGRAM, steps=2, seed=0)
    torch.testing.assert_close(found, X, rtol=0, atol=1e-4)


@pytest.mark.parametrize("length, size", [(100, 100), (101, 100), (149, 100), (1000, 7), (10, 1)])
def test_pieces_are_joined_to_the_whole(length, size):
    x = torch.arange(length, dtype=torch.float64)
    pieces = cut(x, size)
    assert pieces.shape[1] == size
    torch.testing.assert_close(join(pieces, length), x)


def test_the_sampler_is_that_of_the_paper():
    sampler = speech_sampler(processes.OUVE())
    assert (sampler.calls, sampler.snr, sampler.step, sampler.corrections) == (60, 0.5, "annealed", 1)
    assert sampler.times[0] == 1 and sampler.times[-2] == pytest.approx(0.03)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: enhance(Anchor(), 0 * X, SPECTROGRAM), "silent"),
        (lambda: enhance(Anchor(), X[:61], SPECTROGRAM), "fewer than the 62"),
        (lambda: enhance(Anchor(), X[None], SPECTROGRAM), "give \\(T,\\)"),
        (lambda: enhance(Anchor(), X * math.nan, SPECTROGRAM), "NaN"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
