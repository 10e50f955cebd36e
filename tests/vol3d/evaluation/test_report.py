"""Reports against references by hand: findings, sides, sizes, negation, sentences, baselines, files."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.baselines import constant_report, majority_answers, retrieved_reports, shuffled_reports
from vol3d.evaluation.entities import entity_rows, match_entities, sentence_at
from vol3d.evaluation.report import differences, report_rows
from vol3d.evaluation.report_files import pair, read_reports
from vol3d.evaluation.vqa_table import Item


@dataclass(frozen=True)
class Mention:
    finding: str
    assertion: str = "present"
    side: str = ""
    sizes_mm: tuple = ()
    organ: str = "lung"
    start: int = 0


def _verdicts(reference, hypothesis):
    return sorted((m.verdict, m.finding) for m in match_entities(reference, hypothesis))


def test_findings_are_matched_one_to_one():
    assert _verdicts([Mention("nodule")] * 2, [Mention("nodule")] * 3) == [("hallucinated", "nodule"), ("matched", "nodule"), ("matched", "nodule")]
    assert _verdicts([Mention("effusion")], []) == [("omitted", "effusion")]
    assert _verdicts([Mention("effusion", "absent")], [Mention("effusion")]) == [("contradicted", "effusion")]
    assert _verdicts([Mention("effusion")], [Mention("effusion", "absent")]) == [("contradicted", "effusion")]
    assert _verdicts([Mention("effusion", "absent")], [Mention("effusion", "absent")]) == []


def test_the_pair_that_agrees_most_is_matched():
    left, right = Mention("nodule", side="left", sizes_mm=(4.0,)), Mention("nodule", side="right", sizes_mm=(12.0,))
    matches = match_entities([left, right], [Mention("nodule", side="right", sizes_mm=(11.0,)), Mention("nodule", side="left", sizes_mm=(9.0,))])
    assert all(m.side_agrees for m in matches)
    assert [m.size_agrees for m in sorted(matches, key=lambda m: m.reference.side)] == [False, True]


def test_rows_by_hand():
    matches = [match_entities([Mention("a"), Mention("b", side="left")], [Mention("b", side="right"), Mention("c")])]
    rows = {r.metric: r.value for r in entity_rows(matches, None, num_resamples=10)}
    assert (rows["entity/precision"], rows["entity/recall"], rows["entity/f1"], rows["entity/side_accuracy"]) == (0.5, 0.5, 0.5, 0.0)


def test_differences_name_their_sentences():
    reference, hypothesis = "Heart is normal. There is an effusion. End.", "No effusion. A nodule is seen."
    matches = match_entities(
        [Mention("effusion", start=reference.index("effusion"))], [Mention("effusion", "absent", start=3), Mention("nodule", start=15)]
    )
    listed = {d["finding"]: d for d in differences(reference, hypothesis, matches)}
    assert listed["effusion"] == {
        "verdict": "contradicted",
        "finding": "effusion",
        "reference": "There is an effusion.",
        "hypothesis": "No effusion.",
    }
    assert listed["nodule"]["hypothesis"] == "A nodule is seen."
    assert sentence_at("One only", 3) == "One only"


def test_report_rows_of_a_perfect_and_an_empty_model():
    references = [f"A {i} mm nodule is seen in the right lung. No pleural effusion is detected today." for i in range(4, 24)]

    def labeller(text):
        return {"nodule": int("nodule" in text), "effusion": int("effusion" in text and "No" not in text)}

    perfect = {r.metric: r.value for r in report_rows(references, references, labeller=labeller, num_resamples=20)}
    empty = {r.metric: r.value for r in report_rows(references, [""] * 20, labeller=labeller, num_resamples=20)}
    assert perfect["vlm3d/bleu_4"] == pytest.approx(1.0, abs=1e-6)
    assert perfect["google/rouge_l"] == 1.0
    assert (perfect["clinical/j"], perfect["clinical/crg"]) == (1.0, 1.0)
    assert empty["words/bleu_1"] == pytest.approx(0.0, abs=1e-6)
    assert empty["clinical/crg"] == pytest.approx(1 / 3)


def test_constant_report_is_the_typical_one():
    normal = "The lungs are clear. The heart is of normal size. No effusion."
    train = [normal] * 5 + ["Tumour."] + [f"{normal} A nodule of {i} mm." for i in range(5)]
    assert constant_report(train, rng=np.random.default_rng(0)).startswith(normal)
    with pytest.raises(ConfigError):
        constant_report([], rng=np.random.default_rng(0))


def test_shuffled_reports_come_from_other_patients():
    patients = ["a", "a", "b", "c"]
    reports = ["a1", "a2", "b1", "c1"]
    for seed in range(20):
        assert all(
            text[0] != patient for text, patient in zip(shuffled_reports(reports, patients, np.random.default_rng(seed)), patients, strict=True)
        )
    with pytest.raises(ConfigError, match="two patients"):
        shuffled_reports(["x"], ["a"], np.random.default_rng(0))


def test_retrieved_reports_follow_the_features():
    train = np.eye(3)
    assert retrieved_reports(["x", "y", "z"], train, train[[2, 0]] * 5 + 0.1) == ["z", "x"]


def test_majority_answers_per_kind_of_question():
    def item(qid, kind, truth, options=None):
        return Item(qid, "s", "p", kind, truth, options or {}, groups={"subtype": kind, "organ": "liver"})

    options = {"A": "left", "B": "right"}
    train = [
        item("1", "choice", "B", options),
        item("2", "choice", "A", {"A": "right", "B": "left"}),
        item("3", "number", "10"),
        item("4", "number", "30"),
        item("5", "yes_no", "yes"),
    ]
    test = [item("a", "choice", "A", options), item("b", "number", "5"), item("c", "yes_no", "no"), item("d", "category", "x")]
    assert majority_answers(train, test) == {"a": "B", "b": "20", "c": "yes"}


def test_reports_are_read_from_every_layout(tmp_path):
    (tmp_path / "a.csv").write_text(
        "VolumeName,Findings_EN,Impressions_EN,Emphysema\nvalid_1_a_1.nii.gz,Clear lungs.,Not given.,0\nvalid_2_a_1.nii.gz,Nodule.,Follow up.,1\n"
    )
    table = read_reports(tmp_path / "a.csv")
    assert table.texts == ("Clear lungs.", "Nodule. Follow up.")
    assert (table.label_names, table.labels.tolist()) == (("Emphysema",), [[0], [1]])
    (tmp_path / "b.json").write_text(
        json.dumps([{"outputs": [{"value": {"generated_reports": [{"input_image_name": "valid_2_a_1.nii.gz", "report": "A nodule."}]}}]}])
    )
    paired = pair(table, read_reports(tmp_path / "b.json"))
    assert (paired.hypotheses, paired.missing) == (("", "A nodule."), 1)
    (tmp_path / "c.json").write_text(json.dumps({"valid_1_a_1": "x", "valid_2_a_1": "y"}))
    assert pair(table, read_reports(tmp_path / "c.json")).hypotheses == ("x", "y")


def test_unusable_report_files_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("name,words\nx,y\n")
    (tmp_path / "b.csv").write_text("id,report\nx,y\nx,z\n")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d.csv").write_text("id,report\n")
    for name, words in {"a": "ids", "b": "twice", "c": "readable", "d": "no rows"}.items():
        with pytest.raises(ConfigError, match=words):
            read_reports(tmp_path / f"{name}.csv")
    (tmp_path / "e.csv").write_text("id,report\nx,y\n")
    (tmp_path / "f.csv").write_text("id,report\nz,y\n")
    with pytest.raises(ConfigError, match="share no scan"):
        pair(read_reports(tmp_path / "e.csv"), read_reports(tmp_path / "f.csv"))
