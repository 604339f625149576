"""Models by name on the Hugging Face hub; an extra.

Only the three files of a model are fetched or sent, whatever else is there. HF_HUB_OFFLINE, HF_HOME and
HF_TOKEN are obeyed by huggingface_hub itself.
"""

from __future__ import annotations

from pathlib import Path

from girsanov.errors import GirsanovError, MissingExtra, SavedFileError, extra, require
from girsanov.training.card import HUB_NAME
from girsanov.training.configfile import CARD, CONFIG, WEIGHTS, check_weights, read_config


def fetched(name: str, revision: str | None) -> Path:
    """The local copy of a model on the hub, fetched if need be.

    Raises:
        SavedFileError: it is neither a folder here nor a name there, or it cannot be fetched.
    """
    require(
        HUB_NAME.fullmatch(name) is not None and ".." not in name,
        f"there is no folder {name!r}. Give one written by save or fit, or a name on the hub: 'owner/name'.",
        SavedFileError,
    )
    try:
        hub = extra("huggingface_hub", "hub")
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[WEIGHTS, CONFIG, CARD]))
    except MissingExtra as error:
        raise SavedFileError(f"there is no folder {name!r}. As a name on the hub, {error}") from error
    except GirsanovError:
        raise
    except Exception as error:  # whatever the network and the hub may raise
        raise SavedFileError(
            f"there is no folder {name!r} here, and the hub did not give a model of that name: {error}"
        ) from error


def push(folder: str | Path, name: str, *, private: bool = False) -> str:
    """Send a saved model to the Hugging Face hub.

    Args:
        folder: written by `save` or `fit`; it is checked by loading nothing but its configuration.
        name: "owner/name"; made if it does not exist.
        private: make it private.

    Returns:
        Its address.

    Raises:
        SavedFileError: the folder holds no whole model, or the hub refused it.
        InputError: no name of the form "owner/name".
    """
    require(HUB_NAME.fullmatch(name) is not None, f"name is {name!r}; give 'owner/name'")
    check_weights(Path(folder), read_config(folder))
    hub = extra("huggingface_hub", "hub")
    try:
        api = hub.HfApi()
        address = str(api.create_repo(name, private=private, exist_ok=True))
        api.upload_folder(
            repo_id=name,
            folder_path=str(folder),
            allow_patterns=[WEIGHTS, CONFIG, CARD],
            commit_message="Upload a model of girsanov",
        )
    except Exception as error:  # whatever the network and the hub may raise
        raise SavedFileError(f"{folder} could not be sent to {name} on the hub: {error}") from error
    return address
