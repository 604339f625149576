"""Noisy speech for papers: crops and their noisy partners, models of one size, what they are judged by.

The speech is 24 minutes of prompts, one speaker, 8,000 samples a second (`data.speech`), split into prompts to
train on and 60 prompts that are held out; noises and rooms are synthesized. Spectrograms are those of SGMSE+ at
half of its rate, 128 bins and a frame every 8 ms. At the budget `smoke` a made-up voice stands in, so that nothing
has to be installed. Everything follows from the seed.

Oracle: the made-up voice, the split and the measures on known signals (tests/papers/test_speech_papers.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from girsanov import data, networks
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.noise import Noise, Randomness, uniform
from girsanov.objectives import score_matching
from girsanov.papers.base import Budget
from girsanov.processes import OUVE
from girsanov.training import Training, fit
from girsanov.typing import Tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = 8000
SPECTROGRAM = data.Spectrogram(254, 64)
PROCESS = OUVE(1.5, 0.05 / math.sqrt(2), 0.5 / math.sqrt(2))
"""The paper's complex noise of unit variance has half of it in each part."""

MATCHING = score_matching(times="uniform")
"""As in the paper; the logistic law of noise levels, our default, did worse here: most of its levels are low."""

HELD_OUT = 60
NOISES = ("pink", "hum", "babble")


@dataclass(frozen=True)
class Scale:
    """How much of everything a budget allows."""

    prompts: bool
    frames: int
    pairs: int
    tests: int

    @classmethod
    def of(cls, budget: Budget) -> Scale:
        return budget.pick(smoke=cls(False, 64, 4, 2), cpu=cls(True, 128, 1600, 24))


class Corpus(NamedTuple):
    """Clean speech in a row, (L,), to train on and held out."""

    train: Tensor
    fresh: Tensor


class Pairs(NamedTuple):
    """Clean and noisy waveforms (N, T)."""

    clean: Tensor
    noisy: Tensor


@cache
def corpus(prompts: bool) -> Corpus:
    """The prompts, or a made-up voice."""
    parts = data.speech() if prompts else tuple(voice(pitch) for pitch in range(90, 190, 10))
    u = Noise(0).draw(torch.empty(1, len(parts), dtype=torch.float64), 0, uniform)[0]
    held = HELD_OUT if prompts else 2
    order = u.argsort().tolist()
    fresh, train = (torch.cat([parts[i] for i in rows]) for rows in (order[:held], order[held:]))
    return Corpus(train, fresh)


def voice(pitch: float, seconds: float = 1.0) -> Tensor:
    """Harmonics of a pitch under syllables of a third of a second, (T,)."""
    t = torch.arange(int(seconds * RATE)) / RATE
    tones = sum(torch.sin(2 * math.pi * pitch * k * t) / k for k in range(1, 15))
    assert isinstance(tones, Tensor)
    return 0.3 * tones * (1 - torch.cos(2 * math.pi * 3 * t)) / 2


def pairs(
    scale: Scale,
    kinds: Sequence[str] = NOISES,
    *,
    seed: int = 0,
    fresh: bool = False,
    snr: tuple[float, float] = (0.0, 10.0),
) -> Pairs:
    """Crops to train on, or held out ones."""
    speech = corpus(scale.prompts)[fresh]
    n = scale.tests if fresh else scale.pairs
    source = Noise(seed).child(int(fresh))
    length = SPECTROGRAM.length(scale.frames)
    return Pairs(*data.noisy_pairs(speech, n, length, RATE, kinds=kinds, snr=snr, source=source))


class Predictor(nn.Module):
    """ŷ = y + s · network(y/s): regression with the U-Net of `networks.AnchoredUNet`, on the same patches."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std
        self.network = networks.UNet(8, width=16, levels=(1, 1, 2), attention=0)

    def forward(self, y: Tensor, t: Tensor | None = None, cond: Tree = None) -> Tensor:
        folded = pixel_unshuffle(y / self.std, 2)
        return y + self.std * pixel_shuffle(self.network(folded, y.new_zeros(len(y))), 2)


@cache
def enhancer(scale: Scale, kinds: tuple[str, ...], *, steps: int, seed: int) -> Denoiser:
    """A denoiser of `PROCESS`, 101,864 parameters, that is given the noisy spectrogram."""
    x, y = (SPECTROGRAM(w) for w in pairs(scale, kinds, seed=seed))
    std = float((x - y).std())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Denoiser(networks.AnchoredUNet(2, std=std), PROCESS, data_std=std)
    fit(model, MATCHING, x, end=y, steps=steps, config=settings(seed))
    return model


@cache
def regressor(scale: Scale, kinds: tuple[str, ...], *, steps: int, seed: int) -> Predictor:
    """A network of the same size that answers at once, trained on the squared error."""
    x, y = (SPECTROGRAM(w) for w in pairs(scale, kinds, seed=seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Predictor(float((x - y).std()))
    model = Denoiser(network, PROCESS, data_std=None)
    fit(model, squared_error, x, end=y, steps=steps, config=settings(seed))
    return network


def squared_error(
    model: AbstractDenoiser,
    x0: Tensor,
    *,
    cond: Tree = None,
    end: Tensor | None = None,
    generator: Randomness = None,
) -> Tensor:
    """The objective of regression: (B,) squared errors of a `Predictor`, in units of its std."""
    assert end is not None and isinstance(model, Denoiser) and isinstance(model.network, Predictor)
    network = model.network
    return ((network(end) - x0) / network.std).square().flatten(1).mean(1)


def settings(seed: int) -> Training:
    return Training(batch_size=8, lr=3e-3, warmup=50, ema=0.99, validation=0, seed=seed, progress=False)


def waveforms(spectra: Tensor, like: Tensor) -> Tensor:
    """(B, 2, bins, frames) to waveforms of the length of `like` (B, T)."""
    return SPECTROGRAM.inverse(spectra, like.shape[1])


def show(axes: Sequence[Axes], rows: Mapping[str, Tensor]) -> None:
    """One waveform (T,) a panel, as the decibels of its spectrogram on a common scale."""
    power = {
        name: 20
        * SPECTROGRAM.expand(torch.view_as_complex(SPECTROGRAM(x[None])[0].movedim(0, -1).contiguous()))
        .abs()
        .clamp(min=1e-6)
        .log10()
        for name, x in rows.items()
    }
    top = max(float(p.max()) for p in power.values())
    for ax, (name, p) in zip(axes, power.items(), strict=True):
        extent = (0.0, p.shape[1] * SPECTROGRAM.hop / RATE, 0.0, RATE / 2000)
        ax.imshow(p, origin="lower", aspect="auto", cmap="magma", vmin=top - 70, vmax=top, extent=extent)
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("s", fontsize=8)
    axes[0].set_ylabel("kHz", fontsize=8)
