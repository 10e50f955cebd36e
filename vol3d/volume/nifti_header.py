"""The header of NIfTI-1 and NIfTI-2, field by field, refused where it contradicts itself."""

import struct
from dataclasses import dataclass

import numpy as np

from vol3d.errors import VolumeError
from vol3d.volume.judge import Judge

# Offset and struct code of each field (nifti1.h, nifti2.h).
_FIELDS = {
    1: {
        "magic": (344, "4s"),
        "dim": (40, "8h"),
        "datatype": (70, "h"),
        "bitpix": (72, "h"),
        "pixdim": (76, "8f"),
        "vox_offset": (108, "f"),
        "scl_slope": (112, "f"),
        "scl_inter": (116, "f"),
        "xyzt_units": (123, "B"),
        "qform_code": (252, "h"),
        "sform_code": (254, "h"),
        "quatern": (256, "3f"),
        "qoffset": (268, "3f"),
        "srow": (280, "12f"),
    },
    2: {
        "magic": (4, "8s"),
        "datatype": (12, "h"),
        "bitpix": (14, "h"),
        "dim": (16, "8q"),
        "pixdim": (104, "8d"),
        "vox_offset": (168, "q"),
        "scl_slope": (176, "d"),
        "scl_inter": (184, "d"),
        "qform_code": (344, "i"),
        "sform_code": (348, "i"),
        "quatern": (352, "3d"),
        "qoffset": (376, "3d"),
        "srow": (400, "12d"),
        "xyzt_units": (500, "i"),
    },
}
_SIZES = {348: 1, 540: 2}
HEADER_BYTES = 540
_DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_REFUSED_TYPES = {
    1: "1-bit voxels",
    32: "complex voxels",
    1792: "complex voxels",
    2048: "complex voxels",
    128: "RGB colours",
    2304: "RGBA colours",
    1536: "128-bit floats",
}
# Metres, millimetres and microns in mm; 0 means not stated, which everyone reads as mm.
_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True, kw_only=True)
class NiftiHeader:
    """The fields that decide about voxels and grid; lengths as stored, `unit_mm` turns them into mm."""

    version: int
    dims: tuple[int, ...]  # x y z t ...
    dtype: np.dtype
    pixdim: tuple[float, ...]  # qfac, then x y z
    vox_offset: int
    slope: float
    intercept: float
    unit_mm: float
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    qoffset: tuple[float, ...]
    srow: np.ndarray

    @property
    def size(self) -> int:
        """Bytes of the header itself."""
        return 348 if self.version == 1 else 540


def is_nifti(head: bytes) -> bool:
    """Whether bytes start like NIfTI or Analyze, in either byte order.

    >>> is_nifti(struct.pack("<i", 348) + bytes(344))
    True
    """
    return len(head) >= 4 and bool({struct.unpack("<i", head[:4])[0], struct.unpack(">i", head[:4])[0]} & set(_SIZES))


def parse_header(head: bytes, judge: Judge) -> NiftiHeader:
    """Parse and check the first 540 bytes.

    Raises:
        VolumeError: not NIfTI, or fields that contradict each other.
    """
    order = "<" if struct.unpack("<i", head[:4])[0] in _SIZES else ">"
    version = _SIZES[struct.unpack(f"{order}i", head[:4])[0]]
    if len(head) < (348 if version == 1 else 540):
        judge.refuse(VolumeError, "the file ends inside its header", found=f"{len(head)} bytes", hint="Copy or download it again.")
    raw = {name: struct.unpack_from(order + code, head, at) for name, (at, code) in _FIELDS[version].items()}
    _check_magic(raw["magic"][0], version, judge)
    if order == ">":
        judge.note("big_endian", "stored in big-endian byte order: converted")
    return NiftiHeader(
        version=version,
        dims=_dims(raw["dim"], judge),
        dtype=_dtype(raw["datatype"][0], raw["bitpix"][0], order, judge),
        pixdim=raw["pixdim"][:4],
        vox_offset=_vox_offset(raw["vox_offset"][0], 348 if version == 1 else 540, judge),
        slope=raw["scl_slope"][0],
        intercept=raw["scl_inter"][0],
        unit_mm=_unit(raw["xyzt_units"][0] & 7, judge),
        qform_code=raw["qform_code"][0],
        sform_code=raw["sform_code"][0],
        quaternion=raw["quatern"],
        qoffset=raw["qoffset"],
        srow=np.array(raw["srow"], np.float64).reshape(3, 4),
    )


