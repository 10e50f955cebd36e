"""Volumes and label maps onto the disk: NIfTI (.nii, .nii.gz) or Zarr, whole or not at all, with geometry and provenance."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import vol3d
from vol3d.contracts import LabelMap
from vol3d.errors import ConfigError, IntensityError
from vol3d.volume.atomic import atomic_path
from vol3d.volume.geometry import from_nifti
from vol3d.volume.volume import Volume

_CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "u2": 512}
_COMMENT = 6
_CHUNK = 4 * 1024 * 1024


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write a scan; the suffix picks the format (.nii, .nii.gz, .zarr). Floats stay floats, integers stay integers.

    Raises:
        ConfigError: a suffix that is no format.
        IntensityError: NaN or infinite voxels, or a type that the format cannot hold.
        ResourceError: the folder cannot be written or is full; nothing is left behind.

    >>> import tempfile
    >>> from vol3d.volume.geometry import make_affine
    >>> file = Path(tempfile.mkdtemp()) / "scan.nii"
    >>> write_volume(Volume(np.zeros((2, 3, 4), np.int16), make_affine((2, 1, 1)), "CT", "HU"), file)
    >>> file.stat().st_size % 16
    0
    """
    facts = {"version": vol3d.__version__, "modality": volume.modality, "source": Path(volume.source).name}
    if "padding_value" in volume.header:
        facts["padding_value"] = volume.header["padding_value"]
    _write(volume, Path(path), facts)


def write_labels(labels: LabelMap, path: str | Path) -> None:
    """Write a label map in the smallest integer type, with its names, its expert and its scan.

    Raises:
        ConfigError, IntensityError, ResourceError: as for `write_volume`.

    >>> import tempfile
    >>> from vol3d.volume.geometry import make_affine
    >>> from vol3d.volume.read import read_mask
    >>> labels = LabelMap(np.eye(24, dtype=np.uint8)[None], make_affine((2, 1, 1)), {1: "liver"}, "scan.nii.gz", "me", "1")
    >>> file = Path(tempfile.mkdtemp()) / "labels.nii.gz"
    >>> write_labels(labels, file)
    >>> read_mask(file).header["label_names"]
    {'1': 'liver'}
    """
    high = int(labels.array.max(initial=0))
    array = labels.array.astype(np.uint8 if high < 2**8 else np.uint16 if high < 2**16 else np.int32, copy=False)
    facts = {
        "version": vol3d.__version__,
        "label_names": {str(label): name for label, name in labels.names.items()},
        "expert": f"{labels.expert} {labels.version}".strip(),
        "source": Path(labels.source).name,
    }
    _write(Volume(array, labels.affine, "unknown", "a.u.", labels.source), Path(path), facts)


def _write(volume: Volume, path: Path, facts: dict[str, Any]) -> None:
    name = path.name.lower()
    if name.endswith(".zarr"):
        from vol3d.volume.store import write_store

        write_store(volume, path, facts)
    elif name.endswith((".nii", ".nii.gz")):
        _write_nifti(volume, path, facts)
    else:
        raise ConfigError("no format is known by this suffix", path=path, expected=".nii, .nii.gz or .zarr", found=path.suffix or "none")


def _write_nifti(volume: Volume, path: Path, facts: dict[str, Any]) -> None:
    zipped = path.name.lower().endswith(".gz")
    size = int(np.prod(volume.shape)) * np.dtype(volume.array.dtype).itemsize
    with atomic_path(path, expected_bytes=size // 4 if zipped else size) as temporary:
        array = _storable(volume.numpy(), path)
        head = _header(array, volume.affine, facts)
        with temporary.open("wb") as file:
            _write_gzip(file, head, array) if zipped else _write_plain(file, head, array)


def _storable(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype.str[1:] not in _CODES:
        raise IntensityError(
            "voxels of this type are not written",
            path=path,
            expected="uint8, uint16, int16, int32 or float32",
            found=array.dtype,
            hint="Convert them first.",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise IntensityError("NaN or infinite voxels are not written", path=path, hint="Replace them first.")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _header(array: np.ndarray, affine: np.ndarray, facts: dict[str, Any]) -> bytes:
    """NIfTI-1 where the sizes fit into 16 bits, with sform, qform and pixdim all saying the same."""
    if max(array.shape) >= 2**15:
        raise ConfigError("an axis is too long for NIfTI-1", expected="under 32768 voxels", found=array.shape, hint="Write .zarr instead.")
    matrix = from_nifti(affine)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    qfac, quaternion = _quaternion(matrix[:3, :3] / spacing)
    note = json.dumps({"vol3d": facts}, sort_keys=True).encode()
    extension = 8 + len(note)
    extension += -extension % 16
    out = bytearray(352 + extension)
    struct.pack_into("<i", out, 0, 348)
    struct.pack_into("<8h", out, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", out, 70, _CODES[array.dtype.str[1:]], array.dtype.itemsize * 8)
    struct.pack_into("<8f", out, 76, qfac, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", out, 108, len(out), 1.0, 0.0)
    struct.pack_into("<B", out, 123, 2)
    struct.pack_into("<80s", out, 148, f"vol3d {vol3d.__version__}".encode())
    struct.pack_into("<2h", out, 252, 1, 1)
    struct.pack_into("<6f", out, 256, *quaternion, *matrix[:3, 3])
    struct.pack_into("<12f", out, 280, *matrix[:3].ravel())
    struct.pack_into("<4s4B2i", out, 344, b"n+1\0", 1, 0, 0, 0, extension, _COMMENT)
    out[360 : 360 + len(note)] = note
    return bytes(out)


def _quaternion(rotation: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """The sign of the third axis (qfac) and the quaternion's b, c, d of three orthonormal columns; a left-handed grid flips its third column."""
    qfac = -1.0 if np.linalg.det(rotation) < 0 else 1.0
    r = rotation * [1, 1, qfac]
    # The symmetric 4 x 4 matrix whose largest eigenvector is the quaternion: no case by case division by small numbers.
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [0, r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [0, 0, r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [0, 0, 0, r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    q = np.linalg.eigh(k, UPLO="U")[1][:, -1]
    q = q if q[0] >= 0 else -q
    return qfac, (float(q[1]), float(q[2]), float(q[3]))


def _write_plain(file: BinaryIO, head: bytes, array: np.ndarray) -> None:
    file.write(head)
    file.write(array.reshape(-1).view(np.uint8).data)


def _write_gzip(file: BinaryIO, head: bytes, array: np.ndarray) -> None:
    """One gzip member without name or time in it, so that equal volumes give equal files."""
    packer, checksum = _packer()
    file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")
    crc, size = 0, 0
    body = array.reshape(-1).view(np.uint8).data
    for piece in (head, *(body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK))):
        crc, size = checksum(piece, crc), size + len(piece)
        file.write(packer.compress(piece))
    file.write(packer.flush())
    file.write(struct.pack("<2I", crc & 0xFFFFFFFF, size & 0xFFFFFFFF))


def _packer() -> tuple[Any, Any]:
    try:
        from isal import isal_zlib
    except ImportError:
        # Level 6 takes five times as long as level 1 and saves 3%: CT noise does not compress.
        return zlib.compressobj(1, zlib.DEFLATED, -15), zlib.crc32
    return isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15), isal_zlib.crc32
