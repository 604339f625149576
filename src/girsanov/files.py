"""Files that are either written whole or not at all.

`atomic(path)` yields a temporary file in the folder of `path`; when the block ends without an error the bytes
are forced to the disk and the file takes the place of `path` in one step (rename). A crash, a full disk or
Ctrl-C leaves the file that was there before, and no temporary file unless the process was killed.

Oracle: writes are made to fail at chosen places, and the folder is compared with what it was
    (tests/test_files.py).
Source: POSIX.1-2017, `rename` ("a link named new shall remain visible throughout the operation").
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from girsanov.errors import SavedFileError, require

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)
"""What a full disk, quota or file size limit reports; None is a short write, as `numpy.save` reports it."""


@contextmanager
def atomic(path: str | Path, *, size: int | None = None) -> Iterator[BinaryIO]:
    """Open a binary file that becomes `path` only if the block succeeds.

    Args:
        path: a new file, or a regular file to replace; a symbolic link is followed. Its folder must exist.
        size: the number of bytes to come, if known; it makes the message about a full disk exact.

    Raises:
        SavedFileError: the file could not be written. What was at `path` is unchanged.
    """
    target = _target(path)
    spare = target.with_name(
        f".girsanov-{secrets.token_hex(8)}.tmp"
    )  # no part of the name: it may be too long
    try:
        with spare.open("xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        spare.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        written = spare.stat().st_size if spare.exists() else 0
        raise SavedFileError(_failure(target, error, size, written)) from error
    finally:
        with suppress(OSError):
            spare.unlink()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes atomically. Raises SavedFileError, as `atomic` does."""
    with atomic(path, size=len(content)) as handle:
        handle.write(content)


def write_text(path: str | Path, content: str) -> None:
    """Write text atomically, as UTF-8 with the line ends it has. Raises SavedFileError, as `atomic` does."""
    write_bytes(path, content.encode("utf-8"))


def _target(path: str | Path) -> Path:
    """The file to replace, refused before any work when that cannot end well."""
    require(
        "\0" not in str(path), f"{str(path)!r} contains a NUL byte; give another file name", SavedFileError
    )
    target = Path(os.path.realpath(path))
    try:
        regular = stat.S_ISREG(target.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        regular = True  # to be created
    except OSError as error:  # above all a name that is too long
        raise SavedFileError(
            f"{path} cannot be written: {error.strerror}. Give another file name."
        ) from error
    # Replacing /dev/null or a pipe by a file would succeed, and break the machine.
    require(
        regular, f"{path} exists and is not a regular file. Give the name of a file to write.", SavedFileError
    )
    require(
        target.parent.is_dir(),
        f"{path} cannot be written: there is no folder {target.parent}. Create it first.",
        SavedFileError,
    )
    return target


def _failure(target: Path, error: OSError, size: int | None, written: int) -> str:
    reason = f"{target} could not be written: {error.strerror or error}."
    if error.errno not in FULL:
        return f"{reason} Write to another folder; what was there before is unchanged."
    needed = f"{size:,}" if size is not None else f"More than {written:,}"
    free = shutil.disk_usage(target.parent).free
    return (
        f"{reason} {needed} bytes are needed and {free:,} are free on that disk. "
        "Free some space or write to another one; what was there before is unchanged."
    )


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to the disk, where the system can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
