"""The tables on lists made by hand: every share, gain, difference and area worked out beforehand."""

import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.expert_tables import Cell, cells
from vol3d.evaluation.expert_use import Asked


def asked(exam: str, row: str, outcome: str, *, scan: int = 0, qid: str = "q", family: str = "volume", doubt: float = 0.0, model: str = "a") -> Asked:
    return Asked(model, exam, row, qid, f"p{scan}", family, "?", ("liver",), (), "x", "y", outcome, 0.5, doubt)


def find(made: list[Cell], table: str, row: str, measure: str, model: str = "a") -> Cell:
    (cell,) = (c for c in made if (c.table, c.row, c.measure, c.model) == (table, row, measure, model))
    return cell


CALLS = [
    asked("calls", "as trained", "right", scan=0),
    asked("calls", "as trained", "right", scan=1),
    asked("calls", "as trained", "malformed", scan=1, qid="r"),
    asked("calls", "as trained", "answered", scan=2),
    asked("calls", "renamed", "invented", scan=0),
    asked("calls", "renamed", "right", scan=2),
    asked("constrained", "as trained", "right", scan=0),
    asked("constrained", "as trained", "answered", scan=2),
    asked("constrained", "renamed", "wrong expert", scan=2),
]


def test_calls_are_shares_of_the_questions_of_a_variant() -> None:
    made = cells(CALLS)
    assert {c.measure: c.estimate.value for c in made if c.row == "as trained"} == {
        "right": 0.5, "constrained": 0.5, "malformed": 0.25, "invented": 0.0, "wrong expert": 0.0, "wrong structure": 0.0, "not covered": 0.0, "answered": 0.25,
    }  # fmt: skip
    right = find(made, "calls", "as trained", "right").estimate
    assert (right.n, right.num_clusters) == (4, 3)
    assert right.low == 0.0
    assert right.high == 1.0
    assert find(made, "calls", "renamed", "right").estimate.value == 0.5
    assert find(made, "calls", "all", "right").estimate.value == pytest.approx(3 / 6)
    assert find(made, "calls", "all", "constrained").estimate.value == pytest.approx(1 / 3)
    assert [c.row for c in made if c.measure == "right"] == ["as trained", "renamed", "all"]


def test_evidence_is_paired_by_question() -> None:
    rows = []
    for scan, family, before, after in ((0, "volume", "wrong", "right"), (1, "volume", "wrong", "right"), (2, "count", "right", "wrong")):
        rows += [asked("evidence", "before", before, scan=scan, family=family), asked("evidence", "after", after, scan=scan, family=family)]
    made = cells(rows)
    gain = find(made, "evidence", "all", "after - before").estimate
    assert gain.value == pytest.approx(1 / 3)
    assert (gain.n, gain.low, gain.high) == (3, -1.0, 1.0)
    assert find(made, "evidence", "volume", "after - before").estimate.value == 1.0
    assert find(made, "evidence", "count", "after - before").estimate.value == -1.0
    assert find(made, "evidence", "all", "before").estimate.value == pytest.approx(1 / 3)


def doubts(model: str, scores: tuple[float, float, float, float]) -> list[Asked]:
    out = []
    for scan in range(2):
        out += [
            asked("doubt", "true", "right", scan=scan, doubt=scores[0], model=model),
            asked("doubt", "true", "doubtful", scan=scan, qid="r", doubt=scores[1], model=model),
            asked("doubt", "wrong", "doubtful", scan=scan, doubt=scores[2], model=model),
            asked("doubt", "missing", "confident", scan=scan, qid="r", doubt=scores[3], model=model),
        ]
    return out


def test_doubt_ranks_spoiled_above_true() -> None:
    made = cells(doubts("a", (0.1, 0.3, 0.9, 0.2)))
    assert find(made, "doubt", "true", "doubtful").estimate.value == 0.5
    assert find(made, "doubt", "wrong", "doubtful").estimate.value == 1.0
    assert find(made, "doubt", "missing", "confident").estimate.value == 1.0
    assert find(made, "doubt", "spoiled, any kind", "doubtful").estimate.value == 0.5
    assert find(made, "doubt", "wrong", "auroc").estimate.value == 1.0
    # 0.2 lies between the two true ones; both scans are alike, so no resample differs.
    missing = find(made, "doubt", "missing", "auroc").estimate
    assert (missing.value, missing.low, missing.high, missing.n) == (0.5, 0.5, 0.5, 6)
    assert find(made, "doubt", "spoiled, any kind", "auroc").estimate.value == 0.75
    assert not [c for c in made if c.row in ("true", "shifted") and c.measure == "auroc"]


def test_two_models_are_compared_question_by_question() -> None:
    made = cells([*doubts("a", (0.1, 0.3, 0.9, 0.9)), *doubts("b", (0.5, 0.5, 0.5, 0.5))])
    difference = find(made, "doubt", "wrong", "auroc", "a - b").estimate
    assert (difference.value, difference.low, difference.high) == (0.5, 0.5, 0.5)
    assert find(made, "doubt", "true", "doubtful", "a - b").estimate.value == 0.0
    assert [c.model for c in made if (c.row, c.measure) == ("wrong", "right")] == ["a", "b", "a - b"]
    swapped = [*CALLS, *(asked(c.exam, c.row, "right", scan=int(c.patient[1]), qid=c.qid, model="b") for c in CALLS)]
    lost = find(cells(swapped), "calls", "as trained", "right", "a - b").estimate
    assert lost.value == -0.5
    assert lost.low is not None
    assert lost.low < lost.value < 0.01


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigError, match="no questions were asked"):
        cells([])
    with pytest.raises(ConfigError, match="different questions"):
        cells([*CALLS, asked("calls", "as trained", "right", model="b")])
