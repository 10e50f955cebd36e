"""What NRRD and MetaImage share: header lines in text before binary voxels, and data in a file beside the header."""

from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from vol3d.errors import VolumeError
from vol3d.volume.judge import Judge

_MAX_HEADER = 1024 * 1024


def read_lines(file: BinaryIO, judge: Judge, *, until_blank: bool = False, until_field: str = "") -> list[str]:
    """Header lines up to a blank line (or the end of the file), or up to and with the line of a field; the file stands after it.

    Raises:
        VolumeError: no end within the first MiB.
    """
    data = file.read(_MAX_HEADER)
    lines: list[str] = []
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end].rstrip(b"\r").decode("utf-8", errors="replace")
        at = end + 1
        if until_blank and not line:
            break
        lines.append(line)
        if until_field and line.split("=")[0].strip().lower() == until_field.lower():
            break
    else:
        if until_field or len(data) == _MAX_HEADER:
            judge.refuse(VolumeError, "the header does not end", hint="The file is damaged: copy or download it again.")
    file.seek(min(at, len(data)))
    return lines


def numbers(text: str, judge: Judge, field: str) -> list[float]:
    """Finite numbers from `1 2 3` or `(1,2,3)`.

    Raises:
        VolumeError: anything else.

    >>> numbers("(0.5,0,-2)", Judge("a.nrrd"), "space origin")
    [0.5, 0.0, -2.0]
    """
    try:
        values = [float(word) for word in text.replace("(", " ").replace(")", " ").replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all():
        judge.refuse(VolumeError, f"the header field '{field}' holds no finite numbers", found=text[:60], hint="The header is damaged.")
    return values


def whole_numbers(text: str, judge: Judge, field: str) -> list[int]:
    """As `numbers`, and without fractions.

    >>> whole_numbers("256 256 25", Judge("a.nrrd"), "sizes")
    [256, 256, 25]
    """
    values = numbers(text, judge, field)
    if any(value != int(value) for value in values):
        judge.refuse(VolumeError, f"the header field '{field}' holds fractions", found=text[:60], hint="The header is damaged.")
    return [int(value) for value in values]


def beside(path: str | Path, name: str, judge: Judge) -> Path:
    """The data file that a header names; it must stand in the header's own folder.

    Raises:
        VolumeError: a list of files, or a path that leaves the folder.
    """
    if not name or name.upper().startswith("LIST") or "%" in name or PurePosixPath(name.replace("\\", "/")).name != name:
        judge.refuse(
            VolumeError,
            "the header names data that are not one file beside it",
            expected="a file name",
            found=name or "nothing",
            hint="Save it as one file.",
        )
    return Path(path).parent / name
