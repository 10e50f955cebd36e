"""Real scans as a corpus of their own: into the store and back, voxel by voxel."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep.corpus_page import write_page
from data_prep.preparation import prepare
from data_prep.verify import verify
from tests.data_prep.miniature import write_csv
from vol3d.volume.manifest import mask_key, read_manifest, read_table
from vol3d.volume.read import read_mask, read_volume

# Six scans and four masks are ten files (the DICOM series counts as one), and one mask that must be refused.
SCANS = {
    "ct_torso.nii.gz": "",
    "ct_abdomen_slab.nii.gz": "ct_abdomen_slab_totalseg.nii.gz",
    "ct_chest_crop.nii.gz": "ct_chest_crop_pulmonary_artery.nii.gz",
    "mr_abdomen_slab.nii.gz": "mr_abdomen_slab_totalseg.nii.gz",
    "mr_brain_tumour.nrrd": "mr_brain_tumour_mask.nrrd",
    "ct_dicom": "",
}


@pytest.fixture(scope="module")
def corpus(shared_real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("real") / "root"
    root.mkdir()
    for name in {*SCANS, *filter(None, SCANS.values()), "mask_on_another_grid.nii.gz"}:
        if (shared_real / name).is_dir():
            shutil.copytree(shared_real / name, root / name)
        else:
            shutil.copy(shared_real / name, root / name)
    (root / "elsewhere").mkdir()
    shutil.copy(shared_real / "ct_chest_crop.nii.gz", root / "elsewhere" / "crop.nii.gz")
    columns = ("path", "mask", "mask_names")
    rows = [dict(zip(columns, (path, mask, json.dumps({5: "liver"}) if "abdomen" in mask else ""), strict=True)) for path, mask in SCANS.items()]
    rows.append(dict(zip(columns, ("elsewhere/crop.nii.gz", "mask_on_another_grid.nii.gz", ""), strict=True)))
    write_csv(root / "scans.csv", columns, rows)
    store = root.parent / "store"
    prepare("nifti_csv", root, store, fractions={"train": 1.0})
    return root, store


def test_real_scans_come_back_voxel_equal(corpus: tuple[Path, Path]) -> None:
    root, store = corpus
    rows = {row.series: row for row in read_manifest(store)}
    assert len(rows) == len(SCANS)
    assert {q["key"]: q["reason"] for q in read_table(store / "quarantine.parquet")} == {"elsewhere_crop": "mask_on_another_grid"}
    for path, mask in SCANS.items():
        row = rows[Path(path).name.split(".")[0]]
        given, kept = read_volume(root / path).canonical(), read_volume(store / row.path)
        assert np.array_equal(given.numpy(), kept.numpy()), path
        assert np.allclose(given.affine, kept.affine), path
        if mask and "abdomen" not in mask:
            assert np.array_equal(read_mask(root / mask).canonical().numpy() > 0, read_mask(store / mask_key(row)).numpy() > 0)
    liver = read_mask(store / mask_key(rows["ct_abdomen_slab"]))
    assert np.array_equal(liver.numpy() == 1, read_mask(root / SCANS["ct_abdomen_slab.nii.gz"]).canonical().numpy() == 5)
    assert verify(store) == []


def test_the_page_of_real_scans(corpus: tuple[Path, Path]) -> None:
    text = write_page(corpus[1]).read_text(encoding="utf-8")
    assert "7 series found, 6 in the store" in text
    assert "mask_on_another_grid" in text
