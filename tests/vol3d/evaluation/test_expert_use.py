"""What counts as right in each exam, on replies written out, and which rows the questions of a scan belong to."""

import pytest

from vol3d.evaluation.expert_cards import cards_of
from vol3d.evaluation.expert_use import Asked, answer_outcome, call_outcome, doubt_outcome, doubt_prompts, draw_turns, examine
from vol3d.vlm.conversation import Conversation, Turn, WrongEvidence
from vol3d.vlm.decoding import Reply

LIVER = Turn(
    qid="s/0", family="volume", question="How large is the liver?", answer="1450.2 ml", kind="number", value=1450.2, unit="ml", structures=("liver",)
)
KIDNEYS = Turn(
    qid="s/1", family="comparison", question="Which kidney is larger?", answer="left", kind="choice", choices=("left", "right"),
    structures=("kidney_left", "kidney_right"),
)  # fmt: skip
SPLEEN = Turn(
    qid="s/2", family="volume", question="How large is the spleen?", answer="200.0 ml", kind="number", value=200.0, unit="ml", structures=("spleen",)
)
CARDS = cards_of({"moose": ("liver", "spleen"), "zx_9": ("kidney_left", "kidney_right", "liver")}, "CT")


@pytest.mark.parametrize(
    ("reply", "turn", "outcome"),
    [
        ("<moose(liver)>", LIVER, "right"),
        ("Let me see: <zx_9(liver)>", LIVER, "right"),
        ("<zx_9(kidney_right, kidney_left)>", KIDNEYS, "right"),
        ("<zx_9(kidney_left)> <zx_9(kidney_right)>", KIDNEYS, "right"),
        ("<zx_9(kidney_left)>", KIDNEYS, "wrong structure"),
        ("<moose(liver, spleen)>", LIVER, "wrong structure"),
        ("<moose(spleen)>", LIVER, "wrong structure"),
        ("<moose(liver)>", KIDNEYS, "wrong expert"),
        ("<zx_9(liver)>", SPLEEN, "wrong expert"),
        ("<supplied(liver)>", LIVER, "invented"),
        ("<moose(aorta)>", LIVER, "invented"),
        ("<moose(kidney_left, kidney_right)>", KIDNEYS, "invented"),
        ("<moose()>", LIVER, "malformed"),
        ("<moose>", LIVER, "malformed"),
        ("<moose(liver", LIVER, "malformed"),
        ("moose(liver)", LIVER, "malformed"),
        ("<supplied_liver>", LIVER, "malformed"),
        ("<<<<<<<<", LIVER, "malformed"),
        ("<moose(liver)> <moose(", LIVER, "malformed"),
        ("not covered", LIVER, "not covered"),
        ("1450.2 ml", LIVER, "answered"),
        ("<5 mm", LIVER, "answered"),
        ("", LIVER, "answered"),
    ],
)
def test_call_outcomes(reply: str, turn: Turn, outcome: str) -> None:
    assert call_outcome(reply, turn, CARDS) == outcome


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [("Not covered.", "right"), ("<moose(liver)>", "wrong structure"), ("<moose(aorta)>", "invented"), ("30 ml", "answered")],
)
def test_call_outcomes_where_no_card_offers_it(reply: str, outcome: str) -> None:
    aorta = LIVER.model_copy(update={"structures": ("aorta",)})
    assert call_outcome(reply, aorta, CARDS) == outcome


@pytest.mark.parametrize(
    ("reply", "turn", "evidence", "doubt"),
    [
        ("1450.2 ml", LIVER, "right", "right"),
        ("1470 ml", LIVER, "right", "right"),
        ("900.0 ml", LIVER, "wrong", "confident"),
        ("doubtful", LIVER, "wrong", "doubtful"),
        ("Doubtful.", KIDNEYS, "wrong", "doubtful"),
        ("left", KIDNEYS, "right", "right"),
        ("right", KIDNEYS, "wrong", "confident"),
        ("doubtful, but left", KIDNEYS, "right", "right"),
    ],
)
def test_answer_and_doubt_outcomes(reply: str, turn: Turn, evidence: str, doubt: str) -> None:
    assert answer_outcome(reply, turn) == evidence
    assert doubt_outcome(reply, turn) == doubt


