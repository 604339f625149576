"""Denoising as adaptation: noise-space domain adaptation for image restoration (Liao et al., 2024).

Idea: a diffusion model that is given a synthetic and a real restoration trains the restorer through its conditions.
Stand-in: grey crops of 16×16 pixels of photographs of scikit-image. The synthetic domain is white Gaussian noise; the
"real" one is photon noise, correlated between neighbours, and the rounding of the cosine coefficients of 8×8 blocks
as in JPEG. Its clean crops are used for scoring only. Restorers of 7,500 and denoisers of 80,000 parameters, 400
steps, for U-Nets, SIDD, SPA and RealBlur and 300 epochs. Whether the adaptation helps at this scale, and what the
swap and the contrast are for, can be judged here; the paper's tables cannot.
The rival (DANN) is a classifier of the two domains on the last features of the restorer, behind a reversed
gradient of the same weight.
Source: arXiv 2406.18516; Ganin et al. (2016), Domain-adversarial training of neural networks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, pad

from girsanov.denoiser import Denoiser
from girsanov.networks import Beside, Classifier, DnCNN, UNet
from girsanov.noise import Noise
from girsanov.papers import restoration
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.crops import crops
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP
from girsanov.training import Training, fit
from girsanov.transfer import NoiseSpaceAdaptation, NoiseSpaceLoss, noise_space_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STD, PHOTONS, ROUNDING = 0.2, 60.0, 0.15
PROCESS = VP(beta_min=0.001, beta_max=10.0)  # a thousand steps with β from 10⁻⁶ to 10⁻²

HELPS = Claim(
    name="adapts",
    says="On real crops the adapted restorer beats training on synthetic pairs by 0.5 dB.",
    source="Tables 1 to 3",
    unit="PSNR on real crops, dB",
    against="synthetic pairs only",
    bar=Bar(">=", times=1.0, plus=0.5),
    over="mean",
)
KEEPS = Claim(
    name="forgets little",
    says="On synthetic crops it loses at most 0.2 dB.",
    source="Section 4",
    unit="PSNR on synthetic crops, dB",
    against="synthetic pairs only",
    bar=Bar(">=", times=1.0, plus=-0.2),
    over="mean",
)
RIVAL = Claim(
    name="beats adversarial features",
    says="On real crops it beats domain-adversarial features by 0.2 dB.",
    source="Tables 1 to 3",
    unit="PSNR on real crops, dB",
    against="DANN",
    bar=Bar(">=", times=1.0, plus=0.2),
    over="mean",
)
LOOKS = Claim(
    name="no shortcut",
    says="Without swap and contrast the denoiser looks away from the real condition.",
    source="Section 3.3, figure on the shortcut",
    unit="|∂L/∂c_r| / |∂L/∂c_s|, without them",
    against="with them",
    bar=Bar("<=", times=0.3),
    over="mean",
)
GAIN = Claim(
    name="no gain by the shortcut",
    says="Without swap and contrast at most 0.3 of the gain on real crops is left.",
    source="Ablation table",
    unit="gain in PSNR on real crops, dB, without them",
    against="with them",
    bar=Bar("<=", times=0.3),
    over="mean",
)


def run(budget: Budget) -> Report:
    report, n, told = Report(PAPER, budget), budget.pick(smoke=4, cpu=200), list[float]()
    for seed in budget.seeds:
        steps = budget.pick(smoke=2, cpu=400, paper=20_000)
        ramp, source = max(steps // 2, 1), Noise(seed).child(4)
        truth = crops(False, seed)[:n]
        tests = {"synthetic": white(truth, source.child(0)), "real": real_noise(truth, source.child(1))}
        models = {
            "synthetic only": adapted(seed, steps, noise_space_loss(ramp=ramp, strength=0.0)),
            "adapted": adapted(seed, steps, noise_space_loss(ramp=ramp)),
            "no swap, no contrast": adapted(
                seed, steps, noise_space_loss(ramp=ramp, swap=False, contrast=False)
            ),
        }
        restorers = {name: model.restorer for name, model in models.items()} | {
            "DANN": adversarial(seed, steps, noise_space_loss(ramp=ramp))
        }
        with torch.no_grad():
            restored = {name: {k: net(x) for k, x in tests.items()} for name, net in restorers.items()}
        found = {
            name: {k: restoration.psnr(x, truth) for k, x in both.items()} for name, both in restored.items()
        }
        plain, ours = found["synthetic only"], found["adapted"]
        report.add(HELPS, seed, ours=ours["real"], baseline=plain["real"])
        report.add(KEEPS, seed, ours=ours["synthetic"], baseline=plain["synthetic"])
        report.add(RIVAL, seed, ours=ours["real"], baseline=found["DANN"]["real"])
        seen = [sensitivity(models[name], truth, tests, seed) for name in ("no swap, no contrast", "adapted")]
        report.add(LOOKS, seed, ours=seen[0], baseline=seen[1])
        told.append(helped(models["adapted"], truth, tests, seed))
        short = found["no swap, no contrast"]["real"] - plain["real"]
        report.add(GAIN, seed, ours=short, baseline=ours["real"] - plain["real"])
        rows = {"real": tests["real"]} | {name: both["real"] for name, both in restored.items()}
        report.kept.setdefault("pictures", {name: x[:8] for name, x in (rows | {"truth": truth}).items()})
        report.kept.setdefault("psnr", []).append(found)
    report.note(
        HELPS,
        f"Given the restorations of other crops, the trained denoiser errs {sum(told) / len(told) - 1:.0%} more at "
        "t = ½. Why the restorer does not gain by it is not known.",
    )
    gains = [one["adapted"]["real"] - one["synthetic only"]["real"] for one in report.kept["psnr"]]
    if budget.judged and sum(gains) / len(gains) < 0.1:
        report.leave(GAIN, "the full method gains less than 0.1 dB here, and a share of nothing says nothing")
    return report


def white(x: Tensor, generator: Noise) -> Tensor:
    """The synthetic degradation."""
    return x + STD * generator.draw(x, 0)


def real_noise(x: Tensor, generator: Noise) -> Tensor:
    """Photon noise that neighbours share, and rounded cosine coefficients of 8×8 blocks, (N, 1, 16, 16)."""
    line = x.new_tensor([1.0, 2.0, 1.0]) / math.sqrt(6)  # unit variance
    shared = pad(generator.draw(x, 0), (1, 1, 1, 1), mode="circular")
    shared = conv2d(conv2d(shared, line.reshape(1, 1, 1, 3)), line.reshape(1, 1, 3, 1))
    noisy = x + 2 * (((x + 1) / 2).clamp(0, 1) / PHOTONS).sqrt() * shared
    n = torch.arange(8, dtype=x.dtype)
    cosines = torch.cos(math.pi / 8 * (n + 0.5) * n[:, None]) / 2
    cosines[0] /= math.sqrt(2)
    blocks = noisy.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    rounded = cosines.T @ ((cosines @ blocks @ cosines.T / ROUNDING).round() * ROUNDING) @ cosines
    return rounded.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def material(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clean crops, their synthetic versions, and real ones of other crops."""
    x, source = crops(True, seed), Noise(seed).child(5)
    half = len(x) // 2
    return x[:half], white(x[:half], source.child(0)), real_noise(x[half:], source.child(1))


