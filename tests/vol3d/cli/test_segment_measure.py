"""`segment`, `measure` and `experts` as a user runs them: JSON with its stable keys, files that can be read back, refusals in one line."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vol3d.cli.main import main
from vol3d.volume.geometry import make_affine
from vol3d.volume.phantom import phantom_ct
from vol3d.volume.read import read_mask
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_labels, write_volume


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    phantom = phantom_ct(5, shape_zyx=(40, 60, 64), spacing_mm=(8.0, 7.0, 7.0))
    write_volume(phantom.volume, folder / "ct.nii.gz")
    write_labels(phantom.labels, folder / "labels.nii.gz")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_segment_prints_json_writes_a_label_map_and_draws(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "new" / "lungs.nii.gz"
    code, text, _ = run(
        capsys,
        "segment",
        case / "ct.nii.gz",
        "--expert",
        "threshold_ct",
        "--targets",
        "lungs,bone",
        "--out",
        out,
        "--pictures",
        tmp_path / "p",
        "--json",
    )
    assert code == 0
    document = json.loads(text)
    assert {"scan", "expert", "version", "measurements", "statuses", "sentences", "mask"} <= set(document)
    assert {"structure", "name", "value", "unit", "component", "status"} <= set(document["measurements"][0])
    lungs = next(m["value"] for m in document["measurements"] if m["structure"] == "lungs" and m["name"] == "volume")
    mask = read_mask(out)
    names = mask.header["label_names"]
    ids = [int(i) for i, name in names.items() if name.startswith("lung_")]
    assert np.isin(mask.numpy(), ids).sum() * mask.voxel_ml == pytest.approx(lungs)
    assert {path.name.split("_")[0] for path in (tmp_path / "p").iterdir()} == {"axial", "coronal", "sagittal"}


def test_measure_reads_the_names_in_the_file_and_measures_what_is_there(case: Path, capsys: pytest.CaptureFixture[str]):
    code, text, _ = run(capsys, "measure", case / "ct.nii.gz", "--mask", case / "labels.nii.gz", "--structures", "spleen,aorta", "--json")
    assert code == 0
    document = json.loads(text)
    mask = read_mask(case / "labels.nii.gz")
    spleen = next(int(i) for i, name in mask.header["label_names"].items() if name == "spleen")
    value = next(m["value"] for m in document["measurements"] if m["structure"] == "spleen" and m["name"] == "volume")
    assert value == pytest.approx((mask.numpy() == spleen).sum() * mask.voxel_ml)
    assert document["statuses"] == {"spleen": "found", "aorta": "found"}


def test_tables_fit_100_columns(case: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in (("segment", case / "ct.nii.gz", "--expert", "threshold_ct"), ("experts", "list")):
        code, text, _ = run(capsys, *arguments)
        assert code == 0
        assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("segment", "CT", "--expert", "treshold_ct"), "Did you mean threshold_ct"),
        (("segment", "CT", "--expert", "threshold_ct", "--targets", "liver"), "unknown target"),
        (("segment", "CT", "--expert", "supplied"), "Add --mask"),
        (("segment", "CT", "--expert", "threshold_ct", "--labels", "totalseg"), "belongs to --expert supplied"),
        (("segment", "CT", "--expert", "threshold_ct", "--out", "x.dcm"), "folder of one DICOM series"),
        (("segment", "CT", "--expert", "threshold_ct", "--sr", "x.dcm"), "Add --out FILE.dcm"),
        (("measure", "CT", "--mask", "LABELS", "--structures", "splen"), "Did you mean spleen"),
        (("measure", "CT", "--mask", "LABELS", "--labels", "totalseg_v9"), "no such label table"),
        (("segment", "CT", "--expert", "threshold_ct", "--point", "liver:0,0,0"), "--point belongs to --expert vista3d"),
        (("segment", "CT", "--expert", "brats_mri", "--sequence", "t1"), "NAME=FILE"),
        (("experts", "install"), "say which expert to install"),
        (("experts", "check", "--weights", "x.pt"), "weights belong to one expert"),
        (("experts", "check", "threshold_mr"), "unknown expert"),
    ],
)
def test_refusals_are_one_line_and_exit_2(case: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str):
    names = {"CT": str(case / "ct.nii.gz"), "LABELS": str(case / "labels.nii.gz")}
    code, out, err = run(capsys, *(names.get(a, a) for a in arguments))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_dicom_goes_in_and_out(shared_real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    hd = pytest.importorskip("highdicom")
    code, _, err = run(
        capsys,
        "segment",
        shared_real / "ct_dicom",
        "--expert",
        "threshold_ct",
        "--targets",
        "bone",
        "--out",
        tmp_path / "s.dcm",
        "--sr",
        tmp_path / "r.dcm",
    )
    assert (code, err) == (0, "")
    assert hd.seg.segread(tmp_path / "s.dcm").get_segment_description(1).tracking_id == "bone"
    assert len(hd.sr.srread(tmp_path / "r.dcm").content.get_volumetric_roi_measurement_groups()) == 1


def test_real_slab_answers_which_kidney_is_larger(shared_real: Path, capsys: pytest.CaptureFixture[str]):
    slab, labels = shared_real / "ct_abdomen_slab.nii.gz", shared_real / "ct_abdomen_slab_totalseg.nii.gz"
    code, text, _ = run(capsys, "measure", slab, "--mask", labels, "--labels", "totalseg", "--structures", "kidney_left,kidney_right", "--json")
    values = {m["name"]: m["value"] for m in json.loads(text)["measurements"] if m["structure"] == "kidney_left"}
    array, voxel = read_mask(labels).numpy(), 0.027
    assert code == 0
    assert values["larger_kidney"] == ("right" if (array == 2).sum() > (array == 3).sum() else "left")
    assert values["kidney_volume_difference"] == pytest.approx(abs(int((array == 2).sum()) - int((array == 3).sum())) * voxel, abs=1e-6)


def test_one_expert_is_checked_by_name(capsys: pytest.CaptureFixture[str]):
    code, out, _ = run(capsys, "experts", "check", "threshold_ct", "--json")
    (only,) = json.loads(out)["experts"]
    assert (code, only["name"], only["status"]) == (0, "threshold_ct", "works")
    assert int(only["detail"].split()[0]) > 1000


def test_sequences_come_by_name_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    import torch

    from experts3d.brats_mri import BratsMRI
    from experts3d.monai_bundle import segresnet

    torch.manual_seed(0)
    torch.save(segresnet(16, 4, 3).state_dict(), tmp_path / "model.pt")
    monkeypatch.setattr("experts3d.brats_mri.BratsMRI", partial(BratsMRI, roi=(32, 32, 32)))
    rng = np.random.default_rng(0)
    inside = np.zeros((16, 24, 20), bool)
    inside[3:13, 4:20, 4:16] = True
    for name in ("t1c", "t1", "t2", "flair"):
        image = np.where(inside, rng.normal(100, 20, inside.shape), 0).astype(np.float32)
        write_volume(Volume(image, make_affine((1, 1, 1)), "MR", "a.u."), tmp_path / f"{name}.nii.gz")
    others = [part for name in ("t1", "t2", "flair") for part in ("--sequence", f"{name}={tmp_path / name}.nii.gz")]
    command = ("segment", str(tmp_path / "t1c.nii.gz"), "--modality", "MR", "--expert", "brats_mri", "--weights", str(tmp_path / "model.pt"))
    code, out, err = run(capsys, *command, *others, "--out", str(tmp_path / "out.nii.gz"), "--json")
    assert (code, err.count("Error")) == (0, 0)
    assert set(json.loads(out)["statuses"]) == {"brain_tumour", "brain_tumour_core", "brain_tumour_enhancing", "brain_tumour_oedema"}
    assert read_mask(tmp_path / "out.nii.gz").shape == inside.shape
    assert run(capsys, *command, *others[:2])[0] == 2
