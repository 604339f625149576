"""Sound: wav files, and spectrograms that a network can be given.

    C(c) = factor |c|^exponent e^{i arg c}          the compression of a complex spectrum
    (B, T) waveform  →  (B, 2, bins, frames)        real and imaginary part of C(STFT), and back, exactly

Waveforms are float32 in [-1, 1]. The window is a periodic Hann, frames are centred, and the waveform is
reflected at its start and padded with zeros to whole hops at its end, so that there are 1 + ⌈T/hop⌉ frames of
n_fft/2 + 1 bins. A `UNet` takes any number of both; `PatchedUNet` pads them itself.
Source: Richter, Welker, Lemercier, Lay & Gerkmann (2023), arXiv 2208.05830, section IV-B (the compression).
Oracle: the inverse gives the waveform back; files against the standard library's `wave` (tests/data/test_audio.py).
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from girsanov import files
from girsanov.errors import InputError, SavedFileError, require, require_finite

LEVELS = 2**15
"""Steps of a 16-bit file between 0 and 1."""


class Recording(NamedTuple):
    """What a wav file holds.

    samples (T,), float32 in [-1, 1], the mean of the channels; rate in samples a second; the number of channels.
    """

    samples: Tensor
    rate: int
    channels: int


def read_wav(path: str | Path, *, rate: int | None = None) -> Recording:
    """Read a wav file of any integer or float format; several channels are averaged to one.

    Args:
        path: the file.
        rate: what the sample rate has to be; None takes any.

    Raises:
        SavedFileError: there is no such file, or it is no wav file that can be read.
        InputError: another rate, no samples, or NaN and infinities.
    """
    from scipy.io import wavfile

    path = Path(path)
    require(path.is_file(), f"there is no file {path}. Check the name and the folder.", SavedFileError)
    try:
        with warnings.catch_warnings():  # of chunks with tags, which are of no interest
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            found, values = wavfile.read(path)
    except (ValueError, EOFError, OSError) as error:
        raise SavedFileError(
            f"{path} cannot be read as a wav file: {error}. Give PCM or float samples in a .wav file."
        ) from error
    require(
        rate is None or found == rate,
        f"{path} has {found} samples a second, and {rate} are expected. Resample it first, for example: "
        f"sox {path.name} -r {rate} resampled.wav",
    )
    require(values.size > 0, f"{path} holds no samples. Give a recording.")
    samples = torch.from_numpy(_unit(values))
    require_finite(samples, f"the samples of {path}")
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    return Recording(samples if samples.ndim == 1 else samples.mean(1), int(found), channels)


def write_wav(path: str | Path, samples: Tensor, rate: int) -> None:
    """Write a mono wav file of 16 bits, whole or not at all.

    Args:
        path: the file, replaced if it is there.
        samples: (T,), in [-1, 1]; louder ones are refused, so that nothing is clipped in silence.
        rate: samples a second.

    Raises:
        InputError: another shape, no samples, values out of range.
        SavedFileError: the file cannot be written.
    """
    from scipy.io import wavfile

    require(samples.ndim == 1 and len(samples) > 0, f"samples are {tuple(samples.shape)}; give (T,), T > 0")
    require(isinstance(rate, int) and rate > 0, f"rate is {rate!r}; give samples a second, such as 16000")
    require_finite(samples, "samples")
    peak = float(samples.abs().max())
    require(peak <= 1, f"the samples reach {peak:.4g}; divide them by that, for a file holds [-1, 1]")
    values = (samples.detach().cpu().double() * LEVELS).round().clamp(-LEVELS, LEVELS - 1)
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, values.numpy().astype(np.int16))
    files.write_bytes(path, buffer.getvalue())


@dataclass(frozen=True)
class Spectrogram:
    """Waveforms (B, T) to compressed complex spectra (B, 2, bins, frames); `inverse` gives the waveforms back.

    Args:
        n_fft: samples of a frame, even; 510 at 16 kHz in SGMSE+, 254 at 8 kHz for half of the bins.
        hop: samples between two frames, at most half of a frame.
        exponent: of the compression, in (0, 1]; 1 is none.
        factor: of the compression, above 0.

    Raises:
        InputError: a setting out of range.
    """

    n_fft: int = 510
    hop: int = 128
    exponent: float = 0.5
    factor: float = 0.15

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) for n in (self.n_fft, self.hop))
        require(
            whole and self.n_fft >= 4 and self.n_fft % 2 == 0,
            f"n_fft is {self.n_fft!r}; give an even whole number of at least 4",
        )
        require(
            1 <= self.hop <= self.n_fft // 2,
            f"hop is {self.hop}; give 1 to {self.n_fft // 2}, half of n_fft",
        )
        require(0 < self.exponent <= 1, f"exponent is {self.exponent}; give a number in (0, 1]")
        require(0 < self.factor < math.inf, f"factor is {self.factor}; give a number above 0")

    @property
    def bins(self) -> int:
        """Frequencies of a frame."""
        return self.n_fft // 2 + 1

    def frames(self, length: int) -> int:
        """How many frames a waveform of that length has."""
        return 1 + math.ceil(length / self.hop)

    def length(self, frames: int) -> int:
        """The length of the longest waveform with that many frames."""
        return (frames - 1) * self.hop

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(B, T) to (B, 2, bins, frames).

        Raises:
            InputError: another shape, or waveforms shorter than a frame.
        """
        require(waveforms.ndim == 2, f"waveforms are {tuple(waveforms.shape)}; give (B, T)")
        length = waveforms.shape[1]
        require(
            length >= self.n_fft,
            f"the waveform has {length} samples, fewer than the {self.n_fft} of one frame. Give a longer one.",
        )
        whole = pad(waveforms, (0, self.length(self.frames(length)) - length))
        spectrum = torch.stft(
            whole,
            self.n_fft,
            self.hop,
            window=self._window(waveforms),
            return_complex=True,
            pad_mode="reflect",
        )
        return torch.view_as_real(self.compress(spectrum)).movedim(-1, 1).contiguous()

    def inverse(self, spectra: Tensor, length: int) -> Tensor:
        """(B, 2, bins, frames) to the waveforms (B, length)."""
        wanted = (2, self.bins, self.frames(length))
        if tuple(spectra.shape[1:]) != wanted:
            raise InputError(
                f"spectra are {tuple(spectra.shape)}; a waveform of {length} samples has (B, {wanted[0]}, "
                f"{wanted[1]}, {wanted[2]})"
            )
        spectrum = self.expand(torch.view_as_complex(spectra.movedim(1, -1).contiguous()))
        whole = self.length(wanted[2])
        window = self._window(spectra)
        return torch.istft(spectrum, self.n_fft, self.hop, window=window, length=whole)[:, :length]

    def compress(self, spectrum: Tensor) -> Tensor:
        """factor |c|^exponent e^{i arg c}."""
        return torch.polar(self.factor * spectrum.abs() ** self.exponent, spectrum.angle())

    def expand(self, spectrum: Tensor) -> Tensor:
        """The inverse of `compress`."""
        return torch.polar((spectrum.abs() / self.factor) ** (1 / self.exponent), spectrum.angle())

    def _window(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.n_fft, dtype=like.dtype, device=like.device)


def _unit(values: np.ndarray) -> np.ndarray:
    """Samples of a file as float32: full scale of an integer format is 1. Bytes are unsigned by convention."""
    if values.dtype == np.uint8:
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    if values.dtype.kind == "i":  # 24 bits come left-justified in 32
        return (values / float(-int(np.iinfo(values.dtype).min))).astype(np.float32)
    return values.astype(np.float32)
