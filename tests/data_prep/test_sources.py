"""Each source on a folder with the layout of the real corpus."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.convert import Options
from data_prep.item import safe_key
from data_prep.preparation import prepare
from data_prep.sources import SOURCES, find_source
from data_prep.sources.deeptumorvqa import read_questions
from data_prep.sources.m3d_cap import read_vqa
from data_prep.sources.rad_chestct import merge_labels
from data_prep.tables import read_xlsx
from data_prep.verify import verify
from tests.data_prep.miniature import scan, write_csv
from vol3d.contracts import Row
from vol3d.errors import ConfigError, VolumeError
from vol3d.volume.geometry import make_affine
from vol3d.volume.manifest import mask_key, read_manifest, read_table
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume


def prepared(name: str, root: Path, **options: object) -> tuple[dict[str, Row], dict[str, str], Path]:
    store = root.parent / f"{root.name}_store"
    prepare(name, root, store, options=Options(**options))  # type: ignore[arg-type]
    assert verify(store) == []
    rows = {row.series: row for row in read_manifest(store)}
    return rows, {q["key"]: q["reason"] for q in read_table(store / "quarantine.parquet")}, store


def mask_like(volume: Volume, *boxes: tuple[int, slice]) -> Volume:
    array = np.zeros(volume.shape, np.uint8)
    for label, z in boxes:
        array[z, 10:20, 10:20] = label
    return Volume(array, volume.affine, "unknown", "a.u.")


def test_every_source_says_who_made_it_and_on_what_terms() -> None:
    for name in SOURCES:
        source = find_source(name)
        assert source.name == name
        assert source.licence
        assert source.citation or source.licence in ("yours", "Apache-2.0")
    with pytest.raises(ConfigError):
        find_source("ct_rat")


def test_rad_chestct(tmp_path: Path) -> None:
    root = tmp_path / "rad"
    root.mkdir()
    made = scan()
    for name in ("trn00001", "tst00002", "val00003"):
        np.savez_compressed(root / f"{name}.npz", ct=(scan(seed=5) if name == "tst00002" else made).numpy()[::-1, ::-1, ::-1])
    (root / "val00003.npz").write_bytes(b"PK damaged")
    columns = ("NoteAcc_DEID", "nodule*right_upper_lobe", "emphysema*lung", "catheter_or_port*heart")
    for table, name in (("imgtrain", "trn00001"), ("imgtest", "tst00002"), ("imgvalid", "val00003")):
        write_csv(root / f"{table}_Abnormality_and_Location_Labels.csv", columns, [dict(zip(columns, (name, 1, 0, 0), strict=True))])
    rows, refused, store = prepared("rad_chestct", root)
    assert refused == {"val00003": "unreadable"}
    assert (rows["trn00001"].split, rows["tst00002"].split) == ("train", "test")
    assert rows["trn00001"].labels["Lung nodule"] == 1
    assert sum(rows["trn00001"].labels.values()) == 1
    assert np.array_equal(read_volume(store / rows["trn00001"].path).numpy(), made.numpy())
    assert rows["trn00001"].spacing_mm == (0.8, 0.8, 0.8)
    assert merge_labels({"NoteAcc_DEID": "x", "scarring*left_lung": "1"})["Pulmonary fibrotic sequela"] == 1


def write_xlsx(path: Path, rows: list[list[str]]) -> None:
    words = sorted({cell for row in rows for cell in row})
    cells = ["".join(f'<c r="{chr(65 + i)}{r + 1}" t="s"><v>{words.index(cell)}</v></c>' for i, cell in enumerate(row)) for r, row in enumerate(rows)]
    ns = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    sheet = f"<worksheet {ns}><sheetData>" + "".join(f'<row r="{i + 1}">{c}</row>' for i, c in enumerate(cells)) + "</sheetData></worksheet>"
    shared = f"<sst {ns}>" + "".join(f"<si><t>{word}</t></si>" for word in words) + "</sst>"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", sheet)
        book.writestr("xl/sharedStrings.xml", shared)


def test_merlin(tmp_path: Path) -> None:
    root = tmp_path / "merlin"
    (root / "merlin_data").mkdir(parents=True)
    for number, name in enumerate(("AC1", "AC2", "AC3")):
        write_volume(scan(seed=number), root / "merlin_data" / f"{name}.nii.gz")
    write_xlsx(root / "reports_final.xlsx", [["study id", "Findings", "Split"], ["AC1", "Liver: normal.", "train"], ["AC2", "Cyst.", "val"]])
    write_csv(root / "zero_shot_findings_disease_cls.csv", ("study_id", "ascites", "hernia"), [{"study_id": "AC1", "ascites": 1, "hernia": -1}])
    rows, refused, _ = prepared("merlin", root)
    assert refused == {"AC3": "missing_report_row"}
    assert rows["AC1"].findings == "Liver: normal."
    assert rows["AC1"].labels == {"ascites": 1}  # -1 is "not mentioned", which is no label
    assert rows["AC2"].split == "valid"
    assert read_xlsx(root / "reports_final.xlsx")[1]["Findings"] == "Cyst."
    with pytest.raises(VolumeError):
        read_xlsx(root / "zero_shot_findings_disease_cls.csv")


def test_m3d(tmp_path: Path) -> None:
    root = tmp_path / "m3d"
    case = root / "ct_case" / "000001"
    case.mkdir(parents=True)
    image = np.random.default_rng(0).random((1, 8, 16, 16)).astype(np.float32)
    np.save(case / "Axial.npy", image)
    (case / "text.txt").write_text("study_findings: A cyst of the liver. discussion: Rare.", encoding="utf-8")
    entries = {"train": [{"image": "ct_case/000001/Axial.npy", "text": "ct_case/000001/text.txt"}], "test100": [{"image": "x", "text": "y"}]}
    (root / "M3D_Cap.json").write_text(json.dumps(entries), encoding="utf-8")
    rows, refused, store = prepared("m3d_cap", root, accept=("implausible_extent",))
    assert refused == {}
    (row,) = rows.values()
    assert (row.modality, row.findings, row.split) == ("unknown", "A cyst of the liver.", "train")
    assert np.array_equal(read_volume(store / row.path, accept=("implausible_extent",)).numpy(), image[0])
    columns = ("Image Path", "Text", "Question Type", "Question", "Choice A", "Choice B", "Choice C", "Choice D", "Answer", "Answer Choice")
    write_csv(root / "vqa.csv", columns, [dict(zip(columns, ("a/b.npy", "t", "2", "Phase?", "I", "II", "III", "IV", "II", "B"), strict=True))])
    (question,) = read_vqa(root / "vqa.csv")
    assert question == {"series": "a_b", "question": "Phase?", "answer": "II", "choice": "B", "options": "I\nII\nIII\nIV", "question_type": "2"}


def test_deeptumorvqa_both_versions(tmp_path: Path) -> None:
    root = tmp_path / "dtv"
    for number, name in enumerate(("BDMAP_00000001", "BDMAP_00000002")):
        folder = root / "benchmark" / "ct" / name
        (folder / "segmentations").mkdir(parents=True)
        made = scan(seed=number)
        write_volume(made, folder / "ct.nii.gz")
        write_volume(mask_like(made, (1, slice(0, 12))), folder / "segmentations" / "liver.nii.gz")
        write_volume(mask_like(made, (1, slice(2, 4))), folder / "segmentations" / "liver_lesion.nii.gz")
    v2 = {"qid": "1", "image_id": "BDMAP_00000001", "question": "?", "answer": "yes", "question_type": "r", "question_subtype": "s"}
    (root / "benchmark" / "test_qa.json").write_text(json.dumps({"num_questions": 1, "questions": [v2]}), encoding="utf-8")
    v1 = [
        {
            "question_id": "1",
            "image_id": "B",
            "question": "?",
            "answer": "1",
            "multiple_choice_question": "A",
            "question_type": "r",
            "question_subtype": "s",
        }
    ]
    (root / "v1.json").write_text(json.dumps(v1), encoding="utf-8")
    rows, refused, store = prepared("deeptumorvqa", root)
    assert refused == {}
    assert [rows[k].split for k in sorted(rows)] == ["test", "train"]
    labels = read_mask(store / mask_key(rows["BDMAP_00000001"]))
    assert labels.header["label_names"] == {"1": "liver", "2": "liver_lesion"}
    assert (labels.numpy() == 2).sum() == 2 * 100  # the lesion lies over its organ
    assert next(iter(read_questions(root / "v1.json")))["mc_question"] == "A"
    (root / "bad.jsonl").write_text('{"qid": "1"}\n', encoding="utf-8")
    with pytest.raises(VolumeError, match="incomplete"):
        list(read_questions(root / "bad.jsonl"))


def test_msd_kits_lits(tmp_path: Path) -> None:
    msd = tmp_path / "msd"
    made = scan()
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (msd / folder).mkdir(parents=True)
    write_volume(made, msd / "imagesTr" / "liver_1.nii.gz")
    write_volume(mask_like(made, (1, slice(0, 8)), (2, slice(3, 5))), msd / "labelsTr" / "liver_1.nii.gz")
    write_volume(scan(seed=1), msd / "imagesTr" / "liver_2.nii.gz")
    write_volume(scan(seed=2), msd / "imagesTr" / "liver_3.nii.gz")
    moved = Volume(mask_like(made, (1, slice(0, 8))).array, make_affine((3, 2, 2), (5, 0, 0)), "unknown", "a.u.")
    write_volume(moved, msd / "labelsTr" / "liver_3.nii.gz")
    card = {"name": "Liver", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "cancer"}}
    (msd / "dataset.json").write_text(json.dumps(card), encoding="utf-8")
    rows, refused, store = prepared("mask_folder", msd)
    assert refused == {"liver_2": "missing_mask", "liver_3": "mask_on_another_grid"}
    assert read_mask(store / mask_key(rows["liver_1"])).header["label_names"] == {"1": "liver", "2": "liver_tumour"}
    kits = tmp_path / "kits"
    (kits / "case_00000").mkdir(parents=True)
    write_volume(made, kits / "case_00000" / "imaging.nii.gz")
    write_volume(mask_like(made, (1, slice(0, 8)), (3, slice(3, 5))), kits / "case_00000" / "segmentation.nii.gz")
    rows, refused, store = prepared("mask_folder", kits)
    assert (list(rows), refused) == (["case_00000"], {})
    assert read_mask(store / mask_key(rows["case_00000"])).header["label_names"]["3"] == "kidney_cyst"
    lits = tmp_path / "lits"
    lits.mkdir()
    write_volume(made, lits / "volume-0.nii")
    write_volume(mask_like(made, (2, slice(3, 5))), lits / "segmentation-0.nii")
    assert list(prepared("mask_folder", lits)[0]) == ["volume-0"]


def test_brats(tmp_path: Path) -> None:
    root = tmp_path / "brats"
    for case, parts in (
        ("BraTS2021_00001", ("_t1", "_t1ce", "_t2", "_flair", "_seg")),
        ("BraTS-GLI-00002-000", ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")),
    ):
        (root / case).mkdir(parents=True)
        for number, part in enumerate(parts):
            volume = scan(seed=number + len(case), modality="MR")
            write_volume(mask_like(volume, (4, slice(3, 5))) if "seg" in part else volume, root / case / f"{case}{part}.nii.gz")
    rows, refused, store = prepared("brats", root)
    assert refused == {}
    assert len(rows) == 8
    assert {row.study for row in rows.values()} == {"BraTS2021_00001", "BraTS-GLI-00002-000"}
    assert rows["BraTS-GLI-00002-000_t1c"].technique == "MR, T1 post-contrast"
    assert rows["BraTS-GLI-00002-000_t1c"].patient == "BraTS-GLI-00002"
    assert "brain_tumour_enhancing" in read_mask(store / mask_key(rows["BraTS2021_00001_t1"])).header["label_names"].values()


def test_nifti_csv_with_pseudonyms(tmp_path: Path) -> None:
    root = tmp_path / "own"
    (root / "scans").mkdir(parents=True)
    for number, name in enumerate(("Doe Jane.nii.gz", "b.nii.gz", "stranger.nii.gz")):
        write_volume(scan(seed=number), root / "scans" / name)
    columns = ("path", "patient", "report", "label:gout", "Emphysema")
    table = [
        dict(zip(columns, ("scans/Doe Jane.nii.gz", "Jane", "Findings: Clear. Impression: Normal.", 1, 0), strict=True)),
        dict(zip(columns, ("scans/b.nii.gz", "Jane", "", "", 1), strict=True)),
        dict(zip(columns, ("../elsewhere.nii.gz", "x", "", "", 1), strict=True)),
        dict(zip(columns, ("scans/gone.nii.gz", "Doe", "", "", 1), strict=True)),
    ]
    write_csv(root / "table.csv", columns, table)
    rows, refused, store = prepared("nifti_csv", root, pseudonyms=True)
    assert sorted(refused.values()) == ["missing_file", "missing_row", "outside_root"]
    (first,) = (row for row in rows.values() if row.labels.get("gout") == 1)
    assert (first.findings, first.impression, first.labels) == ("Clear.", "Normal.", {"gout": 1, "Emphysema": 0})
    assert len({row.patient for row in rows.values()}) == 1
    everything = b"".join(p.read_bytes() + p.name.encode() for p in store.rglob("*") if p.is_file()).lower()
    assert b"jane" not in everything
    assert b"doe" not in everything
    with pytest.raises(ConfigError):
        prepare("nifti_csv", tmp_path, tmp_path / "s")


def test_keys_are_safe() -> None:
    assert safe_key("../a b.nii.gz") == "a_b"
    assert safe_key("...") == "series"
