"""A classifier of noisy samples: a network and a process, the counterpart of `Denoiser` for labels.

    predicts = "label"    (x_t, t) -> logits of p(label | x_t), what classifier guidance differentiates
    predicts = "level"    x_t -> logits of p(noise level | x_t), what Langevin-Gibbs sampling draws from

The levels of K logits are the middles of K bins, equally wide in log σ, σ = γ/α, from t_min to t = 1. With σ
log-uniform beforehand they are p(σ | x) ∝ p_σ(x)/σ, the softmax of log p_σ(x) over the levels.

With `data_std` = s the network sees inputs of order one. For labels they are those of a preconditioned
denoiser, x_t/√(α² s² + γ²) and -λ/4. Where the level is asked for, it cannot scale the input; the state does,
through its mean square m over the coordinates, which nearly tells the level by itself:

    network input x_t/√(s² + m),    time ¼ log(1 + m/s²).

Source: Song et al. (2021), appendix I.1 (labels); Kim & Ye (2022), arXiv 2209.14593, section 3 (levels).
Oracle: the exact classifiers of a mixture (tests/objectives/test_classification.py).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from girsanov.denoiser import noise_input
from girsanov.errors import Unsuitable, choose, require
from girsanov.processes import GaussianConditional, need
from girsanov.processes.base import like_batch
from girsanov.typing import Scalar, Shape, Time


class NoisyClassifier(nn.Module):
    """A network as a classifier of noisy samples; see the head of the module.

    Args:
        network: called as network(x, t), with t (B,); answers logits (B, K).
        process: a Gaussian process with one random end.
        predicts: "label", or "level" for the noise level itself.
        data_std: the standard deviation of the data, to scale the network's inputs; None for none. A level
            is then asked for with t = 0.
        shape: the shape of one sample; `fit` fills it in.

    Raises:
        UnknownName: `predicts` is neither.
        Unsuitable: a process with an anchor or two random ends, or levels of one with α = 0 at t = 1.
    """

    process: GaussianConditional

    def __init__(
        self,
        network: nn.Module,
        process: GaussianConditional,
        *,
        predicts: Literal["label", "level"] = "label",
        data_std: float | None = 0.5,
        shape: Shape | None = None,
    ) -> None:
        super().__init__()
        choose(predicts, dict.fromkeys(("label", "level")), "prediction of a classifier")
        need(process, GaussianConditional, "NoisyClassifier")
        require(process.end == "noise", f"NoisyClassifier needs one random end, not {process!r}", Unsuitable)
        if predicts == "level":
            level_time(process, 0.5)
        if data_std is not None:
            require(0 < data_std < float("inf"), f"data_std is {data_std}; give a number above 0, or None")
        self.network, self.process, self.stored = network, process, (str(predicts),)
        self.data_std, self.shape = data_std, None if shape is None else tuple(shape)

    def forward(self, x: Tensor, t: Time | None = None) -> Tensor:
        """Logits (B, K).

        Args:
            x: (B, *shape), noisy samples.
            t: a float or (B,); left out where the level is asked for.

        Raises:
            InputError: t is missing, or given where it is the answer.
        """
        labels = self.stored == ("label",)
        require((t is not None) == labels, "give t to a classifier of labels, and none to one of levels")
        if t is not None:
            return self._classify(x, t)
        if self.data_std is None:
            return self.network(x, x.new_zeros(len(x)))
        ratio = x.flatten(1).square().mean(1) / self.data_std**2
        scale = like_batch(self.data_std * (1 + ratio).sqrt(), x)
        return self.network(x / scale, ratio.log1p() / 4)

    def _classify(self, x: Tensor, t: Time) -> Tensor:
        if self.data_std is not None:
            alpha, gamma = (c(like_batch(t, x)) for c in (self.process.alpha, self.process.gamma))
            x = x / ((alpha * self.data_std) ** 2 + gamma**2) ** 0.5
            t = noise_input(self.process, t)
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        return self.network(x, time.expand(len(x)))


def level_time(process: GaussianConditional, u: Scalar) -> Scalar:
    """The time whose log σ is the fraction u of the way from t_min to t = 1; floats and tensors.

    Raises:
        Unsuitable: σ = γ/α is infinite at t = 1.
    """
    low, high = process.log_snr(process.t_min), process.log_snr(1.0)
    require(
        math.isfinite(high),
        f"noise levels need γ/α finite at t = 1, unlike that of {process!r}; take EDM, VE or VP",
        Unsuitable,
    )
    return process.time_at(low + u * (high - low))


def level_times(process: GaussianConditional, count: int) -> Tensor:
    """The times (count,) of the levels of that many logits, float64, increasing."""
    return level_time(process, (torch.arange(count, dtype=torch.float64) + 0.5) / count)
