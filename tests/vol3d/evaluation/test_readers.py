"""Result files in the layouts of other projects, made by hand."""

import csv
import json

import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.readers import read_ct_chat, read_deeptumorvqa, read_m3d, read_radfm, read_vlm3d_labels
from vol3d.evaluation.vqa_table import score_items


def _write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def _scores(read):
    return [scored.score.value for scored in score_items(*read)]


def test_deeptumorvqa_result(tmp_path):
    results = [
        {"qid": i, "image_id": "BDMAP_1", "question_subtype": "lesion counting", "question_type": "visual reasoning", "raw_output": text, "correct_option": "C", "answer": "3"}
        for i, text in enumerate(["Based on the CT, the answer is C", "B"])
    ]  # fmt: skip
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"metrics": {}, "n_processed": 2, "results": results}))
    assert _scores(read_deeptumorvqa(path)) == [1.0, 0.0]


def test_m3d_csv(tmp_path):
    base = {
        "Image Path": "x.npy",
        "Question Type": "3",
        "Question": "Which organ?",
        "Choice A": "liver",
        "Choice B": "spleen",
        "Choice C": "",
        "Choice D": "",
    }
    rows = [
        {**base, "Answer": "liver", "Answer Choice": "A", "Pred": "A. liver"},
        {**base, "Answer": "liver", "Answer Choice": "A", "Pred": "A. B. C. D."},
    ]
    read = read_m3d(_write_csv(tmp_path / "m.csv", rows))
    assert _scores(read) == [1.0, 0.0]
    assert read[0][0].groups == {"subtype": "organ"}


def test_radfm_csv_with_python_lists(tmp_path):
    rows = [
        {"Question": "['Is there pneumonia?']", "Ground Truth": "['yes']", "Pred": "['Yes, there is.']", "belong_to": "['vqa']"},
        {"Question": "q", "Ground Truth": "__import__('os')", "Pred": "no", "belong_to": ""},
    ]
    read = read_radfm(_write_csv(tmp_path / "r.csv", rows))
    assert _scores(read) == [1.0, 0.0]
    assert read[0][1].truth == "__import__('os')"  # text, not evaluated


def test_ct_chat_is_matched_by_scan_and_order(tmp_path):
    truth = [
        {
            "id": "1", "image": name, "conversations": [
                {"from": "human", "value": "Nodule?", "type": "short_answer"}, {"from": "gpt", "value": yes},
                {"from": "human", "value": "Which?", "type": "multiple_choice"}, {"from": "gpt", "value": "(b) left lung"},
            ],
        }
        for name, yes in (("valid_1_a_1.nii.gz", "yes"), ("valid_2_a_1.nii.gz", "no"))
    ]  # fmt: skip
    # the predictions come in another order of scans: matching by position would swap them
    predictions = [
        {"image": t["image"], "conversations_out": [{"question": "", "answer": a}, {"question": "", "answer": "(b) left lung"}]}
        for t, a in zip(truth[::-1], ["No.", "Yes."], strict=True)
    ]
    (tmp_path / "t.json").write_text(json.dumps(truth))
    (tmp_path / "p.json").write_text(json.dumps(predictions))
    items, texts = read_ct_chat(tmp_path / "p.json", tmp_path / "t.json")
    assert [s.score.value for s in score_items(items, texts)] == [1.0, 1.0, 1.0, 1.0]
    assert {i.patient for i in items} == {"valid_1", "valid_2"}


def test_vlm3d_submission(tmp_path):
    (tmp_path / "s.json").write_text(
        json.dumps([{"outputs": [{"value": {"predictions": [{"input_image_name": "valid_1_a_1.nii.gz", "probabilities": {"Emphysema": 0.7}}]}}]}])
    )
    assert read_vlm3d_labels(tmp_path / "s.json") == {"valid_1_a_1": {"Emphysema": 0.7}}
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(ConfigError, match="submission"):
        read_vlm3d_labels(tmp_path / "b.json")


def test_another_csv_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="columns"):
        read_m3d(_write_csv(tmp_path / "x.csv", [{"a": 1}]))
