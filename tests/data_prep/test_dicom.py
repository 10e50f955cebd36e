from pathlib import Path

import numpy as np
import pytest

from data_prep.deidentify import deidentify, new_uid
from data_prep.preparation import prepare
from tests.data_prep.miniature import scan
from vol3d.errors import ConfigError
from vol3d.volume.manifest import read_manifest, read_table
from vol3d.volume.read import read_volume

pydicom = pytest.importorskip("pydicom")
NAME = "Miller^Roberta"


def write_series(folder: Path, *, seed: int = 0, series: str = "1.2.3.4", **changes: object) -> np.ndarray:
    """An axial CT series whose header is full of identity."""
    volume = scan(seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    array = volume.numpy()[:, ::-1, ::-1]  # DICOM rows run to posterior, columns to left
    z, y, x = volume.affine[[2, 1, 0], 3]
    for k, plane in enumerate(array):
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{series}.{k}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", series, "1.2.9"
        data.PatientName, data.PatientID, data.PatientBirthDate, data.AccessionNumber = NAME, "MRN77881", "19540312", "ACC55667"
        data.InstitutionName, data.ReferringPhysicianName, data.StudyDescription = "Riverside", "Stone^Edgar", "Chest of Miller"
        data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.StudyDate, data.SeriesNumber, data.InstanceNumber = "20200101", 1, k + 1
        data.Rows, data.Columns, data.PixelSpacing = plane.shape[0], plane.shape[1], [2, 2]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-(x + 2 * (plane.shape[1] - 1)), -(y + 2 * (plane.shape[0] - 1)), z + 3 * k]
        data.SliceThickness, data.RescaleSlope, data.RescaleIntercept = 3, 1, -1024
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = (plane.astype(np.int32) + 1024).clip(0).astype(np.uint16).tobytes()
        data.add_new(0x00091001, "LO", "Roberta again")
        for name, value in changes.items():
            setattr(data, name, value)
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
        data.save_as(folder / f"Miller_{series}_{k:03d}.dcm", enforce_file_format=True)
    return np.maximum(volume.numpy(), -1024)


def test_studies_become_series_without_identity(tmp_path: Path) -> None:
    root = tmp_path / "dicom"
    first = write_series(root / "Miller Roberta" / "study")
    write_series(root / "Miller Roberta" / "study", seed=1, series="1.2.3.5")  # two series in one folder
    (root / "notes.txt").write_text("Miller", encoding="utf-8")
    (root / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    store = tmp_path / "store"
    prepare("dicom_folder", root, store, fractions={"train": 1.0})
    rows = read_manifest(store)
    assert len(rows) == 2
    assert len({row.patient for row in rows}) == 1
    assert any(np.array_equal(read_volume(store / row.path).numpy(), first) for row in rows)
    everything = b"".join(p.read_bytes() + str(p.relative_to(store)).encode() for p in store.rglob("*") if p.is_file()).lower()
    for word in (b"miller", b"roberta", b"mrn77881", b"riverside", b"acc55667"):
        assert word not in everything
    assert len(read_table(store / "quarantine.parquet")) <= 1


def test_deidentified_files_say_nothing_and_read_the_same(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "Miller")
    done = deidentify(tmp_path / "in", tmp_path / "out", salt="a long secret")
    assert (done.written, done.refused) == (24, {})
    assert done.dropped["InstitutionName"] == 24
    everything = b"".join(
        p.read_bytes() + str(p.relative_to(tmp_path / "out")).encode() for p in (tmp_path / "out").rglob("*") if p.is_file()
    ).lower()
    for word in (b"miller", b"roberta", b"mrn77881", b"riverside", b"acc55667", b"stone", b"19540312", b"20200101", b"1.2.3.4"):
        assert word not in everything, word
    (folder,) = {p.parent for p in (tmp_path / "out").rglob("*.dcm")}
    before, after = read_volume(tmp_path / "in" / "Miller"), read_volume(folder)
    assert np.array_equal(before.numpy(), after.numpy())
    assert np.allclose(before.affine, after.affine)
    header = pydicom.dcmread(next(folder.iterdir()))
    assert header.PatientIdentityRemoved == "YES"
    assert header.SeriesInstanceUID == new_uid("1.2.3.4", "a long secret")


@pytest.mark.parametrize(
    "changes",
    [
        {"BurnedInAnnotation": "YES"},
        {"ImageType": ["DERIVED", "SECONDARY"]},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"ConvolutionKernel": "B30 Roberta"},
        {"RecognizableVisualFeatures": "YES"},
    ],
)
def test_doubtful_files_are_refused_without_naming_anyone(tmp_path: Path, changes: dict[str, object]) -> None:
    write_series(tmp_path / "in", **changes)
    done = deidentify(tmp_path / "in", tmp_path / "out", salt="a long secret")
    assert done.written == 0
    assert len(done.refused) == 24
    assert "Miller" not in str(done.refused)
    with pytest.raises(ConfigError):
        deidentify(tmp_path / "in", tmp_path / "out2", salt="short")
