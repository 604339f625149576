"""Inpainting steered by a circuit: while noise is high, a law with exact conditionals corrects the denoiser.

At a noisy state the denoiser says of each pixel N(x̂_0, r²), independent of the others. On K grey levels v_k this is soft
evidence w_i(k) ∝ N(v_k; x̂_0i, r²), and one-hot where a pixel is known. A hidden Chow–Liu tree answers with its marginals
given all of it, p_i(k) ∝ Σ p(levels) Π w, and the two are mixed,

    log p_i = a(t) log w_i + (1 - a(t)) log p_i + const,    a(t) = b + (1 - b) e^{-c t},

whose mean takes the place of x̂_0. The circuit sees the whole picture at once, which one noisy prediction does not. Below
`until` the denoiser is left alone. The paper draws x̂_0 from the mixed law, encodes patches by a quantized autoencoder and
sharpens the evidence; here levels are those of pixels, and the mean is taken.
Source: Liu, Niepert & Van den Broeck (2024), Image inpainting via tractable steering of diffusion models, arXiv
2401.03349, section 4; b = 0.8 and c = 2 are theirs for faces.
Oracle: a = 1 is the sampler itself; the exact posterior mean of independent pixels (tests/inverse/test_steering.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.inverse.circuits import HiddenChowLiuTree
from girsanov.inverse.linear import Inpainting
from girsanov.inverse.measurement import Measurement
from girsanov.inverse.posterior import PosteriorSampler
from girsanov.inverse.steps import data_variance
from girsanov.noise import Randomness
from girsanov.typing import Time, Tree


@dataclass(frozen=True, eq=False)
class CircuitSteering:
    """A posterior sampler whose denoiser is steered; see the head of the module.

    Args:
        sampler: what samples, such as `RePaint()`.
        circuit: fitted to the levels of training pictures, one variable a pixel.
        floor: b, the denoiser's weight at high noise, before the exponential.
        decay: c, at least 0.
        until: the time below which nothing is steered.
        data_std: of r², the standard deviation of a pixel.

    Raises:
        InputError: numbers out of range.
    """

    sampler: PosteriorSampler
    circuit: HiddenChowLiuTree
    floor: float = 0.8
    decay: float = 2.0
    until: float = 0.5
    data_std: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.floor <= 1, f"floor is {self.floor}; give a weight from 0 to 1")
        require(self.decay >= 0, f"decay is {self.decay}; give at least 0")
        require(0 <= self.until <= 1, f"until is {self.until}; give a time from 0 to 1")
        require(self.data_std > 0, f"data_std is {self.data_std}; give a number above 0")

    @property
    def joint(self) -> bool:
        """As the sampler inside."""
        return self.sampler.joint

    @property
    def calls(self) -> int:
        """As the sampler inside."""
        return self.sampler.calls

    def weight(self, t: float) -> float:
        """a(t)."""
        return self.floor + (1 - self.floor) * math.exp(-self.decay * t)

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        measurement: Measurement,
        *,
        cond: Tree = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: a measurement that is no inpainting, or a circuit of another number of pixels.
        """
        return self.sampler(Steered(model, self, measurement), x, measurement, cond=cond, generator=generator)


class Steered(AbstractDenoiser):
    """The denoiser with the circuit's correction, for the rows of one measurement."""

    stored = ("data",)

    def __init__(self, model: AbstractDenoiser, settings: CircuitSteering, measurement: Measurement) -> None:
        super().__init__()
        operator = measurement.operator
        if not isinstance(operator, Inpainting):
            raise Unsuitable(
                f"a circuit steers inpainting, and this is {type(operator).__name__}; use PiGDM, DPS or SMC"
            )
        pixels, known = len(settings.circuit.parent), operator.known
        require(
            pixels == known.numel(),
            f"the circuit has {pixels} variables and the picture {known.numel()} pixels; fit one on such pictures",
            Unsuitable,
        )
        self.model, self.settings = model, settings
        self.process, self.shape = model.process, model.shape
        k = settings.circuit.levels
        self.centres = torch.linspace(-1, 1, k, dtype=torch.float64)
        given = operator.adjoint(measurement.y).flatten(1).double()
        nearest = ((given + 1) * (k - 1) / 2).round().clamp(0, k - 1).long()
        self.evidence = torch.nn.functional.one_hot(nearest, k).double()
        self.hidden = ~known.flatten()

    @property
    def calls_per_call(self) -> int:
        """As many as the model inside."""
        return self.model.calls_per_call

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        data = self.model.data(x, t, cond=cond, anchor=anchor)
        time = float(t)
        a = self.settings.weight(time)
        if time < self.settings.until or a == 1:
            return (data,)
        r2 = data_variance(self.process, time, self.settings.data_std, 1.0)
        log_w = -0.5 * (data.detach().flatten(1).double()[..., None] - self.centres) ** 2 / r2
        log_w = torch.where(self.hidden[:, None], log_w.log_softmax(2), self.evidence.clamp(min=1e-300).log())
        marginal = self.settings.circuit.marginals(log_w.exp())
        mixed = a * log_w + (1 - a) * marginal.clamp(min=1e-300).log()
        mean = (mixed.softmax(2) * self.centres).sum(2)
        # Only the levels' correction is added, so that a picture is not rounded to them.
        plain = (log_w.exp() * self.centres).sum(2)
        change = torch.where(self.hidden, mean - plain, 0.0)
        return (data + change.reshape(data.shape).to(data.dtype),)


def grey_levels(x: Tensor, levels: int) -> Tensor:
    """Pictures (N, *shape) in [-1, 1] as the nearest of evenly spaced levels, (N, D) int64, for `fit_tree`.

    Raises:
        InputError: fewer than two levels.
    """
    require(levels >= 2, f"levels is {levels}; give at least 2")
    return ((x.flatten(1) + 1) * (levels - 1) / 2).round().clamp(0, levels - 1).long()
