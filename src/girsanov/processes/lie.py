"""Rotations and rigid motions as matrices, their exponentials and logarithms, and a diffusion of rigid motions.

A twist is (ω, v), rotation first. With θ = |ω|, K = [ω]× and H = [R t; 0 1],

    R = I + A K + B K²,              A = sin θ/θ,  B = (1 - cos θ)/θ²,
    t = (I + B K + C K²) v,          C = (θ - sin θ)/θ³,
    v = (I - K/2 + D K²) t,          D = (1 - θ/2 cot θ/2)/θ²,

by their series for θ < 0.1. The logarithm of R goes over its unit quaternion, built from the largest of its four
components, so it is exact to rounding up to θ = π, where ω and -ω are one rotation and either may be given.

`SE3Diffusion` takes the true motion H_0 to H_1, the identity unless given, on the geodesic between them, with
the a = √ᾱ of a variance-preserving schedule:

    H_t = Exp((1 - a) Log(H_1 H_0⁻¹)) H_0,      H̃_t = Exp(γ diag(σ_r, σ_p) ξ) H_t,   γ = √(1 - a²).

Its reverse step is DDPM's posterior mean in the Lie algebra; from s down to t, with ρ = a_s/a_t,

    H ← Exp(g_0 Log Ĥ_0 + g_1 Log H),     g_0 = a_t (1 - ρ²)/γ_s²,   g_1 = ρ γ_t²/γ_s²,

then, if asked, noise Exp(√g_2 diag(σ_r, σ_p) ξ), g_2 = (1 - ρ²) γ_t²/γ_s².
Source: Jiang, Salzmann, Dang, Xie & Yang (2023), SE(3) diffusion model-based point cloud registration,
arXiv 2310.17359; Solà, Deray & Atchuthan (2018), A micro Lie theory, arXiv 1812.01537.
Oracle: scipy's Rotation and matrix exponential, Exp∘Log near 0 and π, equivariance (tests/processes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.noise import Randomness, as_source
from girsanov.processes.base import like_batch
from girsanov.processes.schedules import CosineVP, Schedule
from girsanov.typing import Scalar, Time

SMALL = 0.01
"""Below this θ² the series are used: 10⁻¹⁶ is left of them there, and the quotients lose 10⁻¹³ above."""


def hat(omega: Tensor) -> Tensor:
    """The matrix of the cross product with ω: (*, 3) to (*, 3, 3)."""
    x, y, z = omega.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def vee(matrix: Tensor) -> Tensor:
    """The ω with [ω]× = the antisymmetric part of a matrix: (*, 3, 3) to (*, 3)."""
    m = (matrix - matrix.mT) / 2
    return torch.stack([m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]], -1)


def so3_exp(omega: Tensor) -> Tensor:
    """Rotation vectors (*, 3), in radians, to rotations (*, 3, 3)."""
    a, b, _, _ = _coefficients(omega)
    k = hat(omega)
    return torch.eye(3, dtype=omega.dtype, device=omega.device) + a * k + b * (k @ k)


def so3_log(rotation: Tensor) -> Tensor:
    """Rotations (*, 3, 3) to rotation vectors (*, 3) of length at most π.

    Raises:
        InputError: not a rotation.
    """
    check_rotation(rotation)
    return _so3_log(rotation)


def se3_exp(twist: Tensor) -> Tensor:
    """Twists (*, 6), rotation first, to rigid motions (*, 4, 4)."""
    omega, v = twist.split(3, -1)
    _, b, c, _ = _coefficients(omega)
    k = hat(omega)
    turned = torch.eye(3, dtype=twist.dtype, device=twist.device) + b * k + c * (k @ k)
    return rigid(so3_exp(omega), (turned @ v[..., None])[..., 0])


def se3_log(motion: Tensor) -> Tensor:
    """Rigid motions (*, 4, 4) to twists (*, 6).

    Raises:
        InputError: no rigid motion.
    """
    check_motion(motion)
    omega, t = _so3_log(motion[..., :3, :3]), motion[..., :3, 3]
    *_, d = _coefficients(omega)
    k = hat(omega)
    unturned = torch.eye(3, dtype=t.dtype, device=t.device) - k / 2 + d * (k @ k)
    return torch.cat([omega, (unturned @ t[..., None])[..., 0]], -1)


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """[R t; 0 1]: (*, 3, 3) and (*, 3) to (*, 4, 4)."""
    last = torch.zeros_like(translation)[..., None, :]
    last = torch.cat([last, torch.ones_like(last[..., :1])], -1)
    return torch.cat([torch.cat([rotation, translation[..., None]], -1), last], -2)


def rigid_inverse(motion: Tensor) -> Tensor:
    """The inverse of rigid motions (*, 4, 4)."""
    back = motion[..., :3, :3].mT
    return rigid(back, -(back @ motion[..., :3, 3:])[..., 0])


def move(motion: Tensor, points: Tensor) -> Tensor:
    """R x + t for rigid motions (*, 4, 4) and clouds (*, N, 3)."""
    return points @ motion[..., :3, :3].mT + motion[..., None, :3, 3]


def check_rotation(rotation: Tensor) -> None:
    """Refuse what is not a batch of rotations (*, 3, 3).

    Raises:
        InputError: another shape, integers, NaN, columns that are not orthonormal, or a reflection.
    """
    require(
        rotation.shape[-2:] == (3, 3) and rotation.is_floating_point(),
        f"a rotation is {tuple(rotation.shape)} of {rotation.dtype}; give floating-point (..., 3, 3)",
    )
    require_finite(rotation, "the rotation")
    if rotation.numel() == 0:
        return
    fixed = rotation.detach()
    off = (fixed.mT @ fixed - torch.eye(3, dtype=fixed.dtype, device=fixed.device)).abs().max().item()
    require(
        off < (1e-8 if fixed.dtype == torch.float64 else 1e-3),
        f"‖RᵀR - I‖ is {off:.3g}, so this is not a rotation; project it with an SVD first",
    )
    require(bool((torch.linalg.det(fixed) > 0).all()), "det R is -1: a reflection, not a rotation")


def check_motion(motion: Tensor) -> None:
    """Refuse what is not a batch of rigid motions (*, 4, 4). Raises InputError."""
    require(
        motion.shape[-2:] == (4, 4), f"a rigid motion is {tuple(motion.shape)}; give matrices (..., 4, 4)"
    )
    last = motion.new_tensor([0.0, 0.0, 0.0, 1.0])
    require(bool((motion[..., 3, :] == last).all()), "the last row of a rigid motion must be 0, 0, 0, 1")
    check_rotation(motion[..., :3, :3])
    require_finite(motion, "the rigid motion")


@dataclass(frozen=True)
class SE3Diffusion:
    """A diffusion from a rigid motion to the identity; see the head of the module.

    Args:
        schedule: a variance-preserving schedule; its α is a.
        rotation_std: σ_r, radians.
        translation_std: σ_p, in units of clouds that fill about the unit ball.

    Raises:
        InputError: a negative deviation, or a schedule whose α² + γ² is not 1 or that has an x_1.
    """

    schedule: Schedule = field(default_factory=CosineVP)
    rotation_std: float = 0.05
    translation_std: float = 0.03

    def __post_init__(self) -> None:
        for name in ("rotation_std", "translation_std"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"{name} is {value}; give a number of at least 0")
        alpha, beta, gamma = self.schedule.values(0.5)
        require(
            beta == 0 and abs(alpha**2 + gamma**2 - 1) < 1e-9,
            f"{self.schedule!r} does not preserve variance; give CosineVP() or LinearVP()",
        )

    def between(self, start: Tensor, t: Time, *, end: Tensor | None = None) -> Tensor:
        """H_t without noise, (B, 4, 4), for H_0 `start` and H_1 `end`, the identity if None; t as in `perturb`."""
        left = rigid_inverse(start) if end is None else end @ rigid_inverse(start)
        alpha, _, _ = self.schedule.values(like_batch(t, start[..., 0]))
        return se3_exp((1 - alpha) * se3_log(left)) @ start

    def perturb(
        self, start: Tensor, t: Time, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw H̃_t.

        Args:
            start: (B, 4, 4), the true motions H_0.
            t: (B,) or a float, in [0, 1].
            end: (B, 4, 4), H_1; None is the identity.

        Returns:
            (B, 4, 4).
        """
        _, _, gamma = self.schedule.values(like_batch(t, start[..., 0]))
        return self._jolt(self.between(start, t, end=end), gamma, 0, generator)

    def coefficients(self, s: Scalar, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """(g_0, g_1, g_2) of the reverse step from s down to t: DDPM's posterior."""
        (before, _, noise_s), (after, _, noise_t) = self.schedule.values(s), self.schedule.values(t)
        rho = before / after
        left, share = 1 - rho**2, (noise_t / noise_s) ** 2
        return after * left / noise_s**2, rho * share, left * share

    def reverse(
        self, now: Tensor, answer: Tensor, s: float, t: float, *, noise: bool = False, key: int = 0,
        generator: Randomness = None,
    ) -> Tensor:  # fmt: skip
        """The step from H at s to t < s, (B, 4, 4), given the answer Ĥ_0; at t = 0 it is the answer.

        Args:
            now, answer: (B, 4, 4).
            s, t: times, 1 >= s > t >= 0.
            noise: draw from the posterior in place of taking its mean.
            key: the number of the draw, such as that of the step.
        """
        require(1 >= s > t >= 0, f"the step goes from {s} to {t}; give 1 >= s > t >= 0")
        if t == 0:
            return answer
        g0, g1, g2 = self.coefficients(s, t)
        mean = se3_exp(g0 * se3_log(answer) + g1 * se3_log(now))
        return self._jolt(mean, math.sqrt(g2), key, generator) if noise else mean

    def _jolt(self, motion: Tensor, scale: Scalar, key: int, generator: Randomness) -> Tensor:
        xi = as_source(generator).draw(motion.new_empty(len(motion), 6), key)
        std = motion.new_tensor([self.rotation_std] * 3 + [self.translation_std] * 3)
        return se3_exp(scale * std * xi) @ motion


def _coefficients(omega: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A, B, C, D of the head of the module, each (*, 1, 1)."""
    square = omega.square().sum(-1)[..., None, None]
    near = square < SMALL
    q = torch.where(near, square, 0)
    theta2 = torch.where(near, 1, square)  # so that no gradient of √ at 0 is formed
    theta = theta2.sqrt()
    half = theta / 2
    series = [
        1 - q / 6 * (1 - q / 20 * (1 - q / 42 * (1 - q / 72))),
        (1 - q / 12 * (1 - q / 30 * (1 - q / 56 * (1 - q / 90)))) / 2,
        (1 - q / 20 * (1 - q / 42 * (1 - q / 72 * (1 - q / 110)))) / 6,
        1 / 12 + q * (1 / 720 + q * (1 / 30240 + q / 1209600)),
    ]
    closed = [
        theta.sin() / theta,
        2 * half.sin().square() / theta2,
        (theta - theta.sin()) / (theta2 * theta),
        (1 - half * half.cos() / half.sin()) / theta2,
    ]
    a, b, c, d = (torch.where(near, x, y) for x, y in zip(series, closed, strict=True))
    return a, b, c, d


def _so3_log(rotation: Tensor) -> Tensor:
    """By the quaternion: of the matrix 4 q qᵀ, whose entries are sums of those of R, take the largest row."""
    m = rotation
    x, y, z = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = torch.stack(
        [
            torch.stack([1 + x + y + z, wx, wy, wz], -1),
            torch.stack([wx, 1 + x - y - z, xy, xz], -1),
            torch.stack([wy, xy, 1 - x + y - z, yz], -1),
            torch.stack([wz, xz, yz, 1 - x - y + z], -1),
        ],
        -2,
    )
    largest = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*rows.shape[:-2], 1, 4)
    q = rows.gather(-2, largest)[..., 0, :]
    q = q / q.norm(dim=-1, keepdim=True)
    q = torch.where(q[..., :1] < 0, -q, q)
    w, v = q.split((1, 3), -1)
    square = v.square().sum(-1, keepdim=True)
    near = square < SMALL**2
    sine = torch.where(near, 1, square).sqrt()
    r = torch.where(near, square, 0) / w.square().clamp(min=0.5)  # tan²(θ/2)
    series = 2 / w.clamp(min=0.5) * (1 - r * (1 / 3 - r * (1 / 5 - r / 7)))
    return v * torch.where(near, series, 2 * torch.atan2(sine, w) / sine)
