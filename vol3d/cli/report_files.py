"""Scans in, files out: which scans a folder holds, and under which names their reports are written."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vol3d.errors import VolumeError
from vol3d.volume.atomic import atomic_path

# A folder that holds such files is a folder of scans; any other folder is one scan (a DICOM series, a Zarr store).
SCAN_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".zarr")
_LONGEST_NAME = 100


def expand_scans(paths: Iterable[str | Path]) -> list[Path]:
    """Each scan that the arguments name: files as they are, folders of scans by their content, sorted.

    >>> expand_scans(["a.nii.gz"])
    [PosixPath('a.nii.gz')]
    """
    scans: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(item for item in path.iterdir() if is_scan(item)) if path.is_dir() and path.suffix != ".zarr" else []
        scans += inside or [path]
    if not scans:
        raise VolumeError("no scan was given")
    return list(dict.fromkeys(scans))


def is_scan(path: Path) -> bool:
    """Whether a name looks like a scan's."""
    return path.name.lower().endswith(SCAN_SUFFIXES) and not path.name.startswith(".")


def output_names(scans: Sequence[Path]) -> list[str]:
    """A name for each scan's files: safe on every file system, unique also where upper and lower case are one.

    >>> output_names([Path("a/ct.nii.gz"), Path("b/CT.nii.gz"), Path("x/../..")])
    ['ct', 'CT-2', 'scan']
    """
    names: list[str] = []
    taken: set[str] = set()
    for scan in scans:
        base = _stem(scan)
        name, number = base, 1
        while name.lower() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document whole or not at all."""
    write_text(path, json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1, default=str) + "\n")


def _stem(scan: Path) -> str:
    name = re.sub(r"(\.nii)?\.(gz|nii|nrrd|nhdr|mha|mhd|zarr)$", "", scan.name, flags=re.IGNORECASE)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")
    return safe[:_LONGEST_NAME] or "scan"
