"""Bytes of a scan, strictly: a compressed stream counts only when its checksum, its size and its end have been seen.

Common readers take the bytes that they need and stop, so they never reach the checksum behind them and hand out wrong voxels.
"""

import os
import zlib
from typing import Any, BinaryIO

from vol3d.errors import VolumeError

_zlib: Any = zlib
_ERRORS: tuple[type[Exception], ...] = (zlib.error,)
BACKEND = "zlib"
try:  # The Intel library is about twice as fast; the standard one gives the same bytes.
    from isal import isal_zlib
except ImportError:
    pass
else:
    _zlib, BACKEND = isal_zlib, "isal"
    _ERRORS = (zlib.error, isal_zlib.error)  # type: ignore[assignment]  # its stub calls the class an instance

_IN, _OUT = 256 * 1024, 1024 * 1024
_GZIP, _ZLIB = 31, 15
_MAGIC = b"\x1f\x8b"
# Deflate cannot shrink by more than about 1032: a header that declares more than that is lying.
MAX_RATIO = 1032
_ALLOWED_EXTRA = 16 * 1024 * 1024
_AGAIN = "The file is damaged or incomplete: copy or download it again."


class Plain:
    """Uncompressed bytes with the reading methods that `Inflated` has too."""

    compression = "none"

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path

    def require(self, size: int) -> None:
        """Refuse, before anything is allocated, when fewer than `size` bytes are left."""
        left = os.fstat(self._file.fileno()).st_size - self._file.tell()
        if left < size:
            raise _short(self._path, size - left)

    def read_into(self, view: memoryview) -> None:
        """Fill the whole view or raise."""
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done : done + _OUT * 16])  # type: ignore[attr-defined]
            if not count:
                raise _short(self._path, len(view) - done)
            done += count

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        return _read(self, size)

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        self._file.seek(size, 1)

    def finish(self) -> str:
        """What comes after the voxels, in words; empty when nothing does."""
        extra = 0
        while chunk := self._file.read(_OUT):
            extra += len(chunk)
            if extra > _ALLOWED_EXTRA:
                return f"over {_ALLOWED_EXTRA >> 20} MiB more data than its header declares"
        return f"{extra} bytes more than its header declares" if extra else ""


class Inflated:
    """A gzip or zlib stream (gzip: any number of members), decoded piece by piece.

    Args:
        file: positioned at the first compressed byte.
        path: for refusals.
        wrapper: `gzip` (CRC-32 and length behind the data) or `zlib` (Adler-32).
    """

    def __init__(self, file: BinaryIO, path: str, wrapper: str = "gzip") -> None:
        self._file, self._path, self.compression = file, path, wrapper
        self._bits = _GZIP if wrapper == "gzip" else _ZLIB
        self._decoder: Any = _zlib.decompressobj(self._bits)
        self._waiting = b""
        self._left = memoryview(b"")
        self._ended = False
        self._garbage = ""

    def require(self, size: int) -> None:
        """Refuse, before anything is allocated, when the compressed bytes could never unpack to `size`."""
        most = os.fstat(self._file.fileno()).st_size * MAX_RATIO
        if most < size:
            raise _short(self._path, size - most)

    def read_into(self, view: memoryview) -> None:
        """Fill the whole view or raise."""
        done = 0
        while done < len(view):
            if not self._left and not self._next():
                raise _short(self._path, len(view) - done)
            count = min(len(self._left), len(view) - done)
            view[done : done + count] = self._left[:count]
            self._left = self._left[count:]
            done += count

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        return _read(self, size)

    def peek(self, size: int) -> bytes:
        """Up to `size` first bytes, fewer where the data end earlier; for a reader that is thrown away afterwards."""
        found = b""
        while len(found) < size and self._next():
            found += bytes(self._left[: size - len(found)])
        return found

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        scratch = memoryview(bytearray(min(size, _OUT)))
        while size > 0:
            count = min(size, _OUT)
            self.read_into(scratch[:count])
            size -= count

    def finish(self) -> str:
        """Read to the end of the stream, so that its checksum is checked; what was there beyond the voxels, in words.

        Raises:
            VolumeError: checksum, length or end of the stream is wrong, or it goes on far beyond what was declared.
        """
        extra = len(self._left)
        while self._next():
            extra += len(self._left)
            if extra > _ALLOWED_EXTRA:
                raise VolumeError(
                    "the compressed data go on far beyond what the header declares",
                    path=self._path,
                    expected="an end of data",
                    found=f"over {extra >> 20} MiB more",
                    hint="The header is wrong, or this is a decompression bomb.",
                )
        self._left = memoryview(b"")
        facts = [f"{extra} bytes more than its header declares"] if extra else []
        return " and ".join([*facts, self._garbage] if self._garbage else facts)

    def _next(self) -> bool:
        """Decode the next piece into `_left`; False at the end of the last member."""
        while not self._ended:
            if self._decoder.eof and not self._start_member():
                return False
            piece = self._waiting or self._file.read(_IN)
            if not piece:
                raise VolumeError(f"the {self.compression} stream ends too early", path=self._path, hint=_AGAIN)
            try:
                out = self._decoder.decompress(piece, _OUT)
            except _ERRORS as error:
                raise VolumeError(f"the {self.compression} stream is damaged", path=self._path, found=_reason(error), hint=_AGAIN) from error
            self._waiting = self._decoder.unconsumed_tail
            if out:
                self._left = memoryview(out)
                return True
        return False

    def _start_member(self) -> bool:
        """After a member: another one, padding, or something that does not belong here."""
        rest = self._decoder.unused_data or self._file.read(_IN)
        while rest and not rest.strip(b"\0"):
            rest = self._file.read(_IN)
        rest = rest.lstrip(b"\0")
        if len(rest) == 1:
            rest += self._file.read(1)
        if self.compression == "gzip" and rest.startswith(_MAGIC):
            self._decoder, self._waiting = _zlib.decompressobj(self._bits), rest
            return True
        if rest:
            self._garbage = "bytes that do not belong to it after its end"
        self._ended = True
        return False


Source = Plain | Inflated


def _read(source: Source, size: int) -> bytes:
    buffer = bytearray(size)
    source.read_into(memoryview(buffer))
    return bytes(buffer)


def _short(path: str, missing: int) -> VolumeError:
    return VolumeError("the data are shorter than the header says", path=path, found=f"at least {missing} bytes missing", hint=_AGAIN)


def _reason(error: Exception) -> str:
    text = str(error).lower()
    return "a wrong checksum" if "check" in text or "crc" in text else f"'{error}'"
