"""A file is written whole or not at all: writes are broken at chosen places and the folder is compared."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import pytest

from girsanov.errors import SavedFileError
from girsanov.files import atomic, write_bytes, write_text


def folder(path):
    """Names and contents, the temporary files included."""
    return {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}


@contextmanager
def largest_file(size):
    """A disk that is full after `size` bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_writes_and_replaces(tmp_path):
    write_bytes(tmp_path / "a", b"one")
    write_text(tmp_path / "a", "zwölf\r\n")
    assert folder(tmp_path) == {"a": "zwölf\r\n".encode()}


def test_takes_the_permissions_of_a_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["with space.txt", "ünï—日本.txt", "new\nline", "-rf", "n" * 255])
def test_any_name_that_the_file_system_allows(tmp_path, name):
    write_bytes(tmp_path / name, b"x")
    assert folder(tmp_path) == {name: b"x"}


def test_a_reader_never_sees_a_half_written_file(tmp_path):
    path = tmp_path / "a"
    write_bytes(path, b"old")
    with atomic(path) as handle:
        handle.write(b"ne")
        handle.flush()
        assert path.read_bytes() == b"old"
        handle.write(b"w")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_error_in_the_block_leaves_what_was_there(tmp_path, error):
    write_bytes(tmp_path / "a", b"old")
    with pytest.raises(error), atomic(tmp_path / "a") as handle:
        handle.write(b"new")
        raise error
    assert folder(tmp_path) == {"a": b"old"}


def test_a_full_disk_is_told_with_sizes_and_leaves_what_was_there(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    with largest_file(10_000), pytest.raises(SavedFileError) as failure:
        write_bytes(tmp_path / "a", bytes(1_000_000))
    assert folder(tmp_path) == {"a": b"old"}
    message = str(failure.value)
    assert (
        str(tmp_path / "a") in message and "1,000,000 bytes are needed" in message and "are free" in message
    )


def test_a_full_disk_while_streaming(tmp_path):
    full = pytest.raises(SavedFileError, match="More than 10,000 bytes")
    with largest_file(10_000), full, atomic(tmp_path / "a") as handle:
        for _ in range(100):
            handle.write(bytes(1000))
    assert folder(tmp_path) == {}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_late(tmp_path, monkeypatch, step):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr("os.fsync" if step == "fsync" else "pathlib.Path.replace", fail)
    with pytest.raises(SavedFileError, match="Input/output error"):
        write_bytes(tmp_path / "a", b"new")
    assert folder(tmp_path) == {"a": b"old"}


def test_bytes_are_forced_to_the_disk_before_the_rename(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr("os.fsync", lambda fd: (steps.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr("pathlib.Path.replace", lambda a, b: (steps.append("rename"), replace(a, b))[1])
    write_bytes(tmp_path / "a", b"x")
    assert steps == ["fsync", "rename", "fsync"]  # the file, its name, the folder


def test_killed_while_writing_leaves_what_was_there(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    program = textwrap.dedent(
        """
        import os, signal, sys
        from girsanov.files import atomic
        with atomic(sys.argv[1]) as handle:
            handle.write(b"new" * 10_000)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")])
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path):
    write_bytes(tmp_path / "real", b"old")
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(SavedFileError, match="not a regular file"):
            write_bytes(tmp_path / name, b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    "name, says",
    [
        ("missing/a", "there is no folder"),
        ("file/a", "there is no folder"),
        ("n" * 256, "too long"),
        ("a\0b", "NUL"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, name, says):
    write_bytes(tmp_path / "file", b"")
    with pytest.raises(SavedFileError, match=says), atomic(tmp_path / name):
        pytest.fail("the block must not run")


def test_a_folder_that_takes_no_files():
    with pytest.raises(SavedFileError, match="another folder"):
        write_bytes("/proc/girsanov-test", b"x")
