"""Speech enhancement: a waveform to its spectrogram, a model that restores spectrograms, and back.

    noisy/peak → spectrogram, in pieces as long as those of the training, halves overlapping
    → restored → waveforms → pieces faded into each other → · peak

The pieces of a long recording are drawn as one batch; a recording shorter than a piece is one piece of its own
length. Fades add up to one, so that a model which changes nothing gives the recording back.
Source: Richter, Welker, Lemercier, Lay & Gerkmann (2023), arXiv 2208.05830, section IV (scaling by the peak, 30
steps of reverse diffusion and one annealed Langevin correction each, r = 0.5).
Oracle: a model that answers with its anchor (tests/inverse/test_speech.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.data import Spectrogram
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.inverse.regeneration import Regenerator
from girsanov.processes import Interpolant
from girsanov.solvers import PredictorCorrector, grid, sample
from girsanov.solvers.sampling import Sampler


def speech_sampler(process: Interpolant, steps: int = 30, *, snr: float = 0.5) -> PredictorCorrector:
    """The sampler of SGMSE+: reverse diffusion, each step after one annealed Langevin correction; two calls a step."""
    return PredictorCorrector(process, grid("uniform", steps), snr=snr, step="annealed")


def enhance(
    model: AbstractDenoiser | Regenerator,
    noisy: Tensor,
    spectrogram: Spectrogram,
    *,
    steps: int | None = None,
    plan: Sampler | None = None,
    batch_size: int = 16,
    seed: int | None = None,
) -> Tensor:
    """Clean speech for noisy speech.

    Args:
        model: a denoiser of a process with an anchor, or a `Regenerator`, trained on such spectrograms.
        noisy: (T,), a recording of any length.
        spectrogram: that of the training.
        steps: of the sampler, if no plan is given: 30 of `speech_sampler`, 10 of a `Regenerator`.
        plan: any other sampler of the process.
        batch_size: pieces per network call; changes speed and memory only.
        seed: an integer for the same draw again.

    Returns:
        (T,), at the level of the recording.

    Raises:
        InputError: another shape, NaN, silence, or a recording shorter than a frame.
        Unsuitable: a process without an anchor.
    """
    require(noisy.ndim == 1 and len(noisy) > 0, f"noisy is {tuple(noisy.shape)}; give (T,), T > 0")
    require_finite(noisy, "noisy")
    peak = noisy.abs().max()
    require(bool(peak > 0), "the recording is silent: every sample is 0. Give one with sound.")
    process = model.process
    require(
        isinstance(process, Interpolant) and process.end == "anchor",
        f"enhance needs a process that ends at the noisy speech, and {process!r} has no anchor",
        Unsuitable,
    )
    assert isinstance(process, Interpolant)
    size = len(noisy) if model.shape is None else spectrogram.length(model.shape[-1])
    pieces = cut(noisy / peak, min(size, len(noisy)))
    y = spectrogram(pieces)
    if isinstance(model, Regenerator):
        x = model.restore(y, steps=steps or 10, plan=plan, batch_size=batch_size, seed=seed)
    else:
        sampler = plan or speech_sampler(process, steps or 30)
        x = sample(
            model, len(y), anchor=y, plan=sampler, batch_size=batch_size, seed=seed, shape=tuple(y.shape[1:])
        )
    return peak * join(spectrogram.inverse(x.cpu(), pieces.shape[1]), len(noisy))


def cut(x: Tensor, size: int) -> Tensor:
    """Pieces (n, size) of x (T,), size ≤ T, each overlapping the next by half or more."""
    return torch.stack([x[start : start + size] for start in _starts(len(x), size)])


def join(pieces: Tensor, length: int) -> Tensor:
    """The inverse of `cut`: pieces (n, size) weighted by triangles that are scaled to add up to one, (length,)."""
    size = pieces.shape[1]
    ramp = torch.arange(size, dtype=pieces.dtype)
    weight = torch.minimum(ramp + 1, size - ramp) / size
    total, shares = pieces.new_zeros(length), pieces.new_zeros(length)
    for piece, start in zip(pieces, _starts(length, size), strict=True):
        total[start : start + size] += weight * piece
        shares[start : start + size] += weight
    return total / shares


def _starts(length: int, size: int) -> list[int]:
    """Where pieces start: every half piece, the last one at the end."""
    return [*range(0, length - size, max(size // 2, 1)), length - size]
