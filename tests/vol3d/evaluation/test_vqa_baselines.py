"""Baselines beside a model: worth what they can be worth, learnt from others only, and always there."""

import numpy as np
import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.vqa_baselines import baseline_answers, baseline_rows, chance_of, shuffled_answers, transferred
from vol3d.evaluation.vqa_table import Item, item_from_record, score_items
from vol3d.evaluation.vqa_task import score_model


def _items(num=40, *, skew=0.5, seed=0):
    """Two-option questions on one subtype, `skew` of them A."""
    rng = np.random.default_rng(seed)
    return [
        Item(f"q{i}", f"s{i // 2}", f"s{i // 2}", "choice", "A" if rng.random() < skew else "B", {"A": "yes", "B": "no"}, groups={"subtype": "x", "organ": "liver"})
        for i in range(num)
    ]  # fmt: skip


def test_a_skewed_set_is_found_out_by_the_baselines():
    items = _items(200, skew=0.9)
    answers = baseline_answers(items, {})
    assert set(answers) == {"constant", "majority", "retrieved"}
    for name in ("constant", "majority"):
        assert np.mean([s.score.value for s in score_items(items, answers[name])]) > 0.8, name


def test_answers_come_from_other_patients_only():
    """Each patient has an answer of its own; whoever learnt from the patient itself would be right."""
    items = [Item(f"q{i}", f"s{i}", f"s{i}", "category", f"answer {i // 2}" if i % 2 else f"own {i}", groups={"subtype": "x"}) for i in range(20)]
    answers = baseline_answers(items, {})
    own = {i.qid: i.truth for i in items if i.truth.startswith("own")}
    assert all(answers[name].get(qid) != truth for name in ("majority", "retrieved", "constant") for qid, truth in own.items())


def test_retrieval_takes_the_most_similar_scan():
    train = [Item(f"t{i}", f"t{i}", f"t{i}", "choice", "A", {"A": f"{10 * i} cm3", "B": "900 cm3"}, groups={"subtype": "x"}) for i in range(4)]
    test = [Item("q", "s", "s", "choice", "B", {"A": "900 cm3", "B": "21 cm3"}, groups={"subtype": "x"})]
    likeness = {("s", f"t{i}"): float(i == 2) for i in range(4)}
    assert baseline_answers(test, {}, train=train, likeness=likeness)["retrieved"] == {"q": "B"}  # 20 cm3 is nearest to 21


def test_shuffled_answers_are_other_patients_and_by_their_words():
    items = [
        Item("a", "a", "a", "choice", "A", {"A": "left", "B": "right"}, groups={"subtype": "x"}),
        Item("b", "b", "b", "choice", "A", {"A": "right", "B": "left"}, groups={"subtype": "x"}),
    ]
    assert shuffled_answers(items, {"a": "The answer is A", "b": "A"}, np.random.default_rng(0)) == {"a": "B", "b": "B"}
    assert shuffled_answers(items[:1], {"a": "A"}, np.random.default_rng(0)) == {}


def test_chance():
    assert chance_of(_items(1)[0]) == 0.5
    assert chance_of(Item("q", "s", "p", "number", "3")) == 0.0
    assert chance_of(Item("q", "s", "p", "yes_no", "yes")) == 0.5
    assert transferred("unknown", _items(1)[0]) == ""


def test_what_a_model_adds_is_paired_and_has_an_interval():
    items = _items(60)
    perfect = {i.qid: i.truth for i in items}
    rows = {r.metric: r for r in baseline_rows(score_items(items, perfect), {"blind": dict.fromkeys(perfect, "A")}, num_resamples=200)}
    share = np.mean([i.truth == "A" for i in items])
    assert rows["baseline_blind/score"].value == pytest.approx(share)
    assert rows["over_blind/score"].value == pytest.approx(1 - share)
    assert rows["over_blind/score"].ci_low > 0
    assert rows["baseline_chance/score"].value == 0.5
    rows, scored = score_model(items, [{"qid": q, "prediction": t, "confidence": 1.0} for q, t in perfect.items()], num_resamples=20)
    metrics = {r.metric: r.value for r in rows}
    assert {"baseline_constant/score", "baseline_majority/score", "baseline_retrieved/score", "baseline_shuffled/score"} <= set(metrics)
    assert (metrics["calibration/ece"], metrics["calibration/brier"]) == (0.0, 0.0)
    assert scored[0].confidence == 1.0


def test_only_questions_that_a_baseline_answered_are_paired():
    """Half of the questions have no other patient of their kind; there the model would win against nothing."""
    items = [Item(f"q{i}", f"s{i}", f"s{i}", "category", "x", groups={"subtype": "common" if i < 10 else f"alone {i}"}) for i in range(20)]
    answers = [{"qid": i.qid, "prediction": "x"} for i in items]
    rows = {r.metric: r for r in score_model(items, answers, num_resamples=20)[0]}
    for name in ("majority", "retrieved", "shuffled"):
        assert (rows[f"over_{name}/score"].n, rows[f"over_{name}/score"].value) == (10, 0.0), name
        assert (rows[f"baseline_{name}/score"].n, rows[f"baseline_{name}/score"].value) == (10, 1.0), name
    assert rows["score"].n == 20


def test_an_answer_that_is_no_option_is_none_but_nonsense_stays_nonsense():
    items = [Item("a", "a", "a", "choice", "A", {"A": "left"}, groups={"subtype": "x"}), Item("b", "b", "b", "choice", "A", {"A": "upper"}, groups={"subtype": "x"})]  # fmt: skip
    assert shuffled_answers(items, {"a": "A", "b": "no idea"}, np.random.default_rng(0)) == {"a": "no idea"}
    assert "retrieved" not in baseline_answers(items[:1], {}, train=items[1:])


def test_training_patients_of_the_test_are_refused():
    with pytest.raises(ConfigError, match="patients of the test"):
        baseline_answers(_items(4), {}, train=_items(2))


def test_a_lenient_reading_counts_for_the_blind_model_too():
    """The same words, with and without the scan: the scan added nothing, however they are read."""
    items = [Item(f"q{i}", f"s{i}", f"s{i}", "number", "15", unit="mm", groups={"subtype": "x"}) for i in range(4)]
    said = {i.qid: "10-20 mm" for i in items}
    answers = [{"qid": qid, "prediction": text} for qid, text in said.items()]
    for mode, score in (("strict", 0.0), ("lenient", 1.0)):
        metrics = {r.metric: r.value for r in score_model(items, answers, mode=mode, beside={"blind": said}, num_resamples=20)[0]}
        assert metrics["score"] == metrics["baseline_blind/score"] == metrics["baseline_shuffled/score"] == score


def test_free_numbers_get_a_constant_of_their_own_unit():
    records = [
        {"qid": i, "image_id": f"s{i}", "answer": f"{10 + i % 3} mm" if i % 2 else "1500 ml", "unit": "mm" if i % 2 else "ml"} for i in range(20)
    ]
    items = [item_from_record(r, "free") for r in records]
    constant = baseline_answers(items, {})["constant"]
    assert {constant[i.qid] for i in items if i.unit == "ml"} == {"1500"}
    assert {constant[i.qid] for i in items if i.unit == "mm"} <= {"10", "11", "12", "10.5", "11.5"}
