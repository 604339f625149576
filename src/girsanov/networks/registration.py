"""Rigid registration in one shot: points to features, features to soft correspondences, those to a motion.

    features        for each point its place, and its k nearest neighbours x_j as edges (x_j - x_i, lengths),
                    a perceptron and the maximum over the edges; once more on features; then the mean of the cloud
    cross-attention each cloud's features ask the other's, once, with shared weights
    matches         P = softmax(⟨f_i, g_j⟩/τ) over the target, y_i = Σ_j P_ij y_j, w_i the confidence of row i
    motion          argmin over (R, t) of Σ w_i |R x_i + t - y_i|²   (Kabsch)

The minimum is R = U diag(1, 1, ±1) Vᵀ of the SVD of M = Σ w (y - ȳ)(x - x̄)ᵀ, the sign making det R = 1. The
gradient is not that of the SVD, which divides by differences of singular values: with S = RᵀM symmetric,

    dR = R [ω]×,   (tr(S) I - S) ω = 2 vee(Rᵀ dM),

and this matrix is singular only where R itself is undetermined (points on a line); a 10⁻⁶ share of its size is
added, so the gradient is always finite.
Source: Wang & Solomon (2019), Deep closest point, arXiv 1905.03304; Kabsch (1976); the surrogate of Jiang et
al. (2023), arXiv 2310.17359.
Oracle: exact motions of exact matches, gradients by finite differences (tests/networks/test_registration.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import require
from girsanov.networks.base import require_sizes
from girsanov.processes.lie import hat, rigid, vee

LEAST = 1e-6


class _Rotation(torch.autograd.Function):
    """The rotation nearest to a matrix M (B, 3, 3), with the gradient of the head of the module; once only."""

    @staticmethod
    def forward(ctx: Any, m: Tensor) -> Tensor:
        u, s, vt = torch.linalg.svd(m)
        sign = torch.linalg.det(u @ vt).sign()
        flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1)
        rotation = (u * flip[:, None]) @ vt
        s = s * flip
        # tr(S) I - S has the eigenvalues s_j + s_k along the axes of V.
        ctx.save_for_backward(rotation, s.sum(-1, keepdim=True) - s, vt)
        return rotation

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rotation, stiffness, vt = ctx.saved_tensors
        tiny = torch.finfo(rotation.dtype).tiny ** 0.5
        soft = stiffness.clamp(min=0) + LEAST * stiffness.amax(-1, keepdim=True).clamp(min=tiny)
        torque = 2 * vee(rotation.mT @ gradient)
        u = vt.mT @ ((vt @ torque[..., None]) / soft[..., None])
        return rotation @ hat(u[..., 0])


def weighted_kabsch(source: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The rigid motion that takes source to target with the least weighted squared error.

    Args:
        source, target: (B, N, 3), matched point by point.
        weight: (B, N), at least 0; None weighs all alike.

    Returns:
        (B, 4, 4). Its gradient is finite where the points leave the rotation open, such as points on a line.

    Raises:
        InputError: shapes that do not fit.
    """
    require(
        source.ndim == 3 and source.shape[-1] == 3 and source.shape == target.shape,
        f"source is {tuple(source.shape)} and target {tuple(target.shape)}; give two (B, N, 3)",
    )
    w = source.new_ones(source.shape[:2]) if weight is None else weight
    require(w.shape == source.shape[:2], f"weight is {tuple(w.shape)}; give {tuple(source.shape[:2])}")
    w = (w / w.sum(1, keepdim=True).clamp(min=1e-12))[..., None]
    a, b = ((w * points).sum(1, keepdim=True) for points in (source, target))
    rotation = _Rotation.apply((w * (target - b)).mT @ (source - a))
    return rigid(rotation, b[:, 0] - (rotation @ a.mT)[..., 0])


class PointMatcher(nn.Module):
    """Two clouds, (B, N, 3) and (B, M, 3), to the rigid motion (B, 4, 4) that takes the first to the second.

    `PointMatcher()` has 63,682 parameters. Clouds fill about the unit ball; N and M exceed `neighbours`.

    Args:
        width: of the features, a multiple of 4.
        neighbours: k, the edges of a point.

    Raises:
        InputError: sizes out of range; when called, shapes that do not fit.
    """

    def __init__(self, *, width: int = 64, neighbours: int = 12) -> None:
        super().__init__()
        require_sizes("PointMatcher", most=1024, width=width, neighbours=neighbours)
        require(width % 4 == 0, f"PointMatcher: width is {width}; give a multiple of 4")
        self.neighbours = neighbours
        self.first = _perceptron(9, width, width)
        self.second = _perceptron(2 * width + 3, width, width)
        self.merge = _perceptron(3 * width, width, width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.after = _perceptron(2 * width, width, width)
        self.confidence = nn.Linear(width, 1)
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        matched, weight = self.match(source, target)
        return weighted_kabsch(source, matched, weight)

    def match(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The soft correspondences y_i (B, N, 3) of the source's points, and their weights (B, N)."""
        for name, points in (("source", source), ("target", target)):
            require(
                points.ndim == 3 and points.shape[-1] == 3 and points.shape[1] > self.neighbours,
                f"{name} is {tuple(points.shape)}; give (B, N, 3) with more than {self.neighbours} points",
            )
        f, g = self._encode(source), self._encode(target)
        f, g = f + self._ask(f, g), g + self._ask(g, f)
        f = f + self.after(torch.cat([self.norm(f), f.mean(1, keepdim=True).expand_as(f)], -1))
        g = g + self.after(torch.cat([self.norm(g), g.mean(1, keepdim=True).expand_as(g)], -1))
        scores = F.normalize(f, dim=-1) @ F.normalize(g, dim=-1).mT * self.sharpness.exp()
        return scores.softmax(-1) @ target, self.confidence(f)[..., 0].sigmoid()

    def _ask(self, f: Tensor, g: Tensor) -> Tensor:
        a, b = self.norm(f), self.norm(g)
        answer: Tensor = self.attention(a, b, b, need_weights=False)[0]
        return answer

    def _encode(self, points: Tensor) -> Tensor:
        """Features (B, N, width)."""
        near = torch.cdist(points.detach(), points.detach()).topk(self.neighbours + 1, largest=False).indices
        near = near[..., 1:]
        centred = points - points.mean(1, keepdim=True)
        edges = _gather(centred, near) - centred[:, :, None]
        length = edges.norm(dim=-1, keepdim=True)
        place = torch.cat([centred, centred.norm(dim=-1, keepdim=True)], -1)
        places = place[:, :, None].expand(-1, -1, self.neighbours, -1)
        outward = (edges * centred[:, :, None]).sum(-1, keepdim=True)
        f = self.first(torch.cat([places, edges, length, outward], -1)).amax(2)
        wide = torch.cat([f[:, :, None].expand(-1, -1, self.neighbours, -1), _gather(f, near), edges], -1)
        h = self.second(wide).amax(2)
        whole = h.mean(1, keepdim=True).expand_as(h)
        merged: Tensor = self.merge(torch.cat([f, h, whole], -1))
        return merged


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """values (B, N, C) at index (B, N, k): (B, N, k, C)."""
    rows = torch.arange(len(values), device=values.device)[:, None, None]
    return values[rows, index]


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )
