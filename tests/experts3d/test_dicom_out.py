"""Masks and measurements written as DICOM, read back by highdicom, on a real CT series."""

from pathlib import Path

import numpy as np
import pytest

from experts3d.measure import measure
from experts3d.threshold_ct import ThresholdCT
from tests.experts3d.scenes import labels_of, scan_of
from vol3d.errors import ExpertError, GeometryError, VolumeError

hd = pytest.importorskip("highdicom")


@pytest.fixture(scope="module")
def case(shared_real: Path):
    from experts3d.dicom_out import read_series
    from vol3d.volume.read import read_volume

    scan = read_volume(shared_real / "ct_dicom")
    return scan, ThresholdCT().segment(scan, ("body", "bone")), read_series(shared_real / "ct_dicom")


def test_segments_come_back_voxel_by_voxel(case, tmp_path: Path):
    from experts3d.dicom_out import write_segmentation

    scan, labels, series = case
    names = write_segmentation(labels, series, tmp_path / "seg.dcm", structures=("body", "bone", "airway"))
    assert names == ("body", "bone")
    back = hd.seg.segread(tmp_path / "seg.dcm")
    assert [back.get_segment_description(i).tracking_id for i in (1, 2)] == ["body", "bone"]
    assert back.get_segment_description(2).segmented_property_type.value == "272673000"
    volume = back.get_volume(combine_segments=False)
    ras = np.diag([-1.0, -1, 1, 1]) @ volume.affine
    array = np.asarray(volume.array)
    for index, name in enumerate(names):
        assert int(array[..., index].sum()) == int(labels.mask(name).sum())
    # The same voxel lies at the same place in the patient.
    where = np.argwhere(array[..., 1])
    expected = np.argwhere(labels.mask("bone"))
    centre = ras @ np.array([*where.mean(axis=0), 1])
    assert centre[:3] == pytest.approx((scan.affine @ np.array([*expected.mean(axis=0), 1]))[:3], abs=0.01)


def test_the_report_points_at_its_segments(case, tmp_path: Path):
    from experts3d.dicom_out import write_report, write_segmentation

    scan, labels, series = case
    names = write_segmentation(labels, series, tmp_path / "seg.dcm", structures=("body", "bone"))
    measured = measure(scan, labels, names)
    write_report(measured, series, tmp_path / "seg.dcm", names, tmp_path / "report.dcm")
    report = hd.sr.srread(tmp_path / "report.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["body", "bone"]
    for group, name in zip(groups, names, strict=True):
        values = {item.name.meaning: item.value for item in group.get_measurements()}
        volume = next(m.value for m in measured if m.structure == name and m.name == "volume")
        assert values["Volume"] == pytest.approx(volume, rel=1e-6)
        assert group.referenced_segment.referenced_segment_numbers[0] in (1, 2)
    assert report.PatientID == series.slices[0].PatientID


def test_sides_and_findings_are_coded_as_dicom_has_them(case, tmp_path: Path):
    from experts3d.dicom_out import write_segmentation

    scan, labels, series = case
    array = np.zeros(labels.array.shape, np.uint8)
    for i in range(1, 6):
        array[i, 10:20, 10:20] = i
    names = {1: "kidney_left", 2: "rib_left_5", 3: "kidney_cyst_right", 4: "liver_tumour", 5: "lymph_node"}
    write_segmentation(labels_of(scan, array, names), series, tmp_path / "seg.dcm")
    described = [hd.seg.segread(tmp_path / "seg.dcm").get_segment_description(i) for i in range(1, 6)]
    types = [item.SegmentedPropertyTypeCodeSequence[0] for item in described]
    assert [(item.CodeValue, item.CodingSchemeDesignator) for item in types] == [
        ("18639004", "SCT"), ("15339008", "SCT"), ("367643001", "SCT"), ("108369006", "SCT"), ("lymph_node", "99VOL3D"),
    ]  # fmt: skip
    sides = [[m.CodeMeaning for m in item.get("SegmentedPropertyTypeModifierCodeSequence", [])] for item in types]
    assert sides == [[], ["Left"], ["Right"], [], []]
    regions = [[r.CodeValue for r in item.get("AnatomicRegionSequence", [])] for item in described]
    assert regions == [[], [], ["9846003"], ["10200004"], []]


def test_what_cannot_be_written_is_refused(case, shared_real: Path, tmp_path: Path):
    from experts3d.dicom_out import read_series, write_segmentation

    _, labels, series = case
    with pytest.raises(ExpertError, match="nothing to write"):
        write_segmentation(labels, series, tmp_path / "seg.dcm", structures=("airway",))
    other = scan_of(np.zeros((4, 5, 6), np.int16))
    with pytest.raises(GeometryError, match="another grid"):
        write_segmentation(labels_of(other, np.ones((4, 5, 6), np.uint8), {1: "liver"}), series, tmp_path / "seg.dcm")
    with pytest.raises(VolumeError, match="DICOM series"):
        read_series(tmp_path)
    assert list(tmp_path.iterdir()) == []
