"""A hidden Chow–Liu tree: a law of discrete vectors whose conditionals are exact and cheap.

Every variable x_i ∈ {0, …, K-1} hangs on a hidden state h_i ∈ {0, …, H-1}, and the hidden states form a tree:

    p(x) = Σ_h p(h_root) Π_i p(h_i | h_parent(i)) Π_i p(x_i | h_i).

Given soft evidence w_i(v) ≥ 0 at every variable (a row of ones where nothing is known, one-hot where the value is), one
pass to the root and one back give Z = Σ_x p(x) Π_i w_i(x_i) and all marginals of p(x) Π w / Z at once, in O(D H²):

    b_i(h) = Σ_v p(v|h) w_i(v) · Π_{children c} m_c(h),     m_c(h) = Σ_h' p(h'|h) b_c(h').

A chain for the tree is a hidden Markov model. The tree of `fit` is the maximum spanning tree of the pairwise mutual
informations (Chow & Liu 1968); its parameters are fitted by expectation and maximization.
Oracle: enumeration of small trees, forward-backward of a chain, a likelihood that never falls (tests/inverse).
Source: Liu, Niepert & Van den Broeck (2024), arXiv 2401.03349, for its use; the passes are those of Pearl (1988).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Randomness, as_source, uniform

TINY = 1e-300


@dataclass(frozen=True)
class HiddenChowLiuTree:
    """The law; see the head of the module. All tables are float64.

    Args:
        parent: (D,) the parent of each variable, -1 for the root.
        start: (H,) p(h_root).
        transition: (D, H, H) p(h_i = column | h_parent = row); not read at the root.
        emission: (D, H, K) p(x_i = v | h_i).

    Raises:
        InputError: shapes that do not fit, or parents that form no tree.
    """

    parent: Tensor
    start: Tensor
    transition: Tensor
    emission: Tensor

    def __post_init__(self) -> None:
        d, h, _ = self.emission.shape
        require(
            self.parent.shape == (d,) and self.start.shape == (h,) and self.transition.shape == (d, h, h),
            f"parent {tuple(self.parent.shape)}, start {tuple(self.start.shape)}, transition "
            f"{tuple(self.transition.shape)} and emission {tuple(self.emission.shape)} do not fit; give (D,), (H,), "
            "(D, H, H) and (D, H, K)",
        )
        require(sum(len(level) for level in self._levels) == d, "the parents form no tree with one root (-1)")

    @property
    def levels(self) -> int:
        """K."""
        return self.emission.shape[2]

    @cached_property
    def _levels(self) -> list[Tensor]:
        """The variables at depth 0, 1, …: what can be updated at once."""
        found = [(self.parent == -1).nonzero()[:, 0]]
        require(len(found[0]) == 1, f"{len(found[0])} variables have no parent; give one root")
        while len(found[-1]) and len(found) <= len(self.parent):
            found.append(torch.isin(self.parent, found[-1]).nonzero()[:, 0])
        return found[:-1]

    def log_prob(self, evidence: Tensor) -> Tensor:
        """log Z (B,), for evidence (B, D) of values, or (B, D, K) of weights; see `weights`."""
        return self._up(self.weights(evidence))[2]

    def marginals(self, evidence: Tensor) -> Tensor:
        """p(x_i = v | evidence), (B, D, K), for evidence (B, D) of values or (B, D, K) of weights."""
        w = self.weights(evidence)
        belief, message, _ = self._up(w)
        share = self._down(belief, message) / self._seen(w).clamp(min=TINY)
        return torch.einsum("bdh,dhk->bdk", share, self.emission) * w

    def sample(self, evidence: Tensor, generator: Randomness = None) -> Tensor:
        """One draw of all variables given the evidence, (B, D) int64."""
        w, source = self.weights(evidence), as_source(generator)
        belief, _, _ = self._up(w)
        b, d, _ = w.shape
        u = source.draw(w.new_empty(b, d), 0, uniform)
        hidden = torch.zeros(b, d, dtype=torch.int64)
        for depth, nodes in enumerate(self._levels):
            law = self.start.expand(b, 1, -1)
            if depth:
                above = hidden[:, self.parent[nodes]]
                law = self.transition[nodes].expand(b, -1, -1, -1)
                law = law.gather(2, above[..., None, None].expand(-1, -1, 1, law.shape[-1]))[:, :, 0]
            below = belief[:, nodes]
            hidden[:, nodes] = _pick(law * (below - below.amax(2, keepdim=True)).exp(), u[:, nodes])
        rows = self.emission.expand(b, -1, -1, -1)
        rows = rows.gather(2, hidden[..., None, None].expand(-1, -1, 1, self.levels))[:, :, 0]
        return _pick(rows * w, source.draw(w.new_empty(b, d), 1, uniform))

    def weights(self, evidence: Tensor) -> Tensor:
        """Evidence as weights (B, D, K) in float64: values (B, D) become one-hot, and -1 in them is "unknown".

        Raises:
            InputError: another shape, a level outside 0 … K - 1, a negative weight, or a row that sums to 0.
        """
        d, k = self.emission.shape[0], self.levels
        if evidence.ndim == 2 and not evidence.is_floating_point():
            require(
                evidence.shape[1] == d and bool(((evidence >= -1) & (evidence < k)).all()),
                f"evidence has the shape {tuple(evidence.shape)} and values from {int(evidence.min())} to "
                f"{int(evidence.max())}; give (B, {d}) of 0 … {k - 1}, -1 for unknown",
            )
            hot = torch.nn.functional.one_hot(evidence.clamp(min=0), k).to(torch.float64)
            return torch.where(evidence[..., None] < 0, 1.0, hot)
        if evidence.shape[1:] != (d, k):
            raise InputError(
                f"evidence has the shape {tuple(evidence.shape)}; give (B, {d}) or (B, {d}, {k})"
            )
        w = evidence.to(torch.float64)
        require(
            bool((w >= 0).all()) and bool((w.sum(2) > 0).all()),
            "a row of the evidence is negative or sums to 0",
        )
        return w

    def _seen(self, w: Tensor) -> Tensor:
        """Σ_v p(v|h) w(v), (B, D, H)."""
        return torch.einsum("bdk,dhk->bdh", w, self.emission)

    def _up(self, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(log b, log m, log Z): beliefs and messages (B, D, H), and (B,)."""
        belief = self._seen(w).clamp(min=TINY).log()
        message = torch.zeros_like(belief)
        for nodes in reversed(self._levels[1:]):
            top = belief[:, nodes].amax(2, keepdim=True)
            sent = torch.einsum("bdg,dhg->bdh", (belief[:, nodes] - top).exp(), self.transition[nodes])
            message[:, nodes] = sent.clamp(min=TINY).log() + top
            belief.index_add_(1, self.parent[nodes], message[:, nodes])
        (root,) = self._levels[0].tolist()
        return belief, message, torch.logsumexp(belief[:, root] + self.start.clamp(min=TINY).log(), 1)

    def _down(self, belief: Tensor, message: Tensor) -> Tensor:
        """p(h_i | evidence), (B, D, H)."""
        hidden = torch.zeros_like(belief)
        for depth, nodes in enumerate(self._levels):
            top = belief[:, nodes].amax(2, keepdim=True)
            below = (belief[:, nodes] - top).exp()
            law = self.start
            if depth:
                share = hidden[:, self.parent[nodes]] * (top - message[:, nodes]).exp()
                law = torch.einsum("bdh,dhg->bdg", share, self.transition[nodes])
            hidden[:, nodes] = _normalized(law * below)
        return hidden


