"""`girsanov train` on a folder of wav files, and `girsanov enhance`: speech with its noise taken away.

Training takes clean speech and makes the noisy partners itself: noise with a spectrum of 1/f, the hum of the mains,
a babble of the same voices at 0 to 10 dB, and rooms. Frames are of 32 ms, every 8 ms, as in SGMSE+ at 16 kHz.

Oracle: a recording through an untrained model, and what is refused (tests/cli/test_cli_enhance.py).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from girsanov.cli.console import note, say, wrote
from girsanov.cli.options import Device, RunFolder, Seed, lookup

if TYPE_CHECKING:
    from torch import Tensor

    from girsanov.data import Spectrogram
    from girsanov.denoiser import Denoiser
    from girsanov.processes import Interpolant
    from girsanov.training import Training

FRAME, HOP = 0.032, 0.008
"""Seconds of a frame, and between two."""
FRAMES = 128
"""Frames of a piece, about a second."""
PAIRS, EACH = 1000, 4
"""At most so many pairs are made, and at most so many of each second of speech."""
BATCH = 8


@dataclass(frozen=True)
class Speech:
    """What was read from a folder: all of it in a row, (L,), and its rate."""

    samples: Tensor
    rate: int
    name: str
    files: int


def holds_wavs(source: str) -> bool:
    """Whether the source is a folder of wav files."""
    path = Path(source)
    return "\0" not in source and path.is_dir() and bool(_wavs(path))


def refuse_options(source: str, network: str, label: str | None, crop: int | None) -> None:
    """Refuse the options of `train` that are for other data."""
    from girsanov.errors import require

    require(
        (network, label, crop) == ("auto", None, None),
        f"{source} holds wav files; --network, --label and --crop are for other data. Leave them out.",
    )


def train_speech(
    source: str, out: Path, *, process: str | None, steps: int, resume: bool, config: Training
) -> None:
    """Learn to enhance speech from a folder of clean recordings."""
    from girsanov.data import noisy_pairs
    from girsanov.data.noises import KINDS
    from girsanov.noise import Noise
    from girsanov.objectives import score_matching
    from girsanov.processes import PROCESSES
    from girsanov.training import Card, fit

    law = speech_process() if process is None else lookup(process, PROCESSES, "process")()
    speech = read_speech(source)
    spectrogram = spectrogram_at(speech.rate)
    length = spectrogram.length(FRAMES)
    n = min(PAIRS, EACH * math.ceil(len(speech.samples) / length))
    minutes = len(speech.samples) / speech.rate / 60
    note(f"{speech.name}: {speech.files:,} recordings, {minutes:.1f} minutes at {speech.rate:,} Hz")
    note(f"{n:,} pairs of {length / speech.rate:.2f} s, with {', '.join(KINDS)}")
    clean, noisy = noisy_pairs(speech.samples, n, length, speech.rate, kinds=KINDS, source=Noise(config.seed))
    x, y = spectrogram(clean), spectrogram(noisy)
    model = build_speech(law, spectrogram, std=float((x - y).std()), seed=config.seed)
    note(f"AnchoredUNet with {sum(p.numel() for p in model.network.parameters()):,} parameters")
    card = Card(dataset=source, data=speech_card(spectrogram, speech.rate))
    loss = score_matching(times="uniform")
    fit(model, loss, x, end=y, steps=steps, out=out, resume=resume, config=config, card=card)
    wrote(out)
    say(f"next: girsanov enhance {shlex.quote(str(out))} noisy.wav --out clean.wav")


def enhance(
    run: RunFolder,
    recording: Annotated[Path, typer.Argument(metavar="WAV", help="The noisy recording.")],
    out: Annotated[Path, typer.Option(help="The .wav file to write, mono, 16 bits.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler, two network calls each.")] = 30,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Take noise and echo away from speech, with a model trained on a folder of wav files."""
    from girsanov import inverse
    from girsanov.cli.runs import open_run
    from girsanov.data import write_wav
    from girsanov.errors import require

    opened = open_run(run, device, speech=True)
    spectrogram, rate = from_card(opened.card.data)
    require(
        out.suffix.lower() == ".wav",
        f"--out is {out}; enhance writes .wav files, so give a name that ends so",
    )
    samples = read_one(recording, spectrogram, rate)
    out.parent.mkdir(parents=True, exist_ok=True)
    note(f"enhancing {len(samples) / rate:.1f} s in {steps} steps")
    found = inverse.enhance(opened.model, samples, spectrogram, steps=steps, seed=seed)
    peak = float(found.abs().max())
    if peak > 1:
        note(f"the result reached {peak:.2f} and was made quieter, for a file holds [-1, 1]")
    write_wav(out, found / max(peak, 1.0), rate)
    wrote(out)


