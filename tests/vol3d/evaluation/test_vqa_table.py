"""The table of a model whose answers are known by construction."""

import json

import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.results import MetricRow, Provenance, ResultFile, read_records, read_result, write_result
from vol3d.evaluation.vqa_table import item_from_record, patient_of, predictions_by_qid, score_items, vqa_rows

RECORDS = [
    {
        "qid": f"q{i}",
        "image_id": f"scan_{i // 4}",
        "question": "Liver volume in cm3?",
        "mc_question": "Liver volume? A. 1000 cm3 B. 1200 cm3 C. 1500 cm3 D. 2000 cm3",
        "correct_option": "ABCD"[i % 4],
        "answer": ["1000 cm3", "yes", "no", "left kidney"][i % 4],
        "organ": "liver",
        "question_type": "measurement",
        "question_subtype": "organ volume measurement",
        "lesion_diameter_mm": 15.0,
    }
    for i in range(40)
]


def test_known_answers_give_known_numbers():
    items = [item_from_record(r, "mc") for r in RECORDS]
    # right on the first half, silent on a quarter, chatty and right on a quarter
    texts = {
        r["qid"]: r["correct_option"] if i < 20 else f"Based on the CT, the answer is {r['correct_option']}" for i, r in enumerate(RECORDS) if i < 30
    }
    rows = {r.metric: r for r in vqa_rows(score_items(items, texts), num_resamples=200)}
    assert rows["score"].value == 0.75
    assert rows["score"].n == 40
    assert rows["answered_rate"].value == rows["parse_rate"].value == 0.75
    assert rows["lesion_size/10_to_20_mm"].value == 0.75
    assert rows["score"].ci_low < 0.75 < rows["score"].ci_high


def test_free_form_kinds_are_scored_by_their_own_rules():
    items = [item_from_record(r, "free") for r in RECORDS]
    texts = {r["qid"]: ["900 ml", "Yes.", "There is a lesion", "the left kidney"][i % 4] for i, r in enumerate(RECORDS)}
    rows = {r.metric: r.value for r in vqa_rows(score_items(items, texts), num_resamples=50)}
    assert rows["number/relative_accuracy"] == pytest.approx(0.9)
    assert rows["number/within_10"] == 1.0
    assert rows["number/mean_relative_accuracy"] == pytest.approx(0.8)
    assert (rows["yes_no/sensitivity"], rows["yes_no/specificity"], rows["category/accuracy"]) == (1.0, 0.0, 1.0)


def test_v1_records_are_read():
    v1 = {
        "question_id": 7,
        "image_id": "x",
        "multiple_choice_question": "Q? A. yes B. no",
        "correct_option": "B",
        "answer": "no",
        "question_type": "r",
    }
    item = item_from_record(v1, "mc")
    assert (item.qid, item.truth, dict(item.options)) == ("7", "B", {"A": "yes", "B": "no"})


def test_patients_group_reconstructions():
    assert {patient_of(f"valid_3_{scan}_{recon}.nii.gz") for scan in "ab" for recon in (1, 2)} == {"valid_3"}


def test_contradicting_and_foreign_predictions_are_refused():
    with pytest.raises(ConfigError, match="two different predictions"):
        predictions_by_qid([{"qid": 1, "prediction": "A"}, {"qid": 1, "prediction": "B"}])
    with pytest.raises(ConfigError, match="belongs to any"):
        score_items([item_from_record(RECORDS[0], "mc")], {"other": "A"})
    with pytest.raises(ConfigError, match="lacks"):
        predictions_by_qid([{"prediction": "A"}])


def test_records_are_read_from_all_three_shapes(tmp_path):
    for name, text in {
        "a.json": json.dumps(RECORDS),
        "b.json": json.dumps({"questions": RECORDS}),
        "c.jsonl": "\n".join(map(json.dumps, RECORDS)),
    }.items():
        (tmp_path / name).write_text(text)
        assert read_records(tmp_path / name) == RECORDS
    (tmp_path / "d.jsonl").write_text('{"a": 1}\n{"a": ')
    with pytest.raises(ConfigError, match="line 2"):
        read_records(tmp_path / "d.jsonl")


def test_result_round_trip(tmp_path):
    result = ResultFile(task="vqa", rows=(MetricRow(metric="score", n=3, value=0.5),), provenance=Provenance(scorer="vol3d"))
    write_result(result, tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == result
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a result"):
        read_result(tmp_path / "bad.json")