def fit_tree(
    x: Tensor,
    levels: int,
    *,
    hidden: int = 16,
    steps: int = 50,
    smoothing: float = 0.01,
    generator: Randomness = None,
) -> HiddenChowLiuTree:
    """The hidden Chow–Liu tree of data, by full-batch expectation and maximization.

    Args:
        x: (N, D) int64, values 0 … levels - 1.
        levels: K.
        hidden: H.
        steps: of expectation and maximization.
        smoothing: pseudo-counts of every entry, which keep unseen values possible; 0 for plain likelihood.
        generator: draws the start.

    Raises:
        InputError: values out of range, fewer than two variables, or no hidden state.
    """
    require(
        x.ndim == 2 and x.shape[1] >= 2 and len(x) > 0 and not x.is_floating_point(),
        f"x is {x.dtype} {tuple(x.shape)}; give whole numbers (N, D) with D of at least 2",
    )
    require(bool(((x >= 0) & (x < levels)).all()), f"x holds values outside 0 … {levels - 1}")
    require(hidden >= 1 and steps >= 0 and smoothing >= 0, "hidden starts at 1, steps and smoothing at 0")
    d, source = x.shape[1], as_source(generator)
    hot = torch.nn.functional.one_hot(x, levels).to(torch.float64)
    spread = source.draw(hot.new_empty(d, hidden, levels), 0, uniform) + 0.1
    tree = HiddenChowLiuTree(
        spanning_tree(hot),
        torch.full((hidden,), 1 / hidden, dtype=torch.float64),
        _normalized(source.draw(hot.new_empty(d, hidden, hidden), 1, uniform) + 0.1),
        _normalized(spread * (hot.mean(0)[:, None] + 1e-3)),
    )
    for _ in range(steps):
        tree = improved(tree, x, smoothing)
    return tree