def pair(seed: int) -> NoiseSpaceAdaptation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        restorer = DnCNN(1, width=16, depth=5)
        network = UNet(3, outputs=1, width=16, levels=(1, 2), attention=0)
    return NoiseSpaceAdaptation(restorer, Denoiser(Beside(network), PROCESS, data_std=0.5))


def settings(seed: int) -> Training:
    return Training(batch_size=16, lr=2e-3, ema=0.0, validation=0, seed=seed, progress=False)


def adapted(seed: int, steps: int, loss: NoiseSpaceLoss) -> NoiseSpaceAdaptation:
    """Trained with the loss; with a strength of 0 on the pairs alone."""
    clean, synthetic, real = material(seed)
    model = pair(seed)
    fit(model, loss, clean, cond=synthetic, end=real, steps=steps, config=settings(seed))  # type: ignore[arg-type]
    return model


def adversarial(seed: int, steps: int, loss: NoiseSpaceLoss) -> nn.Module:
    """The same restorer, whose last features a classifier cannot tell apart."""
    clean, synthetic, real = material(seed)
    restorer, config = pair(seed).restorer, settings(seed)
    assert isinstance(restorer, DnCNN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Classifier(16, 2, width=16)
    optimizer = torch.optim.AdamW([*restorer.parameters(), *judge.parameters()], config.lr, config.betas)
    rows = torch.randint(
        len(clean), (steps, config.batch_size), generator=torch.Generator().manual_seed(seed)
    )
    domain = torch.arange(2 * config.batch_size) // config.batch_size
    for step, i in enumerate(rows):
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step, steps)
        h = torch.cat([synthetic[i], real[i]])
        for layer in restorer.layers[:-1]:
            h = layer(h).relu()
        error = clean[i] - (synthetic[i] - restorer.layers[-1](h[: len(i)]))
        weight = loss.weight(step)
        turned = (1 + weight) * h.detach() - weight * h  # h, with its gradient reversed
        told = cross_entropy(judge(turned, h.new_zeros(len(h))), domain)
        optimizer.zero_grad()
        ((error.square() + 1e-6).sqrt().mean() + told).backward()
        nn.utils.clip_grad_norm_(restorer.parameters(), config.clip or math.inf)
        optimizer.step()
    return restorer.eval()


