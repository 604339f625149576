"""A model in a folder: weights, what to rebuild them into, and what people should know.

    model.safetensors   the network's tensors
    config.json         process, network, prediction, and the SHA-256 of the weights
    README.md           the model card

Loading runs no code: the process is rebuilt from numbers, the network from the registry of `networks`, or
the user passes the module. No field of `config.json` names a file. Everything is checked before a tensor is
taken over, and differences are named.

A classifier of noisy samples is saved in the same way, and opened with `load_classifier`.

Oracle: a loaded model gives the bits of the saved one (tests/training/test_models.py).
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import nn

from girsanov import networks
from girsanov.classifier import NoisyClassifier
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, SavedFileError, Unsuitable, choose, require
from girsanov.files import write_text
from girsanov.processes.saved import KINDS, process_from
from girsanov.training.card import Card, classifies, written
from girsanov.training.configfile import (
    CARD,
    CONFIG,
    VERSION,
    WEIGHTS,
    check_weights,
    read_config,
)
from girsanov.training.folder import made
from girsanov.training.hub import fetched
from girsanov.training.strict import field
from girsanov.training.tensorfile import (
    differences,
    listed,
    read_tensors,
    refuse_pickle,
    write_tensors,
)
from girsanov.typing import Shape

T = TypeVar("T")

Model = Denoiser | NoisyClassifier
"""What can be trained and saved."""


def save(model: Model, folder: str | Path, *, card: Card | None = None) -> Path:
    """Save a model as `model.safetensors`, `config.json` and `README.md`.

    Args:
        model: a denoiser of a process of the library, or a classifier of its noisy samples.
        folder: created if needed; a model that was saved there before is replaced.
        card: what the model card says beside what the model itself tells.

    Returns:
        The folder.

    Raises:
        Unsuitable: a process that has no configuration.
        SavedFileError: the folder cannot be written, or its README.md or config.json is not of a saved model.
    """
    config = config_of(model, card or Card())
    place = made(folder)
    _refuse_foreign(place)
    config["weights_sha256"] = write_tensors(
        place / WEIGHTS, model.network.state_dict(), {"format": "pt", "library": "girsanov"}
    )
    write_text(place / CONFIG, json.dumps(config, indent=2, allow_nan=False) + "\n")
    write_text(place / CARD, written(place.resolve().name, config, card or Card()))
    return place


def load(folder: str | Path, network: nn.Module | None = None, *, revision: str | None = None) -> Denoiser:
    """Load a saved model.

    Args:
        folder: a folder written by `save` or `fit`, or a name on the Hugging Face hub, "owner/name".
        network: the module to load the weights into, if it is not one of `girsanov.networks`.
        revision: the branch, tag or commit on the hub.

    Returns:
        The denoiser on the CPU, in evaluation mode.

    Raises:
        SavedFileError: a file is missing, cut short, altered, foreign, a pickle, or of a newer version; or
            the tensors do not fit the network. The message names the differences.
        InputError: a network or process that does not exist, or one that has to be given; or a classifier.
    """
    saved = _opened(folder, network, revision)
    require(not saved.classifies, f"{folder} holds a classifier; open it with load_classifier")
    model = Denoiser(
        saved.network, saved.process, predicts=saved.predicts, data_std=saved.data_std, shape=saved.shape
    )
    _fill(model.network, saved.weights)
    return model.eval()


def load_classifier(
    folder: str | Path, network: nn.Module | None = None, *, revision: str | None = None
) -> NoisyClassifier:
    """Load a saved classifier of noisy samples; arguments and errors are those of `load`."""
    saved = _opened(folder, network, revision)
    require(saved.classifies, f"{folder} holds a denoiser; open it with load")
    word: Literal["label", "level"] = "label" if saved.predicts == ["label"] else "level"
    model = NoisyClassifier(
        saved.network, saved.process, predicts=word, data_std=saved.data_std, shape=saved.shape
    )
    _fill(model.network, saved.weights)
    return model.eval()


class _Saved(NamedTuple):
    """What a saved model is built from; the network is not filled yet."""

    network: nn.Module
    process: Any
    predicts: list[str]
    data_std: float | None
    shape: Shape | None
    weights: Path
    classifies: bool


def _opened(folder: str | Path, network: nn.Module | None, revision: str | None) -> _Saved:
    place = located(folder, revision)
    config = read_config(place)
    where = str(place / CONFIG)
    check_weights(place, config)
    return _Saved(
        _network(config, network, where),
        process_from(field(config, "process", dict, where)),
        _list_of(str, config, "predicts", where),
        None if config["data_std"] is None else field(config, "data_std", float, where),
        None if config["shape"] is None else tuple(_list_of(int, config, "shape", where)),
        place / WEIGHTS,
        classifies(config),
    )


def config_of(model: Model, card: Card) -> dict[str, Any]:
    """What `config.json` says, but for the checksum of the weights.

    Raises:
        Unsuitable: the process has no configuration, or the network a name that `load` could be given.
    """
    require(
        isinstance(model, Model) and isinstance(model.process, tuple(KINDS.values())),
        f"only a Denoiser or NoisyClassifier of a known process can be saved, and this is {type(model).__name__} of "
        f"{getattr(model, 'process', None)!r}",
        Unsuitable,
    )
    kinds = {p.dtype for p in model.network.parameters()}
    return {
        "format": "girsanov",
        "version": VERSION,
        "process": model.process.to_config(),  # type: ignore[union-attr]
        "network": registered(model.network),
        "network_class": type(model.network).__name__,
        "dtype": str(kinds.pop()).removeprefix("torch.") if len(kinds) == 1 else None,
        "predicts": list(model.stored),
        "data_std": None if model.data_std is None else float(model.data_std),
        "shape": None if model.shape is None else list(model.shape),
        "card": asdict(card),
    }


def registered(network: nn.Module) -> dict[str, Any] | None:
    """The configuration of a network that the registry can rebuild, or None."""
    config = getattr(network, "config", None)  # other libraries use the name too
    name = config.get("network") if isinstance(config, dict) else None
    return config if isinstance(name, str) and networks.NETWORKS.get(name) is type(network) else None


def located(folder: str | Path, revision: str | None) -> Path:
    """The local folder of a saved model, fetched from the hub if it is a name there."""
    place = Path(folder)
    require("\0" not in str(folder), f"{str(folder)!r} is no folder name; give another", SavedFileError)
    refuse_pickle(place)
    try:
        mode = place.stat().st_mode
    except OSError:  # there is nothing, or the name is too long for anything
        mode = 0
    if not stat.S_ISDIR(mode):
        require(
            not mode,
            f"{place} is a file; give the folder that holds {WEIGHTS} and {CONFIG}",
            SavedFileError,
        )
        return fetched(str(folder), revision)
    if not (place / WEIGHTS).is_file():
        for other in sorted(place.iterdir()):
            refuse_pickle(other)
        unfinished = (place / "checkpoint").is_dir()
        hint = (
            "It is a run that has not ended; go on with resume=True."
            if unfinished
            else "Is it the right folder?"
        )
        raise SavedFileError(f"{place} holds no {WEIGHTS}. {hint}")
    return place


def _network(config: Mapping[str, Any], given: nn.Module | None, where: str) -> nn.Module:
    """The module to fill: the user's, or one that the registry builds."""
    if given is not None:
        return given
    if config["network"] is None:
        raise InputError(
            f"the network of {where} is a {config['network_class']}, which is not one of girsanov.networks. "
            "Make one and pass it: load(folder, network=...)."
        )
    built = networks.build(field(config, "network", dict, where))
    kinds = {"float32": torch.float32, "float64": torch.float64}
    return built.to(choose(str(config["dtype"]), kinds, "dtype"))


def _list_of(kind: type[T], config: Mapping[str, Any], name: str, where: str) -> list[T]:
    found = field(config, name, list, where)
    require(
        bool(found) and all(type(item) is kind for item in found),
        f"{name} in {where} is {found}; it must hold {kind.__name__} values, at least one",
        SavedFileError,
    )
    return found


def _fill(network: nn.Module, path: Path) -> None:
    """Take over all tensors of a file, or none."""
    tensors, _ = read_tensors(path)
    wanted = network.state_dict()
    found = differences(tensors, wanted)
    require(
        not found,
        f"{path} does not fit {type(network).__name__}: {listed(found)}",
        SavedFileError,
    )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(tensors[name])


def _refuse_foreign(folder: Path) -> None:
    """Refuse to write over a README.md or config.json that is not of a saved model."""
    there = [name for name in (CONFIG, CARD) if (folder / name).exists()]
    if there:
        try:
            read_config(folder)
        except SavedFileError as error:
            raise SavedFileError(
                f"{folder} holds {' and '.join(there)} of something else, which would be lost. "
                "Give another folder."
            ) from error
