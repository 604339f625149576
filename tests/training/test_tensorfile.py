"""Tensor files: the safetensors library reads them, and nothing damaged, foreign or malicious is read."""

import json
import pickle

import pytest
import safetensors
import safetensors.torch
import torch

from girsanov.errors import SavedFileError
from girsanov.training.tensorfile import NAMES, differences, file_sha256, read_tensors, write_tensors

META = {"a": "ü", "b": '{"x": 1}'}


def one_of_each():
    g = torch.Generator().manual_seed(0)
    found = {str(kind): (torch.randn(3, 5, generator=g) * 9).to(kind) for kind in NAMES}
    shared = torch.randn(4, 4, generator=g)
    return {
        **found, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "transposed": shared.T,
        "tied": shared, "expanded": torch.tensor([1.0]).expand(6), "naïve/名": torch.arange(3),
    }  # fmt: skip


def test_the_library_reads_what_is_written(tmp_path):
    path, tensors = tmp_path / "a.safetensors", one_of_each()
    assert write_tensors(path, tensors, META) == file_sha256(path)
    found = safetensors.torch.load_file(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata() == META


def test_what_the_library_writes_is_read(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bool)}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors", META)
    found, metadata = read_tensors(tmp_path / "a.safetensors")
    assert metadata == META and all(torch.equal(found[n], tensors[n]) for n in tensors)


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"w": torch.randn(50, 20), "long name": torch.arange(9)}, META, seal=True)
    assert read_tensors(path, sealed=True)[1] == META
    return path


def test_a_cut_file_is_refused_at_every_length(sealed):
    content = sealed.read_bytes()
    for part in range(64):
        sealed.write_bytes(content[: len(content) * part // 64])
        with pytest.raises(SavedFileError, match="cannot be read"):
            read_tensors(sealed, sealed=True)
    sealed.write_bytes(content + b"\0")
    with pytest.raises(SavedFileError):
        read_tensors(sealed, sealed=True)


def test_a_flipped_bit_is_refused_wherever_it_is(sealed):
    content = sealed.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    places = [*range(header), *range(header, len(content), 101), len(content) - 1]
    for place in places:
        for bit in {place % 8, 5} if place < header else {place % 8}:  # bit 5 turns a into A
            sealed.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            with pytest.raises(SavedFileError):
                read_tensors(sealed, sealed=True)
    sealed.write_bytes(content)
    read_tensors(sealed, sealed=True)


def test_an_unsealed_file_does_not_pass_for_a_sealed_one(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"w": torch.ones(2)}, META)
    with pytest.raises(SavedFileError, match="checksum"):
        read_tensors(tmp_path / "a.safetensors", sealed=True)


def header(text: dict | bytes, length: int | None = None, body: bytes = b"\0" * 16) -> bytes:
    content = text if isinstance(text, bytes) else json.dumps(text).encode()
    return (len(content) if length is None else length).to_bytes(8, "little") + content + body


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 7, b"\xff" * 64,
        header({"a": F32}, length=2**63), header({"a": F32}, length=2**64 - 1),
        header(b" " * (100 * 2**20 + 8)),
        header({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}),
        header({"a": {**F32, "data_offsets": [8, 0]}}),
        header({"a": {**F32, "data_offsets": [0, 2**62]}}),
        header({"a": {**F32, "shape": [2**62, 2**62]}}),
        header({"a": {**F32, "shape": [-2]}}),
        header({"a": {**F32, "dtype": "OBJECT"}}),
        header(b"[" * 100_000), header(b'{"a": NaN}'), header({}, body=b"1"),
    ],
    ids=range(15),
)  # fmt: skip
def test_header_bombs_are_refused(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(SavedFileError, match="cannot be read as safetensors"):
        read_tensors(path)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.pkl", "a.BIN", "a.ckpt", "a.joblib", "a.safetensors"])
def test_a_pickle_is_never_opened(tmp_path, name):
    evil = tmp_path / "touched"
    (tmp_path / name).write_bytes(pickle.dumps(Payload(evil)))
    with pytest.raises(SavedFileError, match="pickle" if name != "a.safetensors" else "safetensors"):
        read_tensors(tmp_path / name)
    assert not evil.exists()
    pickle.loads((tmp_path / name).read_bytes()).close()
    assert evil.exists()  # the payload does work


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(SavedFileError):
            read_tensors(path)
        with pytest.raises(SavedFileError):
            file_sha256(path)


def test_differences_are_named():
    wanted = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1)}
    found = {"a": torch.zeros(2, dtype=torch.float64), "b": torch.zeros(4), "d": torch.zeros(1)}
    text = "; ".join(differences(found, wanted))
    assert "c is missing" in text and "d is not part" in text
    assert "a is float64 (2,) in the file and float32 (2,)" in text and "b is float32 (4,)" in text
    assert differences(wanted, wanted) == []
