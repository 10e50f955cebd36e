"""What follows from numbers, and the sentences that are said about them: true, with units, and silent where nothing follows."""

import numpy as np
import pytest

from experts3d.contacts import contacts
from experts3d.derive import derive
from experts3d.describe import describe
from experts3d.measure import measure
from tests.experts3d.scenes import labels_of, scan_of
from vol3d.contracts import Measurement, Status


def m(structure: str, name: str, value: float | str, unit: str = "", component: int | None = None) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, structure=structure, component=component, method="given", mask_id=f"hand@1:{structure}")


def organ(name: str, volume_ml: float, mean_hu: float | None = None, *, cut: int = 0) -> list[Measurement]:
    out = [m(name, "volume", volume_ml, "ml"), m(name, "touches_border", cut)]
    return out + ([m(name, "mean_intensity", mean_hu, "HU")] if mean_hu is not None else [])


def values(measurements: list[Measurement]) -> dict[str, object]:
    return {item.name: item.value for item in derive(measurements)}


@pytest.mark.parametrize(
    ("volume", "enlarged", "grade"), [(314.5, "no", "normal"), (314.6, "yes", "mild"), (500.1, "yes", "moderate"), (801.0, "yes", "severe")]
)
def test_splenomegaly(volume: float, enlarged: str, grade: str):
    found = values(organ("spleen", volume))
    assert (found["splenomegaly"], found["splenomegaly_grade"]) == (enlarged, grade)


def test_a_spleen_that_is_cut_off_may_be_large_but_never_normal():
    assert values(organ("spleen", 200, cut=1)) == {}
    assert values(organ("spleen", 400, cut=1)) == {"splenomegaly": "yes"}


def test_the_larger_kidney_and_by_how_much():
    found = values([*organ("kidney_left", 180.0), *organ("kidney_right", 150.0)])
    assert (found["larger_kidney"], found["kidney_volume_difference"], found["kidney_volume_ratio"]) == ("left", 30.0, pytest.approx(1.2))
    assert values([*organ("kidney_left", 150.4), *organ("kidney_right", 150.0)])["larger_kidney"] == "equal"
    assert "larger_kidney" not in values(organ("kidney_left", 150.0))
    cut = derive([*organ("kidney_left", 100.0, cut=1), *organ("kidney_right", 150.0)])
    assert "cuts a kidney off" in cut[0].method


@pytest.mark.parametrize(
    ("liver_hu", "spleen_hu", "steatosis", "grade"),
    [(60, 50, "no", 0), (55, 50, "no", None), (45, 33, "no", None), (60, 65, "yes", 1), (48, 50, "yes", 2), (38, 40, "yes", 3), (20, 50, "yes", 3)],
)
def test_liver_fat_after_kodama(liver_hu: float, spleen_hu: float, steatosis: str, grade: int | None):
    found = values([*organ("liver", 1500, liver_hu), *organ("spleen", 200, spleen_hu)])
    assert (found["hepatic_steatosis"], found.get("hepatic_steatosis_grade")) == (steatosis, grade)


def test_contrast_forbids_density_rules_for_unenhanced_ct():
    found = values([*organ("liver", 1500, 100), *organ("spleen", 200, 120), *organ("aorta", 100, 180)])
    assert not any("steatosis" in name for name in found)
    assert "hepatic_steatosis" in values([*organ("liver", 1500, 60), *organ("spleen", 200, 50), *organ("aorta", 100, 40)])


def test_lesion_share_and_density_against_the_organ_without_its_lesions():
    found = values(
        [
            *organ("liver", 1500, 100),
            m("liver_parenchyma", "mean_intensity", 110.0, "HU"),
            *organ("liver_tumour", 30, 60),
            m("liver_tumour", "num_components", 3),
            *(m("liver_tumour", "volume", v, "ml", c) for c, v in ((1, 24.0), (2, 5.0), (3, 1.0))),
        ]
    )
    assert found["burden"] == pytest.approx(2.0)
    assert found["attenuation"] == "hypoattenuating"
    assert found["hu_difference_to_organ"] == pytest.approx(-50)
    assert found["dominant_lesion"] == "yes"


@pytest.mark.parametrize(("mean", "cyst"), [(-10, "yes"), (20, "yes"), (20.1, "no"), (45, "no")])
def test_cyst_like_density(mean: float, cyst: str):
    assert values(organ("kidney_cyst_left", 12, mean))["cyst_like_density"] == cyst


def test_emphysema_index_is_a_share_of_lung():
    found = values([*organ("lungs", 4000), *organ("lung_low_attenuation", 200)])
    assert found["emphysema_index"] == pytest.approx(5.0)
    assert found["total_lung_volume"] == 4000


def test_every_derived_number_names_its_formula_or_source():
    everything = [
        *organ("liver", 1900, 50),
        *organ("spleen", 400, 55),
        *organ("kidney_left", 150),
        *organ("kidney_right", 170),
        *organ("lungs", 4000),
        *organ("lung_low_attenuation", 200),
        *organ("pancreas", 60, 30),
        *organ("pancreas_lesion", 5, 30),
        m("pancreas_lesion", "longest_axial_diameter", 25.0, "mm"),
    ]
    derived = derive(everything)
    assert len({(d.structure, d.name) for d in derived}) == len(derived) >= 15
    assert all(len(d.method) > 10 and d.mask_id for d in derived)
    assert values(everything)["t_stage_by_size"] == "T2"


@pytest.mark.parametrize(("mean", "aorta", "word"), [(-30, 40, "fatty"), (0, 40, "simple cyst"), (20, 40, "simple cyst"), (45, 40, "indeterminate"),
                                                     (90, 40, "hyperattenuating"), (45, 200, None)])  # fmt: skip