def _check_magic(magic: bytes, version: int, judge: Judge) -> None:
    if magic[:4] == (b"n+1\0" if version == 1 else b"n+2\0"):
        if version == 2 and magic[4:] != b"\r\n\x1a\n":
            judge.refuse(
                VolumeError, "the NIfTI-2 signature is damaged (a transfer in text mode?)", found=magic[4:], hint="Copy it again, in binary mode."
            )
        return
    advice = "Convert it to one file: nibabel.save(nibabel.load(path), 'scan.nii.gz')."
    if magic[:3] in (b"ni1", b"ni2"):
        judge.refuse(VolumeError, "this is a NIfTI pair (.hdr and .img)", expected="one .nii or .nii.gz file", hint=advice)
    if not magic.strip(b"\0"):
        judge.refuse(VolumeError, "this looks like Analyze 7.5, which does not say left from right", expected="NIfTI", hint=advice)
    judge.refuse(
        VolumeError, "the NIfTI signature is wrong", expected="n+1 or n+2", found=magic, hint="The file is damaged: copy or download it again."
    )


def _dims(dim: tuple[int, ...], judge: Judge) -> tuple[int, ...]:
    count = dim[0]
    if not 1 <= count <= 7:
        judge.refuse(VolumeError, "the number of axes in the header is impossible", expected="1 to 7", found=count, hint="The header is damaged.")
    sizes = dim[1 : count + 1]
    if min(sizes) < 1:
        judge.refuse(
            VolumeError, "an axis has no voxels", expected="sizes of at least 1", found="x".join(map(str, sizes)), hint="The header is damaged."
        )
    if count == 1:
        judge.refuse(VolumeError, "this file holds a single row of numbers", expected="3 axes", found=f"{sizes[0]} values", hint="This is no scan.")
    return sizes


def _dtype(code: int, bitpix: int, order: str, judge: Judge) -> np.dtype:
    if code in _REFUSED_TYPES:
        judge.refuse(
            VolumeError,
            f"the voxels are {_REFUSED_TYPES[code]}",
            expected="one real number per voxel",
            hint="Extract the channel that holds the scan.",
        )
    if code not in _DTYPES:
        judge.refuse(VolumeError, "the voxel type is unknown", expected="a NIfTI datatype code", found=code, hint="The header is damaged.")
    dtype = np.dtype(_DTYPES[code]).newbyteorder("<" if order == "<" else ">")
    if bitpix != dtype.itemsize * 8:
        judge.refuse(
            VolumeError,
            "datatype and bitpix contradict each other",
            expected=f"{dtype.itemsize * 8} bits",
            found=bitpix,
            hint="The header is damaged.",
        )
    return dtype


def _vox_offset(offset: int | float, header_size: int, judge: Judge) -> int:
    if not np.isfinite(offset) or offset != int(offset) or offset < header_size:
        judge.refuse(
            VolumeError, "the offset of the voxels is impossible", expected=f"at least {header_size + 4}", found=offset, hint="The header is damaged."
        )
    return int(offset)


def _unit(code: int, judge: Judge) -> float:
    if code not in _UNITS_MM:
        judge.refuse(
            VolumeError, "the unit of length is unknown", expected="metre, mm or micron", found=f"code {code}", hint="The header is damaged."
        )
    if code in (1, 3):
        judge.note("units", f"lengths stored in {'metres' if code == 1 else 'microns'}: converted to mm")
    return _UNITS_MM[code]
