"""A predictor with a denoiser after it: special cases that are known exactly."""

import pytest
import torch
from torch import nn

from girsanov import exact, networks, processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError
from girsanov.inverse import Regenerator, regeneration
from girsanov.noise import Noise
from girsanov.objectives import score_matching
from girsanov.solvers import grid, reverse_diffusion, sample
from girsanov.training import Training, fit

OUVE = processes.OUVE()
SHAPE = (1, 4, 4)
Y = Noise(0).draw(torch.empty(5, *SHAPE), 0)


def denoiser(process=OUVE, beside=0):
    torch.manual_seed(0)
    net = networks.UNet(2 + beside, outputs=1, width=8, levels=(1,), attention=0)
    for p in net.parameters():
        p.data.add_(0.05 * torch.randn_like(p))  # a fresh network answers zeros
    return Denoiser(networks.Beside(net) if beside else net, process, shape=SHAPE).eval()


class Halved(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, y):
        return self.gain * y


def test_the_identity_as_predictor_is_the_denoiser_alone():
    model = denoiser()
    plan = reverse_diffusion(OUVE, grid("uniform", 7)).recast(("data",))
    alone = sample(model, 5, anchor=Y, plan=plan, seed=3)
    found = Regenerator(nn.Identity(), model, sees_input=False).restore(Y, steps=7, seed=3)
    assert torch.equal(found, alone)


def test_a_perfect_guess_with_little_noise_is_the_answer():
    """x_0 ~ N(0, 1) and a guess that is x_0: with joint law and γ(1) → 0, the samples are the guess."""
    process = processes.OUVE(1.5, 5e-5, 5e-4)
    joint = exact.GaussianMixture(
        torch.zeros(1, 2, 3),
        torch.kron(torch.tensor([[1.0, 1.0], [1.0, 1.0 + 1e-10]]).double(), torch.eye(3).double())[None],
    )
    model = exact.PairedDenoiser(joint, process)
    clean = Noise(1).draw(torch.empty(6, 3, dtype=torch.float64), 0)

    class Knows(nn.Module):
        def forward(self, y):
            return clean

    found = Regenerator(Knows(), model, sees_input=False).restore(0 * clean, steps=5, seed=0)
    torch.testing.assert_close(found, clean, rtol=0, atol=5e-3)


def parts(weight, frozen=False):
    model = Regenerator(Halved(), denoiser(beside=1))
    x0 = Noise(2).draw(Y, 0)
    losses = regeneration(weight, frozen=frozen)(model, x0, end=Y, generator=Noise(4))
    return model, x0, losses


def test_the_two_parts_of_the_loss():
    model, x0, score = parts(0.0)
    alone = score_matching()(model.denoiser, x0, cond=Y, end=0.5 * Y, generator=Noise(4))
    torch.testing.assert_close(score, alone)
    guessing = parts(1.0)[2]
    torch.testing.assert_close(guessing, (0.5 * Y - x0).square().flatten(1).mean(1) / 0.5**2)
    torch.testing.assert_close(parts(0.3)[2], 0.3 * guessing + 0.7 * score)


def test_the_matching_loss_teaches_the_predictor_unless_it_is_frozen():
    model, _, losses = parts(0.0)
    losses.mean().backward()
    assert model.predictor.gain.grad.abs() > 0
    model, _, losses = parts(0.5, frozen=True)
    losses.mean().backward()
    assert model.predictor.gain.grad is None
    torch.testing.assert_close(losses, parts(0.0)[2])


def test_it_trains_with_fit_and_restores_pictures():
    """x_0 = 2 y: with the predictor's loss alone its gain goes from ½ to 2."""
    x0 = 0.2 * Noise(1).draw(torch.empty(64, *SHAPE), 0)
    model = Regenerator(Halved(), denoiser(processes.MeanReverting(std=0.1), beside=1))
    settings = Training(batch_size=16, lr=5e-2, ema=0, warmup=0, validation=0, progress=False)
    fit(model, regeneration(1.0), x0, end=x0 / 2, steps=150, config=settings)
    assert model.predictor.gain.item() == pytest.approx(2.0, abs=0.02)
    assert model.restore(x0 / 2, steps=3, seed=0).shape == x0.shape


def test_samples_do_not_depend_on_the_batch():
    model = Regenerator(Halved(), denoiser(beside=1))
    whole = model.restore(Y, steps=4, seed=0)
    torch.testing.assert_close(model.restore(Y, steps=4, seed=0, batch_size=2), whole)
    torch.testing.assert_close(model.restore(Y[:2], steps=4, seed=0), whole[:2])


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: Regenerator(nn.Identity(), denoiser(processes.VP())), "anchor"),
        (lambda: Regenerator(nn.Flatten(), denoiser()).restore(Y), "must keep the shape"),
        (lambda: Regenerator(nn.Identity(), denoiser()).restore(Y, steps=0), "steps is 0"),
        (lambda: Regenerator(nn.Identity(), denoiser()).restore(Y * torch.nan), "NaN"),
        (lambda: Regenerator(nn.Identity(), denoiser()).restore(Y), "cond"),
        (lambda: regeneration(1.5), "weight is 1.5"),
        (lambda: regeneration(-0.1), "weight is -0.1"),
        (lambda: regeneration()(denoiser(), Y, end=Y), "trains a Regenerator"),
        (lambda: regeneration()(Regenerator(nn.Identity(), denoiser()), Y), "give end="),
        (lambda: regeneration()(Regenerator(nn.Identity(), denoiser()), Y, end=Y[:2]), "give end="),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
