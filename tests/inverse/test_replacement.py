"""Inpainting and colorization against the exact posterior of a mixture, and what they refuse."""

import math

import pytest
import torch
from oracles import ONE_SIDED, mixture

from girsanov import inverse, processes, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import GaussianMixture
from girsanov.inverse.replacement import default_sampler
from girsanov.noise import Noise

VP = processes.VP()
LAW = mixture(dim=6, components=4, seed=1)
MODEL = LAW.denoiser(VP)
MASK = torch.tensor([1, 1, 1, 0, 0, 0])
IMAGE = LAW.sample(1, generator=Noise(3))[0].float()
COLOURS = GaussianMixture(mixture(dim=12, components=3, seed=2).means.reshape(3, 3, 2, 2), 0.1)
GREY = COLOURS.sample(1, generator=Noise(4))[0].float().mean(0, keepdim=True)

SAMPLERS = {
    "default": None,
    "norms": solvers.PredictorCorrector(VP, solvers.grid("uniform", 6)),
    "plan": solvers.ancestral(VP, solvers.grid("log-snr", 12)),
    "deterministic plan": solvers.dpm_multistep(VP, solvers.grid("log-snr", 12)),
    "not to zero": solvers.ancestral(VP, solvers.grid("log-snr", 12, to_zero=False)),
}


def assert_keeps_what_is_known(process, plan):
    filled = inverse.inpaint(LAW.denoiser(process), IMAGE, MASK, n=3, plan=plan, steps=4, seed=0)
    assert filled.shape == (3, 6)
    assert (filled[:, :3] == IMAGE[:3]).all()
    assert (filled[:, 3:].std(0) > 0).all()


@pytest.mark.parametrize("plan", SAMPLERS.values(), ids=SAMPLERS)
def test_known_pixels_are_kept_to_the_bit(plan):
    assert_keeps_what_is_known(VP, plan)


@pytest.mark.parametrize("name", ["CosineVP", "SubVP", "VE", "EDM", "RectifiedFlow", "DDPM"])
def test_every_one_sided_process_can_be_used(name):
    assert_keeps_what_is_known(ONE_SIDED[name], None)


def error_of_mean(draw, images=4, n=256):
    """Distance of draw(image, n) to the posterior's mean over the hidden part, in posterior standard
    deviations (rms), averaged over images."""
    hidden, total = MASK == 0, 0.0
    for image in LAW.sample(images, generator=Noise(5)).float():
        exact = LAW.posterior(torch.eye(6).double()[~hidden], image[~hidden], noise=0.0)
        away = (draw(image, n).double().mean(0) - exact.mean) / exact.covariance.diagonal().sqrt()
        total += away[hidden].square().mean().sqrt().item() / images
    return total


def filling(steps=50, plan=None):
    return lambda image, n: inverse.inpaint(MODEL, image, MASK, n=n, plan=plan, steps=steps, seed=0)


def langevin(corrections, steps):
    times = solvers.grid("log-snr", steps)
    return solvers.PredictorCorrector(
        VP, times, predictor=solvers.ancestral, corrections=corrections, snr=0.5, step="annealed"
    )


def test_the_bias_is_what_the_head_of_the_module_says():
    """There is one; it is well below that of ancestral steps alone, at as many calls."""
    default = error_of_mean(filling())
    alone = error_of_mean(filling(plan=solvers.ancestral(VP, solvers.grid("log-snr", 250))))
    assert 0.1 < default < 0.75 * alone < 0.75


def test_more_corrections_lower_the_bias():
    few, many = (error_of_mean(filling(plan=langevin(corrections, 25))) for corrections in (1, 16))
    assert many < 0.75 * few


def test_the_measured_bias_would_show_a_sampler_that_ignores_the_picture():
    prior = solvers.sample(MODEL, 256, steps=20, seed=0)
    assert error_of_mean(lambda image, n: prior[:n]) > 2 * error_of_mean(filling())


def test_colours_keep_the_grey_image():
    for plan in (None, solvers.ancestral(VP, solvers.grid("log-snr", 10))):
        coloured = inverse.colorize(COLOURS.denoiser(VP), GREY, n=4, steps=4, plan=plan, seed=0)
        assert coloured.shape == (4, 3, 2, 2)
        torch.testing.assert_close(coloured.mean(1), GREY.expand(4, 2, 2), rtol=1e-5, atol=1e-5)
        assert (coloured - coloured.mean(1, keepdim=True)).abs().mean() > 0.05


def test_an_image_of_three_channels_gives_its_mean():
    colour = COLOURS.sample(1, generator=Noise(4))[0].float()
    model = COLOURS.denoiser(VP)
    first = inverse.colorize(model, colour, steps=4, seed=0)
    torch.testing.assert_close(first, inverse.colorize(model, GREY, steps=4, seed=0))


def test_colorization_is_inpainting_of_rotated_colours():
    """The same network calls, with the rotation written out: one coordinate known, three channels mixed."""
    q = torch.linalg.qr(torch.tensor([[1.0, 1, 0], [1, 0, 1], [1, 0, 0]]).double())[0]
    q = q * torch.sign(q[0, 0])
    torch.testing.assert_close(q[:, 0], torch.full((3,), 1 / math.sqrt(3)).double())
    turned = GaussianMixture(torch.einsum("kchw,cd->kdhw", COLOURS.means.reshape(3, 3, 2, 2), q), 0.1)
    known = torch.tensor([1, 0, 0]).reshape(3, 1, 1).expand(3, 2, 2)
    picture = math.sqrt(3) * GREY.expand(3, 2, 2)
    rotated = inverse.inpaint(turned.denoiser(VP), picture, known, n=1000, steps=10, seed=1, batch_size=1000)
    back = torch.einsum("bdhw,cd->bchw", rotated.double(), q)
    direct = inverse.colorize(COLOURS.denoiser(VP), GREY, n=1000, steps=10, seed=0, batch_size=1000).double()
    spread = direct.std(0) / math.sqrt(500)
    assert ((back.mean(0) - direct.mean(0)).abs() < 5 * spread + 1e-4).all()
    assert ((back.std(0) / direct.std(0)).log().abs() < 0.15).all()


