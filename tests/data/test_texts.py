"""Texts come back as they were, in windows of their own letters; what is no text is refused."""

import json

import pytest
import torch

from girsanov import data
from girsanov.data import TextCodec, codec_from_config
from girsanov.errors import InputError, SavedFileError

VERSE = "Größe: 10 €, 😀!\n" * 20


def test_a_file_is_read_written_and_read_again(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_bytes(b"\xef\xbb\xbf" + VERSE.replace("\n", "\r\n").encode())
    rows = data.read(path)
    assert rows.x.dtype == torch.int64 and rows.x.shape == (len(VERSE) // 64, 64)
    assert "".join(rows.codec.decode(rows.x)) == VERSE[: 64 * len(rows)]
    assert rows.codec.letters == "".join(sorted(set(VERSE)))
    data.write(tmp_path / "again.txt", rows.x[:1], rows.codec)
    assert (tmp_path / "again.txt").read_text(encoding="utf-8") == VERSE[:64] + "\n"
    data.write(tmp_path / "two.txt", rows.x[:2], rows.codec)
    assert (tmp_path / "two.txt").read_text(encoding="utf-8") == f"{VERSE[:64]}\n\n{VERSE[64:128]}\n"


def test_the_codec_is_rebuilt_and_other_letters_are_told():
    codec = TextCodec("zab", 2)
    assert codec_from_config(json.loads(json.dumps(codec.to_config()))) == codec
    assert codec.encode("zbaab").tolist() == [[0, 2], [1, 1]]
    with pytest.raises(InputError, match="the letters 'xy'"):
        codec.encode("abxyx")


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "is empty"),
        (b"too short", "has 9 letters, and one window takes 64"),
        (b"a" * 100, "the text has 1 letters"),
        ("déjà vu".encode("latin-1") * 20, "not UTF-8: byte 1 is 0xe9"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, told):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises((InputError, SavedFileError), match=told):
        data.read(path)


def test_bad_numbers_and_formats_are_refused(tmp_path):
    codec = TextCodec("ab", 3)
    for x in (torch.zeros(1, 3), torch.zeros(1, 2, dtype=torch.long), torch.full((1, 3), 2)):
        with pytest.raises(InputError):
            codec.decode(x)
    for ending in ("npy", "csv", "png"):
        with pytest.raises(InputError, match=r"texts. Write \.txt"):
            data.write(tmp_path / f"x.{ending}", torch.zeros(1, 3, dtype=torch.long), codec)
    with pytest.raises(InputError, match=r"a \.txt holds text"):
        data.write(tmp_path / "x.txt", torch.zeros(1, 1, 2, 2), data.ImageCodec("L", (2, 2)))
    with pytest.raises(InputError, match="2 to 4,096"):
        TextCodec("aa", 3)
