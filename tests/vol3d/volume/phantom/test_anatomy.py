"""A phantom's body: the same from the same seed, on every grid; tissues where and what they should be."""

import numpy as np
import pytest

from vol3d.contracts import Status
from vol3d.errors import ConfigError, GeometryError
from vol3d.volume.phantom import Phantom, phantom_ct, random_phantom
from vol3d.volume.phantom.structures import CT_IDS, CT_UNIONS, FIRST_LESION_ID, LOBES, RIBS, VERTEBRAE

SMALL = {"shape_zyx": (64, 96, 96), "spacing_mm": (5.0, 5.0, 5.0)}


@pytest.fixture(scope="module")
def body() -> Phantom:
    """A patient without lesions, from the apex of the lungs to the pelvis."""
    return phantom_ct(5, shape_zyx=(200, 120, 120), spacing_mm=(4.0, 4.0, 4.0), region="chest_abdomen", lesions=(), noise_hu=8.0)


def centroid(phantom: Phantom, structure: str) -> np.ndarray:
    """RAS mm."""
    where = np.argwhere(phantom.labels.mask(structure)).mean(axis=0)
    return (phantom.labels.affine @ np.array([*where, 1.0]))[:3]


def ml(phantom: Phantom, structure: str) -> float:
    return phantom.labels.mask(structure).sum() * phantom.volume.voxel_ml


def test_the_same_seed_gives_the_same_phantom_and_another_seed_another():
    first, again, other = phantom_ct(7, **SMALL), phantom_ct(7, **SMALL), phantom_ct(8, **SMALL)
    assert np.array_equal(first.volume.numpy(), again.volume.numpy())
    assert np.array_equal(first.labels.array, again.labels.array)
    assert (first.findings, first.impression, first.lesions) == (again.findings, again.impression, again.lesions)
    assert not np.array_equal(first.labels.array, other.labels.array)


def test_ids_are_few_named_and_below_the_lesions():
    assert max(CT_IDS.values()) < FIRST_LESION_ID < 256
    assert len(set(CT_IDS.values())) == len(CT_IDS)
    assert {i for ids in CT_UNIONS.values() for i in ids} <= set(CT_IDS.values())


@pytest.mark.parametrize("seed", range(4))
def test_every_voxel_has_a_name_and_unions_are_made_of_their_parts(seed):
    labels = phantom_ct(seed, **SMALL).labels
    used = set(np.unique(labels.array).tolist()) - {0}
    assert used <= set(labels.names)
    assert np.array_equal(labels.mask("body"), labels.array > 0)
    left, right = labels.mask("lung_left"), labels.mask("lung_right")
    assert not (left & right).any()
    assert np.array_equal(left | right, labels.mask("lungs"))
    assert np.array_equal(np.logical_or.reduce([labels.mask(lobe) for lobe in LOBES]), labels.mask("lungs"))
    for organ in ("liver", "kidney_left", "kidney_right", "pancreas"):
        assert (labels.mask(organ) >= labels.mask(f"{organ}_parenchyma")).all()
    assert np.array_equal(labels.mask("kidneys"), labels.mask("kidney_left") | labels.mask("kidney_right"))
    assert labels.mask("bone").sum() >= sum(labels.mask(name).sum() for name in (*VERTEBRAE, *RIBS))


def test_all_of_the_body_is_there(body):
    missing = [name for name in CT_IDS if not (body.labels.array == CT_IDS[name]).any()]
    assert set(missing) <= {"prostate", "thyroid_gland"}


# Left and right are the patient's: x grows to the right.
@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_organs_lie_on_their_side(seed):
    phantom = phantom_ct(seed, shape_zyx=(96, 80, 80), spacing_mm=(6.0, 6.0, 6.0), lesions=())
    for name in ("spleen", "stomach", "heart", "kidney_left", "lung_left", "rib_left_6", "adrenal_gland_left"):
        assert centroid(phantom, name)[0] < 0, name
    for name in ("liver", "gallbladder", "kidney_right", "lung_right", "rib_right_6", "inferior_vena_cava"):
        assert centroid(phantom, name)[0] > 0, name


def test_organs_lie_in_order(body):
    def z(name: str) -> float:
        return centroid(body, name)[2]

    levels = [z(name) for name in reversed(VERTEBRAE)]
    assert (np.diff(levels) > 10).all()
    assert z("urinary_bladder") < z("kidneys") < z("liver") < z("heart") < z("trachea")
    assert centroid(body, "sternum")[1] > centroid(body, "heart")[1] > centroid(body, "spine")[1]
    assert centroid(body, "kidney_left")[1] < centroid(body, "stomach")[1]
    for side in ("left", "right"):
        ribs = [z(f"rib_{side}_{i}") for i in range(1, 13)]
        assert (np.diff(ribs[:10]) < 0).all()


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_organs_have_the_size_of_an_adult(seed):
    phantom = phantom_ct(seed, shape_zyx=(120, 80, 80), spacing_mm=(5.0, 6.0, 6.0), lesions=())
    limits_ml = {
        "lungs": (2200, 6500),
        "liver": (900, 2300),
        "spleen": (90, 420),
        "kidney_left": (90, 260),
        "kidney_right": (90, 260),
        "heart": (350, 950),
        "pancreas": (30, 150),
        "aorta": (90, 420),
    }
    for structure, (low, high) in limits_ml.items():
        assert low < ml(phantom, structure) < high, structure


def median_hu(phantom: Phantom, structure: str) -> float:
    return float(np.median(phantom.volume.numpy()[phantom.labels.mask(structure)]))


