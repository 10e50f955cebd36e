"""Open answers: the four scores against hand counts, findings matched, nothing for substrings, corpus rows with intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from data_prep.text.entities import extract_entities
from vol3d.evaluation.open_text import answer_words, is_answer, text_rows, text_scores, token_f1
from vol3d.evaluation.vqa import answer_kind, score_answer
from vol3d.evaluation.vqa_table import item_from_record, score_items, vqa_rows

TRUTH = "There is a 12 mm cyst in the left kidney."


def test_by_hand():
    # without articles: truth there is 12 mm cyst in left kidney (8), said 12 mm cyst left kidney (5), all 5 in common
    assert token_f1("A 12 mm cyst, left kidney", TRUTH) == pytest.approx(2 * 5 / 13)
    scores = text_scores("12 mm cyst", "12 mm cyst in the kidney")
    assert scores["exact_match"] == 0.0
    assert scores["rouge_l_google"] == pytest.approx(2 * 1 * (3 / 6) / (1 + 3 / 6))
    assert scores["bleu_1_words"] == pytest.approx(math.exp(1 - 6 / 3), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "truth", "exact"),
    [("the  Cyst.", "cyst", 1.0), ("cysts", "cyst", 0.0), ("<think>no</think> Cyst", "A cyst", 1.0), ("4.5 mm", "4 5 mm", 0.0), ("", "cyst", 0.0)],
)
def test_exact_match_is_after_normalising(text, truth, exact):
    assert text_scores(text, truth)["exact_match"] == exact


def test_no_credit_for_parts_of_words():
    assert token_f1("unresectable", "resectable") == 0.0
    assert token_f1("hypoattenuating", "attenuating") == 0.0


@given(st.text(alphabet="abc de.", max_size=30), st.text(alphabet="abc de.", min_size=1, max_size=30))
def test_rouge_is_rouge_scores(said, truth):
    expected = RougeScorer(["rougeL"]).score(truth, said)["rougeL"].fmeasure
    assert text_scores(said, truth)["rouge_l_google"] == pytest.approx(expected)


@given(st.text(max_size=60), st.text(max_size=60))
def test_scores_stay_within_bounds_and_are_symmetric_where_they_should_be(a, b):
    assert 0.0 <= token_f1(a, b) <= 1.0
    assert token_f1(a, b) == token_f1(b, a)
    assert all(0.0 <= v <= 1.0 + 1e-9 for v in text_scores(a, b).values())


def test_long_truths_are_open_text_and_short_ones_are_not():
    assert answer_kind(TRUTH + " It is simple.") == "text"
    assert answer_kind("left kidney") == "category"
    assert answer_words("The left kidney") == ["left", "kidney"]
    assert score_answer("I cannot determine this.", TRUTH, kind="text").parsed is None
    assert not is_answer("...")


def test_table_of_open_answers_with_findings():
    records = [
        {"qid": i, "image_id": f"s{i}", "question": "Describe the kidney.", "answer": TRUTH, "answer_kind": "text", "question_subtype": "description"}
        for i in range(6)
    ]
    said = {"0": TRUTH, "1": "A 12 mm cyst is seen in the left kidney.", "2": "No cyst in the left kidney.", "3": "There is a 12 mm cyst in the right kidney.", "4": "Normal."}  # fmt: skip
    items = [item_from_record(r, "free") for r in records]
    assert {i.kind for i in items} == {"text"}
    rows = {r.metric: r for r in vqa_rows(score_items(items, said), num_resamples=100, extractor=extract_entities)}
    assert rows["text/exact_match"].value == pytest.approx(1 / 6)
    assert rows["text/token_f1"].value == rows["score"].value
    assert rows["text/token_f1"].ci_low < rows["text/token_f1"].value < rows["text/token_f1"].ci_high
    assert rows["text/entity/recall"].value == pytest.approx(3 / 6)  # said outright in 0, 1 and 3
    assert rows["text/entity/side_accuracy"].value == pytest.approx(2 / 3)
    assert rows["answered_rate"].value == pytest.approx(5 / 6)
    assert not any("entity" in r.metric for r in text_rows([TRUTH], [TRUTH], ["p"]))
