from pathlib import Path

import pytest

from data_prep.text.entities import extract_entities
from data_prep.text.evaluate_labels import evaluate_labeller, macro_f1, score_labels
from data_prep.text.labels18 import LABELS18, label_report


@pytest.mark.parametrize(
    ("sentence", "positive"),
    [
        ("A 4 mm nodule is seen in the right upper lobe.", {"Lung nodule"}),
        ("A hypodense nodule is seen in the right thyroid lobe.", set()),
        ("No pleural effusion or pneumothorax was detected.", set()),
        ("Pleural effusion was not observed, and emphysema is present in both lungs.", {"Emphysema"}),
        ("Effusion reaching 5 mm was observed in the pericardial space.", {"Pericardial effusion"}),
        ("Lymph nodes that did not reach pathological dimensions are observed in the mediastinum.", {"Lymphadenopathy"}),
        ("No enlarged lymph nodes were detected in the mediastinum.", set()),
        ("Calcific atheroma plaques are seen in the coronary arteries.", {"Coronary artery wall calcification"}),
        ("Calcific plaques are seen in the aortic arch.", {"Arterial wall calcification"}),
        ("There are calcified plaques in the aorta and coronary arteries.", {"Arterial wall calcification", "Coronary artery wall calcification"}),
        ("Heart size is increased.", {"Cardiomegaly"}),
        ("Heart contour and size are normal.", set()),
        ("Subcutaneous emphysema is seen in the chest wall.", set()),
        ("Fibroatelectatic changes are seen in the lingula.", {"Pulmonary fibrotic sequela"}),
        ("Patchy ground-glass opacities are seen in both lungs.", {"Lung opacity"}),
        ("Nodules in both lungs show no difference from the previous examination.", {"Lung nodule"}),
        ("Consolidation seen in the previous examination was not observed.", set()),
        ("Mosaic attenuation and bronchiectasis, without consolidation.", {"Mosaic attenuation pattern", "Bronchiectasis"}),
        ("A central venous catheter ends in the superior vena cava.", {"Medical material"}),
    ],
)
def test_one_sentence(sentence: str, positive: set[str]) -> None:
    assert {name for name, value in label_report(sentence).items() if value} == positive


def test_labels_keep_the_corpus_order() -> None:
    assert tuple(label_report("")) == LABELS18
    assert not any(label_report("").values())


def test_doubt_counts_as_a_label_and_is_kept_in_the_entity() -> None:
    text = "Ground-glass areas may represent infection in the left lower lobe."
    assert label_report(text)["Lung opacity"] == 1
    assert [e.assertion for e in extract_entities(text) if e.finding == "ground_glass"] == ["uncertain"]


def test_scores_by_hand() -> None:
    blank = dict.fromkeys(LABELS18, 0)
    hit, miss = {**blank, "Emphysema": 1}, blank
    score = {s.label: s for s in score_labels([hit, hit, miss], [hit, miss, hit])}["Emphysema"]
    assert (score.true_positive, score.false_positive, score.false_negative) == (1, 1, 1)
    assert score.f1 == pytest.approx(0.5)
    assert macro_f1(score_labels([hit], [hit])) == pytest.approx(1 / 18)


def test_real_reports_reach_the_aim(shared_real: Path) -> None:
    rows = {row["metric"]: row["value"] for row in evaluate_labeller(shared_real / "ct_rate_reports" / "reports_and_labels_800.csv")}
    assert rows["macro_f1"] >= 0.93
    assert rows["macro_f1_held_back"] >= 0.92
