"""The exact classifiers of a mixture's noisy samples, by Bayes' rule.

    label   p(y | x_t) ∝ Σ over its components of w_k N(x_t; α m_k, α² C_k + γ² I)
    level   p(σ_i | x) ∝ p_{t_i}(x), the marginal densities at the times of the levels, weighed evenly

A level i of K is the middle of bin i in log σ (see `girsanov.classifier`), so even weights are a log-uniform σ.
They are called as a learned classifier is, and differentiable; in float64, answers have the dtype of x.

Oracle: classifier guidance with the label's gives the conditional denoiser; levels against densities
computed one by one (tests/exact/test_classifiers.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.classifier import level_times
from girsanov.errors import Unsuitable, require
from girsanov.exact.mixture import GaussianMixture
from girsanov.processes import Interpolant
from girsanov.processes.base import like_batch
from girsanov.typing import Time


class LabelClassifier:
    """(x_t, t) -> logits (B, K) of the labels 0 to K - 1 of a mixture that has labels.

    Raises:
        InputError: the mixture has no labels, or they are not 0 to K - 1.
        Unsuitable: a process with an anchor or two random ends.
    """

    def __init__(self, law: GaussianMixture, process: Interpolant) -> None:
        require(process.end == "noise", f"a classifier needs one random end, not {process!r}", Unsuitable)
        require(law.labels is not None, "this mixture has no labels; give them: GaussianMixture(labels=...)")
        assert law.labels is not None
        found = law.labels.unique().tolist()
        require(found == list(range(len(found))), f"labels are {found}; give 0 to K - 1, none left out")
        self.law, self.process = law, process
        self._mine = law.labels == torch.arange(len(found))[:, None]

    def __call__(self, x: Tensor, t: Time) -> Tensor:
        """Logits (B, K) of noisy samples x (B, *shape) at t, a float or (B,)."""
        flat = x.to(torch.float64).flatten(1)
        time = t.to(torch.float64) if isinstance(t, Tensor) else t
        alpha, _, gamma = self.process.schedule.values(like_batch(time, flat))
        joint = self.law.log_joint(flat, alpha, gamma)[0]
        parts = joint[:, None].masked_fill(~self._mine, -torch.inf)
        return parts.logsumexp(2).to(x.dtype)


class LevelClassifier:
    """x -> logits (B, levels) of the noise level: the oracle of a learned classifier of levels.

    Raises:
        Unsuitable: a process with an anchor or two random ends, or with α = 0 at t = 1.
    """

    def __init__(self, law: GaussianMixture, process: Interpolant, *, levels: int = 1000) -> None:
        require(process.end == "noise", f"a classifier needs one random end, not {process!r}", Unsuitable)
        require(levels >= 1, f"levels is {levels}; give a whole number of at least 1")
        self.law, self.process = law, process
        alpha, _, gamma = process.schedule.values(level_times(process, levels))
        self._alpha, self._gamma = torch.as_tensor(alpha).expand(levels), gamma

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, levels) of noisy samples x (B, *shape)."""
        flat, law = x.to(torch.float64).flatten(1), self.law
        alpha, gamma = self._alpha[:, None, None], self._gamma[:, None, None]  # (levels, k, d)
        variance = alpha**2 * law.variances + gamma**2
        # |x - α m|² in the axes of each component, expanded so that the levels enter by matrix products.
        turned = torch.einsum("bd,kde->bke", flat, law.axes)
        means = alpha * torch.einsum("kd,kde->ke", law.means, law.axes)
        precision = 1 / variance
        square = torch.einsum("bke,lke->blk", turned.square(), precision)
        cross = torch.einsum("bke,lke->blk", turned, means * precision)
        own = (means.square() * precision + variance.log()).sum(2)
        return (law.weights.log() - (square - 2 * cross + own) / 2).logsumexp(2).to(x.dtype)
