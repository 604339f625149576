"""The bound without a time: tight for independent places, an average over orders with exact conditionals."""

import math

import pytest
import torch

import girsanov as gv
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import SequenceTable
from girsanov.networks import TokenTransformer
from girsanov.noise import Noise
from girsanov.objectives import masked_nelbo, score_matching
from girsanov.processes import VP, Masked
from girsanov.solvers import masked_bound
from girsanov.training import Training

FACTORS = torch.tensor([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]]).double()


def independent():
    return SequenceTable(torch.einsum("a,b,c,d->abcd", *FACTORS))


def chain():
    """A Markov chain on three values: places that depend on each other."""
    step = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]]).double()
    return SequenceTable(
        torch.einsum("a,ab,bc,cd->abcd", torch.tensor([0.5, 0.3, 0.2]).double(), step, step, step)
    )


@pytest.mark.parametrize("law", [independent(), chain()])
def test_with_exact_conditionals_the_bound_is_tight(law):
    """Each order of the chain rule gives log p exactly, so their mean does."""
    model, x = law.denoiser(Masked(3)), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 1]])
    n = 4000
    losses = masked_nelbo()(model, x.repeat(n, 1), generator=Noise(0)).reshape(n, 2)
    error = losses.std(0) / n**0.5
    assert bool(((losses.mean(0) * 4 + law.log_prob(x)).abs() < 4.5 * 4 * error).all())
    bound = masked_bound(model, x.repeat(n, 1), 4, generator=Noise(1)).reshape(n, 2)
    assert bool(((bound.mean(0) - law.log_prob(x)).abs() < 4.5 * bound.std(0) / n**0.5).all())


def test_a_wrong_model_is_further_away_by_its_divergence():
    """Uniform answers cost log 3 a place whatever is masked: without any sampling error."""
    model = gv.Denoiser(
        TokenTransformer(3, 4, width=8, depth=1, heads=1), Masked(3), predicts="logits", data_std=None
    )
    x = torch.randint(0, 3, (50, 4))
    loss = masked_nelbo()(model, x, generator=Noise(0))
    assert torch.allclose(loss, torch.full((50,), math.log(3)))
    assert torch.allclose(masked_bound(model, x, 3), torch.full((50,), -4 * math.log(3)).double(), atol=1e-5)
    assert float(gv.bits_per_dim(masked_bound(model, x, 3), 4)[0]) == pytest.approx(math.log2(3), abs=1e-6)


def test_the_loss_depends_on_its_key_only():
    model, x = chain().denoiser(Masked(3)), torch.randint(0, 3, (6, 4))
    whole = masked_nelbo()(model, x, generator=Noise(5))
    parts = [masked_nelbo()(model, x[i : i + 3], generator=Noise(5, first=i)) for i in (0, 3)]
    assert torch.equal(whole, torch.cat(parts)) and whole.shape == (6,)


@pytest.mark.parametrize("timed", [False, True])
def test_a_network_learns_learnable_words_and_is_saved(tmp_path, timed):
    """Two words, each as often: log 2 nats a word; independent places would cost four times that."""
    x = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]]).repeat(50, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TokenTransformer(2, 4, width=32, depth=2, heads=2, timed=timed)
    model = gv.Denoiser(network, Masked(2, "cosine"), predicts="logits", data_std=None)
    config = Training(batch_size=32, lr=3e-3, seed=0, device="cpu")
    gv.fit(model, masked_nelbo(), x, steps=300, out=tmp_path / "run", config=config)
    found = float(masked_bound(model, x, 4, generator=Noise(0)).mean())
    assert -math.log(2) - 0.1 < found < -math.log(2) + 1e-3
    words = gv.sample(model, 64, seed=0)
    assert words.dtype == torch.int64 and words.shape == (64, 4)
    assert float((words[:, 0] == words[:, 1]).double().mean()) > 0.95
    again = gv.load(tmp_path / "run")
    assert again.process == model.process and torch.equal(gv.sample(again, 64, seed=0), words)


def test_what_does_not_fit_is_refused():
    model = chain().denoiser(Masked(3))
    with pytest.raises(InputError, match="3, which is the mask"):
        masked_nelbo()(model, torch.tensor([[0, 1, 2, 3]]))
    with pytest.raises(InputError, match="integers"):
        masked_nelbo()(model, torch.rand(2, 4))
    with pytest.raises(InputError, match="no x_1"):
        masked_nelbo()(model, torch.zeros(2, 4, dtype=torch.int64), end=torch.zeros(2, 4))
    gaussian = gv.exact.Gaussian(torch.zeros(2), 1.0).denoiser(VP())
    with pytest.raises(Unsuitable, match="Masked"):
        masked_nelbo()(gaussian, torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(InputError):
        score_matching()(gaussian, torch.zeros(2, 2, dtype=torch.int64))
