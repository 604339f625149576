"""What a process can do: capabilities that solvers and objectives ask for by name.

A process is a law of paths on diffusion time, from t = 0 (data) to t = 1 (reference), or on physical time
in the user's unit. No process has to do everything. A function states the capability it needs with `need`,
and an illegal pair is refused before any work.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Law, Randomness, normal
from girsanov.typing import Scalar, Time


class Conversion(NamedTuple):
    """A word written on what is known: state · x_t + Σ words[i] · stored[i] + anchor · x_1."""

    state: Scalar
    words: tuple[Scalar, ...]
    anchor: Scalar


class Affine(NamedTuple):
    """A Gaussian transition: x_t = state · x_s + anchor · x_1 + std · ξ with ξ standard normal."""

    state: Scalar
    anchor: Scalar
    std: Scalar


@runtime_checkable
class Simulable(Protocol):
    """Paths can be drawn."""

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor: ...


@runtime_checkable
class Started(Simulable, Protocol):
    """Paths have a natural start, so that their number is enough: `simulate(process, n=100, times=times)`."""

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor: ...


@runtime_checkable
class Ended(Protocol):
    """Paths can be tied to a state at the last time."""

    def check_end(self, end: Tensor | None, name: str = "end") -> None: ...
    def simulate(
        self, x0: Tensor, times: Tensor, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor: ...


@runtime_checkable
class Perturbable(Protocol):
    """The law of x_t given the clean sample is closed, and so is the law at t = 1."""

    @property
    def t_min(self) -> float: ...
    def perturb(
        self, x0: Tensor, t: Time, *, end: Tensor | None = None, generator: Randomness = None
    ) -> tuple[Tensor, Tensor]: ...
    def reference(
        self, like: Tensor, *, anchor: Tensor | None = None, generator: Randomness = None
    ) -> Tensor: ...


@runtime_checkable
class Convertible(Protocol):
    """One stored prediction gives the others, linearly. What deterministic plans need."""

    @property
    def t_min(self) -> float: ...
    @property
    def end(self) -> str: ...
    def coefficients(self, want: str, stored: tuple[str, ...], t: Scalar) -> Conversion: ...
    def check_anchor(self, anchor: Tensor | None) -> None: ...


@runtime_checkable
class AffineConditional(Perturbable, Convertible, Protocol):
    """x_t = α x_0 + β x_1 + γ z with z of any law. What denoisers, objectives and deterministic plans need."""

    @property
    def law(self) -> Law: ...
    def into(self, x: Tensor) -> Tensor: ...
    def out_of(self, u: Tensor) -> Tensor: ...
    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]: ...
    def alpha(self, t: Scalar) -> Scalar: ...
    def beta(self, t: Scalar) -> Scalar: ...
    def gamma(self, t: Scalar) -> Scalar: ...
    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]: ...
    def row(self, word: str, t: Scalar) -> tuple[Scalar, Scalar, Scalar]: ...
    def log_snr(self, t: Scalar) -> Scalar: ...
    def time_at(self, log_snr: Scalar) -> Scalar: ...


@runtime_checkable
class GaussianConditional(AffineConditional, Protocol):
    """The same with normal z. What scores and stochastic plans need."""


@runtime_checkable
class Learnable(Protocol):
    """A process without such a form, of which a network can learn something all the same."""

    @property
    def words(self) -> tuple[str, ...]:
        """What a network may store."""
        ...

    def view(self, x: Tensor) -> Tensor:
        """What the network is given in place of x, such as x itself."""
        ...

    def finish(self, word: str, x: Tensor, t: Time, answer: Tensor) -> Tensor:
        """The network's raw answer made legal: a factor that vanishes at a boundary, a token ruled out."""
        ...

    def read(
        self, word: str, stored: tuple[str, ...], answers: tuple[Tensor, ...], x: Tensor, t: Time
    ) -> Tensor:
        """Another word from the stored ones, or a refusal."""
        ...


@runtime_checkable
class Reversible(Learnable, Perturbable, Protocol):
    """A learnable process whose `perturb` gives x_t and what the first of its words is the mean of given x_t.

    That is all that training needs, and its own step back all that sampling needs.
    """

    def reverse(self, x: Tensor, answer: Tensor, s: float, t: float, xi: Tensor) -> Tensor:
        """The state at t < s from x (B, *shape) at s, the model's answer there, and standard normal xi."""
        ...


@runtime_checkable
class Transition(Protocol):
    """The law of a step from s to t is an explicit Gaussian."""

    def transition(self, s: Scalar, t: Scalar) -> Affine: ...


@runtime_checkable
class Diffusion(Protocol):
    """dX = drift(X, t) dt + volatility(t) dW, from t = 0 to 1."""

    def drift(self, x: Tensor, t: Time, *, anchor: Tensor | None = None) -> Tensor: ...
    def volatility(self, t: Scalar) -> Scalar: ...


def need(process: object, capability: type, by: str) -> Any:
    """Return the process if it has the capability, or refuse the pair by name.

    Raises:
        Unsuitable: the process lacks it.
    """
    key = (type(process), capability)
    if key not in _HAS_LAW:  # asked at every network call; `isinstance` takes 50 µs
        if not isinstance(process, capability):
            raise Unsuitable(_lacks(process, capability, by))
        _HAS_LAW[key] = capability in _GAUSSIAN and isinstance(process, AffineConditional)
    found: Any = process
    if _HAS_LAW[key] and found.law is not normal:
        raise Unsuitable(_lacks(process, capability, by))
    return process


def _lacks(process: object, capability: type, by: str) -> str:
    return (
        f"{by} needs a process that is {capability.__name__}, and {process!r} is not one. "
        f"Choose another process, or list what fits with girsanov.solvers.for_process(process)."
    )


_GAUSSIAN = (GaussianConditional, Transition, Diffusion)
"""What a process has only with normal noise."""

_HAS_LAW: dict[tuple[type, type], bool] = {}
"""The kinds of process that were found to have a capability, and whether it depends on the law of their noise."""


def refuse_end(process: object, end: Tensor | None, name: str = "end") -> None:
    """Refuse an x_1 where the process has none."""
    if end is not None:
        raise InputError(f"{name} was given, and {type(process).__name__} has no x_1; leave {name} out")


def like_batch(t: Time, x: Tensor) -> Time:
    """Shape t, (B,) or a float, so that it multiplies x, (B, *shape)."""
    return t.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype) if isinstance(t, Tensor) and t.ndim else t