def sensitivity(model: NoiseSpaceAdaptation, truth: Tensor, tests: dict[str, Tensor], seed: int) -> float:
    """|∂|ξ - ξ̂|²/∂c_r| / |∂|ξ - ξ̂|²/∂c_s| at t = ½, the real restorations being those of other crops."""
    first, second = (x.requires_grad_() for x in conditions(model, tests))
    slopes = torch.autograd.grad(errors(model, truth, first, second, seed).sum(), (first, second))
    return float(slopes[1].norm() / slopes[0].norm())


@torch.no_grad()
def helped(model: NoiseSpaceAdaptation, truth: Tensor, tests: dict[str, Tensor], seed: int) -> float:
    """How many times larger the error at t = ½ is if both restorations are those of other crops."""
    first, second = conditions(model, tests)
    wrong = errors(model, truth, first.roll(2, 0), second, seed).mean()
    return float(wrong / errors(model, truth, first, second, seed).mean())


@torch.no_grad()
def conditions(model: NoiseSpaceAdaptation, tests: dict[str, Tensor]) -> list[Tensor]:
    """The synthetic restorations, and real ones of other crops."""
    return [model.restorer(tests["synthetic"]), model.restorer(tests["real"].roll(1, 0))]


def errors(model: NoiseSpaceAdaptation, truth: Tensor, first: Tensor, second: Tensor, seed: int) -> Tensor:
    """|ξ - ξ̂|² at t = ½, (N,)."""
    t, xi = torch.full((len(truth),), 0.5), Noise(seed).child(6).draw(truth, 0)
    y_t = PROCESS.alpha(0.5) * truth + PROCESS.gamma(0.5) * xi
    return model.noise_error(y_t, t, xi, first, second)


def figure(report: Report) -> Figure:
    drawn, (pictures, gains) = canvas(report, panels=2, equal=(0,))
    restoration.show(pictures, report.kept["pictures"])
    pictures.set_xticks([])
    kept = report.kept["psnr"]
    for i, name in enumerate(kept[0]):
        for j, (domain, colour) in enumerate((("real", PALETTE[0]), ("synthetic", PALETTE[4]))):
            values = [one[name][domain] - one["synthetic only"][domain] for one in kept]
            at = i + 0.36 * j
            gains.bar(
                at, sum(values) / len(values), 0.34, color=colour, alpha=0.4, label=domain if i == 0 else None
            )
            gains.plot([at] * len(values), values, "o", ms=4, color=colour)
    gains.axhline(0, color="k", lw=0.6)
    gains.set_xticks(
        [i + 0.18 for i in range(len(kept[0]))], [name.replace(", ", ",\n") for name in kept[0]], fontsize=8
    )
    gains.set_title("PSNR over training on synthetic pairs alone, dB, by the domain of the test", fontsize=9)
    gains.legend(fontsize=8, frameon=False)
    return drawn


PAPER = Paper(
    slug="noise-space-adaptation",
    title="Denoising as adaptation in noise space (Liao et al., 2024)",
    claims=(HELPS, KEEPS, RIVAL, LOOKS, GAIN),
    run=run,
    figure=figure,
)
