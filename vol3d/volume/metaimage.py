"""MetaImage (.mha, or .mhd with its data beside it), raw or zlib, read strictly.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from vol3d.errors import GeometryError, VolumeError
from vol3d.volume.files import open_regular
from vol3d.volume.geometry import from_nifti
from vol3d.volume.inflate import Inflated, Plain, Source
from vol3d.volume.judge import Judge
from vol3d.volume.stored import ReadOptions, Stored, one_frame, read_voxels
from vol3d.volume.text_header import beside, numbers, read_lines, whole_numbers

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def read_metaimage(path: str | Path, options: ReadOptions, judge: Judge) -> Stored:
    """Read a 3D MetaImage.

    Raises:
        VolumeError: damaged, truncated, or of a kind that is not read (text voxels, lists of files, colours).
        GeometryError: spacing or directions missing.
    """
    with open_regular(path) as file:
        fields = _fields(read_lines(file, judge, until_field="ElementDataFile"))
        name = fields.get("elementdatafile", "")
        if name.upper() == "LOCAL":
            return _read(file, str(path), fields, options, judge)
    detached = beside(path, name, judge)
    with open_regular(detached) as file:
        return _read(file, str(detached), fields, options, judge)


def _fields(lines: list[str]) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def _read(file: BinaryIO, path: str, fields: dict[str, str], options: ReadOptions, judge: Judge) -> Stored:
    sizes = whole_numbers(fields.get("dimsize", ""), judge, "DimSize")
    if str(len(sizes)) != fields.get("ndims") or min(sizes) < 1 or not 2 <= len(sizes) <= 7:
        judge.refuse(
            VolumeError,
            "DimSize and NDims contradict each other",
            expected=f"{fields.get('ndims')} sizes of at least 1",
            found=fields.get("dimsize"),
            hint="The header is damaged: copy or download it again.",
        )
    dtype = _dtype(fields, judge)
    shape, frames, frame = one_frame(sizes, options.volume_index, judge)
    judge.require_budget((frames, *shape), dtype.itemsize, options.max_voxels)
    affine = _affine(fields, len(sizes), judge)
    packed = _true(fields, "compresseddata")
    source: Source = Inflated(file, path, "zlib") if packed else Plain(file, path)
    source.require(int(np.prod(shape, dtype=object)) * frames * dtype.itemsize)
    array = read_voxels(source, dtype, shape, frames, frame)
    if rest := source.finish():
        judge.note("trailing_bytes", f"the file holds {rest}; ignored")
    facts = {"format": "metaimage", "compression": source.compression, "stored_dtype": str(dtype.newbyteorder("="))}
    return Stored(array=array, affine=from_nifti(affine), facts=facts)


def _true(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "False").lower() == "true"


def _dtype(fields: dict[str, str], judge: Judge) -> np.dtype:
    if fields.get("elementnumberofchannels", "1") != "1":
        judge.refuse(
            VolumeError,
            "the voxels are colours or vectors",
            expected="1 channel",
            found=fields["elementnumberofchannels"],
            hint="Extract one channel.",
        )
    if fields.get("binarydata", "True").lower() != "true":
        judge.refuse(VolumeError, "MetaImage voxels in text are not read", expected="BinaryData = True", hint="Save it again as binary.")
    if fields.get("headersize", "0") != "0":
        judge.refuse(
            VolumeError,
            "MetaImage data with a header of their own are not read",
            expected="HeaderSize 0",
            found=fields["headersize"],
            hint="Save it again from ITK.",
        )
    code = _TYPES.get(fields.get("elementtype", "").upper())
    if code is None:
        judge.refuse(
            VolumeError,
            "the MetaImage voxel type is not read",
            expected="an integer or float type",
            found=fields.get("elementtype"),
            hint="Save it again as 16-bit integers or floats.",
        )
    big = _true(fields, "binarydatabyteordermsb") or _true(fields, "elementbyteordermsb")
    if big:
        judge.note("big_endian", "stored in big-endian byte order: converted")
    return np.dtype(code).newbyteorder(">" if big else "<")


def _affine(fields: dict[str, str], num_axes: int, judge: Judge) -> np.ndarray:
    directions = next((fields[name] for name in ("transformmatrix", "rotation", "orientation") if name in fields), "")
    spacing = fields.get("elementspacing", fields.get("elementsize", ""))
    if not directions or not spacing:
        judge.refuse(
            GeometryError,
            "the MetaImage header does not say how the voxels lie in the patient",
            expected="TransformMatrix and ElementSpacing",
            hint="Save it again from a program that knows the geometry.",
        )
    steps = np.array(numbers(spacing, judge, "ElementSpacing"))
    matrix = np.array(numbers(directions, judge, "TransformMatrix"))
    origin = np.array(numbers(next((fields[n] for n in ("offset", "position", "origin") if n in fields), "0 " * num_axes), judge, "Offset"))
    if steps.size != num_axes or matrix.size != num_axes**2 or origin.size != num_axes or num_axes < 3:
        judge.refuse(
            GeometryError,
            "the MetaImage geometry does not fit its number of axes",
            expected=f"{num_axes} axes",
            found=f"{steps.size} spacings",
            hint="The header is damaged: copy or download it again.",
        )
    if (steps[:3] <= 0).any():
        judge.refuse(GeometryError, "the voxel spacing is not positive", expected="mm > 0", found=steps.tolist(), hint="Fix ElementSpacing.")
    affine = np.eye(4)
    # Each row of the stored matrix is the direction of one index axis, in LPS.
    affine[:3, :3] = _LPS_TO_RAS @ matrix.reshape(num_axes, num_axes)[:3, :3].T * steps[:3]
    affine[:3, 3] = _LPS_TO_RAS @ origin[:3]
    return affine