def conversation(**wrong: str) -> Conversation:
    return Conversation(
        scan="s",
        patient="p",
        modality="CT",
        turns=(LIVER, KIDNEYS, SPLEEN),
        lines={s: f"{s}: found, true" for s in ("liver", "kidney_left", "kidney_right", "spleen")},
        experts={"supplied": ("liver", "kidney_left", "kidney_right", "spleen", "aorta", "heart")},
        wrong={s: WrongEvidence(kind=kind, lines=(f"{s}: found, spoiled",)) for s, kind in wrong.items()},
    )


def test_doubt_rows_follow_from_what_is_spoiled() -> None:
    true, spoiled = doubt_prompts(conversation(liver="shifted", kidney_left="missing"), None, ("volume", "comparison"), (0,))
    assert [(b.turn.qid, row) for b, row in zip(true.example.branches, true.rows, strict=True)] == [("s/0", "true"), ("s/1", "true")]
    assert "spoiled" not in true.example.prefix
    rows = [(b.turn.qid, row, b.reply) for b, row in zip(spoiled.example.branches, spoiled.rows, strict=True)]
    assert rows == [
        ("s/0", "shifted", "doubtful<|im_end|>"),
        ("s/1", "missing", "doubtful<|im_end|>"),
        ("s/2", "true, beside spoiled", "200.0 ml<|im_end|>"),
    ]
    assert spoiled.example.prefix.count("spoiled") == 2
    assert "kidney_right: found, true" in spoiled.example.prefix


def test_a_question_spoiled_in_two_ways_is_left_out() -> None:
    assert list(doubt_prompts(conversation(kidney_left="missing", kidney_right="wrong"), None, ("volume", "comparison"), (0,))) == []
    assert list(doubt_prompts(conversation(), None, ("volume",), (0,))) == []


def says(text: str):
    return lambda prefix, visuals, questions, cards: [Reply(text, 0.5, -0.7, 2, doubt=0.25) for _ in questions]


def test_every_model_is_asked_the_same_and_no_more_than_wanted() -> None:
    read = []

    def scans():
        for i in range(9):
            read.append(i)
            yield conversation(liver="shifted").model_copy(update={"patient": f"p{i}"}), None

    asked = examine(scans(), {"a": says("not covered"), "b": says("doubtful")}, num_questions=5, families=("volume",))
    # Three questions a scan for the calls, one for doubt: the last decides how far it reads.
    assert read == [0, 1, 2, 3, 4]
    assert _count(asked, "a", "calls", "as trained") == _count(asked, "a", "evidence", "before") == 5
    assert _count(asked, "a", "constrained", "removed") == 5
    assert _count(asked, "a", "doubt", "shifted") == _count(asked, "b", "doubt", "true") == 5

    def same(name: str) -> list[tuple[str, ...]]:
        return [(a.exam, a.row, a.patient, a.qid, a.question, *a.cards, a.expected) for a in asked if a.model == name]

    assert same("a") == same("b")
    removed = {a.outcome for a in asked if a.model == "a" and a.row == "removed"}
    assert removed == {"right"}
    assert {a.outcome for a in asked if a.model == "a" and a.row == "renamed"} == {"not covered"}
    assert {a.outcome for a in asked if a.model == "b" and a.exam == "doubt"} == {"doubtful"}
    assert {a.doubt for a in asked} == {0.25}


def test_unfit_conversations_are_passed_over() -> None:
    silent = conversation().model_copy(update={"turns": ()})
    assert examine([(silent, None)] * 3, {"a": says("left")}, num_questions=2, families=("volume",)) == []


def test_turns_are_drawn_without_repetition() -> None:
    import numpy as np

    drawn = draw_turns(conversation(), 2, np.random.default_rng(0))
    assert len({t.qid for t in drawn}) == 2
    assert draw_turns(conversation(), 0, np.random.default_rng(0)) == []


def _count(asked: list[Asked], model: str, exam: str, row: str) -> int:
    return sum(a.model == model and a.exam == exam and a.row == row for a in asked)
