"""The user's own masks: names, grids, orientations, overlaps."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from experts3d.describe import describe
from experts3d.label_table import load_table
from experts3d.measure import measure
from experts3d.supplied import SuppliedMasks, _combine
from tests.experts3d.scenes import ellipsoid, labels_of, scan_of, stored_as
from vol3d.contracts import LabelMap, Status
from vol3d.errors import ConfigError, ExpertError, GeometryError
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_labels, write_volume


def test_shipped_tables_are_the_published_ones():
    total, total_mr = load_table("totalseg"), load_table("totalseg_mr")
    assert (len(total), len(total_mr)) == (117, 50)
    assert (total[1], total[5], total[52], total[117]) == ("spleen", "liver", "aorta", "costal_cartilages")
    assert (total_mr[10], total_mr[11], total_mr[50]) == ("lung_left", "lung_right", "brain")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"1": "liver", "2": "my lesion"}', {1: "liver", 2: "my_lesion"}),
        ("b.json", '{"liver": 1, "spleen": 7}', {1: "liver", 7: "spleen"}),
        ("dataset.json", '{"labels": {"background": 0, "tumour": 1}, "channel_names": {}}', {1: "tumour"}),
        ("c.csv", "id,name,colour\n3,heart,red\n", {3: "heart"}),
    ],
)
def test_tables_of_the_user(tmp_path: Path, name: str, text: str, expected: dict[int, str]):
    (tmp_path / name).write_text(text)
    assert load_table(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[1, 2]"),
        ("a.json", "{}"),
        ("a.csv", "1,liver\n"),
        ("a.csv", "id,name\nx,liver\n"),
        ("a.csv", "id,name\n1,liver\n1,spleen\n"),
        ("a.csv", "id,name\n1,liver\n2,liver\n"),
        ("a.json", '{"-1": "liver"}'),
    ],
)
def test_tables_that_make_no_sense_are_refused(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=r"label table"):
        load_table(tmp_path / name)


def test_a_table_out_of_a_file_of_several(tmp_path: Path):
    path = tmp_path / "tables.json"
    path.write_text('{"total": {"5": "liver"}, "total_mr": {"3": "liver"}}')
    assert load_table(f"{path}#total_mr") == {3: "liver"}
    with pytest.raises(ConfigError, match=r"found total, total_mr.*tables.json#total"):
        load_table(path)
    with pytest.raises(ConfigError, match="none of this name"):
        load_table(f"{path}#brain")
    path.write_text('{"total": {"5": "liver"}}')
    assert load_table(path) == {5: "liver"}


def test_a_table_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="no such label table"):
        load_table("totalseg_v9")


def case() -> tuple[Volume, np.ndarray]:
    mask = np.zeros((6, 12, 14), np.uint8)
    mask[1:5, 2:9, 3:12], mask[2:4, 4:6, 5:7] = 1, 2
    return scan_of(np.zeros(mask.shape, np.int16), (6.0, 2.0, 1.8)), mask


def test_an_organ_includes_its_lesions_and_absent_differs_from_unknown():
    scan, mask = case()
    labels = SuppliedMasks(Volume(mask, scan.affine, "unknown", "a.u."), labels={1: "liver", 2: "liver_tumour", 3: "spleen"}).segment(scan)
    assert labels.mask("liver").sum() == (mask > 0).sum()
    assert labels.mask("liver_parenchyma").sum() == (mask == 1).sum()
    assert labels.status("spleen") is Status.ABSENT
    assert labels.status("pancreas") is Status.NOT_COVERED


@pytest.mark.parametrize("flips", [(1, 0, 0), (0, 1, 1), (1, 1, 1)])
def test_a_mask_stored_in_another_orientation_is_turned(flips: tuple[int, int, int]):
    scan, mask = case()
    turned, array = stored_as(scan, mask, flips, (2, 0, 1))
    labels = SuppliedMasks(Volume(array, turned.affine, "unknown", "a.u."), labels={1: "liver", 2: "liver_tumour"}).segment(scan)
    assert (labels.array == mask).all()


def test_another_grid_is_refused_with_both_grids_named_or_resampled_on_request():
    scan, mask = case()
    other = Volume(mask[:, :-2], make_affine((6.0, 2.0, 1.8), (1.8, 0.0, 0.0)), "unknown", "a.u.")
    with pytest.raises(GeometryError, match=r"6x12x14 voxels.*6x10x14 voxels.*--resample-mask"):
        SuppliedMasks(other, labels={1: "liver", 2: "liver_tumour"}).segment(scan)
    labels = SuppliedMasks(other, labels={1: "liver", 2: "liver_tumour"}, resample=True).segment(scan)
    assert labels.array.shape == scan.shape
    assert labels.mask("liver_tumour")[2:4, 4:6, 6:8].all()


def test_a_label_without_a_name_is_refused():
    scan, mask = case()
    with pytest.raises(ExpertError, match="does not name"):
        SuppliedMasks(Volume(mask, scan.affine, "unknown", "a.u."), labels={1: "liver"}).segment(scan)
    with pytest.raises(ExpertError, match="no such structure"):
        SuppliedMasks(Volume(mask, scan.affine, "unknown", "a.u."), labels={1: "liver", 2: "x"}).segment(scan, ["heart"])


def test_names_that_this_toolkit_wrote_are_read_back(tmp_path: Path):
    scan, mask = case()
    write_labels(labels_of(scan, mask, {1: "liver", 2: "liver_tumour"}), tmp_path / "mask.nii.gz")
    assert SuppliedMasks(tmp_path / "mask.nii.gz").segment(scan).mask("liver_tumour").sum() == (mask == 2).sum()


def test_a_file_without_names_gets_numbers(tmp_path: Path):
    scan, mask = case()
    write_volume(Volume(mask, scan.affine, "unknown", "a.u."), tmp_path / "mask.nii.gz")
    assert SuppliedMasks(tmp_path / "mask.nii.gz").card.targets == ("label_1", "label_2")


def test_a_folder_of_overlapping_masks_keeps_every_voxel(tmp_path: Path):
    shape, spacing = (10, 20, 20), (2.0, 1.0, 1.0)
    masks = {
        "liver": ellipsoid(shape, spacing, (8, 8, 8)),
        "liver_tumour": ellipsoid(shape, spacing, (4, 4, 4), (0, 2, 1)),
        "spleen": ellipsoid(shape, spacing, (3, 2, 2), (0, -8, -8)),
    }
    scan = scan_of(np.zeros(shape, np.int16), spacing)
    for name, mask in masks.items():
        write_volume(Volume(mask.astype(np.uint8), scan.affine, "unknown", "a.u."), tmp_path / f"{name}.nii.gz")
    (tmp_path / "notes.txt").write_text("not a mask")
    labels = SuppliedMasks(tmp_path).segment(scan)
    for name, mask in masks.items():
        assert (labels.mask(name) == mask).all()
    assert set(labels.names.values()) == {"liver_parenchyma", "liver_tumour", "spleen"}


@settings(deadline=None, max_examples=50)
@given(st.lists(hnp.arrays(bool, (2, 3, 4)), min_size=1, max_size=5))
def test_any_overlap_of_any_masks_is_kept(masks: list[np.ndarray]):
    named = dict(zip(("liver", "liver_tumour", "liver_cyst", "lungs", "heart"), masks, strict=False))
    array, names, unions = _combine(named)
    labels = labels_of(scan_of(array.astype(np.int16)), array, names, unions=unions)
    for name, mask in named.items():
        assert (labels.mask(name) == mask).all()


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(ExpertError, match="no mask files"):
        SuppliedMasks(tmp_path)


def test_real_mask_of_another_grid(shared_real):
    from vol3d.volume.read import read_volume

    scan = read_volume(shared_real / "ct_chest_crop.nii.gz")
    path = shared_real / "mask_on_another_grid.nii.gz"
    with pytest.raises(GeometryError, match=r"112x102x122 voxels.*191x167x233 voxels"):
        SuppliedMasks(path, labels={1: "heart"}).segment(scan)
    labels = SuppliedMasks(path, labels={1: "heart"}, resample=True).segment(scan)
    heart = scan.numpy()[labels.mask("heart")]
    assert labels.mask("heart").sum() * scan.voxel_ml > 400
    assert np.median(heart) > 0  # blood and muscle, not lung: the mask came to the right place
    json.dumps({"ml": float(labels.mask("heart").sum() * scan.voxel_ml)})


def test_a_finding_on_one_supplied_side_answers_for_both_and_says_so():
    scan, mask = case()
    half = labels_for(scan, mask, {1: "kidney_left", 2: "kidney_tumour_left"})
    assert half.status("kidney_tumour") is Status.FOUND
    assert half.mask("kidney_tumour").sum() == (mask == 2).sum()
    assert half.reasons["kidney_tumour"] == "only left kidney tumour was looked for"
    empty = labels_for(scan, np.minimum(mask, 1), {1: "kidney_left", 2: "kidney_tumour_left"})
    assert empty.status("kidney_tumour") is Status.NOT_COVERED  # the right side is not known
    assert empty.status("kidney_tumour_left") is Status.ABSENT
    both = {1: "kidney_left", 2: "kidney_tumour_left", 3: "kidney_tumour_right"}
    assert labels_for(scan, np.minimum(mask, 1), both).status("kidney_tumour") is Status.ABSENT
    assert labels_for(scan, mask, both).status("kidney_tumour") is Status.FOUND
    assert "kidney_tumour" not in labels_for(scan, mask, both).reasons


def test_a_pair_of_organs_is_not_one_of_them():
    scan, mask = case()
    half = labels_for(scan, mask, {1: "kidney_left", 2: "liver"})
    assert half.status("kidneys") is Status.NOT_COVERED
    assert "kidneys" not in half.unions


def test_the_reader_is_told_which_side_was_looked_at():
    scan, mask = case()
    labels = labels_for(scan, mask, {1: "kidney_left", 2: "kidney_tumour_left"})
    told = [s.text for s in describe(scan, labels, measure(scan, labels, ["kidney_tumour"]))]
    assert "Kidney tumour: note (only left kidney tumour was looked for)." in told


def labels_for(scan: Volume, mask: np.ndarray, names: dict[int, str]) -> LabelMap:
    return SuppliedMasks(Volume(mask, scan.affine, "unknown", "a.u."), labels=names).segment(scan)
