"""Which DICOM files of a folder make one volume, and where its slices lie: refused with the slice list where they do not fit."""

from collections import Counter
from collections.abc import Callable, Sequence
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
]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What one DICOM file says about itself; None where it says nothing."""

    path: Path
    modality: str
    kinds: tuple[str, ...]
    series_uid: str
    series_number: int | None
    frames: int
    samples: int
    rows: int | None
    columns: int | None
    spacing_mm: tuple[float, ...] | None  # between rows, between columns
    orientation: tuple[float, ...] | None
    position_mm: tuple[float, ...] | None
    thickness_mm: float | None
    slope: float | None
    intercept: float | None

    def along(self, normal: np.ndarray) -> float:
        """Distance along the slices' normal."""
        return float(self.place @ normal)

    @property
    def place(self) -> np.ndarray:
        """Position of the first pixel's centre, in DICOM's LPS."""
        return np.array(self.position_mm, float)


def parse_slice(path: Path, header: Any) -> Slice:
    """Take what is needed out of a pydicom header, once; pydicom converts values only when they are asked for.

    Raises:
        Exception: of many kinds, where a value cannot be converted; the caller names the file.
    """
    numbers = {tag: header.get(tag, None) for tag in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")}
    tuples = {tag: None if value is None or value == "" else tuple(float(v) for v in value) for tag, value in numbers.items()}
    return Slice(
        path=path,
        modality=str(header.get("Modality", None) or ""),
        kinds=tuple(str(kind).upper() for kind in header.get("ImageType", None) or ()),
        series_uid=str(header.get("SeriesInstanceUID", None) or ""),
        series_number=_maybe(int, header.get("SeriesNumber", None)),
        frames=int(header.get("NumberOfFrames", None) or 1),
        samples=int(header.get("SamplesPerPixel", None) or 1),
        rows=_maybe(int, header.get("Rows", None)),
        columns=_maybe(int, header.get("Columns", None)),
        spacing_mm=tuples["PixelSpacing"],
        orientation=tuples["ImageOrientationPatient"],
        position_mm=tuples["ImagePositionPatient"],
        thickness_mm=_maybe(float, header.get("SliceThickness", None)),
        slope=_maybe(float, header.get("RescaleSlope", None)),
        intercept=_maybe(float, header.get("RescaleIntercept", None)),
    )


def _maybe(kind: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None or value == "" else kind(value)


def sort_slices(slices: Sequence[Slice], judge: Judge) -> tuple[list[Slice], np.ndarray]:
    """Slices from first to last along their normal, and the affine over `(z, y, x, 1)` to RAS mm.

    Raises:
        VolumeError: several series, localizers, colours, many frames per file, sizes that differ, headers without geometry.
        GeometryError: duplicate, missing or unevenly spaced slices, several orientations, a tilted gantry.
    """
    _require_one_series(slices, judge)
    for item in slices:
        _require_image(item, judge)
    _require_same(slices, judge)
    orientation = np.array(slices[0].orientation, float).reshape(2, 3)
    spacing = np.array(slices[0].spacing_mm, float)
    lengths = np.linalg.norm(orientation, axis=1)
    if not np.isfinite([*spacing, *lengths]).all() or (spacing <= 0).any() or np.abs(lengths - 1).max() > 1e-3:
        judge.refuse(
            GeometryError,
            "pixel spacing or orientation is impossible",
            expected="mm > 0, and directions of length 1",
            found=f"{spacing.tolist()}, lengths {lengths.round(4).tolist()}",
            hint="The header is damaged: copy the series again.",
        )
    normal = np.cross(orientation[0], orientation[1])
    ordered = sorted(slices, key=lambda item: item.along(normal))
    affine = np.eye(4)
    # PixelSpacing is (between rows, between columns); the first cosine runs along a row, that is along x.
    affine[:3, :3] = np.stack([_slice_step(ordered, normal, judge), orientation[1] * spacing[0], orientation[0] * spacing[1]], axis=1)
    affine[:3, 3] = ordered[0].place
    affine[:2] *= -1  # DICOM's world is LPS
    return ordered, affine


def _require_one_series(slices: Sequence[Slice], judge: Judge) -> None:
    counts = Counter(item.series_uid for item in slices)
    if len(counts) > 1:
        numbers = {item.series_uid: item.series_number for item in slices}
        found = ", ".join(f"{count} files of series {numbers[uid] or uid[-12:] or 'without a UID'}" for uid, count in counts.most_common(4))
        judge.refuse(
            VolumeError,
            f"this folder holds {len(counts)} series",
            expected="one series",
            found=found,
            hint="Put each series into a folder of its own.",
        )


def _require_image(item: Slice, judge: Judge) -> None:
    name = item.path.name
    if "LOCALIZER" in item.kinds:
        judge.refuse(VolumeError, f"{name} is a localizer (scout view), not a slice", expected="axial slices", hint="Move it out of the folder.")
    if item.frames > 1:
        judge.refuse(
            VolumeError,
            f"{name} is a multi-frame DICOM file, which is not read",
            expected="one slice per file",
            found=f"{item.frames} frames",
            hint="Convert it to NIfTI with dcm2niix.",
        )
    if item.samples != 1:
        judge.refuse(VolumeError, f"{name} holds colours", expected="one grey value per pixel", hint="Give the original series, not a screenshot.")
    lacks = [
        tag
        for tag, value, count in (
            ("ImagePositionPatient", item.position_mm, 3),
            ("ImageOrientationPatient", item.orientation, 6),
            ("PixelSpacing", item.spacing_mm, 2),
        )
        if value is None or len(value) != count or not np.isfinite(value).all()
    ]
    lacks += [tag for tag, value in (("Rows", item.rows), ("Columns", item.columns)) if not value]
    if lacks:
        judge.refuse(
            VolumeError,
            f"{name} ({item.modality or 'unknown modality'}) does not say where it lies: no {lacks[0]}",
            expected="slices of a CT or MR scan",
            hint="Give the folder of the image series.",
        )


def _require_same(slices: Sequence[Slice], judge: Judge) -> None:
    first = slices[0]
    for item in slices[1:]:
        for tag, mine, other in (
            ("Modality", first.modality, item.modality),
            ("Rows", first.rows, item.rows),
            ("Columns", first.columns, item.columns),
            ("PixelSpacing", first.spacing_mm, item.spacing_mm),
            ("ImageOrientationPatient", first.orientation, item.orientation),
        ):
            same = np.allclose(mine, other, atol=1e-4) if isinstance(mine, tuple) and isinstance(other, tuple) else mine == other
            if not same:
                judge.refuse(
                    GeometryError,
                    f"the slices differ in {tag}",
                    expected=f"{_text(mine)} as in {first.path.name}",
                    found=f"{_text(other)} in {item.path.name}",
                    hint="These are several series or reformats: put each into a folder of its own.",
                )


def _slice_step(slices: list[Slice], normal: np.ndarray, judge: Judge) -> np.ndarray:
    """The vector from one slice to the next."""
    if len(slices) == 1:
        return normal * (slices[0].thickness_mm or 1.0)
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
    step = (slices[-1].place - slices[0].place) / (len(slices) - 1)
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
    return str(value) if not isinstance(value, tuple) else "/".join(f"{float(v):g}" for v in value)
