"""`config.json` of a saved model: read strictly, and tied to its weights by their SHA-256.

No field names a file, and a field that is not known is refused, so nothing in it can lead anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from girsanov.errors import SavedFileError, require
from girsanov.training.card import Card
from girsanov.training.strict import field, parse
from girsanov.training.tensorfile import file_sha256

VERSION = 1
"""The version of `config.json` written here; newer ones are refused."""

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FIELDS = (
    "format", "version", "weights_sha256", "process", "network", "network_class", "dtype", "predicts",
    "data_std", "shape", "card",
)  # fmt: skip


def read_config(folder: str | Path) -> dict[str, Any]:
    """The content of a saved model's `config.json`, with every field present.

    Raises:
        SavedFileError: there is none, or it is foreign, altered or of a newer version.
    """
    path = Path(folder) / CONFIG
    try:
        config = parse(path.read_text(encoding="utf-8"), str(path))
    except SavedFileError:
        raise
    except (OSError, UnicodeError) as error:
        raise SavedFileError(f"{path} cannot be read: {error}") from error
    require(config.get("format") == "girsanov", f"{path} is not of a model saved by girsanov", SavedFileError)
    version = field(config, "version", int, str(path))
    require(
        version <= VERSION,
        f"{path} has version {version}, and this girsanov reads up to {VERSION}. Update girsanov to load it.",
        SavedFileError,
    )
    strange, missing = set(config) - set(FIELDS), set(FIELDS) - set(config)
    require(
        not strange and not missing,
        f"{path} has {_listed(strange)} that do not belong there, and lacks {_listed(missing)}. Restore it.",
        SavedFileError,
    )
    return config


def read_card(folder: str | Path) -> Card:
    """What was told about a saved model; `save(model, folder, card=replace(card, ...))` changes it."""
    config = read_config(folder)
    told = field(config, "card", dict, str(Path(folder) / CONFIG))
    try:
        return Card(**told)
    except TypeError as error:
        raise SavedFileError(f"the card in {Path(folder) / CONFIG} cannot be read: {error}") from error


def check_weights(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse weights that are not those the configuration was written for."""
    path = folder / WEIGHTS
    stated, found = field(config, "weights_sha256", str, str(folder / CONFIG)), file_sha256(path)
    require(
        stated == found,
        f"{path} is not the file that {CONFIG} was written for (SHA-256 {found[:12]}…, not {stated[:12]}…): "
        "it was cut short, altered or replaced. Restore it from a copy.",
        SavedFileError,
    )


def _listed(names: set[str]) -> str:
    return f"the fields {', '.join(sorted(names))}" if names else "no fields"
