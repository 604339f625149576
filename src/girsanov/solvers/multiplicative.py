"""The sampler of geometric noise in the coordinates of the data, where every update multiplies.

`processes.Geometric` is Gaussian in u = log x, and any solver runs there and keeps x above 0. With the score
s of u, h = x ∘ ∇log p(x) = s - 1 and Δ = γ_s² - γ_t², the paper's two samplers are

    log space   x ← x ∘ exp(Δ (1 + h) + √Δ z)             `reverse_diffusion` on Geometric
    ambient     x ← x ∘ (1 + Δ (3/2 + h) + √Δ z)          here                                        (1)

(for m = s²/2; 2 s² is the divergence of s² x², less m). Of (1) the factors are positive for small Δ only. A
value that changed its sign keeps the new one, and is answered for as its size, so nothing brings it back.

Source: Shetty, Prasath & Seelamantula (2025), Dale meets Langevin.
Oracle: log-normal data (tests/solvers/test_multiplicative_sampler.py).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source
from girsanov.processes import Interpolant
from girsanov.solvers.grids import Times, resolve


def hyvarinen_score(model: AbstractDenoiser, x: Tensor, t: float) -> Tensor:
    """h = x ∘ ∇log p_t(x) at x (B, *shape), the elasticity of the density, of a model in the log chart.

    Where x < 0 it is that of |x|.
    """
    return model.score(x.abs().log(), t) - 1


def multiplicative_langevin(
    model: AbstractDenoiser, x: Tensor, grid: Times, *, generator: Randomness = None
) -> Tensor:
    """Run (1); samples may be below 0, which is what to look at. For samples use any solver on `Geometric`.

    Args:
        model: a denoiser of a process in the log chart with α = 1, such as `Geometric()`.
        x: (B, *shape), the start, above 0: the exponential of a draw of the reference.
        grid: decreasing times that end above 0, or at 0 with the data answer times the sign.

    Returns:
        (B, *shape).

    Raises:
        Unsuitable: another process.
    """
    process: Interpolant = model.process
    require(
        getattr(process, "chart", "identity") == "log" and process.alpha(1.0) == 1,
        f"multiplicative_langevin needs geometric noise, as that of Geometric(), not {process!r}",
        Unsuitable,
    )
    source = as_source(generator)
    for i, (s, t) in enumerate(pairwise(resolve(grid, process))):
        if t == 0:
            return x.sign() * model.data(x.abs().log(), s).exp()
        gain = process.gamma(s) ** 2 - process.gamma(t) ** 2
        x = x * (1 + gain * (1.5 + hyvarinen_score(model, x, s)) + gain**0.5 * source.draw(x, i))
    return x
