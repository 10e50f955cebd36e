"""Scores of single answers against values worked out by hand."""

import pytest

from vol3d.evaluation.vqa import answer_kind, mean_relative_accuracy, relative_accuracy, score_answer, score_category, score_choice, score_number


def test_relative_accuracy_by_hand():
    assert relative_accuracy(90, 100) == pytest.approx(0.9)
    assert relative_accuracy(250, 100) == 0.0
    assert relative_accuracy(-90, -100) == pytest.approx(0.9)
    assert relative_accuracy(0, 0) == 1.0
    assert relative_accuracy(1, 0) == 0.0


@pytest.mark.parametrize(("predicted", "expected"), [(100, 1.0), (96, 1.0), (95, 0.9), (90, 0.8), (51, 0.1), (50, 0.0), (150, 0.0)])
def test_vsi_bench_mean_relative_accuracy(predicted, expected):
    # error < 1 - c for c = .50, .55 .. .95: an error of exactly 5% misses c = .95 only
    assert mean_relative_accuracy(predicted, 100) == pytest.approx(expected)


def test_number_scores_convert_units_and_unread_counts_as_zero():
    score = score_number("1.2 cm", 10.0, "mm")
    assert score.value == pytest.approx(0.8)
    assert score.extra == {"mean_relative_accuracy": pytest.approx(0.6), "within_5": 0, "within_10": 0, "within_20": 1, "within_50": 1}
    unread = score_number("large", 10.0, "mm")
    assert (unread.value, unread.is_parsed) == (0.0, False)


def test_choice_and_category():
    assert score_choice("Answer: C", "C").value == 1.0
    assert score_choice("no idea", "C").is_parsed is False
    assert score_category("unresectable", "resectable", ["resectable", "unresectable"]).value == 0.0
    assert score_category("Segment 4.", "segment 4").value == 1.0
    assert score_category("in segment 4", "segment 4").value == 0.0


def test_kinds_follow_from_the_truth():
    assert [answer_kind(a) for a in ("yes", "No", 12, "12.5 cm3", "-3.2 HU", "T2", "left")] == ["yes_no"] * 2 + ["number"] * 3 + ["category"] * 2


def test_score_answer_dispatches():
    assert score_answer("No lesion is seen", "no", kind="yes_no").value == 1.0
    assert score_answer("120 mm", "12 cm", kind="number").value == 1.0
    assert score_answer("the left kidney", "left kidney", kind="category", options=["left kidney", "right kidney"]).value == 1.0
    assert score_answer("B", "B", kind="choice", options=["a", "b"]).value == 1.0
