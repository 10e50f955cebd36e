"""Files and folders that are there whole or not at all: written beside the target, flushed to disk, then renamed over it."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from vol3d.errors import ResourceError

_PROBE = b"\0" * 4096


@contextlib.contextmanager
def atomic_path(path: str | Path, *, expected_bytes: int = 0) -> Iterator[Path]:
    """Yield a free name beside `path`; what the body writes there (a file or a folder) becomes `path` when the body ends well.

    The folder is probed before the body runs, so that a disk that is full or read-only costs no computation. When the body
    raises, nothing is left behind and an older file at `path` is untouched.

    Args:
        path: where the result shall stand; its folder must exist.
        expected_bytes: about how much will be written, if known; compared with the free space beforehand.

    Raises:
        ResourceError: the folder is missing or cannot be written, or the disk is full.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [p.name for p in folder.iterdir()]
    ['a.txt']
    """
    target = Path(path)
    require_writable(target, expected_bytes=expected_bytes)
    # The suffixes stay, because writers choose their format by them; the stem goes, because names can be 255 bytes long.
    temporary = target.parent / f".tmp-{secrets.token_hex(6)}{''.join(target.suffixes[-2:])[-32:]}"
    try:
        yield temporary
        _flush(temporary)
        _move(temporary, target)
    except OSError as error:
        raise _explain(error, target) from error
    finally:
        _remove(temporary)


def require_writable(path: str | Path, *, expected_bytes: int = 0) -> None:
    """Refuse an output path now that `atomic_path` would refuse later; for commands that compute before they write.

    Raises:
        ResourceError: the folder is missing or cannot be written, or the disk is full.
    """
    try:
        _probe(Path(path), expected_bytes)
    except OSError as error:
        raise _explain(error, Path(path)) from error


def _probe(target: Path, expected_bytes: int) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise ResourceError("the folder to write to does not exist", path=folder, hint="Create it, or choose another output path.")
    if target.is_dir() and not (target / "zarr.json").exists() and any(target.iterdir()):
        raise ResourceError("a folder stands where the result would go", path=target, hint="Move it away, or choose another output path.")
    free = shutil.disk_usage(folder).free
    if free < expected_bytes:
        raise ResourceError(
            "the disk is too full",
            path=folder,
            expected=f"{expected_bytes / 1e6:.1f} MB free",
            found=f"{free / 1e6:.1f} MB",
            hint="Free some space, or choose another output path.",
        )
    probe = folder / f".tmp-{secrets.token_hex(6)}"
    try:
        with probe.open("xb") as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Put a file, or all files of a folder, on the disk before the rename makes them visible."""
    for item in [path, *path.rglob("*")] if path.is_dir() else [path]:
        descriptor = os.open(item, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move(temporary: Path, target: Path) -> None:
    old = None
    if target.is_dir() and not target.is_symlink():
        # A folder cannot be renamed over one that has content: the old one steps aside first, and goes last.
        old = target.parent / f".tmp-{secrets.token_hex(6)}"
        target.rename(old)
    try:
        temporary.replace(target)
    except OSError:
        if old is not None:
            old.rename(target)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _explain(error: OSError, target: Path) -> ResourceError:
    reasons = {
        errno.ENOSPC: ("the disk is full", "Free some space, or choose another output path."),
        errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another output path."),
        errno.EFBIG: ("the file would be larger than this system allows", "Raise the limit (ulimit -f), or choose another output path."),
        errno.EROFS: ("the disk is read-only", "Choose another output path."),
        errno.EACCES: ("no permission to write here", "Change the folder's permissions, or choose another output path."),
        errno.EPERM: ("no permission to write here", "Change the folder's permissions, or choose another output path."),
        errno.ENAMETOOLONG: ("the file name is too long for this disk", "Choose a shorter output path."),
    }
    problem, hint = reasons.get(error.errno or 0, (f"cannot be written: {error.strerror or error}", "Choose another output path."))
    return ResourceError(problem, path=target, hint=hint)
