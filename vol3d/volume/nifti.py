"""NIfTI-1 and NIfTI-2, plain or gzip, read strictly and straight into the final array; nothing is transposed on the way.

The file stores x fastest, so its bytes are a C-ordered `z y x` array as they are; only the affine's columns change places.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from vol3d.errors import GeometryError, VolumeError
from vol3d.volume.files import open_regular
from vol3d.volume.geometry import from_nifti
from vol3d.volume.inflate import Inflated, Plain, Source
from vol3d.volume.judge import Judge
from vol3d.volume.nifti_header import HEADER_BYTES, NiftiHeader, parse_header
from vol3d.volume.stored import ReadOptions, Stored, known_modality, one_frame, own_facts, read_voxels, rescale

_GZIP_MAGIC = b"\x1f\x8b"
_COMMENT = 6
_MAX_EXTENSION = 64 * 1024 * 1024
_CODES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def read_nifti(path: str | Path, options: ReadOptions, judge: Judge) -> Stored:
    """Read one volume.

    Raises:
        VolumeError: damaged, truncated, or a header that lies.
        GeometryError: no transform, or two that disagree.
        ResourceError: more voxels than allowed.
    """
    with open_regular(path) as file:
        zipped = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        source: Source = Inflated(file, str(path)) if zipped else Plain(file, str(path))
        _check_name(Path(path).name.lower(), zipped, judge)
        head = source.read(348)
        head += source.read(HEADER_BYTES - 348) if struct.unpack("<i", head[:4])[0] == 540 or struct.unpack(">i", head[:4])[0] == 540 else b""
        header = parse_header(head, judge)
        shape, frames, frame = one_frame(list(header.dims), options.volume_index, judge)
        judge.require_budget((*header.dims[3:], *shape), header.dtype.itemsize, options.max_voxels)
        affine = nifti_affine(header, options.assume_orientation, judge)
        own = _extensions(source, header, judge)
        source.require(int(np.prod(shape, dtype=object)) * frames * header.dtype.itemsize)
        array = read_voxels(source, header.dtype, shape, frames, frame)
        if rest := source.finish():
            judge.note("trailing_bytes", f"the file holds {rest}; ignored")
    slope, intercept = _rescale(header, judge)
    return Stored(
        array=rescale(array, slope, intercept),
        affine=from_nifti(affine),
        facts={
            "format": f"nifti{header.version}",
            "compression": source.compression,
            "stored_dtype": str(header.dtype.newbyteorder("=")),
            "slope": slope,
            "intercept": intercept,
            **own,
        },
        modality=known_modality(own),
    )


def _check_name(name: str, zipped: bool, judge: Judge) -> None:
    if zipped and not name.endswith(".gz"):
        judge.note("gzip_by_content", "named as if it were not compressed, but its content is gzip: read as gzip")
    if not zipped and name.endswith(".gz"):
        judge.note("plain_by_content", "named .gz, but its content is not compressed: read as it is")


def _extensions(source: Source, header: NiftiHeader, judge: Judge) -> dict[str, Any]:
    """Walk the extensions up to the voxels and return what the one says that this toolkit writes."""
    room = header.vox_offset - header.size
    if room < 4:
        source.skip(room)
        return {}
    if room > _MAX_EXTENSION:
        judge.refuse(VolumeError, "the offset of the voxels is impossible", found=header.vox_offset, hint="The header is damaged.")
    data = source.read(room)
    facts: dict[str, Any] = {}
    at = 4
    while data[0] and at + 8 <= room:
        order = "<" if header.dtype.newbyteorder("<") == header.dtype else ">"
        size, code = struct.unpack_from(f"{order}2i", data, at)
        if size < 8 or at + size > room:
            judge.refuse(
                VolumeError,
                "an extension of the header has an impossible size",
                expected=f"8 to {room - at}",
                found=size,
                hint="The header is damaged.",
            )
        if code == _COMMENT:
            facts.update(_own_facts(data[at + 8 : at + size]))
        at += size
    return facts


def _own_facts(data: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(data.rstrip(b"\0 "))
    except (ValueError, RecursionError):
        return {}
    return own_facts(facts.get("vol3d")) if isinstance(facts, dict) else {}


def _rescale(header: NiftiHeader, judge: Judge) -> tuple[float, float]:
    """Slope and intercept by the standard: a slope of 0 means that there are none."""
    slope, intercept = float(header.slope), float(header.intercept)
    if slope == 0.0:
        if intercept not in (0.0,) and np.isfinite(intercept):
            judge.note("slope_zero", f"slope 0 with intercept {intercept:g}: by the standard neither is applied")
        return 1.0, 0.0
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        judge.refuse_unless_accepted(
            VolumeError,
            "bad_rescale",
            "slope or intercept is not a number",
            expected="finite numbers",
            found=f"{slope}, {intercept}",
            hint="Fix scl_slope and scl_inter.",
        )
        return 1.0, 0.0
    return slope, intercept


def nifti_affine(header: NiftiHeader, assume_orientation: str | None, judge: Judge) -> np.ndarray:
    """The transform over `(x, y, z, 1)` to RAS mm, with sform, qform and pixdim held against each other.

    Raises:
        GeometryError: none is given, one is impossible, or they disagree.
    """
    spacing = _spacing(header, judge)
    candidates = {}
    if header.sform_code > 0:
        candidates["sform"] = np.vstack([header.srow, [0, 0, 0, 1]])
    if header.qform_code > 0:
        candidates["qform"] = _qform(header, spacing, judge)
    for name, matrix in candidates.items():
        if not np.isfinite(matrix).all():
            judge.refuse(
                GeometryError,
                f"the {name} holds values that are not numbers",
                expected="finite numbers",
                found=matrix[:3].tolist(),
                hint="Fix the header.",
            )
    if not candidates:
        affine = _assumed(header, spacing, assume_orientation, judge)
    else:
        affine = next(iter(candidates.values()))
        _check_agreement(candidates, header, spacing, judge)
    affine = affine.copy()
    affine[:3] *= header.unit_mm
    return affine


def _spacing(header: NiftiHeader, judge: Judge) -> np.ndarray:
    spacing = np.array(header.pixdim[1:4], np.float64)
    flat = np.array((*header.dims, 1, 1)[:3]) == 1
    # A picture has no slice spacing: 0 stands there by habit.
    spacing[flat & (spacing == 0)] = 1.0
    if not np.isfinite(spacing).all():
        judge.refuse(GeometryError, "the voxel spacing is not a number", expected="mm > 0", found=spacing.tolist(), hint="Fix pixdim in the header.")
    if (spacing <= 0).any():
        judge.refuse(
            GeometryError,
            f"the voxel spacing is {'zero' if (spacing == 0).any() else 'negative'}",
            expected="mm > 0 along x, y, z",
            found=[round(float(s), 4) for s in spacing],
            hint="Fix pixdim in the header.",
        )
    return spacing


def _qform(header: NiftiHeader, spacing: np.ndarray, judge: Judge) -> np.ndarray:
    b, c, d = header.quaternion
    rest = 1.0 - (b * b + c * c + d * d)
    if not np.isfinite(rest) or rest < -1e-5:
        judge.refuse(GeometryError, "the qform's quaternion is not a rotation", expected="b2+c2+d2 <= 1", found=1.0 - rest, hint="Fix the header.")
    a = float(np.sqrt(max(rest, 0.0)))
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    matrix[:3, :3] *= spacing * [1, 1, -1 if header.pixdim[0] == -1 else 1]
    matrix[:3, 3] = header.qoffset
    return matrix


def _assumed(header: NiftiHeader, spacing: np.ndarray, codes: str | None, judge: Judge) -> np.ndarray:
    if codes is None:
        judge.refuse(
            GeometryError,
            "the header does not say how the voxels lie in the patient (no qform, no sform)",
            hint="If you know it, pass --assume-orientation with the directions of x, y, z, such as RAS or LPS.",
        )
    axes = [_CODES.get(code.upper()) for code in codes]
    if len(axes) != 3 or None in axes or {axis[0] for axis in axes if axis} != {0, 1, 2}:
        judge.refuse(
            GeometryError, "this is no orientation", expected="three letters such as RAS or LPS", found=codes, hint="Give the directions of x, y, z."
        )
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for column, axis in enumerate(axes):
        if axis:
            matrix[axis[0], column] = axis[1] * spacing[column]
    judge.note("assumed_orientation", f"the header has no transform: orientation {codes.upper()} taken from the user, origin set to 0")
    return matrix


def _check_agreement(candidates: dict[str, np.ndarray], header: NiftiHeader, spacing: np.ndarray, judge: Judge) -> None:
    sizes = np.array((*header.dims, 1, 1)[:3], float)
    corners = np.array([[x, y, z, 1] for x in (0, sizes[0] - 1) for y in (0, sizes[1] - 1) for z in (0, sizes[2] - 1)])
    if len(candidates) == 2:
        apart = np.linalg.norm((corners @ (candidates["sform"] - candidates["qform"]).T)[:, :3], axis=1).max()
        # Half a voxel: beyond that a mask drawn under one transform misses under the other.
        if apart > 0.5 * spacing.min():
            judge.refuse_unless_accepted(
                GeometryError,
                "qform_sform_disagree",
                "sform and qform put the scan in two places",
                expected=f"corners within {0.5 * spacing.min():.2g}",
                found=f"{apart:.4g} apart",
                hint="Find out which is right and fix the header.",
            )
            return
    affine = next(iter(candidates.values()))
    columns = np.linalg.norm(affine[:3, :3], axis=0)
    several = sizes > 1
    if (np.abs(columns - spacing)[several] > 0.01 * spacing[several]).any():
        judge.refuse_unless_accepted(
            GeometryError,
            "pixdim_disagree",
            "the spacing in pixdim and the one in the transform disagree",
            expected=f"{[round(float(s), 4) for s in spacing]} from pixdim",
            found=[round(float(c), 4) for c in columns],
            hint="Find out which is right and fix the header.",
        )
