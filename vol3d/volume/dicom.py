"""A folder of one DICOM series as a volume: sorted by position, rescaled slice by slice, refused where slices do not fit."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vol3d.errors import VolumeError
from vol3d.extras import require
from vol3d.volume.dicom_series import HEADER_TAGS, Slice, parse_slice, sort_slices
from vol3d.volume.files import open_regular
from vol3d.volume.judge import Judge
from vol3d.volume.stored import ReadOptions, Stored, rescale
from vol3d.volume.volume import Modality

_DIRECTORY_UID = "1.2.840.10008.1.3.10"
_MODALITIES: dict[str, Modality] = {"CT": "CT", "MR": "MR"}


def read_dicom(path: str | Path, options: ReadOptions, judge: Judge) -> Stored:
    """Read the series of a folder (not of its subfolders); files that are not DICOM are passed over with a note.

    Raises:
        MissingExtraError: pydicom is not installed.
        VolumeError, GeometryError: see `sort_slices`; or pixels that cannot be decoded.
    """
    pydicom = require("pydicom", extra="dicom")
    with warnings.catch_warnings():
        # pydicom warns about every odd value of a header; what matters is checked here.
        warnings.simplefilter("ignore")
        slices, affine = sort_slices(_slices(Path(path), pydicom, judge), judge)
        first = slices[0]
        shape = (len(slices), first.rows or 0, first.columns or 0)
        judge.require_budget(shape, 4, options.max_voxels)
        planes, rescales = [], set()
        for item in slices:
            plane, pair = _plane(item, pydicom, judge)
            planes.append(plane)
            rescales.add(pair)
    if first.modality == "CT" and rescales == {None}:
        judge.note("no_rescale", "the slices state no rescale slope and intercept: stored values used as they are")
    return Stored(
        array=np.stack(planes),
        affine=affine,
        facts={"format": "dicom", "slices": len(slices), "rescales": len(rescales), "stored_dtype": str(planes[0].dtype)},
        modality=_MODALITIES.get(first.modality, "unknown" if first.modality else None),
    )


def _slices(folder: Path, pydicom: Any, judge: Judge) -> list[Slice]:
    found, ignored = [], 0
    for file in sorted(folder.iterdir()):
        if file.is_dir() or file.name.startswith("."):
            continue
        with open_regular(file) as opened:
            if opened.read(132)[128:] != b"DICM":
                ignored += 1
                continue
            opened.seek(0)
            try:
                header = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=HEADER_TAGS)
                if str(header.file_meta.get("MediaStorageSOPClassUID", "")) != _DIRECTORY_UID:
                    found.append(parse_slice(file, header))
            except Exception as error:  # noqa: BLE001 - pydicom raises many kinds for one damaged file
                judge.refuse(VolumeError, f"{file.name} is a damaged DICOM file: {error}", hint="Copy the series again.")
    if not found:
        folders = any(child.is_dir() for child in folder.iterdir())
        hint = "Name one of its subfolders." if folders else "Give the folder that holds the slices."
        judge.refuse(VolumeError, "there is no DICOM slice in this folder", expected="one series", found=f"{ignored} other files", hint=hint)
    if ignored:
        judge.note("ignored_files", f"{ignored} files of the folder are not DICOM: passed over")
    return found


def _plane(item: Slice, pydicom: Any, judge: Judge) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Pixels in the scan's units, and the slice's own rescale."""
    try:
        with open_regular(item.path) as file:
            dataset = pydicom.dcmread(file)
            if not pydicom.pixels.get_decoder(dataset.file_meta.TransferSyntaxUID).is_available:
                return _decode_with_itk(item.path), (1.0, 0.0)
            pixels = dataset.pixel_array
    except VolumeError:
        raise
    except Exception as error:  # noqa: BLE001 - each decoder raises its own kinds
        judge.refuse(VolumeError, f"the pixels of {item.path.name} cannot be decoded: {error}", hint="The file is damaged: copy the series again.")
    if pixels.shape != (item.rows, item.columns):
        judge.refuse(
            VolumeError,
            f"{item.path.name} has pixels of another size than it says",
            expected=f"{item.rows}x{item.columns}",
            found=pixels.shape,
            hint="The file is damaged: copy the series again.",
        )
    if item.slope is None and item.intercept is None:
        return pixels, None
    pair = (1.0 if item.slope is None else item.slope, 0.0 if item.intercept is None else item.intercept)
    if not np.isfinite(pair).all() or pair[0] == 0.0:
        judge.refuse(
            VolumeError, f"the rescale of {item.path.name} is not usable", expected="a slope that is not 0", found=pair, hint="The header is damaged."
        )
    return rescale(pixels, *pair), pair


def _decode_with_itk(path: Path) -> np.ndarray:
    """Lossless JPEG and other syntaxes that pydicom leaves to plug-ins: ITK brings its own decoder, and applies the rescale."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    return SimpleITK.GetArrayFromImage(image)[0]
