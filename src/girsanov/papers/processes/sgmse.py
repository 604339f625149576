"""Speech enhancement and dereverberation with diffusion-based generative models: SGMSE+ (Richter et al., 2023).

Idea: diffuse from clean speech to noisy speech plus a little noise, on complex spectrograms, and run it backwards.
Stand-in: 24 minutes of one speaker at 8 kHz with synthesized noises and rooms, crops of one second and a U-Net of
101,864 parameters that is trained for two minutes, for VoiceBank-DEMAND and WSJ0 at 16 kHz, NCSN++ with 65 million
parameters and days of training. Whether enhancement gains over the noisy speech, and how it carries over to a noise
that was not trained on, can be judged here; the tables cannot. One seed, for a run of all trainings takes minutes.
What differs beside the size: the network's target is preconditioned and corrects the noisy speech, and the last step
is the denoiser's answer.
Source: arXiv 2208.05830, sections III and IV; the full configuration is in docs/speech.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.denoiser import Denoiser
from girsanov.inverse import speech_sampler
from girsanov.metrics import estoi, si_sdr
from girsanov.papers import speech
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.papers.speech import NOISES, RATE, Pairs, Predictor, Scale
from girsanov.solvers import reverse_diffusion, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVERYTHING = (*NOISES, "room")
KNOWN = ("pink", "hum")
STRANGE = ("babble",)
AT_5_DB = (5.0, 5.0)

GAIN = Claim(
    name="enhances: waveform",
    says="In babble at 5 dB the enhanced speech is nearer to the clean speech than the noisy one by 4 dB.",
    source="Abstract",
    paper="only 30 diffusion steps to generate high-quality clean speech estimates",
    unit="SI-SDR, dB",
    against="the noisy speech",
    bar=Bar(">=", times=1.0, plus=4.0),
    seeds=1,
)
INTELLIGIBLE = Claim(
    name="enhances: intelligibility",
    says="In babble at 5 dB enhancement makes speech more intelligible.",
    source="Abstract",
    unit="ESTOI",
    against="the noisy speech",
    bar=Bar(">=", times=1.0, plus=0.05),
    seeds=1,
)
GENERALIZES = Claim(
    name="generalizes",
    says="Trained on pink noise and hum, it loses less of its gain in babble than a regression network of the same size.",
    source="Abstract",
    paper="better generalization when evaluating on a different corpus than used for training",
    unit="SI-SDR gain in known noise minus that in babble, dB",
    against="regression",
    bar=Bar("<=", times=0.8),
    seeds=1,
)
ROOMS = Claim(
    name="dereverberates",
    says="In rooms with T60 of 0.3 to 0.7 s it makes speech more intelligible.",
    source="Title, and the experiments on dereverberation",
    unit="ESTOI",
    against="the reverberant speech",
    bar=Bar(">=", times=1.0, plus=0.05),
    seeds=1,
)


def run(budget: Budget) -> Report:
    report, seed = Report(PAPER, budget), budget.seeds[0]
    scale = Scale.of(budget)
    steps, others = budget.pick(smoke=(2, 2), cpu=(1200, 700))
    all_of_it = speech.enhancer(scale, EVERYTHING, steps=steps, seed=seed)
    noises = speech.pairs(scale, STRANGE, seed=seed, fresh=True, snr=AT_5_DB)
    rooms = speech.pairs(scale, ("room",), seed=seed, fresh=True)
    better, drier = (enhanced(report, all_of_it, known) for known in (noises, rooms))
    report.add(GAIN, seed, ours=ratio(better, noises.clean), baseline=ratio(noises.noisy, noises.clean))
    report.add(INTELLIGIBLE, seed, ours=heard(better, noises), baseline=heard(noises.noisy, noises))
    report.add(ROOMS, seed, ours=heard(drier, rooms), baseline=heard(rooms.noisy, rooms))
    means = [one_call(all_of_it, known) for known in (noises, rooms)]
    why = (
        "One call of the same network at t = 1, which estimates the conditional mean, reaches {}: a draw has more "
        "error than the mean by as much as the network leaves open, and a network trained for minutes leaves much."
    )
    report.note(GAIN, why.format(f"{ratio(means[0], noises.clean):.1f} dB"))
    report.note(INTELLIGIBLE, why.format(f"{heard(means[0], noises):.3f}"))
    report.note(ROOMS, why.format(f"{heard(means[1], rooms):.3f}"))
    matched = speech.pairs(scale, KNOWN, seed=seed, fresh=True, snr=AT_5_DB)
    diffusion = speech.enhancer(scale, KNOWN, steps=others, seed=seed)
    regression = speech.regressor(scale, KNOWN, steps=others, seed=seed)
    gains: dict[str, tuple[float, float]] = {
        "diffusion": (gain(report, diffusion, matched), gain(report, diffusion, noises)),
        "regression": (gain(report, regression, matched), gain(report, regression, noises)),
    }
    drops = {name: known - strange for name, (known, strange) in gains.items()}
    report.add(GENERALIZES, seed, ours=drops["diffusion"], baseline=drops["regression"])
    (known, strange), (fitted, foreign) = gains["diffusion"], gains["regression"]
    report.note(
        GENERALIZES,
        f"The gains in known noise and in babble are {known:.1f} and {strange:.1f} dB, of regression {fitted:.1f} and "
        f"{foreign:.1f} dB. What gains less has less to lose, so the drop alone does not show a better network.",
    )
    report.kept["gains"] = gains
    report.kept["speech"] = {
        "babble at 5 dB": noises.noisy[0],
        "enhanced": better[0],
        "clean": noises.clean[0],
    }
    return report


def enhanced(report: Report, model: Denoiser | Predictor, known: Pairs) -> Tensor:
    """What a model makes of noisy waveforms (N, T)."""
    y = speech.SPECTROGRAM(known.noisy)
    if isinstance(model, Predictor):
        with torch.no_grad():
            return speech.waveforms(model(y), known.noisy)
    sampler = speech_sampler(speech.PROCESS, report.budget.pick(smoke=2, cpu=30))
    return speech.waveforms(sample(model, len(y), anchor=y, plan=sampler, batch_size=8, seed=0), known.noisy)


def one_call(model: Denoiser, known: Pairs) -> Tensor:
    """The denoiser's answer at t = 1, from the start of the sampler."""
    y = speech.SPECTROGRAM(known.noisy)
    plan = reverse_diffusion(speech.PROCESS, [1.0, 0.0]).recast(model.stored)
    return speech.waveforms(sample(model, len(y), anchor=y, plan=plan, batch_size=8, seed=0), known.noisy)