def test_renal_masses_are_classed_by_density_where_there_is_no_contrast(mean: float, aorta: float, word: str | None):
    numbers = [*organ("kidney_tumour_left", 12, mean), m("aorta", "mean_intensity", aorta, "HU")]
    assert values(numbers).get("renal_mass_density") == word


@pytest.mark.parametrize(("artery", "vein", "word"), [(0, 0, "resectable"), (0, 170, "resectable"), (0, 190, "borderline resectable"),
                                                      (90, 0, "borderline resectable"), (200, 0, "unresectable")])  # fmt: skip
def test_resectability_follows_the_widest_contact(artery: float, vein: float, word: str):
    found = [
        m("pancreas_lesion", "volume", 8.0, "ml"),
        m("pancreas_lesion", "longest_axial_diameter", 18.0, "mm"),
        m("pancreas_lesion", "contact_angle_with_superior_mesenteric_artery", artery, "degrees"),
        m("pancreas_lesion", "contact_angle_with_portal_vein_and_splenic_vein", vein, "degrees"),
    ]
    derived = values(found)
    assert derived["resectability_by_contact"] == word
    assert derived.get("t_stage") == ("T4" if artery else None)
    assert derived["t_stage_by_size"] == "T1"
    without = [item for item in found if "artery" not in item.name]
    assert "resectability_by_contact" not in values(without)  # no mask of an artery says nothing about contact with one


def test_contact_is_measured_in_the_label_map_and_reaches_the_grade():
    array = np.zeros((5, 40, 40), np.uint8)
    array[:, 16:24, 16:24] = 2
    array[:, 10:30, 24:34] = 1  # along one side of the artery
    scan = scan_of(np.zeros(array.shape, np.int16))
    labels = labels_of(scan, array, {1: "pancreas_lesion", 2: "superior_mesenteric_artery", 3: "superior_mesenteric_vein"})
    measured = (*measure(scan, labels, ["pancreas_lesion"]), *contacts(labels, ["pancreas_lesion"]))
    assert {item.name for item in measured if "contact" in item.name} == {"contact_angle_with_superior_mesenteric_artery"}
    assert values(measured)["resectability_by_contact"] == "borderline resectable"


def test_every_threshold_says_where_it_comes_from():
    from experts3d import thresholds

    named = {name: item for name, item in vars(thresholds).items() if isinstance(item, thresholds.Threshold)}
    assert len(named) >= 20
    assert all(len(item.source) > 15 for item in named.values())


def scene() -> tuple:
    array = np.zeros((8, 30, 30), np.uint8)
    array[1:6, 3:20, 3:20] = 1
    array[2:4, 5:8, 5:8], array[3:4, 12:14, 12:14] = 2, 2
    scan = scan_of(np.where(array == 2, 20, 60).astype(np.int16))
    labels = labels_of(
        scan,
        array,
        {1: "liver_parenchyma", 2: "liver_cyst", 3: "liver_tumour"},
        unions={"liver": (1, 2, 3)},
        statuses={"lungs": Status.NOT_COVERED, "heart": Status.FAILED},
        reasons={"lungs": "the slab ends below them", "heart": "the worker was killed"},
    )
    numbers = measure(scan, labels, ["liver", "liver_parenchyma", "liver_cyst", "liver_tumour"])
    return scan, labels, (*numbers, *derive(numbers))


def test_sentences_say_found_absent_not_covered_and_failed_apart():
    scan, labels, numbers = scene()
    texts = [s.text for s in describe(scan, labels, numbers)]
    assert "Liver: 1.4 ml, mean 59 HU." in texts
    assert "Liver cyst: 2 components, 0.022 ml in all, longest axial diameter 3.3 mm, mean 20 HU." in texts
    assert "No liver tumour was found in the scanned region." in texts
    assert "Lungs: not covered (the slab ends below them)." in texts
    assert "Heart: segmentation failed (the worker was killed)." in texts


def test_every_number_in_a_sentence_is_a_measurement_that_it_names():
    scan, labels, numbers = scene()
    known = {item.id for item in numbers}
    for sentence in describe(scan, labels, numbers):
        assert set(sentence.measurement_ids) <= known
        if sentence.status is Status.FOUND and any(c.isdigit() for c in sentence.text):
            assert sentence.measurement_ids


def test_organs_that_leave_the_scan_are_said_to():
    array = np.zeros((4, 9, 9), np.uint8)
    array[:, 2:5, 2:5] = 1
    scan = scan_of(array.astype(np.int16))
    labels = labels_of(scan, array, {1: "liver"})
    assert any("cut off by the edge of the scan" in s.text for s in describe(scan, labels, measure(scan, labels)))


def test_a_side_is_said_only_when_all_parts_lie_there():
    array = np.zeros((4, 60, 90), np.uint8)
    array[:, 20:40, 43:48], array[1:3, 10:14, 70:80], array[1:3, 30:33, 60:63] = 1, 2, 2
    scan = scan_of(np.full(array.shape, 40, np.int16), (3.0, 2.0, 2.0))
    names = {1: "vertebrae_T8", 2: "lung_nodule"}
    right = labels_of(scan, array, names)
    assert first_text(scan, right, "lung_nodule").startswith("Lung nodule on the right: 2 components")
    array[1:3, 30:33, 10:13] = 2
    both = labels_of(scan, array, names)
    assert first_text(scan, both, "lung_nodule").startswith("Lung nodule: 3 components")


def first_text(scan, labels, structure: str) -> str:
    return next(s.text for s in describe(scan, labels, measure(scan, labels)) if s.structure == structure)
