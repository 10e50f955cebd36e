"""NRRD, attached or detached, raw or gzip, read strictly (the usual readers stop before the checksum).

Format: http://teem.sourceforge.net/nrrd/format.html
"""

from pathlib import Path

import numpy as np

from vol3d.errors import GeometryError, VolumeError
from vol3d.volume.files import open_regular
from vol3d.volume.geometry import from_nifti
from vol3d.volume.inflate import Inflated, Plain, Source
from vol3d.volume.judge import Judge
from vol3d.volume.stored import ReadOptions, Stored, one_frame, read_voxels
from vol3d.volume.text_header import beside, numbers, read_lines, whole_numbers

_TYPES = {
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i1": "signed char|int8|int8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPE_OF = {name: code for code, names in _TYPES.items() for name in names.split("|")}
# World axes of each space as signs towards right, anterior, superior.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}


def read_nrrd(path: str | Path, options: ReadOptions, judge: Judge) -> Stored:
    """Read a 3D NRRD.

    Raises:
        VolumeError: damaged, truncated, or of a kind that is not read (text encodings, lists of files, colours).
        GeometryError: no space directions, or a space that is no patient's.
    """
    with open_regular(path) as file:
        fields = _fields(read_lines(file, judge, until_blank=True), judge)
        dtype = _dtype(fields, judge)
        sizes = _sizes(fields, judge)
        if not ("data file" in fields or "datafile" in fields):
            return _read(Plain(file, str(path)) if fields["encoding"] == "raw" else Inflated(file, str(path)), fields, dtype, sizes, options, judge)
        detached = beside(path, fields.get("data file", fields.get("datafile", "")), judge)
    with open_regular(detached) as file:
        return _read(
            Plain(file, str(detached)) if fields["encoding"] == "raw" else Inflated(file, str(detached)), fields, dtype, sizes, options, judge
        )


def _read(source: Source, fields: dict[str, str], dtype: np.dtype, sizes: list[int], options: ReadOptions, judge: Judge) -> Stored:
    shape, frames, frame = one_frame(sizes, options.volume_index, judge)
    judge.require_budget((frames, *shape), dtype.itemsize, options.max_voxels)
    affine = _affine(fields, len(sizes), judge)
    source.require(int(np.prod(shape, dtype=object)) * frames * dtype.itemsize)
    array = read_voxels(source, dtype, shape, frames, frame)
    if rest := source.finish():
        judge.note("trailing_bytes", f"the file holds {rest}; ignored")
    facts = {"format": "nrrd", "compression": source.compression, "stored_dtype": str(dtype.newbyteorder("="))}
    return Stored(array=array, affine=from_nifti(affine), facts=facts)


def _fields(lines: list[str], judge: Judge) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.startswith("#") or ":=" in line or ":" not in line:
            continue  # Comments, and key/value pairs, which may name a patient.
        name, value = line.split(":", 1)
        fields[name.strip().lower()] = value.strip()
    for name in ("type", "dimension", "sizes", "encoding"):
        if name not in fields:
            judge.refuse(VolumeError, f"the NRRD header lacks the field '{name}'", hint="The file is damaged: copy or download it again.")
    encoding = {"gz": "gzip"}.get(fields["encoding"].lower(), fields["encoding"].lower())
    if encoding not in ("raw", "gzip"):
        judge.refuse(VolumeError, "this NRRD encoding is not read", expected="raw or gzip", found=encoding, hint="Save it again with gzip encoding.")
    for name in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(name, "0") != "0":
            judge.refuse(VolumeError, f"the NRRD field '{name}' is not read", expected=0, found=fields[name], hint="Save it again without skips.")
    return {**fields, "encoding": encoding}


def _dtype(fields: dict[str, str], judge: Judge) -> np.dtype:
    code = _DTYPE_OF.get(" ".join(fields["type"].lower().split()))
    if code is None:
        judge.refuse(
            VolumeError,
            "the NRRD voxel type is not read",
            expected="an integer or float type",
            found=fields["type"],
            hint="Save it again as 16-bit integers or floats.",
        )
    dtype = np.dtype(code)
    endian = fields.get("endian", "little" if dtype.itemsize == 1 else "").lower()
    if endian not in ("little", "big"):
        judge.refuse(
            VolumeError,
            "the NRRD header does not state the byte order",
            expected="endian: little or big",
            found=endian or "nothing",
            hint="Add the field 'endian'.",
        )
    if endian == "big":
        judge.note("big_endian", "stored in big-endian byte order: converted")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _sizes(fields: dict[str, str], judge: Judge) -> list[int]:
    sizes = whole_numbers(fields["sizes"], judge, "sizes")
    if str(len(sizes)) != fields["dimension"] or min(sizes) < 1 or not 2 <= len(sizes) <= 7:
        judge.refuse(
            VolumeError,
            "the NRRD sizes are impossible",
            expected=f"{fields['dimension']} sizes of at least 1",
            found=fields["sizes"],
            hint="The header is damaged: copy or download it again.",
        )
    kinds = fields.get("kinds", "").lower().split()
    directions = fields.get("space directions", "").lower()
    # Channels and vectors stand first in NRRD; their direction is 'none'.
    if directions.startswith("none") or any(kind not in ("domain", "space", "time", "list", "none", "???") for kind in kinds):
        judge.refuse(
            VolumeError,
            "the voxels are colours or vectors",
            expected="one number per voxel",
            found=f"kinds {' '.join(kinds)}",
            hint="Extract one channel.",
        )
    return sizes


def _affine(fields: dict[str, str], num_axes: int, judge: Judge) -> np.ndarray:
    space = fields.get("space", "").lower()
    if space not in _SPACES or "space directions" not in fields:
        judge.refuse(
            GeometryError,
            "the NRRD header does not say how the voxels lie in the patient",
            expected="space left-posterior-superior or right-anterior-superior, with space directions",
            found=f"space '{space}'" if space else "no space",
            hint="Save it again from a program that knows the geometry.",
        )
    units = set(fields.get("space units", '"mm"').replace('"', "").lower().split())
    if units != {"mm"}:
        judge.refuse(GeometryError, "the NRRD lengths are not in mm", expected="mm", found=" ".join(sorted(units)), hint="Save it again in mm.")
    vectors = [numbers(text, judge, "space directions") for text in fields["space directions"].replace(")", ")|").split("|") if "(" in text]
    origin = numbers(fields.get("space origin", "(0,0,0)"), judge, "space origin")
    if len(vectors) != 3 or any(len(vector) != 3 for vector in [*vectors, origin]):
        judge.refuse(
            GeometryError, "the NRRD space directions are not three vectors", found=fields["space directions"], hint=f"{num_axes} axes are stored."
        )
    affine = np.eye(4)
    affine[:3, :3] = np.array(vectors).T
    affine[:3, 3] = origin
    affine[:3] *= np.array(_SPACES[space])[:, None]
    return affine
