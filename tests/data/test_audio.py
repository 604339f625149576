"""Wav files against the standard library's reader and writer, and spectrograms against their own inverse."""

import math
import wave

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from girsanov import data
from girsanov.data import Spectrogram, read_wav, sets, write_wav
from girsanov.errors import InputError, MissingExtra, SavedFileError

TONE = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(4000) / 8000)


def pcm(path, values, width, channels=1, rate=8000):
    """A file of signed integers of `width` bytes (unsigned if one), by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        shift = 128 if width == 1 else 0
        file.writeframes(
            b"".join((int(v) + shift).to_bytes(width, "little", signed=width > 1) for v in values)
        )


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_integer_format_is_read_at_full_scale_one(tmp_path, width):
    full = 2 ** (8 * width - 1)
    pcm(tmp_path / "x.wav", [0, full // 2, -full, full - 1], width)
    found = read_wav(tmp_path / "x.wav", rate=8000)
    assert (found.rate, found.channels, found.samples.dtype) == (8000, 1, torch.float32)
    assert found.samples.tolist() == pytest.approx([0, 0.5, -1, 1 - 1 / full], abs=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_are_read_as_they_are(tmp_path, kind):
    wavfile.write(tmp_path / "x.wav", 16000, np.array([0.25, -0.5, 1.5], kind))
    assert read_wav(tmp_path / "x.wav").samples.tolist() == [0.25, -0.5, 1.5]


def test_channels_are_averaged_and_counted(tmp_path):
    pcm(tmp_path / "x.wav", [16384, -16384, 8192, 0], 2, channels=2)
    found = read_wav(tmp_path / "x.wav")
    assert (found.channels, found.samples.tolist()) == (2, [0.0, 0.125])


def test_what_is_written_is_read_by_the_standard_library(tmp_path):
    write_wav(tmp_path / "x.wav", TONE, 8000)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        values = np.frombuffer(file.readframes(4000), "<i2") / 2**15
    np.testing.assert_allclose(values, TONE.numpy(), atol=0.5 / 2**15 + 1e-7)
    write_wav(tmp_path / "x.wav", torch.tensor([1.0, -1.0]), 8000)
    assert read_wav(tmp_path / "x.wav").samples.tolist() == [1 - 2**-15, -1]


@pytest.mark.parametrize(
    "make, says, error",
    [
        (lambda path: None, "there is no file", SavedFileError),
        (lambda path: path.write_bytes(b"no sound"), "cannot be read", SavedFileError),
        (lambda path: path.write_bytes(b""), "cannot be read", SavedFileError),
        (lambda path: pcm(path, [0, 1], 2, rate=44100), "44100 samples a second, and 8000", InputError),
        (lambda path: pcm(path, [], 2), "holds no samples", InputError),
        (lambda path: wavfile.write(path, 8000, np.array([0.0, np.nan], np.float32)), "NaN", InputError),
    ],
)
def test_bad_files_are_refused(tmp_path, make, says, error):
    make(tmp_path / "x.wav")
    with pytest.raises(error, match=says):
        read_wav(tmp_path / "x.wav", rate=8000)


@pytest.mark.parametrize(
    "samples, rate, says",
    [
        (torch.zeros(2, 3), 8000, "give \\(T,\\)"),
        (torch.zeros(0), 8000, "give \\(T,\\)"),
        (torch.tensor([2.0]), 8000, "reach 2"),
        (torch.tensor([math.nan]), 8000, "NaN"),
        (torch.zeros(3), 0, "rate is 0"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(tmp_path, samples, rate, says):
    with pytest.raises(InputError, match=says):
        write_wav(tmp_path / "x.wav", samples, rate)
    assert not (tmp_path / "x.wav").exists()


@pytest.mark.parametrize("length", [254, 255, 4000, 8128])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_inverse_gives_the_waveform_back(length, exponent):
    x = torch.randn(3, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrogram = Spectrogram(254, 64, exponent, 0.2)
    spectra = spectrogram(x)
    assert spectra.shape == (3, 2, 128, spectrogram.frames(length))
    torch.testing.assert_close(spectrogram.inverse(spectra, length), x, rtol=0, atol=1e-10)


def test_compression_is_of_the_absolute_value_and_is_undone():
    c = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.complex128)
    spectrogram = Spectrogram(exponent=0.5, factor=0.15)
    found = spectrogram.compress(c)
    torch.testing.assert_close(found.abs(), 0.15 * c.abs().sqrt())
    torch.testing.assert_close(found.angle(), c.angle())
    torch.testing.assert_close(spectrogram.expand(found), c)
    assert spectrogram.compress(torch.zeros(1, dtype=torch.complex64)).abs().item() == 0


def test_a_tone_is_in_its_bin():
    spectrogram = Spectrogram(254, 64)
    x = torch.cos(2 * math.pi * 20 * torch.arange(8128) / 254)[None]
    power = spectrogram(x)[0].norm(dim=0)[:, 10:-10]
    assert power.mean(1).argmax().item() == 20


def test_128_frames_are_asked_for_by_length():
    spectrogram = Spectrogram(254, 64)
    assert spectrogram.frames(spectrogram.length(128)) == 128 and spectrogram.bins == 128


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Spectrogram(255, 64), "n_fft is 255"),
        (lambda: Spectrogram(254, 0), "hop is 0"),
        (lambda: Spectrogram(254, 128), "1 to 127"),
        (lambda: Spectrogram(exponent=0.0), "exponent"),
        (lambda: Spectrogram(factor=-1.0), "factor"),
        (lambda: Spectrogram(254, 64)(torch.zeros(1, 253)), "fewer than the 254 of one frame"),
        (lambda: Spectrogram(254, 64)(torch.zeros(300)), "give \\(B, T\\)"),
        (lambda: Spectrogram(254, 64).inverse(torch.zeros(1, 2, 128, 9), 4000), "has \\(B, 2, 128, 64\\)"),
    ],
)
def test_bad_settings_and_shapes_are_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_prompts_are_the_files_without_tones_and_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "PROMPTS", tmp_path)
    for name in ("b", "digits/a", "beep", "silence/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_wav(tmp_path / f"{name}.wav", TONE[: 300 if name == "b" else 400], 8000)
    assert [len(x) for x in data.speech()] == [300, 400]


def test_missing_prompts_are_refused_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "PROMPTS", tmp_path / "nowhere")
    with pytest.raises(MissingExtra, match="apt-get install asterisk-core-sounds-en-wav"):
        data.speech()
