"""What a process has to know of the law of its noise: how it adds up, whether it has a variance, its name on disk.

    normal        sums keep the law, with the powers 2 of the scales      a forward equation driven by W
    Stable(p)     sums keep the law, with the powers p of the scales      a forward equation driven by a Lévy motion
    StudentT(df)  no motion has such increments: a law of x_t for each t, and the flow between them

Source: Yoon et al. (2023), Score-based generative models with Lévy processes; Xu et al. (2023), PFGM++, where
Student's t is the kernel of df extra dimensions.
"""

from __future__ import annotations

from girsanov.errors import InputError, Unsuitable, require
from girsanov.noise import Law, Stable, StudentT, normal

NAMES: dict[str, type[Stable] | type[StudentT]] = {"stable": Stable, "student-t": StudentT}


def stability(law: Law) -> float:
    """The power p such that a z + b z' has the law of (a^p + b^p)^(1/p) z.

    Raises:
        Unsuitable: sums do not keep the law.
    """
    if law is normal:
        return 2.0
    if isinstance(law, Stable):
        return law.index
    raise Unsuitable(
        f"sums of {law!r} noise have another law, so the process has no forward equation: it gives x_t for one "
        "t (perturb) and the flow between times, and neither paths nor stochastic samplers"
    )


def heavy(law: Law) -> bool:
    """Whether the noise has an infinite variance."""
    return (isinstance(law, Stable) and law.index < 2) or (isinstance(law, StudentT) and law.df <= 2)


def law_config(law: Law) -> dict:
    """The law as JSON.

    Raises:
        Unsuitable: a law of the user's own.
    """
    if isinstance(law, Stable):
        cut = {} if law.largest == float("inf") else {"largest": law.largest}
        return {"name": "stable", "index": law.index, **cut}
    require(isinstance(law, StudentT), f"the law {law!r} has no name to save it under", Unsuitable)
    return {"name": "student-t", "df": law.df}  # type: ignore[attr-defined]


def law_from(config: object) -> Law:
    """Rebuild a law from `law_config`; None is the normal law."""
    if config is None:
        return normal
    fields = dict(config) if isinstance(config, dict) else {}
    kind = NAMES.get(str(fields.pop("name", None)))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in fields.values())
    require(
        kind is not None and numbers, f"the law of the saved process is {config!r}; known are {list(NAMES)}"
    )
    try:
        return kind(**fields)  # type: ignore[misc]
    except TypeError as error:
        raise InputError(f"the law of the saved process cannot be rebuilt: {error}") from error
