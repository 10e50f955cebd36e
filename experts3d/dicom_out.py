"""Masks and measurements as DICOM: a Segmentation object and a Structured Report (TID 1500), both pointing at the series that they were made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Shaped

import vol3d
from experts3d.anatomy import in_words, is_lesion, parent_organ
from experts3d.orientation import stored_order
from experts3d.snomed import SIDES, Concept, concept, morphology
from vol3d.contracts import DISCLAIMER, LabelMap, Measurement, Status
from vol3d.errors import ExpertError, VolumeError
from vol3d.extras import require
from vol3d.volume.atomic import atomic_path
from vol3d.volume.geometry import require_same_grid, to_canonical
from vol3d.volume.volume import Volume

_MAKER = "vol3d"


@dataclass(frozen=True)
class Series:
    """The headers of a DICOM series in the order of its slices, and the grid that they span."""

    slices: tuple
    grid: Volume


def read_series(folder: str | Path) -> Series:
    """Headers of the one image series in a folder, sorted along the slice normal.

    Raises:
        MissingExtraError: pydicom or highdicom is not installed.
        VolumeError: the folder does not hold one series of slices.

    """
    pydicom = require("pydicom", extra="dicom")
    slices: list[Any] = []
    if not Path(folder).is_dir():
        raise VolumeError("DICOM output needs the DICOM series that the scan was read from", path=folder, expected="a folder of one series")
    for path in sorted(p for p in Path(folder).iterdir() if p.is_file()):
        try:
            slices.append(_completed(pydicom.dcmread(path, stop_before_pixels=True)))
        except (pydicom.errors.InvalidDicomError, OSError):
            continue
    slices = [item for item in slices if "ImagePositionPatient" in item and "Rows" in item]
    if len(slices) < 2 or len({item.SeriesInstanceUID for item in slices}) != 1:
        found = f"{len(slices)} slices of {len({item.SeriesInstanceUID for item in slices})} series"
        raise VolumeError("DICOM output needs the DICOM series that the scan was read from", path=folder, expected="one series", found=found)
    row, column = (np.array(slices[0].ImageOrientationPatient[i : i + 3], float) for i in (0, 3))
    normal = np.cross(row, column)
    slices.sort(key=lambda item: float(normal @ np.array(item.ImagePositionPatient, float)))
    first, last = (np.array(item.ImagePositionPatient, float) for item in (slices[0], slices[-1]))
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / (len(slices) - 1)
    affine[:3, 1], affine[:3, 2] = column * float(slices[0].PixelSpacing[0]), row * float(slices[0].PixelSpacing[1])
    affine[:3, 3] = first
    affine[:2] *= -1  # DICOM's axes point to left and back, ours to right and front
    shape = (len(slices), int(slices[0].Rows), int(slices[0].Columns))
    return Series(tuple(slices), Volume(np.broadcast_to(np.uint8(0), shape), affine, "unknown", "a.u.", str(folder)))


def _completed(item: Any) -> Any:
    """Anonymisers blank the identifiers of the data set and leave the same ones in the file's head: they are taken from there."""
    for name, source in (("SOPClassUID", "MediaStorageSOPClassUID"), ("SOPInstanceUID", "MediaStorageSOPInstanceUID")):
        if not item.get(name) and item.file_meta.get(source):
            setattr(item, name, item.file_meta[source].value)
    return item


def write_segmentation(labels: LabelMap, series: Series, path: str | Path, *, structures: Sequence[str] | None = None) -> tuple[str, ...]:
    """Write the found structures as a DICOM Segmentation, one binary segment each; segments may overlap, as organ and lesion do.

    Args:
        labels: on the grid of the series.
        series: from `read_series`.
        path: the file.
        structures: which; None: all that have a voxel.

    Returns the structures in the order of their segment numbers.

    """
    hd = require("highdicom", extra="dicom")
    array = _on_series(labels, series)
    present = set(np.unique(array).tolist())
    names = [name for name in (structures if structures is not None else labels.structures) if present & set(labels.ids(name))]
    if not names:
        raise ExpertError("there is nothing to write: no structure was found", path=path)
    planes = np.stack([np.isin(array, labels.ids(name)) for name in names], axis=-1).astype(np.uint8)
    segmentation = hd.seg.Segmentation(
        source_images=list(series.slices),
        pixel_array=planes,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(hd, number, name, labels) for number, name in enumerate(names, start=1)],
        series_instance_uid=hd.UID(),
        series_number=300,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=labels.expert,
        software_versions=vol3d.__version__,
        device_serial_number="0",
        content_description=DISCLAIMER[:64],
        series_description=f"{labels.expert} {labels.version}",
    )
    with atomic_path(path) as temporary:
        segmentation.save_as(temporary)
    return tuple(names)


