import numpy as np
import pytest

from vol3d.vlm.compose import Condition, compose, reply
from vol3d.vlm.conversation import Conversation, Turn, WrongEvidence

VOLUME = Turn(qid="s/0", family="volume", question="How large is the liver?", answer="1450.2 ml", kind="number", value=1450.2, structures=("liver",))
MODALITY = Turn(qid="s/1", family="modality", question="CT or MR?", answer="CT", kind="choice", choices=("CT", "MR"), image_can=True)
CONVERSATION = Conversation(
    scan="s",
    patient="p",
    modality="CT",
    turns=(VOLUME, MODALITY),
    lines={"liver": "liver: found, volume 1450.2 ml", "spleen": "spleen: absent"},
    derived={"liver": ("hepatic steatosis: no",)},
    experts={"supplied": ("liver", "spleen")},
)


def test_evidence_is_shown_where_the_condition_says_so() -> None:
    rng = np.random.default_rng(0)
    shown = compose(CONVERSATION, None, Condition.EVIDENCE, rng).prefix
    assert "liver: found, volume 1450.2 ml\nhepatic steatosis: no\n" in shown
    assert "Scan:" not in shown
    assert "Evidence:" not in compose(CONVERSATION, None, Condition.BLIND, rng).prefix


@pytest.mark.parametrize(
    ("turn", "covered", "offers", "experts_shown", "expected"),
    [
        (VOLUME, {"liver"}, {}, False, "1450.2 ml"),
        (VOLUME, set(), {}, False, "1450.2 ml"),
        (VOLUME, {"liver"}, {"supplied": ("liver",)}, True, "1450.2 ml"),
        (VOLUME, set(), {"supplied": ("spleen", "liver")}, True, "<supplied(liver)>"),
        (VOLUME, set(), {"supplied": ("spleen",)}, True, "not covered"),
        (MODALITY, set(), {"supplied": ("spleen",)}, True, "CT"),
    ],
)
def test_the_reply_follows_from_what_is_shown(
    turn: Turn, covered: set[str], offers: dict[str, tuple[str, ...]], experts_shown: bool, expected: str
) -> None:
    assert reply(turn, covered, offers, experts_shown=experts_shown) == expected


def test_same_seed_same_prompt() -> None:
    one, two = (compose(CONVERSATION, None, Condition.HOP, np.random.default_rng(3)) for _ in range(2))
    assert one == two


SPOILED = CONVERSATION.model_copy(update={"wrong": {"liver": WrongEvidence(kind="shifted", lines=("liver: found, volume 1450.2 ml, mean -300 HU",))}})


def test_wrong_evidence_takes_the_place_of_the_true_and_asks_for_doubt() -> None:
    example = compose(SPOILED, None, Condition.EVIDENCE, np.random.default_rng(0), wrong=("liver",))
    assert "liver: found, volume 1450.2 ml, mean -300 HU\n" in example.prefix
    assert "hepatic steatosis" not in example.prefix
    assert [branch.reply for branch in example.branches] == ["doubtful<|im_end|>", "CT<|im_end|>"]


def test_no_doubt_where_the_wrong_line_is_not_shown() -> None:
    true = compose(SPOILED, None, Condition.EVIDENCE, np.random.default_rng(0))
    blind = compose(SPOILED, None, Condition.BLIND, np.random.default_rng(0), wrong=("liver",))
    assert true.branches[0].reply == blind.branches[0].reply == "1450.2 ml<|im_end|>"


def test_given_offers_are_shown_as_given() -> None:
    offers = {"zx_9": ("spleen", "liver")}
    example = compose(CONVERSATION, None, Condition.CALL, np.random.default_rng(0), offers=offers)
    assert "Experts: zx_9(spleen, liver)\n" in example.prefix
    assert example.branches[0].reply == "<zx_9(liver)><|im_end|>"
