"""DDRM: a denoising diffusion in the singular coordinates of the operator, without gradients.

In coordinates v = Vᵀ x_t/α_t, with κ the noise of the next level, κ' that of the present one, v̂ = Vᵀ x̂_0,
ȳ = S⁻¹ Uᵀ y and the noise σ_y/s of a measured coordinate, the next state is normal with

    mean  v̂ + √(1 - η²) κ (v - v̂)/κ'           std  η κ                        s = 0
          v̂ + √(1 - η²) κ (ȳ - v̂)/(σ_y/s)       std  η κ                        κ < σ_y/s
          (1 - η_b) v̂ + η_b ȳ                    std  √(κ² - η_b² σ_y²/s²)       else.

η is a share of the whole noise and not of a step's, so the law of the draws depends on the number of steps. For y = x +
½ z and x ~ N(0, 1), whose posterior is N(0.64, 0.2) at y = 0.8, η = 0.85 gives N(0.64, 0.06) in 20 steps, N(0.73, 0.02)
in 100 and N(0.77, 0.01) in 300: a restoration, and no posterior sampler.
Source: Kawar, Elad, Ermon & Song (2022), Denoising diffusion restoration models, arXiv 2201.11793, equations 4 and 5.
Oracle: mean and variance for A = 1 on Gaussian data by recursion (tests/inverse/test_posterior_samplers.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import Unsuitable, require
from girsanov.inverse.operators import Spectral, inverse_values
from girsanov.inverse.steps import LevelSampler, Way, answer, spans
from girsanov.solvers.grids import Times


@dataclass(frozen=True)
class DDRM(LevelSampler):
    """See the head of the module.

    Args:
        steps: network calls, 20 in the paper.
        eta: η, the share of fresh noise where nothing is measured, in [0, 1].
        eta_measured: η_b, the weight of the measurement where it is the sharper, in [0, 1].
        grid: times of one's own, instead of steps.
    """

    steps: int = 20
    eta: float = 0.85
    eta_measured: float = 1.0
    grid: Times | None = None

    def __post_init__(self) -> None:
        for name, value in (("eta", self.eta), ("eta_measured", self.eta_measured)):
            require(0 <= value <= 1, f"{name} is {value}; give a number from 0 to 1")

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator without a decomposition, or noise that is not normal.
        """
        model, measurement, times, source, cond = way
        operator = measurement.operator
        if not isinstance(operator, Spectral):
            raise Unsuitable(
                f"DDRM works in singular coordinates, and {type(operator).__name__} has none. Write a small operator "
                "out with inverse.dense, or use PiGDM, DPS or REDDiff."
            )
        std, process = measurement.std("DDRM"), model.process
        inverse = inverse_values(operator.singular_values).to(x)
        seen, noise = inverse > 0, std * inverse
        y = operator.coordinates(measurement.y) * inverse
        kappa = process.gamma(times[0]) / process.alpha(times[0])
        v = operator.into(x) / process.alpha(times[0])
        pinned = y + (kappa**2 - noise**2).clamp(min=0).sqrt() / kappa * v
        v = torch.where(seen & (noise < kappa), pinned, v)
        for i, (t, s) in spans(times):
            before, after = (process.gamma(u) / process.alpha(u) for u in (t, s))
            data = operator.into(answer(model, process.alpha(t) * operator.out_of(v), t, cond))
            free = data + (1 - self.eta**2) ** 0.5 * after / before * (v - data)
            dull = data + (1 - self.eta**2) ** 0.5 * after * (y - data) / noise.clamp(min=1e-300)
            sharp = (1 - self.eta_measured) * data + self.eta_measured * y
            middle = torch.where(~seen, free, torch.where(after < noise, dull, sharp))
            left = (after**2 - (self.eta_measured * noise) ** 2).clamp(min=0).sqrt()
            wide = torch.where(seen & (after >= noise), left, torch.as_tensor(self.eta * after).to(x))
            v = middle + wide * source.draw(v, i) if after > 0 else middle
        return operator.out_of(v)