def write_report(measurements: Sequence[Measurement], series: Series, segmentation: str | Path, structures: Sequence[str], path: str | Path) -> None:
    """Write volumes, diameters and mean densities as a DICOM Structured Report after TID 1500; each group points at its segment.

    Args:
        measurements: of whole structures and of findings' components (those are left out: they have no segment of their own).
        series: from `read_series`.
        segmentation: the file that `write_segmentation` wrote.
        structures: what that call returned.
        path: the file.

    """
    hd = require("highdicom", extra="dicom")
    codes = require("pydicom.sr.codedict", extra="dicom").codes
    stored = require("pydicom", extra="dicom").dcmread(segmentation)
    groups = []
    for number, name in enumerate(structures, start=1):
        own = [m for m in measurements if m.structure == name and m.component is None and m.status is Status.FOUND]
        coded = [item for m in own if (item := _coded(hd, codes, m)) is not None]
        if not coded:
            continue
        groups.append(
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=name),
                referenced_segment=hd.sr.ReferencedSegment(
                    stored.SOPClassUID,
                    stored.SOPInstanceUID,
                    number,
                    source_series=hd.sr.SourceSeriesForSegmentation(series.slices[0].SeriesInstanceUID),
                ),
                finding_type=_property_type(hd, name),
                measurements=coded,
            )
        )
    if not groups:
        raise ExpertError("there is nothing to report: no measurement of these structures", path=path)
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name=_MAKER, model_name=stored.ManufacturerModelName)
    context = hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )
    report = hd.sr.MeasurementReport(
        observation_context=context,
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion if series.slices[0].Modality == "CT" else codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
    )
    document = hd.sr.Comprehensive3DSR(
        evidence=[*series.slices, stored],
        content=report,
        series_instance_uid=hd.UID(),
        series_number=301,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=_MAKER,
        series_description=f"measurements, {DISCLAIMER[:40]}",
    )
    with atomic_path(path) as temporary:
        document.save_as(temporary)


def _on_series(labels: LabelMap, series: Series) -> Shaped[np.ndarray, "z y x"]:
    """The labels slice by slice in the order of the series."""
    canonical, affine = to_canonical(labels.array, labels.affine)
    grid = series.grid.canonical()
    require_same_grid(grid.shape, grid.affine, canonical.shape, affine, path=series.grid.source)
    return stored_order(canonical, series.grid)


def _description(hd: ModuleType, number: int, name: str, labels: LabelMap) -> object:
    codes = require("pydicom.sr.codedict", extra="dicom").codes
    algorithm = hd.AlgorithmIdentificationSequence(name=labels.expert, version=labels.version, family=codes.DCM.ArtificialIntelligence, source=_MAKER)
    category = codes.SCT.MorphologicallyAbnormalStructure if is_lesion(name) else codes.SCT.AnatomicalStructure
    organ = parent_organ(name)
    region = concept(organ) if organ else None
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=in_words(name)[:64],
        segmented_property_category=category,
        segmented_property_type=_property_type(hd, name),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=hd.UID(),
        tracking_id=name,
        anatomic_regions=[hd.sr.CodedConcept(region.code, "SCT", region.meaning)] if region else None,
    )
    _add_sides(hd, description, concept(name) or morphology(name), region)
    return description


def _add_sides(hd: ModuleType, description: Any, item: Concept | None, region: Concept | None) -> None:
    """Laterality as DICOM has it: a modifier of the code; highdicom offers no argument for it."""
    if item is not None and item.side:
        side = hd.sr.CodedConcept(SIDES[item.side], "SCT", item.side.capitalize())
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    if region is not None and region.side:
        side = hd.sr.CodedConcept(SIDES[region.side], "SCT", region.side.capitalize())
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [side]


def _property_type(hd: ModuleType, name: str) -> object:
    """SNOMED CT where a table has a code for the structure or for the kind of finding, else a code of our own, which DICOM marks with 99."""
    known = concept(name) or morphology(name)
    if known is not None:
        return hd.sr.CodedConcept(known.code, "SCT", known.meaning)
    return hd.sr.CodedConcept(name[:16], "99VOL3D", in_words(name)[:64])


def _coded(hd: ModuleType, codes: object, item: Measurement) -> object | None:
    """A measurement with DICOM's own codes for name and unit; None for those that have none."""
    if not isinstance(item.value, int | float):
        return None
    millilitre, millimetre = hd.sr.CodedConcept("ml", "UCUM", "ml"), codes.UCUM.Millimeter  # type: ignore[attr-defined]
    if item.name == "volume":
        return hd.sr.Measurement(name=codes.SCT.Volume, value=float(item.value), unit=millilitre)  # type: ignore[attr-defined]
    if item.name == "longest_axial_diameter":
        return hd.sr.Measurement(name=codes.SCT.LongAxis, value=float(item.value), unit=millimetre)  # type: ignore[attr-defined]
    if item.name == "perpendicular_diameter":
        return hd.sr.Measurement(name=codes.SCT.ShortAxis, value=float(item.value), unit=millimetre)  # type: ignore[attr-defined]
    if item.name == "mean_intensity" and item.unit == "HU":
        name, unit = codes.DCM.AttenuationCoefficient, codes.UCUM.HounsfieldUnit  # type: ignore[attr-defined]
        return hd.sr.Measurement(name=name, value=float(item.value), unit=unit, derivation=codes.SCT.Mean)  # type: ignore[attr-defined]
    return None
