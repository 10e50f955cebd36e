"""Which DICOM files of a folder make one volume, and where its slices lie: refused with the slice list where they do not fit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vol3d.errors import GeometryError, VolumeError
from vol3d.volume.judge import Judge

# Positions are stored as decimal text: a hundredth of a millimetre and a percent of the gap are rounding, not anatomy.
_GAP_TOLERANCE, _GAP_TOLERANCE_MM = 0.01, 0.01
_TILT_DEGREES = 0.1
_SHOWN = 6
HEADER_TAGS = [
    "Modality",
    "ImageType",
    "SeriesInstanceUID",
    "SeriesNumber",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "GantryDetectorTilt",
    "MediaStorageSOPClassUID",
]


@dataclass(frozen=True)
class Slice:
    """One DICOM file: its path, its header, and its position along the normal of the slices in mm."""

    path: Path
    header: Any
    position_mm: np.ndarray

    def along(self, normal: np.ndarray) -> float:
        """Distance along the slices' normal."""
        return float(self.position_mm @ normal)


def sort_slices(headers: Sequence[tuple[Path, Any]], judge: Judge) -> tuple[list[Slice], np.ndarray]:
    """Slices from first to last along their normal, and the affine over `(z, y, x, 1)` to RAS mm.

    Raises:
        VolumeError: several series, localizers, colours, many frames per file, sizes that differ, headers without geometry.
        GeometryError: duplicate, missing or unevenly spaced slices, several orientations, a tilted gantry.
    """
    _require_one_series(headers, judge)
    for path, header in headers:
        _require_image(path, header, judge)
    rows, columns = _require_same(headers, judge)
    orientation = np.array(headers[0][1].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(orientation[0], orientation[1])
    slices = [Slice(path, header, np.array(header.ImagePositionPatient, float)) for path, header in headers]
    slices.sort(key=lambda item: item.along(normal))
    step = _slice_step(slices, normal, judge)
    spacing = np.array(headers[0][1].PixelSpacing, float)
    if not np.isfinite([*spacing, *orientation.ravel()]).all() or (spacing <= 0).any():
        judge.refuse(GeometryError, "the pixel spacing is not positive", expected="mm > 0", found=spacing.tolist(), hint="The header is damaged.")
    affine = np.eye(4)
    # PixelSpacing is (between rows, between columns); the first cosine runs along a row, that is along x.
    affine[:3, :3] = np.stack([step, orientation[1] * spacing[0], orientation[0] * spacing[1]], axis=1)
    affine[:3, 3] = slices[0].position_mm
    affine[:2] *= -1  # DICOM's world is LPS
    judge.require_budget((len(slices), rows, columns), 4, 2**62)
    return slices, affine


def _require_one_series(headers: Sequence[tuple[Path, Any]], judge: Judge) -> None:
    counts = Counter(str(header.get("SeriesInstanceUID", "")) for _, header in headers)
    if len(counts) > 1:
        numbers = {str(header.get("SeriesInstanceUID", "")): header.get("SeriesNumber") for _, header in headers}
        found = ", ".join(f"{count} files of series {numbers[uid] or uid[-12:] or 'without a UID'}" for uid, count in counts.most_common(4))
        judge.refuse(
            VolumeError,
            f"this folder holds {len(counts)} series",
            expected="one series",
            found=found,
            hint="Put each series into a folder of its own.",
        )


def _require_image(path: Path, header: Any, judge: Judge) -> None:
    kinds = [str(kind).upper() for kind in header.get("ImageType", None) or []]
    if "LOCALIZER" in kinds:
        judge.refuse(VolumeError, f"{path.name} is a localizer (scout view), not a slice", expected="axial slices", hint="Move it out of the folder.")
    if int(header.get("NumberOfFrames", None) or 1) > 1:
        judge.refuse(
            VolumeError,
            f"{path.name} is a multi-frame DICOM file, which is not read",
            expected="one slice per file",
            found=f"{header.NumberOfFrames} frames",
            hint="Convert it to NIfTI with dcm2niix.",
        )
    if int(header.get("SamplesPerPixel", None) or 1) != 1:
        judge.refuse(
            VolumeError, f"{path.name} holds colours", expected="one grey value per pixel", hint="Give the original series, not a screenshot."
        )
    for tag, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2), ("Rows", 1), ("Columns", 1)):
        value = header.get(tag, None)
        if value is None or (count > 1 and len(value) != count):
            judge.refuse(
                VolumeError,
                f"{path.name} ({header.get('Modality', None) or 'unknown modality'}) does not say where it lies: no {tag}",
                expected="slices of a CT or MR scan",
                hint="Give the folder of the image series.",
            )


