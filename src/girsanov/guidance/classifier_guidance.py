"""Classifier guidance: the gradient of a noise-aware classifier, added to the score.

By Bayes' rule ∇log p(x_t | y) = ∇log p(x_t) + ∇log p(y | x_t); a scale w on the last term sharpens it. Call
that term δ. The score is -E[z | x_t]/γ, so E[z] moves by -γδ; the state α E[x_0] + β x_1 + γ E[z] = x_t is
known, so E[x_0] moves by γ²δ/α; and a word with the row (a, b, c) over (x_0, x_1, z) moves by

    (a γ²/α - c γ) δ,

one number for each stored word. Where the data vanish (α = 0 at t = 1) the move of E[x_0] has a limit that
the product 0/0 does not show, so there δ and its factor are taken at t = 1 - t_min instead.

Source: Song et al. (2021), appendix I.1; Dhariwal & Nichol (2021), section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable, require
from girsanov.guidance.base import check_denoiser, check_one_random_end, check_scale
from girsanov.processes import GaussianConditional
from girsanov.processes.base import like_batch
from girsanov.typing import Scalar, Time, Tree

Classify = Callable[[Tensor, Tensor], Tensor]


class Classified(AbstractDenoiser):
    """The denoiser with the classifier's pull; see the head of the module and `classifier`."""

    process: GaussianConditional

    def __init__(self, model: AbstractDenoiser, classify: Classify, scale: float) -> None:
        super().__init__()
        check_denoiser(model)
        require(callable(classify), f"classifier is {classify!r}; give a function (x, t) -> logits (B, K)")
        check_scale(scale)
        check_one_random_end(model, "classifier guidance")
        self.model, self.stored, self.shape = model, model.stored, model.shape
        self.process = cast(GaussianConditional, model.process)
        self.classify, self.scale = classify, float(scale)
        self.last = 1 - self.process.t_min if self.process.alpha(1.0) == 0 else 1.0

    @property
    def calls_per_call(self) -> int:
        """The calls of the denoising network; the classifier's are beside them."""
        return self.model.calls_per_call

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        inside = t.clamp(max=self.last) if isinstance(t, Tensor) else min(t, self.last)
        pull = self.scale * self._gradient(x, inside, cond)  # first, because it looks at cond
        answers, time = self.model(x, t, cond=None, anchor=anchor), like_batch(inside, x)
        return tuple(
            answer + self._factor(word, time) * pull
            for answer, word in zip(answers, self.stored, strict=True)
        )

    def _factor(self, word: str, t: Scalar) -> Scalar:
        """How far the word moves when the score moves by one."""
        a, _, c = self.process.row(word, t)
        gamma = self.process.gamma(t)
        return a * gamma**2 / self.process.alpha(t) - c * gamma

    def _gradient(self, x: Tensor, t: Time, cond: Tree) -> Tensor:
        """∇ log p(cond | x_t), differentiable again where x asks for gradients."""
        again = torch.is_grad_enabled() and x.requires_grad
        time = t if isinstance(t, Tensor) else torch.tensor(t, dtype=x.dtype, device=x.device)
        with torch.enable_grad():
            point = x if again else x.detach().requires_grad_()
            logits = self.classify(point, time.to(x.dtype).expand(len(x)))
            chosen = logits.log_softmax(1).gather(1, _labels(cond, logits)[:, None])
            require(
                chosen.requires_grad or not len(x),
                "the classifier's logits carry no gradient to x; let it answer with gradients, or follow a reward "
                "without one by guidance.SoftValueDecoding",
                Unsuitable,
            )
            (gradient,) = torch.autograd.grad(chosen.sum(), point, create_graph=again)
        return gradient


def classifier(model: AbstractDenoiser, classifier: Classify, scale: float = 1.0) -> Classified:
    """Guide an unconditional denoiser to a class by a classifier of noisy samples.

    Args:
        model: any denoiser with one random end, asked without cond.
        classifier: (x_t, t) -> logits (B, K), for x_t (B, *shape) and t (B,), trained on noisy samples.
        scale: w; 0 no guidance, 1 Bayes' rule, more sharpens the class.

    Raises:
        InputError: the scale is not finite. In the call: cond is not integer labels (B,) from 0 to K - 1.
        Unsuitable: not a denoiser, or a two-sided process. In the call: a classifier without gradients.
    """
    return Classified(model, classifier, scale)


def _labels(cond: Tree, logits: Tensor) -> Tensor:
    size, classes = logits.shape
    legal = isinstance(cond, Tensor) and not cond.is_floating_point() and cond.shape == (size,)
    if not legal:
        what = f"{cond.dtype} {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
        raise InputError(f"classifier guidance needs labels and cond is {what}; give integers ({size},)")
    assert isinstance(cond, Tensor)
    if cond.device.type == "cpu" and size:
        low, high = (int(bound) for bound in cond.aminmax())
        require(
            low >= 0 and high < classes, f"cond holds labels from {low} to {high}; they run to {classes - 1}"
        )
    return cond.long()
