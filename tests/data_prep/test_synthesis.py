from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from data_prep.preparation import prepare
from data_prep.synthesis.insert import draw_plan, insert_lesion
from data_prep.synthesis.kinds import KINDS, LesionPlan
from vol3d.contracts import LabelMap
from vol3d.errors import ConfigError, GeometryError, IntensityError
from vol3d.volume.geometry import make_affine
from vol3d.volume.manifest import mask_key, read_manifest
from vol3d.volume.read import read_mask, read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_labels, write_volume

LIVER_HU, FAT_HU, NOISE = 100, -100, 12


def body(spacing: float = 2.0) -> tuple[Volume, LabelMap]:
    """A round liver of 100 HU in fat, with noise of 12 HU."""
    shape = (48, 56, 56)
    z, y, x = np.indices(shape)
    liver = (z - 24) ** 2 + (y - 28) ** 2 + (x - 28) ** 2 < 20**2
    array = np.where(liver, LIVER_HU, FAT_HU) + np.random.default_rng(0).normal(0, NOISE, shape)
    affine = make_affine((spacing,) * 3)
    return Volume(np.rint(array).astype(np.int16), affine, "CT", "HU", "scan"), LabelMap(
        liver.astype(np.uint8), affine, {1: "liver"}, "scan", "test", "1"
    )


def test_a_cyst_has_its_size_density_and_place() -> None:
    volume, labels = body()
    made = insert_lesion(volume, labels, LesionPlan("liver_cyst", "liver", 24, elongation=1.0, attenuation_hu=5), np.random.default_rng(1))
    mask = made.labels.mask("liver_cyst")
    assert made.volume_ml == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.12)
    assert made.longest_mm == pytest.approx(24, abs=3)
    inner = ndimage.binary_erosion(mask, iterations=2)
    assert made.volume.numpy()[inner].mean() == pytest.approx(5, abs=4)
    assert made.volume.numpy()[inner].std() == pytest.approx(NOISE, rel=0.35)  # the scan's own noise goes on
    assert labels.mask("liver")[mask].all()
    assert made.sentence == f"There is a cyst of {made.longest_mm:.0f} x {made.perpendicular_mm:.0f} mm in the liver."


def test_the_organ_keeps_its_whole_and_gets_a_parenchyma() -> None:
    volume, labels = body()
    made = insert_lesion(volume, labels, LesionPlan("liver_tumour", "liver", 20), np.random.default_rng(2))
    assert set(made.labels.structures) == {"liver_parenchyma", "liver_tumour", "liver"}
    whole = made.labels.mask("liver")
    assert np.array_equal(whole, made.labels.mask("liver_parenchyma") | made.labels.mask("liver_tumour"))
    assert not (made.labels.mask("liver_parenchyma") & made.labels.mask("liver_tumour")).any()


def test_far_voxels_are_untouched_and_equal_seeds_give_equal_scans() -> None:
    volume, labels = body()
    plan = LesionPlan("liver_tumour", "liver", 16, centre_vox=(24, 28, 20))
    first = insert_lesion(volume, labels, plan, np.random.default_rng(3))
    second = insert_lesion(volume, labels, plan, np.random.default_rng(3))
    assert np.array_equal(first.volume.numpy(), second.volume.numpy())
    assert np.array_equal(first.volume.numpy()[:, :, 40:], volume.numpy()[:, :, 40:])
    assert first.volume.header["synthetic"] is True
    assert volume.header.get("synthetic") is None


def test_growth_pushes_the_organs_border_outward() -> None:
    volume, labels = body()
    edge = LesionPlan("liver_tumour", "liver", 36, elongation=1.0, centre_vox=(24, 28, 12))  # close to the border
    made = insert_lesion(volume, labels, edge, np.random.default_rng(4))
    assert made.labels.mask("liver").sum() > labels.mask("liver").sum()


def test_plans_fit_what_is_there_and_second_lesions_keep_clear() -> None:
    volume, labels = body()
    rng = np.random.default_rng(5)
    for _ in range(3):
        plan = draw_plan(labels, rng, kind="liver_cyst")
        made = insert_lesion(volume, labels, LesionPlan(plan.kind, plan.host, 10), rng)
        volume, labels = made.volume, made.labels
    assert labels.array.max() == 4
    with pytest.raises(ConfigError, match="carry"):
        draw_plan(labels, rng, kind="lung_nodule")


def test_refusals() -> None:
    volume, labels = body()
    rng = np.random.default_rng(0)
    with pytest.raises(GeometryError, match="fit"):
        insert_lesion(volume, labels, LesionPlan("liver_cyst", "liver", 140), rng)
    with pytest.raises(GeometryError, match="no spleen"):
        insert_lesion(volume, labels, LesionPlan("spleen_lesion", "spleen", 10), rng)
    with pytest.raises(IntensityError):
        insert_lesion(volume.with_array(volume.array, unit="a.u."), labels, LesionPlan("liver_cyst", "liver", 10), rng)
    with pytest.raises(ConfigError):
        LesionPlan("liver_wart", "liver", 10)
    assert all(kind.diameter_mm[0] < kind.diameter_mm[1] for kind in KINDS.values())


def test_a_corpus_of_inserted_lesions_is_marked_synthetic(tmp_path: Path) -> None:
    root, store, out = tmp_path / "msd", tmp_path / "store", tmp_path / "out"
    (root / "case_00000").mkdir(parents=True)
    volume, labels = body()
    write_volume(volume, root / "case_00000" / "ct.nii.gz")
    (root / "case_00000" / "segmentations").mkdir()
    write_labels(labels, root / "case_00000" / "segmentations" / "liver.nii.gz")
    prepare("mask_folder", root, store, fractions={"train": 1.0})
    (store / "lesions.json").write_text('{"per_scan": 2, "lesions": 1, "kind": "liver_cyst"}', encoding="utf-8")
    prepare("synthetic_lesions", store, out)
    rows = read_manifest(out)
    assert [row.series for row in rows] == ["case_00000_lesion0", "case_00000_lesion1"]
    assert all(row.synthetic and row.split == "train" and "cyst" in row.findings for row in rows)
    assert rows[0].sha256 != rows[1].sha256
    names = read_mask(out / mask_key(rows[0])).header["label_names"]
    assert sorted(names.values()) == ["liver_cyst", "liver_parenchyma"]
    assert read_volume(out / rows[0].path).shape == volume.shape


def test_a_real_liver_takes_a_tumour(shared_real: Path) -> None:
    volume = read_volume(shared_real / "ct_abdomen_slab.nii.gz")
    masks = read_mask(shared_real / "ct_abdomen_slab_totalseg.nii.gz")
    labels = LabelMap(masks.numpy(), masks.affine, {5: "liver"}, "real", "TotalSegmentator", "2")
    made = insert_lesion(volume, labels, LesionPlan("liver_tumour", "liver", 25), np.random.default_rng(0))
    mask = made.labels.mask("liver_tumour")
    around = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_dilation(mask) & made.labels.mask("liver_parenchyma")
    assert made.volume.numpy()[mask].mean() < made.volume.numpy()[around].mean() - 10
