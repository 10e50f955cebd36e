"""Small scans, and small scans broken in one way each: what `test_bad_inputs` and the reader's tests are made of."""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

SHAPE, SPACING_MM = (24, 32, 40), (2.0, 1.5, 1.5)
# Where NIfTI-1 keeps what, as (offset, struct code).
FIELDS = {
    "sizeof_hdr": (0, "<i"),
    "dim0": (40, "<h"),
    "dim1": (42, "<h"),
    "dim2": (44, "<h"),
    "dim3": (46, "<h"),
    "dim4": (48, "<h"),
    "datatype": (70, "<h"),
    "bitpix": (72, "<h"),
    "pixdim0": (76, "<f"),
    "pixdim1": (80, "<f"),
    "pixdim2": (84, "<f"),
    "pixdim3": (88, "<f"),
    "vox_offset": (108, "<f"),
    "scl_slope": (112, "<f"),
    "scl_inter": (116, "<f"),
    "xyzt_units": (123, "<B"),
    "qform_code": (252, "<h"),
    "sform_code": (254, "<h"),
    "quatern_b": (256, "<f"),
    "qoffset_x": (268, "<f"),
    "srow_x0": (280, "<f"),
    "srow_x1": (284, "<f"),
    "srow_x2": (288, "<f"),
    "srow_x3": (292, "<f"),
    "srow_y0": (296, "<f"),
    "srow_y1": (300, "<f"),
    "magic": (344, "<4s"),
    "esize": (352, "<i"),
}


def ct(shape: tuple[int, int, int] = SHAPE, spacing_mm: tuple[float, float, float] = SPACING_MM, seed: int = 0) -> Volume:
    """An ellipse of soft tissue in air, with noise: enough for every check of a CT."""
    rng = np.random.default_rng(seed)
    _, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    inside = ((y - shape[1] / 2) / (0.4 * shape[1])) ** 2 + ((x - shape[2] / 2) / (0.4 * shape[2])) ** 2 < 1
    hu = np.where(np.broadcast_to(inside, shape), 40.0, -1000.0) + rng.normal(0, 12, shape)
    return Volume(np.clip(np.rint(hu), -1024, None).astype(np.int16), make_affine(spacing_mm, (-30.0, -20.0, 5.0)), "CT", "HU")