def _require_same(headers: Sequence[tuple[Path, Any]], judge: Judge) -> tuple[int, int]:
    first_path, first = headers[0]
    for path, header in headers[1:]:
        for tag in ("Modality", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
            mine, other = first.get(tag, None), header.get(tag, None)
            same = mine == other if isinstance(mine, str | int | None) else np.allclose(np.array(mine, float), np.array(other, float), atol=1e-4)
            if not same:
                judge.refuse(
                    GeometryError,
                    f"the slices differ in {tag}",
                    expected=f"{_text(mine)} as in {first_path.name}",
                    found=f"{_text(other)} in {path.name}",
                    hint="These are several series or reformats: put each into a folder of its own.",
                )
    return int(first.Rows), int(first.Columns)


def _slice_step(slices: list[Slice], normal: np.ndarray, judge: Judge) -> np.ndarray:
    """The vector from one slice to the next."""
    if len(slices) == 1:
        return normal * float(slices[0].header.get("SliceThickness", None) or 1.0)
    gaps = np.diff([item.along(normal) for item in slices])
    typical = float(np.median(gaps))
    tolerance = _GAP_TOLERANCE * typical + _GAP_TOLERANCE_MM
    equal = [i for i, gap in enumerate(gaps) if gap < _GAP_TOLERANCE_MM]
    if equal:
        names = _list([f"{slices[i].path.name} = {slices[i + 1].path.name}" for i in equal])
        judge.refuse(
            GeometryError, f"{len(equal)} slices lie at the same position", found=names, hint="Remove the duplicates, or split the phases apart."
        )
    odd = [i for i, gap in enumerate(gaps) if abs(gap - typical) > tolerance]
    if odd:
        _refuse_gaps(slices, gaps, typical, tolerance, odd, judge)
    step = (slices[-1].position_mm - slices[0].position_mm) / (len(slices) - 1)
    tilt = np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1)))
    if tilt > _TILT_DEGREES:
        judge.refuse(
            GeometryError,
            "the gantry was tilted, so the slices are sheared against each other",
            expected="0 degrees",
            found=f"{tilt:.2f} degrees",
            hint="Resample the series onto a rectangular grid first (dcm2niix does).",
        )
    return step


def _refuse_gaps(slices: list[Slice], gaps: np.ndarray, typical: float, tolerance: float, odd: list[int], judge: Judge) -> None:
    multiples = gaps[odd] / typical
    missing = bool((multiples > 1.5).all() and (np.abs(multiples - np.rint(multiples)) * typical <= tolerance).all())
    places = _list([f"{gaps[i]:.4g} mm between {slices[i].path.name} and {slices[i + 1].path.name}" for i in odd])
    problem = f"{int(np.rint(multiples).sum()) - len(odd)} slices are missing" if missing else "the slices are unevenly spaced"
    hint = "Copy the series again, with all its slices." if missing else "Split the folder into series, or resample the slices to even gaps first."
    judge.refuse(GeometryError, problem, expected=f"{typical:.4g} mm between slices", found=places, hint=hint)


def _list(items: list[str]) -> str:
    return "; ".join(items[:_SHOWN]) + (f"; and {len(items) - _SHOWN} more" if len(items) > _SHOWN else "")


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | None) else "/".join(f"{float(v):g}" for v in value)
