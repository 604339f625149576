"""Reflected Brownian motion on [0, 1] from a few points, with its density and score in closed form."""

import torch

from girsanov.denoiser import AbstractDenoiser
from girsanov.processes import Box, Constrained

POINTS = torch.tensor([0.15, 0.6], dtype=torch.float64)


def process(steps, variance=0.8):
    return Constrained(Box([0.0], [1.0]), steps=steps, variance=variance)


def log_density(x, variance):
    """log p (B,) at x (B, 1) after a variance (B,): the sum over mirror images of Gaussians at the points."""
    images = torch.cat([sign * POINTS + 2 * k for k in range(-3, 4) for sign in (1, -1)])
    each = -(x - images).square() / (2 * variance[:, None]) - (2 * torch.pi * variance[:, None]).log() / 2
    return each.logsumexp(1) - torch.log(torch.tensor(float(len(POINTS))))


def draw(n, variance, generator):
    """Exact draws (n, 1): Gaussians at the points, folded into the interval."""
    which = torch.randint(len(POINTS), (n,), generator=generator)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    u = (POINTS[which] + variance**0.5 * noise).remainder(2)
    return torch.minimum(u, 2 - u)[:, None]


class Exact(AbstractDenoiser):
    """The score of the motion from the points, or from its law after the variance `start`.

    `shift` (B,) or (B, 1) is added to it, times `factor(x)`.
    """

    def __init__(self, process, start=0.0, shift=0.0, factor=torch.ones_like):
        super().__init__()
        self.process, self.stored, self.shape = process, ("score",), (1,)
        self.start, self.shift, self.factor = start, shift, factor

    def forward(self, x, t, *, cond=None, anchor=None):
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            y = x.double() if x.requires_grad else x.double().requires_grad_()
            t = torch.as_tensor(t, dtype=torch.float64).expand(len(x))
            density = log_density(y, self.process.clock(t) + self.start)
            (score,) = torch.autograd.grad(density.sum(), y, create_graph=True)
            found = score + self.shift * self.factor(y)
        return (found if keep else found.detach(),)
