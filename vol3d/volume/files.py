"""Opening what a user points at: only regular files, known by their first bytes and not by their name, unchanged while read."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vol3d.errors import VolumeError

HEAD_BYTES = 1024


@contextlib.contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; anything else is refused without blocking, and so is a file that changes meanwhile.

    Raises:
        VolumeError: missing, a folder, a pipe or device, a symlink that loops, not readable, empty, changed while it was read.
    """
    path = Path(path)
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would otherwise wait forever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _explain(error, path) from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        _require_regular(before, path)
        yield file  # type: ignore[misc]
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise VolumeError("the file changed while it was read", path=path, hint="Wait until it is written completely, then try again.")


def _require_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise VolumeError("this is a folder", path=path, expected="a scan file", hint="Name a file, or a folder of one DICOM series.")
    if not stat.S_ISREG(status.st_mode):
        raise VolumeError("this is a pipe or a device, not a file", path=path, hint="Save it to a file first.")
    if status.st_size == 0:
        raise VolumeError("the file is empty (0 bytes)", path=path, hint="Copy or download it again.")


def _explain(error: Exception, path: Path) -> VolumeError:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return VolumeError("this link points to a file that does not exist", path=path, hint="Fix the link.")
        return VolumeError("no such file", path=path, hint="Check the path.")
    if isinstance(error, PermissionError):
        return VolumeError("no permission to read this", path=path, hint="Change its permissions (chmod +r), or those of its folders.")
    if isinstance(error, ValueError):
        return VolumeError("not a valid path", path=repr(str(path)), hint="Check the path.")
    reason = getattr(error, "strerror", None) or str(error)
    return VolumeError(f"cannot be opened: {reason}", path=path, hint="Check the path (a link that loops, a name that is too long, a broken disk).")


def what_is_it(head: bytes) -> str:
    """In words, what a file that is no scan seems to be, from its first bytes.

    >>> what_is_it(b"<!DOCTYPE html><html>")
    'a web page'
    """
    start = head.lstrip()[:64].lower()
    for name, marks in _KNOWN.items():
        if start.startswith(marks) or head.startswith(marks):
            return name
    if head.count(0) == len(head):
        return "only zero bytes"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "plain text"
    return "data of an unknown kind"


def advice_for(kind: str) -> str:
    """What to do about a file that is no scan.

    >>> advice_for("a Git LFS pointer")
    "The data were not downloaded: run 'git lfs pull'."
    """
    return _ADVICE.get(kind, "Give a NIfTI, NRRD, MHA or Zarr volume, or a folder of one DICOM series.")


_KNOWN: dict[str, tuple[bytes, ...]] = {
    "a web page": (b"<!doctype html", b"<html", b"<head", b"<body"),
    "a Git LFS pointer": (b"version https://git-lfs",),
    "an XML message": (b"<?xml",),
    "a JSON text": (b'{"', b"{\n", b"[{"),
    "a zip archive": (b"PK\x03\x04", b"pk\x03\x04"),
    "a tar, xz, bzip2 or zstd archive": (b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd"),
    "a picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*"),
    "a PDF": (b"%PDF",),
    "a NumPy array": (b"\x93NUMPY",),
    "an HDF5 file (MINC 2 or MATLAB)": (b"\x89HDF",),
}
_ADVICE = {
    "a web page": "The download failed and saved a page instead: download it again, with login if it needs one.",
    "an XML message": "The download failed and saved the server's message instead: download it again.",
    "a JSON text": "The download failed and saved the server's message instead: download it again.",
    "a Git LFS pointer": "The data were not downloaded: run 'git lfs pull'.",
    "a zip archive": "Unpack it first, then give the scan inside.",
    "a tar, xz, bzip2 or zstd archive": "Unpack it first, then give the scan inside.",
    "only zero bytes": "The file was not written completely: copy or download it again.",
}
