"""Diffusion with forward models: a generative model of signals that were never observed.

What is observed of a signal S is O = F(S, φ): a picture for each camera, a projection for each angle, the pixels under
each mask. The renderer F is known and differentiable, the settings φ too. The denoiser of an observation goes
through a signal,

    E[O | O_t, context]  ≈  F(S, φ),    S = net(O_t, t; φ, context, φ_context),

so a plain reverse diffusion of the observation, by any solver, ends with a signal that shows it:

    x = sample(model, n, cond={"setting": φ, "context": O_c, "context_setting": φ_c})
    S = model.signal(x, cond=...)        to be rendered at any setting

Train it with `objectives.IndirectMatching` on groups of observations. What is drawn is one observation: what neither it nor the
context shows of S is the network's mean, not a draw.

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
        """Observations (B, *shape) of signals (B, *signal) at settings (B, *setting)."""


class ForwardModelDenoiser(AbstractDenoiser):
    """A network that answers with signals, and the renderer, as the denoiser of observations.

    Its `cond` is a dictionary: `setting` (B, *setting) of x; and, unless there is no context, `context` (B, *shape)
    with `context_setting` (B, *setting), and perhaps `known` (B,), 0 where the context is to be ignored.

    Args:
        network: called as network(x, t, cond) with t (B,) and all four entries, those of an ignored context at zero
            and at the setting of x; answers with signals (B, *signal).
        renderer: any differentiable function (signal, setting) to observations; as a module it may learn too.
        process: of the observations, with one random end.
        shape: of one observation; `fit` fills it in.

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
            x: (B, *shape), noisy observations, or samples.
            t: their time; None for samples, which are at `process.t_min`.
            cond: as for the denoiser.
        """
        return self._ask(x, self.process.t_min if t is None else t, condition(x, cond))

    def render(self, signal: Tensor, setting: Tensor) -> Tensor:
        """F(S, φ), (B, *shape), with the gradient that training needs.

        Raises:
            Unsuitable: the signal has a gradient, and what is rendered has none.
        """
        shown: Tensor = self.renderer(signal, setting)
        if signal.requires_grad and torch.is_grad_enabled() and not shown.requires_grad:
            raise Unsuitable(
                "no gradient reaches the network through the renderer: take away detach, no_grad, rounding or a step "
                "through numpy"
            )
        return shown

    def at(self, setting: Tensor) -> AtSetting:
        """This denoiser at one setting for all samples, whose `cond` is the context alone, or None.

        Classifier-free guidance goes around it: `guidance.classifier_free(model.at(setting), 2.0)`.

        Args:
            setting: (*setting), without a batch.
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
                f"the renderer shows {tuple(shown.shape)} and the observations are {tuple(x.shape)}; they must agree"
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
        what = (
            f"holds {', '.join(sorted(cond))}" if isinstance(cond, Mapping) else f"is {type(cond).__name__}"
        )
        raise InputError(
            f"cond {what}; give a dictionary with the setting of x, and with context and context_setting if there is a "
            "context"
        )
    setting = cond["setting"]
    if ("context" in cond) != ("context_setting" in cond):
        raise InputError("give context and context_setting together, or neither")
    if "context" not in cond:
        nothing = torch.zeros_like(x)
        return {
            "setting": setting, "context": nothing, "context_setting": setting, "known": x.new_zeros(len(x))
        }  # fmt: skip
    context, placed = cond["context"], cond["context_setting"]
    known = cond.get("known", x.new_ones(len(x))).to(x.dtype)
    if context.shape != x.shape or placed.shape != setting.shape or known.shape != x.shape[:1]:
        raise InputError(
            f"the context is {tuple(context.shape)} at {tuple(placed.shape)}, known {tuple(known.shape)}, for x "
            f"{tuple(x.shape)} at {tuple(setting.shape)}; context and x must agree, their settings too, and known be (B,)"
        )
    wide = known.reshape(-1, *[1] * (x.ndim - 1))
    seen = wide > 0
    where = seen.reshape(-1, *[1] * (setting.ndim - 1))
    return {
        "setting": setting,
        "context": torch.where(seen, context, 0.0),
        "context_setting": torch.where(where, placed, setting),
        "known": known,
    }


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
        """Views (B, *many, m) of signals (B, *shape) at settings (B, *many)."""
        require(
            tuple(signal.shape[1:]) == self.shape,
            f"the signals are {tuple(signal.shape)}; give (B, {', '.join(map(str, self.shape))})",
        )
        chosen = self._chosen(setting, len(signal))
        flat = signal.flatten(1).reshape(len(signal), *[1] * (setting.ndim - 1), -1, 1)
        return (chosen @ flat)[..., 0]

    def adjoint(self, view: Tensor, setting: Tensor) -> Tensor:
        """Aᵀ y on the grid of the signal, (B, *many, *shape), of views (B, *many, m) at settings (B, *many)."""
        wanted = (*setting.shape, self.matrices.shape[1])
        require(view.shape == wanted, f"the views are {tuple(view.shape)}; for these settings give {wanted}")
        laid = view[..., None, :] @ self._chosen(setting, len(view))
        return laid.reshape(*setting.shape, *self.shape)

    def _chosen(self, setting: Tensor, size: int) -> Tensor:
        k = len(self.matrices)
        whole = not (setting.is_floating_point() or setting.is_complex() or setting.dtype == torch.bool)
        require(
            whole and setting.ndim >= 1 and len(setting) == size,
            f"the settings are {setting.dtype} {tuple(setting.shape)}; give whole numbers ({size}, ...)",
        )
        if setting.numel():
            low, high = (int(bound) for bound in setting.aminmax())
            require(low >= 0 and high < k, f"the settings run from {low} to {high}; give 0 to {k - 1}")
        return self.matrices[setting.long()]
