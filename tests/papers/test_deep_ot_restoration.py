"""What deep optimal transport is measured on, and its measures on numbers written by hand."""

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers.inverse import deep_ot_restoration as paper


def test_no_picture_has_two_uses():
    x = paper.known(2)
    assert [len(part) for part in x] == [8000, 200, 200, 500, 500]
    rows = torch.cat([part[:200].flatten(1) for part in x])
    assert len(rows.unique(dim=0)) == 1000
    assert not torch.equal(paper.known(1).truth, x.truth)


def test_a_law_is_at_no_distance_from_itself_and_blur_is_seen():
    x = paper.known(0).truth[:100]
    assert paper.distance(x, x) < 1e-6
    assert paper.distance(paper.blocks(x, Noise(0)), x) > 0.1


def test_blocks_are_means_and_weak_total_variation_leaves_noise_in():
    x = paper.known(0).truth[:20]
    given = paper.blocks(x, Noise(0))
    assert given[0, 0, 5, 6] == pytest.approx(float(x[0, 0, 4:8, 4:8].mean()), abs=1e-6)
    y = paper.noise(x, Noise(0))
    errors = [float((v - x).square().mean()) for v in (y, paper.total_variation(y))]
    assert errors[0] == pytest.approx(paper.SIGMA**2, rel=0.05)
    assert 0.1 * errors[0] < errors[1] < 0.7 * errors[0]


def test_the_autoencoder_gives_pictures_back():
    x = paper.known(0).train[:500]
    encoder, decoder = paper.autoencoder(x, seed=0, steps=60)
    assert encoder(x[:3]).shape == (3, 4, 14, 14)
    assert float((decoder(encoder(x)) - x).square().mean()) < 0.2 * float(x.var())
    assert not any(p.requires_grad for p in (*encoder.parameters(), *decoder.parameters()))


def test_rank_correlations():
    assert paper.rank_correlation([1.0, 2.0, 5.0, 9.0]) == pytest.approx(1)
    assert paper.rank_correlation([9.0, 2.0, 1.0, 0.0]) == pytest.approx(-1)
    assert paper.rank_correlation([1.0, 3.0, 2.0]) == pytest.approx(0.5)


def test_the_best_error_counts_only_nearer_to_real_pictures():
    line = paper.Scores([5.0, 2.0, 3.0, 4.0], [1.0, 9.0, 1.0, 2.0])
    assert paper.best_of(line) == 3.0
    assert paper.best_of(paper.Scores([5.0, 4.0], [3.0, 2.0])) == 4.0