def mr(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Volume:
    """The same ellipse as MR: zero around it, a few hundred inside."""
    rng = np.random.default_rng(seed)
    scan = ct(shape)
    signal = np.where(scan.array > -500, 400.0, 5.0) + rng.normal(0, 30, shape)
    return Volume(np.abs(np.rint(signal)).astype(np.int16), scan.affine, "MR", "a.u.")


def nifti(folder: Path, name: str = "scan.nii", volume: Volume | None = None, **fields: Any) -> Path:
    """A CT as NIfTI with some header fields overwritten; compressed (by the standard library) where the name says so."""
    path = folder / name
    plain = folder / "plain.nii"
    write_volume(volume or ct(), plain)
    data = bytearray(plain.read_bytes())
    plain.unlink()
    for field, value in fields.items():
        offset, code = FIELDS[field]
        struct.pack_into(code, data, offset, value)
    path.write_bytes(gzip.compress(bytes(data), 1, mtime=0) if name.endswith(".gz") else bytes(data))
    return path


def nifti_of(folder: Path, array: np.ndarray, *, datatype: int, dims: tuple[int, ...] | None = None, name: str = "scan.nii") -> Path:
    """Raw `array` bytes under a header that calls them `datatype`, whatever that is."""
    path = nifti(folder, name="header.nii")
    head = bytearray(path.read_bytes()[:352])
    path.unlink()
    sizes = dims or array.shape[::-1]
    struct.pack_into("<8h", head, 40, len(sizes), *sizes, *[1] * (7 - len(sizes)))
    struct.pack_into("<2h", head, 70, datatype, array.dtype.itemsize * 8)
    struct.pack_into("<f", head, 108, 352)
    head[348] = 0
    out = folder / name
    out.write_bytes(bytes(head) + array.tobytes())
    return out


def edit(path: Path, *, cut: int = 0, xor: dict[int, int] | None = None, append: bytes = b"") -> Path:
    """Cut bytes from the end, flip bits at (negative or positive) positions, append bytes."""
    data = bytearray(path.read_bytes())
    for position, mask in (xor or {}).items():
        data[position] ^= mask
    path.write_bytes(bytes(data[: len(data) - cut]) + append)
    return path


def dicom(folder: Path, *, num_slices: int = 6, gap_mm: float = 3.0, **changes: Any) -> Path:
    """A folder of CT slices written by pydicom; `changes` maps a tag to a function of the slice number (None: tag left out)."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    series = folder / "series"
    series.mkdir(exist_ok=True)
    scan = ct((num_slices, 32, 32), (gap_mm, 1.5, 1.5))
    values: dict[str, Any] = {
        "Modality": lambda i: "CT",
        "SOPClassUID": lambda i: CTImageStorage,
        "SOPInstanceUID": lambda i: generate_uid(entropy_srcs=[str(i)]),
        "SeriesInstanceUID": lambda i: "1.2.3",
        "SeriesNumber": lambda i: 7,
        "ImageType": lambda i: ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": lambda i: [-20.0, -24.0, gap_mm * i],
        "ImageOrientationPatient": lambda i: [1, 0, 0, 0, 1, 0],
        "PixelSpacing": lambda i: [1.5, 1.5],
        "SliceThickness": lambda i: gap_mm,
        "RescaleSlope": lambda i: 1,
        "RescaleIntercept": lambda i: -1024,
        "Rows": lambda i: 32,
        "Columns": lambda i: 32,
        "SamplesPerPixel": lambda i: 1,
        "PhotometricInterpretation": lambda i: "MONOCHROME2",
        "BitsAllocated": lambda i: 16,
        "BitsStored": lambda i: 16,
        "HighBit": lambda i: 15,
        "PixelRepresentation": lambda i: 0,
        "PixelData": lambda i: (scan.array[i] + 1024).astype("<u2").tobytes(),
    }
    for i in range(num_slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=[str(i)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        # Names against the order of positions, so that sorting by name would show.
        path = series / f"slice_{(i * 5) % num_slices:02d}_{i}.dcm"
        dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        for tag, value in {**values, **changes}.items():
            if (content := value(i)) is not None:
                setattr(dataset, tag, content)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return series


def nrrd(folder: Path, *, name: str = "scan.nrrd", data: bytes | None = None, **fields: str) -> Path:
    """A gzip NRRD, header fields overwritten (underscores are spaces; an empty value leaves the field out)."""
    values = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "40 32 24",
        "space directions": "(1.5,0,0) (0,1.5,0) (0,0,2)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
        "space origin": "(0,0,0)",
    }
    values.update({key.replace("_", " "): value for key, value in fields.items()})
    head = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in values.items() if value) + "\n"
    path = folder / name
    path.write_bytes(head.encode() + (gzip.compress(ct().array.tobytes(), 1) if data is None else data))
    return path


def mha(folder: Path, *, name: str = "scan.mha", data: bytes | None = None, **fields: str) -> Path:
    """A zlib MetaImage, header fields overwritten (an empty value leaves the field out)."""
    values = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "1.5 1.5 2",
        "DimSize": "40 32 24",
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    }
    # The data file's name ends the header.
    data_file = fields.pop("ElementDataFile", values.pop("ElementDataFile"))
    values = {**values, **fields, "ElementDataFile": data_file}
    head = "".join(f"{key} = {value}\n" for key, value in values.items() if value)
    path = folder / name
    path.write_bytes(head.encode() + (zlib.compress(ct().array.tobytes(), 1) if data is None else data))
    return path


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, to whom every file is readable."""
    import os

    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
