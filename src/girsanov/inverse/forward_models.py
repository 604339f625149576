"""Diffusion with forward models: a generative model of signals that were never observed.

What is observed of a signal S is O = F(S, φ): a picture for each camera, a projection for each angle, the pixels under
each mask. The renderer F is known and differentiable, the settings φ too. The denoiser of M observations of one signal
goes through the signal,

    E[O_i | O_t, context]  ≈  F(S, φ_i),    S = net(O_t, t; φ, context, φ_context),

so a plain reverse diffusion of the observations, by any solver, ends with a signal that shows them:

    x = sample(model, n, cond={"setting": φ, "context": O_c, "context_setting": φ_c})
    S = model.signal(x, cond=...)        to be rendered at any setting

Train it with `objectives.IndirectMatching` on groups of observations. What is drawn are the M observations: what neither
they nor the context show of S is the network's mean, not a draw. In the paper M = 1; more are less of a mean.

Source: Tewari, Yin, Cazenavette et al. (2023), Diffusion with forward models: solving stochastic inverse problems
without direct supervision, arXiv 2306.11719.
Oracle: F the identity, where losses and samples are those of `Denoiser` to the bit; finite differences through F
(tests/inverse/test_forward_models.py, tests/objectives/test_indirect.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Protocol

import torch
from torch import Tensor, nn

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable, require, require_finite
from girsanov.processes import Interpolant
from girsanov.typing import Shape, Time, Tree

CONTEXT = {"context", "context_setting", "known"}
"""What a condition may hold beside the setting of x."""


class Renderer(Protocol):
    """F: what a signal looks like at a setting, differentiable in the signal."""

    def __call__(self, signal: Tensor, setting: Tensor) -> Tensor:
        """Observations (B, *shape) of signals (B, *signal), each at its setting (B, *setting)."""


class ForwardModelDenoiser(AbstractDenoiser):
    """A network that answers with signals, and the renderer, as the denoiser of observations.

    Its `cond` is a dictionary: `setting` (B, M, *setting) of x (B, M, *shape); and, unless nothing is known, `context`
    (B, K, *shape) with `context_setting` (B, K, *setting), and perhaps `known` (B, K), 0 where one is to be ignored.

    Args:
        network: called as network(x, t, cond) with t (B,) and all four entries; answers with signals (B, *signal).
            Ignored contexts are zeros at the first setting of x, and without a context there is one of them.
        renderer: any differentiable function (signal, setting) to observations; as a module it may learn too.
        process: of the observations, with one random end.
        shape: of the observations drawn together, (M, *shape); `fit` fills it in.

    Raises:
        Unsuitable: a process with two ends or other coordinates. In calls that need gradients: a renderer that lets
            none through.
        InputError: in calls: a condition without a setting or with entries of other names or sizes; observations of
            the wrong shape.
    """

    stored = ("data",)
    data_std: None = None

    def __init__(
        self, network: nn.Module, renderer: Renderer, process: Interpolant, *, shape: Shape | None = None
    ) -> None:
        super().__init__()
        suits = isinstance(process, Interpolant) and process.end == "noise" and process.chart == "identity"
        require(
            suits,
            f"ForwardModelDenoiser takes a process from observations to noise, such as processes.VP(), and this is "
            f"{process!r}",
            Unsuitable,
        )
        require(callable(renderer), f"the renderer is {type(renderer).__name__}; give a function")
        self.network, self.renderer, self.process = network, renderer, process
        self.shape = None if shape is None else tuple(shape)

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        self.process.check_anchor(anchor)
        seen = condition(x, cond)
        return (self._shown(x, self._ask(x, t, seen), seen["setting"]),)

    def signal(self, x: Tensor, t: Time | None = None, *, cond: Tree = None) -> Tensor:
        """The signal behind observations, (B, *signal).

        Args:
            x: (B, M, *shape), noisy observations, or samples.
            t: their time; None for samples, which are at `process.t_min`.
            cond: as for the denoiser.
        """
        return self._ask(x, self.process.t_min if t is None else t, condition(x, cond))

    def render(self, signal: Tensor, setting: Tensor) -> Tensor:
        """F(S, φ_i), (B, M, *shape), of signals (B, *signal) at settings (B, M, *setting), with its gradient.

        Raises:
            Unsuitable: the signal has a gradient, and what is rendered has none.
        """
        m = setting.shape[1]
        each = signal if m == 1 else signal[:, None].expand(-1, m, *signal.shape[1:]).flatten(0, 1)
        shown: Tensor = self.renderer(each, setting.flatten(0, 1))
        if signal.requires_grad and torch.is_grad_enabled() and not shown.requires_grad:
            raise Unsuitable(
                "no gradient reaches the network through the renderer: take away detach, no_grad, rounding or a step "
                "through numpy"
            )
        return shown.unflatten(0, (len(signal), m))

    def at(self, setting: Tensor) -> AtSetting:
        """This denoiser at the same settings for all samples, whose `cond` is the context alone, or None.

        Classifier-free guidance goes around it: `guidance.classifier_free(model.at(setting), 2.0)`.

        Args:
            setting: (M, *setting), without a batch.
        """
        return AtSetting(self, setting)

    def _ask(self, x: Tensor, t: Time, seen: dict[str, Tensor]) -> Tensor:
        if not isinstance(t, Tensor):
            t = torch.full((len(x),), t, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
        answer: Tensor = self.network(x, t.expand(len(x)), seen)
        return answer

    def _shown(self, x: Tensor, signal: Tensor, setting: Tensor) -> Tensor:
        shown = self.render(signal, setting)
        if shown.shape != x.shape:
            raise InputError(
                f"the renderer shows {tuple(shown.shape[2:])} and the observations are {tuple(x.shape[2:])}; they must agree"
            )
        return shown


class AtSetting(AbstractDenoiser):
    """See `ForwardModelDenoiser.at`."""

    stored = ("data",)

    def __init__(self, model: ForwardModelDenoiser, setting: Tensor) -> None:
        super().__init__()
        self.model, self.process, self.shape = model, model.process, model.shape
        self.register_buffer("setting", torch.as_tensor(setting))

    setting: Tensor

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return self.model(x, t, cond=self.told(x, cond), anchor=anchor)

    def signal(self, x: Tensor, t: Time | None = None, *, cond: Tree = None) -> Tensor:
        """As `ForwardModelDenoiser.signal`."""
        return self.model.signal(x, t, cond=self.told(x, cond))

    def told(self, x: Tensor, cond: Tree) -> dict[str, Tensor]:
        """The condition with the setting in it."""
        if not isinstance(cond, Mapping | None):
            raise InputError(f"cond is {type(cond).__name__}; give a dictionary of the context, or None")
        return {**(cond or {}), "setting": self.setting.expand(len(x), *self.setting.shape)}


def condition(x: Tensor, cond: Tree) -> dict[str, Tensor]:
    """All that a network is given beside x, the context at zero where it is not known.

    Raises:
        InputError: no setting, entries of other names, sizes that do not fit x.
    """
    # Plain conditions: this runs at every step, and a message is for the step that fails.
    if not isinstance(cond, Mapping) or "setting" not in cond or not set(cond) <= {"setting", *CONTEXT}:
        what = ", ".join(sorted(cond)) if isinstance(cond, Mapping) else type(cond).__name__
        raise InputError(
            f"cond is {what}; give a dictionary with the setting of x, and with context and context_setting if there is a "
            "context"
        )
    setting = cond["setting"]
    if setting.shape[:2] != x.shape[:2]:
        raise InputError(
            f"the settings are {tuple(setting.shape)} and x is {tuple(x.shape)}; give (B, M, *setting) for (B, M, *shape)"
        )
    if ("context" in cond) != ("context_setting" in cond):
        raise InputError("give context and context_setting together, or neither")
    if "context" not in cond:
        nothing, known = torch.zeros_like(x[:, :1]), x.new_zeros(len(x), 1)
        return {"setting": setting, "context": nothing, "context_setting": setting[:, :1], "known": known}
    context, placed = cond["context"], cond["context_setting"]
    known = cond.get("known", x.new_ones(context.shape[:2])).to(x.dtype)
    fits = context.shape[:2] == placed.shape[:2] == known.shape and len(context) == len(x)
    if not fits or context.shape[2:] != x.shape[2:] or placed.shape[2:] != setting.shape[2:]:
        raise InputError(
            f"the context is {tuple(context.shape)} at {tuple(placed.shape)}, known {tuple(known.shape)}, for x "
            f"{tuple(x.shape)} at {tuple(setting.shape)}; they must agree but for the number of views, the second size"
        )
    return {
        "setting": setting,
        "context": torch.where(_wide(known, context), context, 0.0),
        "context_setting": torch.where(_wide(known, placed), placed, setting[:, :1]),
        "known": known,
    }


def _wide(known: Tensor, like: Tensor) -> Tensor:
    """Which are known, (B, K), with as many dimensions as `like`."""
    return (known > 0).reshape(*known.shape, *[1] * (like.ndim - 2))


class LinearViews(nn.Module):
    """A renderer of tabulated linear views: one matrix for each setting, and the setting is its number.

    Projections at a grid of angles, masks, windows, blurs. With `adjoint` a network can lay what is seen back on the
    grid of the signal, whatever the setting.

    Args:
        matrices: (K, m, d), each from a signal of d coordinates to a view of m.
        shape: of one signal, with d elements; None for (d,).

    Raises:
        InputError: matrices of another form or not finite; in calls, settings that are no whole numbers from 0 to
            K - 1, signals or views that do not fit.
    """

    matrices: Tensor

    def __init__(self, matrices: Tensor, shape: Shape | None = None) -> None:
        super().__init__()
        require(
            matrices.ndim == 3 and matrices.numel() > 0 and matrices.is_floating_point(),
            f"the matrices are {matrices.dtype} {tuple(matrices.shape)}; give floats (K, m, d)",
        )
        require_finite(matrices, "matrices")
        self.shape = (matrices.shape[2],) if shape is None else tuple(shape)
        require(
            prod(self.shape) == matrices.shape[2],
            f"a signal of shape {self.shape} has {prod(self.shape)} elements, and the matrices take {matrices.shape[2]}",
        )
        self.register_buffer("matrices", matrices)

    def forward(self, signal: Tensor, setting: Tensor) -> Tensor:
        """Views (B, m) of signals (B, *shape), each at its setting (B,)."""
        require(
            tuple(signal.shape[1:]) == self.shape and setting.shape == signal.shape[:1],
            f"the signals are {tuple(signal.shape)} at settings {tuple(setting.shape)}; give "
            f"(B, {', '.join(map(str, self.shape))}) at (B,)",
        )
        return (self._chosen(setting) @ signal.flatten(1)[..., None])[..., 0]

    def adjoint(self, view: Tensor, setting: Tensor) -> Tensor:
        """Aᵀ y on the grid of the signal, (B, *many, *shape), of views (B, *many, m) at settings (B, *many)."""
        wanted = (*setting.shape, self.matrices.shape[1])
        require(view.shape == wanted, f"the views are {tuple(view.shape)}; for these settings give {wanted}")
        laid = view[..., None, :] @ self._chosen(setting)
        return laid.reshape(*setting.shape, *self.shape)

    def prox(self, signal: Tensor, view: Tensor, setting: Tensor, rho: Tensor) -> Tensor:
        """The signal u of least |A u - y|² + ρ |u - S|², (B, *shape): S moved towards what shows y.

        With ρ the variance of the noise of y over that of S, it is the posterior mean of a Gaussian S.

        Args:
            signal: S, (B, *shape).
            view: y, (B, m).
            setting: (B,).
            rho: (B,), above 0.
        """
        chosen = self._chosen(setting)
        missing = (view - self(signal, setting))[..., None]
        gram = chosen @ chosen.mT + torch.diag_embed(rho[:, None].expand(-1, chosen.shape[1]))
        return signal + (chosen.mT @ torch.linalg.solve(gram, missing)).reshape(signal.shape)

    def _chosen(self, setting: Tensor) -> Tensor:
        k = len(self.matrices)
        whole = not (setting.is_floating_point() or setting.is_complex() or setting.dtype == torch.bool)
        require(whole, f"the settings are {setting.dtype}; give whole numbers from 0 to {k - 1}")
        if setting.numel():
            low, high = (int(bound) for bound in setting.aminmax())
            require(low >= 0 and high < k, f"the settings run from {low} to {high}; give 0 to {k - 1}")
        return self.matrices[setting.long()]
