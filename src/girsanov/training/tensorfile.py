"""Tensors in a file in the safetensors format: written whole or not at all, read without running code.

The format is 8 bytes with the length of the header, a header of JSON, and the tensors' bytes. Writing is done
here, tensor by tensor into an atomic file, so that no second copy is held in memory and a full disk is met as
an OSError; reading is done by the safetensors library. A sealed file carries a checksum of all it holds.

Oracle: the library reads what is written here (tests/training/test_tensorfile.py).
Source: github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from girsanov.errors import SavedFileError, require
from girsanov.files import atomic

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip

SEAL = "girsanov.sha256"
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, seal: bool = False
) -> str:
    """Write a safetensors file atomically.

    Args:
        path: the file; replaced in one step if it exists.
        tensors: any shapes and devices.
        metadata: texts to go into the header.
        seal: add a checksum of names, shapes, types, values and metadata.

    Returns:
        The SHA-256 of the whole file, in hexadecimal.

    Raises:
        SavedFileError: the file could not be written; what was there is unchanged.
    """
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    order = sorted(plain, key=lambda name: (-plain[name].element_size(), name))  # keeps all of them aligned
    if seal:
        metadata = {**metadata, SEAL: checksum(plain, metadata)}
    header, offset = {"__metadata__": dict(metadata)} if metadata else {}, 0
    for name in order:
        end = offset + plain[name].nbytes
        shape, kind = list(plain[name].shape), NAMES[plain[name].dtype]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, end]}  # type: ignore[dict-item]
        offset = end
    text = json.dumps(header, ensure_ascii=False).encode()  # an escape can be altered and mean the same
    text += b" " * (-len(text) % 8)
    whole = hashlib.sha256()
    start: list[bytes | memoryview] = [len(text).to_bytes(8, "little"), text]
    with atomic(path, size=8 + len(text) + offset) as handle:
        for part in chain(start, (_bytes(plain[name]) for name in order)):
            handle.write(part)
            whole.update(part)
    return whole.hexdigest()


def read_tensors(path: str | Path, *, sealed: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file as (tensors on the CPU, metadata).

    Raises:
        SavedFileError: there is no such file, it is no safetensors file, it was cut or altered, or it is a
            pickle, which is never opened.
    """
    import safetensors

    refuse_pickle(path)
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    except (OSError, safetensors.SafetensorError, UnicodeError, ValueError, RuntimeError, TypeError) as error:
        raise SavedFileError(
            f"{path} cannot be read as safetensors: {error}. It is cut short, altered or foreign; "
            "restore it from a copy."
        ) from error
    if sealed:
        stated = metadata.pop(SEAL, None)
        require(
            stated == checksum(tensors, metadata),
            f"{path} does not match its checksum: its content was altered after it was written. "
            "Restore it from a copy.",
            SavedFileError,
        )
    return tensors, metadata


def refuse_pickle(path: str | Path) -> None:
    """Refuse a file that unpickling would open; a pickle can run any program."""
    require(
        Path(path).suffix.lower() not in PICKLES,
        f"{path} is a pickle by its name, and opening one can run any program. "
        "Convert it to safetensors where you trust it.",
        SavedFileError,
    )


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file. Raises SavedFileError if it cannot be read."""
    try:
        with Path(path).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise SavedFileError(f"{path} cannot be read: {error.strerror or error}.") from error


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and bytes of tensors on the CPU, and of the metadata."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(_bytes(tensor.contiguous()))
    return found.hexdigest()


def describe(tensor: Tensor) -> str:
    """Type and shape, as messages show them."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """How the saved tensors differ from the wanted ones in names, shapes and types; empty if they fit."""
    return [
        *(f"{name} is missing" for name in wanted if name not in found),
        *(f"{name} is not part of this model" for name in found if name not in wanted),
        *_mismatches(found, wanted),
    ]


def listed(found: Sequence[str]) -> str:
    """The first few of many differences."""
    return "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")


def _mismatches(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in wanted.items():
        if name in found and describe(found[name]) != describe(tensor):
            yield f"{name} is {describe(found[name])} in the file and {describe(tensor)} in the model"


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data