def improved(tree: HiddenChowLiuTree, x: Tensor, smoothing: float = 0.0) -> HiddenChowLiuTree:
    """One step of expectation and maximization on data x (N, D)."""
    w = tree.weights(x)
    belief, message, _ = tree._up(w)
    hidden = tree._down(belief, message)
    pairs = torch.zeros_like(tree.transition)
    for nodes in tree._levels[1:]:
        top = belief[:, nodes].amax(2, keepdim=True)
        share = hidden[:, tree.parent[nodes]] * (top - message[:, nodes]).exp()
        pairs[nodes] = (
            torch.einsum("bdh,bdg->dhg", share, (belief[:, nodes] - top).exp()) * tree.transition[nodes]
        )
    seen = torch.einsum("bdh,bdk->dhk", hidden, w)
    (root,) = tree._levels[0].tolist()
    return replace(
        tree,
        start=_normalized(hidden[:, root].sum(0) + smoothing),
        transition=_normalized(pairs + smoothing),
        emission=_normalized(seen + smoothing),
    )


def spanning_tree(hot: Tensor) -> Tensor:
    """Parents (D,) of the maximum spanning tree of mutual informations, for one-hot data (N, D, K); variable 0 is root."""
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    n, d, k = hot.shape
    flat = hot.reshape(n, d * k)
    joint = (flat.T @ flat / n).reshape(d, k, d, k).transpose(1, 2)
    alone = hot.mean(0)
    product = alone[:, None, :, None] * alone[None, :, None, :]
    ratio = (joint.clamp(min=TINY) / product.clamp(min=TINY)).log()
    information = (joint * ratio).sum((2, 3)).numpy()
    # A weight of 0 would be no edge at all, so all are moved above it; the tree has the most information.
    cost = information.max() + 1 - information
    np.fill_diagonal(cost, 0)
    order, above = breadth_first_order(minimum_spanning_tree(cost), 0, directed=False)
    parent = torch.from_numpy(above.astype(np.int64))
    parent[int(order[0])] = -1
    return parent


def _normalized(table: Tensor) -> Tensor:
    """Rows that sum to one; a row of zeros becomes even."""
    total = table.sum(-1, keepdim=True)
    return torch.where(total > 0, table / total.clamp(min=TINY), 1 / table.shape[-1])


def _pick(law: Tensor, u: Tensor) -> Tensor:
    """A draw from every unnormalized law in the last dimension by inversion at u."""
    edges = law.cumsum(-1)
    return (edges < u[..., None] * edges[..., -1:]).sum(-1).clamp(max=law.shape[-1] - 1)
