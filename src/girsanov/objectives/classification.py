"""Cross-entropy of a classifier of noisy samples: of their label, or of their noise level.

    x_t = α x_0 + γ z,    loss = -log p(c | x_t)

With c = `cond` the times follow a law, as in score matching, and the minimum is p(label | x_t) at every time.
With c = the bin of log σ that x_t was made in, log σ is uniform, and the minimum is p(level | x_t).

Oracle: the exact classifiers of a mixture (tests/objectives/test_classification.py).
Source: Dhariwal & Nichol (2021), section 4; Kim & Ye (2022), arXiv 2209.14593, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from girsanov.classifier import NoisyClassifier, level_time
from girsanov.denoiser import DATA_STD
from girsanov.errors import InputError, Unsuitable, require
from girsanov.noise import Randomness, as_source
from girsanov.objectives.base import NOISE, check_batch, check_end, mix, named
from girsanov.objectives.times import TIMES, TimeLaw, draw_times, uniforms
from girsanov.typing import Tree


@dataclass(frozen=True)
class Classification:
    """Cross-entropy over noisy samples; see the head of the module and `classification`."""

    times: str | TimeLaw = "logistic"
    stratified: bool = True

    def __post_init__(self) -> None:
        named(self.times, TIMES, "law of times")

    def __call__(
        self,
        model: NoisyClassifier,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`.

        Raises:
            Unsuitable: the model is no NoisyClassifier.
            InputError: labels that are missing, unwanted, no integers (B,), or beyond the logits.
        """
        require(
            isinstance(model, NoisyClassifier),
            f"classification trains a NoisyClassifier(network, process), and this is {type(model).__name__}",
            Unsuitable,
        )
        check_batch(x0)
        check_end(model.process, x0, end)
        source, process = as_source(generator), model.process
        if model.stored == ("level",):
            require(cond is None, "the noise level is the label here; leave cond out")
            u = uniforms(len(x0), source, self.stratified)
            t = level_time(process, u).to(x0.device, x0.dtype)
            logits = model(mix(process.values(t), x0, None, source.draw(x0, NOISE)))
            classes = logits.shape[1]
            label = (u * classes).long().clamp(max=classes - 1).to(x0.device)
        else:
            law = named(self.times, TIMES, "law of times")
            t = draw_times(law, process, model.data_std or DATA_STD, x0, source, self.stratified)
            logits = model(mix(process.values(t), x0, None, source.draw(x0, NOISE)), t)
            label = _labels(cond, logits)
        return cross_entropy(logits, label, reduction="none")


def classification(*, times: str | TimeLaw = "logistic", stratified: bool = True) -> Classification:
    """Train a `NoisyClassifier`: of the labels in `cond`, or of the noise level if that is what it predicts.

    Args:
        times: the law of the times for labels, one of `TIMES` or a function; levels are even in log σ.
        stratified: spread the times of a batch evenly; less variance, the same mean.

    Raises:
        UnknownName: no such law of times.
    """
    return Classification(times, stratified)


def _labels(cond: Tree, logits: Tensor) -> Tensor:
    if not isinstance(cond, Tensor) or cond.is_floating_point() or cond.shape != logits.shape[:1]:
        what = f"{cond.dtype} {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
        raise InputError(f"cond is {what}; give integer labels ({len(logits)},) to learn")
    if cond.device.type == "cpu" and len(cond):
        low, high = (int(bound) for bound in cond.aminmax())
        require(
            low >= 0 and high < logits.shape[1],
            f"cond holds labels from {low} to {high}, and the network answers {logits.shape[1]} logits",
        )
    return cond.long()
