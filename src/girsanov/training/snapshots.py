"""Weight averages of any length, after the training: two of them are saved now and then, and combined later.

See `training.averages` for the formulas. Values are saved in half precision where they fit, so a snapshot is
as large as the weights.

Oracle: the average of that length, tracked beside (tests/training/test_snapshots.py).

Source: Karras et al. (2024), Analyzing and improving the training dynamics of diffusion models, section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from girsanov.denoiser import Denoiser
from girsanov.errors import SavedFileError, require
from girsanov.training.averages import LENGTHS, Profile, combine, exponent_of
from girsanov.training.folder import made
from girsanov.training.models import load
from girsanov.training.tensorfile import read_tensors, write_tensors

STEP = re.compile(r"step-(\d{8,12})\.safetensors")
WORST = 0.1
"""The largest relative L² error of a profile that is accepted."""


def posthoc_ema(folder: str | Path, length: float, *, network: nn.Module | None = None) -> Denoiser:
    """The model of a run with weights averaged over another length.

    Args:
        folder: of a run that was trained with `Training(snapshots=…)`, 8 or more for most lengths.
        length: the standard deviation of the average, as a fraction of the run: 0.05 to 0.15 are usual.
        network: as for `load`.

    Returns:
        The denoiser, in evaluation mode.

    Raises:
        InputError: a length that no average has, or that these snapshots do not reach.
        SavedFileError: there are no snapshots, or one is damaged or of another model.
    """
    wanted = exponent_of(length)
    model, files = load(folder, network), snapshots(Path(folder))
    stored = [Profile(exponent_of(s), step) for step, _ in files for s in LENGTHS]
    mix = combine(stored, Profile(wanted, files[-1][0]))
    require(
        mix.error <= WORST,
        f"the {len(files)} snapshots in {folder} give an average of length {length:g} with an error of "
        f"{mix.error:.0%}. Ask for one nearer to {LENGTHS[0]} … {LENGTHS[1]}, or train with more snapshots.",
    )
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in parameters.items()}
    for i, (_, path) in enumerate(files):
        averages = read_snapshot(path, parameters)
        for j, values in enumerate(averages.values()):
            for name, value in values.items():
                sums[name].add_(value.double(), alpha=mix.coefficients[len(LENGTHS) * i + j])
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(sums[name])
    return model


def snapshots(folder: Path) -> list[tuple[int, Path]]:
    """The snapshots of a run as (step, file), oldest first. Raises SavedFileError if there are none."""
    place = folder / "snapshots"
    found = sorted((int(m[1]), path) for path in place.glob("step-*") if (m := STEP.fullmatch(path.name)))
    require(
        bool(found),
        f"there are no snapshots in {place}. Train with Training(snapshots=16), or take the model as it is.",
        SavedFileError,
    )
    return found


def read_snapshot(path: Path, parameters: Mapping[str, Tensor]) -> dict[float, dict[str, Tensor]]:
    """The averages of each relative length in a file, for the given parameters.

    Raises:
        SavedFileError: it is damaged, or of another model.
    """
    tensors, _ = read_tensors(path, sealed=True)
    found = {s: {name: tensors.get(f"{s:g}/{name}") for name in parameters} for s in LENGTHS}
    for values in found.values():
        for name, value in values.items():
            require(
                value is not None and value.shape == parameters[name].shape,
                f"{path} is of another model: it holds no {name} of shape {tuple(parameters[name].shape)}",
                SavedFileError,
            )
    return found  # type: ignore[return-value]


def write_snapshot(folder: Path, step: int, averages: Mapping[float, Mapping[str, Tensor]]) -> None:
    """Save the averages of each relative length after a step."""
    tensors = {f"{s:g}/{name}": _halved(t) for s, values in averages.items() for name, t in values.items()}
    write_tensors(made(folder / "snapshots") / f"step-{step:08d}.safetensors", tensors, {}, seal=True)


def _halved(tensor: Tensor) -> Tensor:
    """In half precision, unless a value is too large for it."""
    half = tensor.to(torch.float16)
    return half if bool(torch.isfinite(half).all()) else tensor