def test_draws_differ_and_seeds_repeat_them():
    first = inverse.inpaint(MODEL, IMAGE, MASK, n=4, steps=4, seed=7)
    assert torch.equal(first, inverse.inpaint(MODEL, IMAGE, MASK, n=4, steps=4, seed=7))
    assert (first - inverse.inpaint(MODEL, IMAGE, MASK, n=4, steps=4, seed=8))[:, 3:].abs().min() > 0
    assert (first[0] - first[1])[3:].abs().min() > 0
    unseeded = [inverse.inpaint(MODEL, IMAGE, MASK, steps=4) for _ in range(2)]
    assert not torch.equal(*unseeded)


@pytest.mark.parametrize("plan", [None, SAMPLERS["plan"]], ids=["default", "plan"])
def test_a_filling_does_not_depend_on_its_batch(plan):
    whole = inverse.inpaint(MODEL, IMAGE, MASK, n=7, plan=plan, steps=6, seed=0)
    split = inverse.inpaint(MODEL, IMAGE, MASK, n=7, plan=plan, steps=6, seed=0, batch_size=3)
    torch.testing.assert_close(whole, split, rtol=1e-4, atol=1e-4)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    inverse.inpaint(MODEL, IMAGE, MASK, steps=3)
    assert torch.equal(before, torch.get_rng_state())


def test_calls_are_those_of_the_sampler():
    asked = []
    handle = MODEL.register_forward_hook(lambda *_: asked.append(1))
    inverse.inpaint(MODEL, IMAGE, MASK, n=2, steps=7, seed=0)
    handle.remove()
    assert len(asked) == default_sampler(VP, 7).calls == 35


def test_masks_broadcast_and_hidden_pixels_may_be_missing():
    model = COLOURS.denoiser(VP)
    image = COLOURS.sample(1, generator=Noise(1))[0].float()
    mask = torch.tensor([[True, False], [True, True]])
    holes = torch.where(mask, image, float("nan"))
    filled = inverse.inpaint(model, holes, mask, n=2, steps=4, seed=0)
    assert torch.isfinite(filled).all() and (filled[:, :, mask] == image[:, mask]).all()
    torch.testing.assert_close(filled, inverse.inpaint(model, image, mask.float(), n=2, steps=4, seed=0))


def test_classes_are_passed_on():
    law = GaussianMixture(torch.tensor([[0.0, 2.0], [0.0, -2.0]]), 0.01, labels=torch.tensor([0, 1]))
    for label, sign in ((0, 1.0), (1, -1.0)):
        filled = inverse.inpaint(
            law.denoiser(VP), torch.zeros(2), torch.tensor([1, 0]), n=20, cond=label, steps=10, seed=0
        )
        assert (filled[:, 1] * sign > 1).all()


@pytest.mark.parametrize(
    "image, mask, says",
    [
        (IMAGE, torch.tensor([0.5, 1, 1, 0, 0, 0]), "mask holds 0.5"),
        (IMAGE, torch.tensor([float("nan"), 1, 1, 0, 0, 0]), "mask holds nan"),
        (IMAGE, 255 * MASK, "mask holds 255"),
        (IMAGE, torch.tensor([1, 0]), r"does not broadcast to \(6,\)"),
        (IMAGE, torch.ones(6), "everything as known"),
        (IMAGE, torch.zeros(6), "nothing as known"),
        (IMAGE[None], MASK, r"shape \(1, 6\)"),
        (IMAGE[:4], MASK[:4], r"samples are \(6,\)"),
        (IMAGE.int(), MASK, "torch.int32"),
        (torch.where(MASK == 1, float("inf"), IMAGE), MASK, "index"),
    ],
)
def test_bad_images_and_masks_are_refused(image, mask, says):
    with pytest.raises(InputError, match=says):
        inverse.inpaint(MODEL, image, mask)


@pytest.mark.parametrize(
    "grey, says",
    [
        (torch.zeros(2, 2, 2), r"\(2, 2, 2\)"),
        (torch.zeros(4, 2, 2), r"\(4, 2, 2\)"),
        (torch.zeros(2, 2), r"\(2, 2\)"),
        (torch.zeros(1, 3, 3), r"samples are \(3, 2, 2\)"),
        (torch.full((1, 2, 2), float("nan")), "NaN"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), "torch.uint8"),
    ],
)
def test_bad_grey_images_are_refused(grey, says):
    with pytest.raises(InputError, match=says):
        inverse.colorize(COLOURS.denoiser(VP), grey)


def test_a_model_without_three_channels_cannot_colour():
    law = GaussianMixture(torch.zeros(1, 1, 2, 2), 1.0)
    with pytest.raises(InputError, match="3 channels"):
        inverse.colorize(law.denoiser(VP), torch.zeros(1, 2, 2))


def test_what_cannot_be_edited_or_has_two_ends_is_refused():
    with pytest.raises(Unsuitable, match="plan is function"):
        inverse.inpaint(MODEL, IMAGE, MASK, plan=lambda model, x, **_: x)
    with pytest.raises(Unsuitable, match="one-sided"):
        inverse.inpaint(LAW.denoiser(processes.BrownianBridge()), IMAGE, MASK)
    with pytest.raises(InputError, match="n is"):
        inverse.inpaint(MODEL, IMAGE, MASK, n=-1)
