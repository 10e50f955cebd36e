"""Cards of each variant: what changes, what stays, and what is then the right reply."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.phantom_conversations import OFFERED, THRESHOLD_CT, converse, corpus_phantom
from vol3d.contracts import ExpertCall
from vol3d.evaluation.expert_cards import OTHER_NAMES, UNSEEN, Variant, cards_of, needs_an_expert, shown, unseen_turns
from vol3d.evaluation.expert_use import call_outcome
from vol3d.inference.triggers import parse_calls
from vol3d.vlm import compose as composing
from vol3d.vlm.compose import Condition, compose
from vol3d.vlm.conversation import Conversation, Turn


def turn(family: str, question: str, *structures: str, **more) -> Turn:
    return Turn(qid=f"s/{family}", family=family, question=question, answer="50.0 ml", kind="text", structures=structures, **more)


VOLUME = turn("volume", "How large is the liver in ml?", "liver")
FINDINGS = turn("findings", "Describe: left lung, lungs, liver.", "lung_left", "lungs", "liver")
COUNT = turn("count", "How many liver tumours are there?", "liver_tumour")
CONVERSATION = Conversation(
    scan="s",
    patient="p",
    modality="CT",
    turns=(VOLUME, FINDINGS, COUNT, turn("presence", "Is there emphysema?", "emphysema", image_can=True), turn("region", "Where?")),
    lines=dict.fromkeys(("liver", "lung_left", "lungs", "liver_tumour", "emphysema", "spleen", "aorta", "heart", "colon"), "x: found"),
    experts={
        "supplied": ("liver", "lung_left", "lungs", "liver_tumour", "spleen", "aorta", "heart", "colon"),
        "threshold_ct": ("body", "lungs", "lung_left", "lung_right", "bone"),
    },
)
ASKED = (VOLUME, FINDINGS, COUNT)


def test_a_question_that_needs_an_expert_cannot_be_answered_by_a_look() -> None:
    assert [t.family for t in CONVERSATION.turns if needs_an_expert(t)] == ["volume", "findings", "count"]
    assert not needs_an_expert(turn("abstention", "What is the volume of the brain?", "brain"))


def test_other_names_cannot_be_made_in_training() -> None:
    made = {
        "".join(parts) for parts in product(composing._NAME_STARTS, composing._NAME_ENDS, ("", "_ct", "_mr", "_3d", "_v2", "_2", "_large", "_fast"))
    }
    assert composing.made_up_name(np.random.default_rng(0)) in made
    assert not made & set(OTHER_NAMES)
    assert not {"supplied", "threshold_ct", "deepbet"} & set(OTHER_NAMES)
    for name in OTHER_NAMES:
        assert parse_calls(f"<{name}(liver)>", cards_of({name: ["liver"]}, "CT")) == (ExpertCall(name, ("liver",)),)


def test_unseen_structures_are_named_in_no_conversation() -> None:
    """Some are drawn in the phantoms; but no line, card or question of training speaks of them."""
    unseen = {s for names in UNSEEN.values() for s in names}
    assert not unseen & {*OFFERED, *THRESHOLD_CT}
    for seed in range(10_000, 10_003):
        conversation, _ = converse(corpus_phantom(seed), seed)
        told = {*conversation.lines, *(s for offered in conversation.experts.values() for s in offered)}
        assert {"brain", "liver"} <= told
        assert not unseen & told
        assert not [t for t in conversation.turns for s in unseen if composing.prompt.words(s) in t.question]


@given(seed=st.integers(0, 10_000))
def test_the_right_reply_of_each_variant_scores_as_right(seed: int) -> None:
    for variant in Variant:
        now = shown(CONVERSATION, ASKED, variant, (seed,))
        example = compose(CONVERSATION, None, Condition.CALL, np.random.default_rng(seed), turns=now.turns, offers=now.offers)
        assert len(example.branches) == 3
        for branch in example.branches:
            reply = branch.reply.removesuffix("<|im_end|>")
            assert reply.startswith("<") == (variant is not Variant.REMOVED), reply
            assert call_outcome(reply, branch.turn, cards_of(now.offers, "CT")) == "right"


@given(seed=st.integers(0, 10_000))
def test_what_a_variant_changes(seed: int) -> None:
    cards = {variant: shown(CONVERSATION, ASKED, variant, (seed,)).offers for variant in Variant}
    trained = cards[Variant.TRAINED]
    assert [c[::-1] for c in list(cards[Variant.REORDERED].values())[::-1]] == list(trained.values())
    assert list(cards[Variant.REORDERED]) == list(trained)[::-1]
    assert list(cards[Variant.RENAMED].values()) == list(trained.values())
    assert set(cards[Variant.RENAMED]) <= set(OTHER_NAMES)
    removed = {s for arguments in cards[Variant.REMOVED].values() for s in arguments}
    assert removed <= {"spleen", "aorta", "heart", "colon", "body", "bone", "emphysema"}
    assert all(set(arguments) <= set(cards[Variant.UNSEEN][name]) for name, arguments in trained.items())


def test_unseen_questions_keep_the_wording_and_change_the_structure() -> None:
    only = CONVERSATION.model_copy(update={"turns": (FINDINGS,)})
    (asked,) = unseen_turns(only, 1, np.random.default_rng(1))
    assert len(set(asked.structures)) == 3
    assert set(asked.structures) <= set(UNSEEN["CT"])
    said = ", ".join(composing.prompt.words(s) for s in asked.structures)
    assert asked.question == f"Describe: {said}."
    assert unseen_turns(only.model_copy(update={"turns": (COUNT,)}), 4, np.random.default_rng(1)) == ()


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_unseen_structures_of_one_prompt_differ(modality: str) -> None:
    asked = unseen_turns(CONVERSATION.model_copy(update={"modality": modality, "turns": (VOLUME,)}), 4, np.random.default_rng(0))
    assert len({t.structures for t in asked}) == 4
    assert all(composing.prompt.words(t.structures[0]) in t.question for t in asked)
