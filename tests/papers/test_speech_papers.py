"""What the papers on speech share: the split, the pairs, the measures."""

import pytest
import torch

from girsanov.papers import BUDGETS, speech
from girsanov.papers.processes import sgmse, storm
from girsanov.papers.speech import Pairs, Predictor, Scale

SMOKE = Scale.of(BUDGETS["smoke"])


def test_held_out_speech_is_not_trained_on():
    train, fresh = speech.corpus(False)
    assert (len(train), len(fresh)) == (8 * speech.RATE, 2 * speech.RATE)
    windows = {tuple(w.tolist()) for w in train.unfold(0, 100, 1)[::1]}
    assert not any(tuple(w.tolist()) in windows for w in fresh.unfold(0, 100, 50) if w.abs().sum() > 0.1)


def test_pairs_fill_whole_frames_and_differ_between_training_and_test():
    known, fresh = speech.pairs(SMOKE), speech.pairs(SMOKE, fresh=True)
    assert speech.SPECTROGRAM(known.clean).shape == (4, 2, 128, 64)
    assert fresh.clean.shape == (2, 63 * 64)
    assert not torch.allclose(known.clean[:2], fresh.clean)


def test_a_fresh_predictor_changes_nothing_and_has_the_size_of_the_denoiser():
    y = torch.randn(2, 2, 128, 64)
    assert torch.equal(Predictor(0.1)(y), y)
    count = sum(p.numel() for p in Predictor(0.1).parameters())
    model = speech.enhancer(SMOKE, speech.NOISES, steps=1, seed=0)
    assert count == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.02)


def test_the_noise_of_the_process_is_half_of_the_papers_in_each_part():
    assert 2 * speech.PROCESS.schedule.sigma_max**2 == pytest.approx(0.25)


def test_leaks_are_counted_where_nobody_speaks():
    known = storm.paused(SMOKE, 0)
    assert known.clean[:, known.clean.shape[1] // 2 :].abs().max() == 0
    assert storm.leak(known.noisy, known) == pytest.approx(1)
    assert storm.leak(known.clean, known) == 0
    assert storm.leak(0.5 * known.noisy, known) == pytest.approx(0.25)


def test_a_gain_is_the_ratio_after_minus_before():
    known = speech.pairs(SMOKE, fresh=True)
    exact = Pairs(known.clean, known.clean + 0.1 * (known.noisy - known.clean))
    gain = sgmse.ratio(exact.noisy, exact.clean) - sgmse.ratio(known.noisy, known.clean)
    assert gain == pytest.approx(20, abs=0.5)
