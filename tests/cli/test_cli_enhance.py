"""`train` on a folder of wav files and `enhance`, on synthesized tones; what is refused, and what is said."""

import math

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from girsanov import training
from girsanov.cli import speech as commands
from girsanov.data import read_wav, write_wav
from girsanov.networks import AnchoredUNet

QUICK = ("--steps", 2)


def tone(seconds, pitch, rate=8000):
    t = torch.arange(int(seconds * rate)) / rate
    return 0.5 * torch.sin(2 * math.pi * pitch * t) * (1 + torch.sin(2 * math.pi * 3 * t)) / 2


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """A folder of two recordings, one of them with two channels."""
    folder = tmp_path_factory.mktemp("voices")
    write_wav(folder / "a.wav", tone(1.2, 400), 8000)
    stereo = torch.stack([tone(0.9, 700), tone(0.9, 900)], 1).numpy()
    wavfile.write(folder / "b.wav", 8000, stereo)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run: it takes the noisy speech for the clean one, up to its own noise."""
    folder = tmp_path_factory.mktemp("runs") / "speech"
    spectrogram = commands.spectrogram_at(8000)
    model = commands.build_speech(commands.speech_process(), spectrogram, std=0.07, seed=0)
    card = training.Card(data=commands.speech_card(spectrogram, 8000))
    return training.save(model, folder, card=card)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav("noisy.wav", tone(1.5, 500), 8000)
    write_wav("fast.wav", tone(1.5, 500, 16000), 16000)
    write_wav("silent.wav", torch.zeros(8000), 8000)
    write_wav("short.wav", tone(0.02, 500), 8000)
    (tmp_path / "text.wav").write_text("no sound")
    return tmp_path


def test_frames_are_those_of_sgmse_at_16_khz():
    found = commands.spectrogram_at(16000)
    assert (found.n_fft, found.hop, found.bins) == (510, 128, 256)
    assert (commands.spectrogram_at(8000).n_fft, commands.spectrogram_at(8000).hop) == (254, 64)


def test_train_and_enhance(girsanov, voices, place, monkeypatch):
    monkeypatch.setattr(
        "girsanov.networks.AnchoredUNet", lambda *a, **k: AnchoredUNet(*a, **{**k, "width": 8})
    )
    said = girsanov("train", voices, "--out", "run", "--batch-size", 2, *QUICK)
    assert said.code == 0, said.err
    assert "2 recordings" in said.err and "b.wav has 2 channels; their mean is taken" in said.err
    assert "next: girsanov enhance run noisy.wav --out clean.wav" in said.out
    model = training.load("run")
    assert model.shape == (2, 128, 128) and model.process == commands.speech_process()
    said = girsanov("enhance", "run", "noisy.wav", "--out", "new/clean.wav", *QUICK)
    assert said.code == 0, said.err
    assert said.out == "wrote new/clean.wav\n"
    found = read_wav("new/clean.wav", rate=8000)
    assert found.samples.shape == (12000,) and found.samples.std() > 0
    info = girsanov("info", "run")
    assert info.code == 0 and "girsanov enhance run noisy.wav" in info.out


def test_the_seed_fixes_the_result(girsanov, run, place):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert girsanov("enhance", run, "noisy.wav", "--out", f"{name}.wav", "--seed", seed, *QUICK).code == 0
    a, b, c = (wavfile.read(f"{name}.wav")[1] for name in "abc")
    assert (a == b).all() and (a != c).any()


def test_two_channels_are_averaged_and_it_is_said(girsanov, run, place):
    both = np.stack([tone(1.5, 500).numpy()] * 2, 1)
    wavfile.write("stereo.wav", 8000, both.astype(np.float32))
    said = girsanov("enhance", run, "stereo.wav", "--out", "x.wav", *QUICK)
    assert said.code == 0 and "stereo.wav has 2 channels; their mean is taken" in said.err
    girsanov("enhance", run, "noisy.wav", "--out", "y.wav", *QUICK)
    x, y = (wavfile.read(name)[1].astype(float) for name in ("x.wav", "y.wav"))
    assert np.abs(x - y).max() <= 0.01 * np.abs(y).max()  # the files differ by the rounding of the input


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["fast.wav"], "has 16000 samples a second, and 8000 are expected"),
        (["silent.wav"], "silent.wav is silent"),
        (["short.wav"], "fewer than the 254 of one frame (32 ms)"),
        (["text.wav"], "cannot be read as a wav file"),
        (["missing.wav"], "there is no file missing.wav"),
        (["noisy.wav", "--out", "x.mp3"], "writes .wav files"),
    ],
)
def test_bad_input_is_one_message(girsanov, run, place, arguments, says):
    out = [] if "--out" in arguments else ["--out", "x.wav"]
    said = girsanov("enhance", run, *arguments, *out, *QUICK)
    assert (said.code, said.out) == (2, "")
    assert says in said.err and "Traceback" not in said.err
    assert not (place / "x.wav").exists()


def test_runs_of_one_kind_are_not_taken_for_the_other(girsanov, run, gaussian, place):
    said = girsanov("enhance", gaussian, "noisy.wav", "--out", "x.wav")
    assert said.code == 2 and "girsanov train FOLDER-OF-WAVS" in said.err
    said = girsanov("sample", run, "-n", 2, "--out", "x.npy")
    assert said.code == 2 and "girsanov enhance" in said.err


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--process", "vp"], "does not end at the noisy speech"),
        (["--label", "kind"], "--label and --crop are for other data"),
        (["--network", "mlp"], "--network, --label and --crop"),
    ],
)
def test_options_of_other_data_are_refused(girsanov, voices, place, arguments, says):
    said = girsanov("train", voices, "--out", "run", *arguments, *QUICK)
    assert said.code == 2 and says in said.err and not (place / "run").exists()


def test_recordings_of_two_rates_are_refused(girsanov, place):
    (place / "mixed").mkdir()
    write_wav("mixed/a.wav", tone(1.2, 400), 8000)
    write_wav("mixed/b.wav", tone(1.2, 400, 16000), 16000)
    said = girsanov("train", "mixed", "--out", "run", *QUICK)
    assert said.code == 2 and "b.wav has 16000 samples a second, and 8000 are expected" in said.err
