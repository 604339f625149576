"""How good enhanced speech is, against the clean speech.

    SI-SDR   10 log₁₀(|s|²/|e - s|²),  s = (⟨e, r⟩/|r|²) r, both without their means: dB, whatever the level
    ESTOI    a correlation of short-time spectra in third-octave bands, in about [0, 1]: intelligibility
    LSD      mean over frames of the root mean square over bins of 10 log₁₀(|R|²/|E|²): dB, 0 for equal spectra

All take estimates and references (B, T) and answer (B,) in float64. The first judges the waveform, so a better
sounding estimate with another phase is bad; the last is blind to phase.
Source: Le Roux, Wisdom, Erdogan & Hershey (2019), SDR: half-baked or well done?, equation 5; Jensen & Taal (2016)
for ESTOI, computed by pystoi (extra `audio`); Gray & Markel (1976) for the log-spectral distance.
Oracle: noise of known power, scaled spectra (tests/metrics/test_audio_metrics.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import extra, require, require_finite

FLOOR = 1e-8
"""Added to powers relative to the largest of the reference, -80 dB, so that digital silence has a logarithm."""


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """The scale-invariant signal-to-distortion ratio in dB, (B,); inf for a scaled copy.

    Raises:
        InputError: shapes that differ, a silent reference.
    """
    e, r = _checked(estimate, reference)
    e, r = (x - x.mean(1, keepdim=True) for x in (e, r))
    power = r.square().sum(1, keepdim=True)
    require(bool((power > 0).all()), "a row of the reference is silent; leave it out")
    target = (e * r).sum(1, keepdim=True) / power * r
    return 10 * (target.square().sum(1) / (e - target).square().sum(1)).log10()


def estoi(estimate: Tensor, reference: Tensor, rate: int) -> Tensor:
    """Extended short-time objective intelligibility, (B,); it needs about half a second of speech.

    Raises:
        InputError: shapes that differ.
        MissingExtra: pystoi is not installed.
    """
    e, r = _checked(estimate, reference)
    measure = extra("pystoi", "audio").stoi
    pairs = zip(r.cpu().numpy(), e.cpu().numpy())
    return torch.tensor([measure(x, y, rate, extended=True) for x, y in pairs], dtype=torch.float64)


def log_spectral_distance(estimate: Tensor, reference: Tensor, *, n_fft: int = 256, hop: int = 64) -> Tensor:
    """The log-spectral distance in dB, (B,); powers 80 dB below the loudest of the reference count as equal.

    Raises:
        InputError: shapes that differ, or waveforms shorter than a frame.
    """
    e, r = _checked(estimate, reference)
    require(r.shape[1] >= n_fft, f"the waveforms have {r.shape[1]} samples; give at least {n_fft}")
    window = torch.hann_window(n_fft, dtype=torch.float64, device=r.device)
    power = [torch.stft(x, n_fft, hop, window=window, return_complex=True).abs().square() for x in (e, r)]
    floor = FLOOR * power[1].amax((1, 2), keepdim=True)
    ratio = 10 * ((power[1] + floor) / (power[0] + floor)).log10()
    return ratio.square().mean(1).sqrt().mean(1)


def _checked(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    require(
        estimate.ndim == 2 and estimate.shape == reference.shape and estimate.numel() > 0,
        f"estimate is {tuple(estimate.shape)} and reference {tuple(reference.shape)}; give (B, T) twice",
    )
    for values, name in ((estimate, "estimate"), (reference, "reference")):
        require_finite(values, name)
    return estimate.double(), reference.double()