@pytest.mark.parametrize("seed", [1, 3, 5, 12])
def test_tissue_has_its_density(seed):
    phantom = phantom_ct(seed, **SMALL, lesions=(), noise_hu=10.0)
    assert -930 < median_hu(phantom, "lungs") < -750
    assert -125 < median_hu(phantom, "subcutaneous_fat") < -75
    assert 35 < median_hu(phantom, "skeletal_muscle") < 80
    assert median_hu(phantom, "ribs") > 180
    assert median_hu(phantom, "trachea") < -750
    assert np.median(phantom.volume.numpy()[phantom.labels.array == 0]) < -980
    liver, aorta = median_hu(phantom, "liver"), median_hu(phantom, "aorta")
    phase = phantom.parameters["phase"]
    assert (15 < liver < 65 and 30 < aorta < 60) if phase == "native" else (30 < liver < 125 and aorta > 130)


def test_contrast_brightens_vessels_and_kidneys():
    by_phase: dict[str, list[float]] = {}
    for seed in range(8):
        phantom = phantom_ct(seed, shape_zyx=(40, 60, 60), spacing_mm=(9.0, 8.0, 8.0), lesions=(), noise_hu=0.0)
        by_phase.setdefault(str(phantom.parameters["phase"]), []).append(median_hu(phantom, "aorta"))
    assert max(by_phase["native"]) < 70 < min(by_phase["portal"] + by_phase.get("arterial", [200.0]))


def test_noise_has_the_sd_that_was_asked_for():
    quiet, loud = (phantom_ct(3, **SMALL, lesions=(), noise_hu=sd).volume.numpy().astype(float) for sd in (0.0, 20.0))
    inside = phantom_ct(3, **SMALL, lesions=()).labels.array > 0
    assert (loud - quiet)[inside].std() == pytest.approx(20.0, rel=0.05)


@pytest.mark.parametrize("seed", [2, 9])
def test_the_grid_changes_only_the_sampling(seed):
    coarse = phantom_ct(seed, shape_zyx=(64, 80, 80), spacing_mm=(6.0, 6.0, 6.0), lesions=())
    fine = phantom_ct(seed, shape_zyx=(128, 160, 160), spacing_mm=(3.0, 3.0, 3.0), lesions=())
    for name in ("liver", "lung_left", "lung_right", "heart", "spleen", "kidney_left", "stomach"):
        assert ml(coarse, name) == pytest.approx(ml(fine, name), rel=0.06), name
        assert np.linalg.norm(centroid(coarse, name) - centroid(fine, name)) < 2.0, name
    # Eight fine voxels share the corner that is one coarse voxel's centre only when the grids are offset; nearest neighbours agree almost everywhere.
    picked = fine.labels.array[::2, ::2, ::2]
    assert (np.isin(picked, coarse.labels.ids("lungs")) == coarse.labels.mask("lungs")).mean() > 0.97


def test_lesions_do_not_depend_on_the_grid():
    def places(**grid) -> list[tuple]:
        return [(x.kind, x.centre_ras_mm, x.diameters_mm, x.density_hu, x.host) for x in phantom_ct(7, **grid).lesions]

    assert places(**SMALL) == places(shape_zyx=(40, 50, 60), spacing_mm=(8.0, 9.0, 7.0))


@pytest.mark.parametrize("region", ["chest", "abdomen"])
def test_what_the_field_of_view_misses_is_not_covered(region):
    """Twelve centimetres of chest or abdomen."""
    labels = phantom_ct(4, shape_zyx=(24, 60, 60), spacing_mm=(5.0, 8.0, 8.0), region=region, lesions=()).labels
    in_chest = ("heart", "lung_upper_lobe_left", "vertebrae_T7", "rib_left_4", "lung_nodule", "coronary_calcification", "hiatal_hernia")
    in_abdomen = ("vertebrae_L3", "kidney_right", "colon", "small_bowel", "kidney_cyst", "kidney_tumour_left")
    seen, missed = (in_chest, in_abdomen) if region == "chest" else (in_abdomen, in_chest)
    for name in (*missed, "urinary_bladder", "clavicula_left"):
        assert labels.status(name) is Status.NOT_COVERED, name
        assert "field of view" in labels.reasons[name]
    for name in seen:
        lesion = name.endswith(("nodule", "cyst", "tumour_left", "calcification", "hernia"))
        assert labels.status(name) is (Status.ABSENT if lesion else Status.FOUND), name


def test_statuses_agree_with_the_voxels():
    labels = phantom_ct(7, **SMALL).labels
    for name in labels.structures:
        assert (labels.status(name) is Status.FOUND) == bool(labels.mask(name).any()), name


def test_random_phantoms_mix_modalities_and_regions():
    made = [random_phantom(seed, shape_zyx=(8, 12, 12)) for seed in range(16)]
    assert {p.volume.modality for p in made} == {"CT", "MR"}
    assert {p.parameters["region"] for p in made} == {"brain", "chest", "abdomen", "chest_abdomen"}
    assert random_phantom(3, modality="CT", shape_zyx=(16, 24, 24)).volume.modality == "CT"


def test_an_empty_grid_is_refused():
    with pytest.raises(GeometryError, match="spacing > 0"):
        phantom_ct(0, shape_zyx=(8, 8, 8), spacing_mm=(1.0, 0.0, 1.0))


def test_an_unknown_region_is_refused():
    with pytest.raises(ConfigError, match="chest_abdomen"):
        phantom_ct(0, region="foot")