def read_one(path: Path, spectrogram: Spectrogram, rate: int | None) -> Tensor:
    """The samples of one recording, (T,).

    Raises:
        InputError: another rate, silence, or less than a frame.
        SavedFileError: no wav file.
    """
    from girsanov.data import read_wav
    from girsanov.errors import require

    found = read_wav(path, rate=rate)
    if found.channels > 1:
        note(f"{path} has {found.channels} channels; their mean is taken")
    require(bool(found.samples.any()), f"{path} is silent: every sample is 0. Give a recording with sound.")
    require(
        len(found.samples) >= spectrogram.n_fft,
        f"{path} has {len(found.samples)} samples, fewer than the {spectrogram.n_fft} of one frame "
        f"({FRAME * 1000:.0f} ms). Give a longer recording.",
    )
    return found.samples


def read_speech(source: str) -> Speech:
    """All recordings of a folder, which must share one sample rate.

    Raises:
        InputError: rates that differ, or a recording that `read_one` refuses.
    """
    import torch

    from girsanov.data import read_wav

    paths = _wavs(Path(source))
    rate = read_wav(paths[0]).rate
    spectrogram = spectrogram_at(rate)
    samples = torch.cat([read_one(path, spectrogram, rate) for path in paths])
    return Speech(samples, rate, source, len(paths))


def spectrogram_at(rate: int) -> Spectrogram:
    """Frames of 32 ms every 8 ms, less two samples, so that the number of bins is even: 510 and 128 at 16 kHz.

    Raises:
        InputError: a rate too low for frames.
    """
    from girsanov.data import Spectrogram
    from girsanov.errors import require

    require(rate >= 1000, f"the recordings have {rate} samples a second; give speech of at least 1,000")
    return Spectrogram(2 * round(rate * FRAME / 2) - 2, round(rate * HOP))


def speech_process() -> Interpolant:
    """The process of SGMSE+, whose complex noise of unit variance has half of it in each part."""
    from girsanov.processes import OUVE

    return OUVE(1.5, 0.05 / math.sqrt(2), 0.5 / math.sqrt(2))


def build_speech(process: Interpolant, spectrogram: Spectrogram, *, std: float, seed: int) -> Denoiser:
    """An untrained model of spectrograms, whose clean ones differ from the noisy ones by `std`.

    Raises:
        Unsuitable: a process without an anchor.
    """
    import torch

    from girsanov.denoiser import Denoiser
    from girsanov.errors import Unsuitable, require
    from girsanov.networks import AnchoredUNet

    require(
        process.end == "anchor",
        f"{process!r} does not end at the noisy speech. Leave --process out, or give ouve or mean-reverting.",
        Unsuitable,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        network = AnchoredUNet(2, std=std, width=32)
        return Denoiser(network, process, data_std=std, shape=(2, spectrogram.bins, FRAMES))


def speech_card(spectrogram: Spectrogram, rate: int) -> dict[str, Any]:
    """What a run says about its speech: `Card(data=...)` of a model that `enhance` opens."""
    return {"kind": "speech", "rate": rate, "spectrogram": asdict(spectrogram)}


def from_card(card: Mapping[str, Any]) -> tuple[Spectrogram, int]:
    """The inverse of `speech_card`. Raises SavedFileError or InputError."""
    from girsanov.data import Spectrogram
    from girsanov.data.checks import field

    told = field(card, "spectrogram", dict)
    return Spectrogram(
        field(told, "n_fft", int),
        field(told, "hop", int),
        field(told, "exponent", float),
        field(told, "factor", float),
    ), field(card, "rate", int)


def _wavs(folder: Path) -> list[Path]:
    return sorted(
        f for f in folder.iterdir() if f.suffix.lower() == ".wav" and f.name[0] != "." and f.is_file()
    )
