"""Noisy speech from clean speech: synthetic noises, mixing at a given ratio, reverberation.

    pink      power ∝ 1/f                                        babble    a sum of voices
    hum       Σ_k cos(2π k f₀ t + φ_k)/k, f₀ = 50 or 60 Hz       reverberation   x + x ∗ (tail)

    mixed = x + g n,   10 log₁₀(Σx²/Σ(g n)²) = snr;
    tail(t) ∝ normal noise · 10^{-3 t/T60}: the power falls by 60 dB in T60 seconds (Polack's model).

Waveforms are (B, T). Every draw is keyed, so that row i is the same whatever the batch.
Source: Polack (1988), La transmission de l'énergie sonore dans les salles; Voss & Clarke (1975), 1/f noise in
music and speech, for pink noise as a model of what surrounds us.
Oracle: slopes of spectra, ratios of powers, the slope of the decay (tests/data/test_noises.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from girsanov.errors import choose, require
from girsanov.noise import Noise, Source, uniform

QUIET = 0.3
"""A crop has at least this share of the mean power, so that no pair is made of silence."""

MAINS = (50.0, 60.0)
HARMONICS = 12

CROP, VOICES, KIND, LEVEL, SHAPE, ROOM = range(6)
"""Keys of the draws of `noisy_pairs`."""


def at_snr(clean: Tensor, noise: Tensor, snr: Tensor | float) -> Tensor:
    """Add noise to speech at a signal-to-noise ratio.

    Args:
        clean, noise: (B, T).
        snr: in dB, (B,) or one number.

    Returns:
        (B, T).

    Raises:
        InputError: shapes that differ, or a row without any power.
    """
    require(
        clean.ndim == 2 and clean.shape == noise.shape,
        f"clean is {tuple(clean.shape)} and noise {tuple(noise.shape)}; give (B, T) twice",
    )
    power, loud = (x.square().mean(1) for x in (clean, noise))
    require(bool((power > 0).all()), "a row of clean is silent, so no ratio exists; leave it out")
    require(bool((loud > 0).all()), "a row of noise is silent, so no ratio exists; leave it out")
    gain = (power / loud).sqrt() * 10 ** (-torch.as_tensor(snr, dtype=clean.dtype) / 20)
    return clean + gain[:, None] * noise


def pink(like: Tensor, source: Source, index: int = 0) -> Tensor:
    """Noise whose power falls as 1/f, of unit power, (B, T) as `like`."""
    spectrum = torch.fft.rfft(source.draw(like, index))
    frequency = torch.arange(spectrum.shape[1], dtype=like.dtype)
    found = torch.fft.irfft(spectrum * frequency.clamp(min=1).rsqrt() * (frequency > 0), like.shape[1])
    return found / found.square().mean(1, keepdim=True).sqrt()


def hum(like: Tensor, rate: int, source: Source, index: int = 0) -> Tensor:
    """The hum of the mains, 50 or 60 Hz with harmonics of random phases, of unit power, (B, T) as `like`."""
    u = source.draw(torch.empty(len(like), HARMONICS + 1), index, uniform).to(like.dtype)
    base = torch.where(u[:, 0] < 0.5, *MAINS).to(like.dtype)
    k = torch.arange(1, HARMONICS + 1, dtype=like.dtype)
    time = torch.arange(like.shape[1], dtype=like.dtype) / rate
    found = torch.zeros_like(like)
    for j in range(HARMONICS):
        angle = 2 * math.pi * (k[j] * base[:, None] * time + u[:, 1 + j, None])
        found += angle.cos() / k[j]
    return found / found.square().mean(1, keepdim=True).sqrt()


def babble(speech: Tensor, like: Tensor, source: Source, *, voices: int = 5) -> Tensor:
    """A sum of voices of equal power, each a random crop of speech (L,), of unit power, (B, T) as `like`."""
    require(voices >= 1, f"voices is {voices}; give at least 1")
    found = torch.zeros_like(like)
    for k in range(voices):
        crop = crops(speech, len(like), like.shape[1], source, VOICES + k)
        found += crop / crop.square().mean(1, keepdim=True).sqrt()
    return found / found.square().mean(1, keepdim=True).sqrt()


def reverberate(x: Tensor, rate: int, t60: Tensor | float, source: Source, *, direct: float = 0.0) -> Tensor:
    """Speech in a room: the direct sound and a tail of exponentially decaying noise.

    Args:
        x: (B, T).
        rate: samples a second.
        t60: seconds in which the tail loses 60 dB, (B,) or one number, above 0.
        direct: the power of the direct sound over that of the tail, in dB.

    Returns:
        (B, T), the direct sound as loud as before.
    """
    t60 = torch.as_tensor(t60, dtype=x.dtype).expand(len(x))
    require(bool((t60 > 0).all()), "t60 must be above 0 seconds; typical rooms have 0.3 to 0.7")
    time = torch.arange(1, math.ceil(float(t60.max()) * rate) + 1, dtype=x.dtype) / rate
    tail = source.draw(torch.empty(len(x), len(time), dtype=x.dtype), 0) * 10 ** (-3 * time / t60[:, None])
    tail = tail * 10 ** (-direct / 20) / tail.square().sum(1, keepdim=True).sqrt()
    size = x.shape[1] + tail.shape[1]
    echoes = torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(tail, size), size)
    return torch.cat([x[:, :1], x[:, 1:] + echoes[:, : x.shape[1] - 1]], 1)


def crops(speech: Tensor, n: int, length: int, source: Source, index: int = 0) -> Tensor:
    """Random pieces (n, length) of speech (L,) that are not silent: `QUIET` of the mean power at least.

    Raises:
        InputError: speech that is shorter than a piece, or silent.
    """
    require(
        speech.ndim == 1 and len(speech) >= length,
        f"the speech is {tuple(speech.shape)}; give (L,) with at least the {length} samples of one piece",
    )
    total = torch.nn.functional.pad(speech.double().square().cumsum(0), (1, 0))
    power = (total[length:] - total[:-length]) / length
    loud = (power >= QUIET * power.mean()).nonzero()[:, 0]
    require(bool(power.max() > 0), "the speech is silent; give a recording with sound")
    u = source.draw(torch.empty(n, 1, dtype=torch.float64), index, uniform)[:, 0]
    starts = loud[(u * len(loud)).long()]
    return speech[starts[:, None] + torch.arange(length)]


KINDS = ("pink", "hum", "babble", "room")


def noisy_pairs(
    speech: Tensor,
    n: int,
    length: int,
    rate: int,
    *,
    kinds: Sequence[str] = ("pink", "hum", "babble"),
    snr: tuple[float, float] = (0.0, 10.0),
    source: Source | None = None,
) -> tuple[Tensor, Tensor]:
    """Pieces of clean speech, and the same with noise or in a room; each pair scaled so that the second has peak 1.

    Args:
        speech: (L,), clean.
        n: pairs.
        length: samples of each.
        rate: samples a second.
        kinds: of noise, among pink, hum, babble and room (reverberation, T60 of 0.3 to 0.7 s); each row has one.
        snr: the lowest and highest ratio in dB, drawn evenly.
        source: of randomness; `Noise(0)` if None.

    Returns:
        clean, noisy: (n, length).

    Raises:
        UnknownName: no such kind.
        InputError: no kinds, or what `crops` refuses.
    """
    require(len(kinds) > 0, f"kinds is empty; give some of {', '.join(KINDS)}")
    for kind in kinds:
        choose(kind, dict.fromkeys(KINDS), "noise")
    source = Noise(0) if source is None else source
    clean = crops(speech, n, length, source, CROP)
    u = source.draw(torch.empty(n, 3), KIND, uniform)
    which = (u[:, 0] * len(kinds)).long()
    level = snr[0] + (snr[1] - snr[0]) * u[:, 1]
    made = {
        "pink": lambda: at_snr(clean, pink(clean, source, SHAPE), level),
        "hum": lambda: at_snr(clean, hum(clean, rate, source, LEVEL), level),
        "babble": lambda: at_snr(clean, babble(speech, clean, source.child(VOICES)), level),
        "room": lambda: reverberate(clean, rate, 0.3 + 0.4 * u[:, 2], source.child(ROOM)),
    }
    noisy = clean.clone()
    for k, kind in enumerate(kinds):
        rows = which == k
        if rows.any():
            noisy[rows] = made[kind]()[rows]
    peak = noisy.abs().amax(1, keepdim=True)
    return clean / peak, noisy / peak