def gain(report: Report, model: Denoiser | Predictor, known: Pairs) -> float:
    return ratio(enhanced(report, model, known), known.clean) - ratio(known.noisy, known.clean)


def ratio(x: Tensor, clean: Tensor) -> float:
    return float(si_sdr(x, clean).mean())


def heard(x: Tensor, known: Pairs) -> float:
    return float(estoi(x, known.clean, RATE).mean())


def figure(report: Report) -> Figure:
    drawn, (*panels, bars) = canvas(report, panels=4)
    speech.show(panels, report.kept["speech"])
    for i, (name, (known, strange)) in enumerate(report.kept["gains"].items()):
        bars.bar([i * 0.4, 1.5 + i * 0.4], [known, strange], 0.36, color=PALETTE[i], label=name)
    bars.axhline(0, color="0.3", lw=0.8)
    bars.set_xticks([0.2, 1.7], ["pink, hum\n(trained on)", "babble\n(never met)"])
    bars.set_title("SI-SDR gain at 5 dB, dB", fontsize=9)
    bars.legend(fontsize=7, frameon=False)
    return drawn


PAPER = Paper(
    slug="sgmse",
    title="Speech enhancement with diffusion-based generative models: SGMSE+ (Richter et al., 2023)",
    claims=(GAIN, INTELLIGIBLE, GENERALIZES, ROOMS),
    run=run,
    figure=figure,
)
