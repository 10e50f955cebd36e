"""The loop with a real panel on a real (procedural) scan; only the speaker is scripted, so that each path is walked."""

import numpy as np
import pytest
import torch

from experts3d.cards import load_expert
from experts3d.panel import Panel
from tests.vol3d.evidence import evidence, m
from tokenizers3d import Tokenizer
from vol3d.contracts import Evidence, ExpertCall, Status
from vol3d.inference.expert_loop import Session, calls_for, merge, offered, run, shown_arguments
from vol3d.inference.pipeline import answer_question
from vol3d.vlm.view import encode_view, view_of
from vol3d.volume.phantom import phantom_ct


@pytest.fixture(scope="module")
def session_parts():
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_config("small_8x8x8").eval()
    volume = phantom_ct(3, shape_zyx=(40, 64, 72), spacing_mm=(7.0, 6.0, 6.0), region="chest", lesions=()).volume
    view = view_of(volume)
    return volume, view, encode_view(tokenizer, view), tokenizer


@pytest.fixture
def session(session_parts) -> Session:
    volume, view, visuals, tokenizer = session_parts
    panel = Panel([load_expert("threshold_ct")], cache=None, pictures_per_plane=0)
    return Session(volume, view, visuals, tokenizer, panel, Evidence((), ()))


class Script:
    """Says its lines one by one and keeps the prefixes that it was given."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.prefixes = list(lines), []

    def __call__(self, prefix, visuals, question, *, cards):
        assert ("Experts:" in prefix) == bool(cards)
        assert prefix.count("<slice>") == len(visuals.slices)
        assert prefix.count("<overlay>") == len(visuals.overlays)
        self.prefixes.append(prefix)
        return self.lines.pop(0), 0.5


def test_a_call_brings_evidence_and_overlays_into_the_next_prompt(session: Session) -> None:
    say = Script("<threshold_ct(lung_left)>", "1234.5 ml")
    draft, trace = run(session, "How large is the left lung?", say)
    assert (draft.text, draft.structures) == ("1234.5 ml", ("lung_left",))
    assert "Evidence:" not in say.prefixes[0]
    assert "left lung: found, volume" in say.prefixes[1]
    assert say.prefixes[1].count("<overlay>") == 3
    assert [(step.call, step.status) for step in trace] == [("model", "said"), ("<threshold_ct(lung_left)>", "found"), ("model", "said")]


def test_a_malformed_call_is_corrected_once(session: Session) -> None:
    say = Script("<threshold_ct(lung)>", "<threshold_ct(lungs)>", "yes")
    draft, trace = run(session, "Are the lungs there?", say)
    assert draft.text == "yes"
    assert "has no argument 'lung'" in say.prefixes[1]
    assert [step.status for step in trace].count("refused") == 1


def test_a_model_that_never_stops_calling_is_stopped(session: Session) -> None:
    say = Script(*["<threshold_ct(bone)>"] * 9)
    _, trace = run(session, "Bone?", say, max_hops=2)
    assert sum(step.call == "model" for step in trace) == 3
    assert [step.status for step in trace if step.call.startswith("<")] == ["found", "reused", "reused"]


def test_what_the_question_names_is_shown_first() -> None:
    card = load_expert("threshold_ct").card
    assert shown_arguments(card, "Is there calcification?", most=2) == ("calcification", card.arguments[0])


def test_structures_are_asked_of_the_first_expert_that_offers_them() -> None:
    cards = [load_expert("threshold_ct").card]
    assert calls_for(["bone", "dragon"], cards) == [ExpertCall("threshold_ct", ("bone",))]


def test_an_expert_that_found_it_outweighs_one_that_did_not_look() -> None:
    blind = Evidence((), (), statuses={"liver": Status.NOT_COVERED, "bone": Status.ABSENT})
    both = merge(evidence(), blind)
    assert (both.statuses["liver"], both.statuses["bone"]) == (Status.FOUND, Status.ABSENT)
    assert both.find("liver", "volume") == evidence().find("liver", "volume")
    newer = Evidence((m("liver", "volume", 1.0, "ml"),), (), statuses={"liver": Status.FOUND})
    assert merge(evidence(), newer).find("liver", "volume") == newer.measurements[0]
    assert np.isclose(sum(x.structure == "liver" for x in merge(evidence(), newer).measurements), 1)


def test_one_of_a_pair_is_asked_by_its_sides() -> None:
    cards = [load_expert("threshold_ct").card]
    assert offered(("lungs",), cards, "Which lung is larger?") == ("lung_left", "lung_right")
    assert offered(("lungs",), cards, "How large are the lungs?") == ("lungs",)
    assert offered(("lung",), cards) == ("lung_left", "lung_right")
    assert offered(("pancreas",), cards, "How large is the pancreas?") == ("pancreas",)


class Scripted:
    """A model that says its lines."""

    def __init__(self, *lines: str) -> None:
        self.say = Script(*lines)


def test_a_doubt_is_carried_by_the_answer_beside_what_was_measured(session: Session) -> None:
    answer = answer_question(session, "How large is the left lung?", model=Scripted("<threshold_ct(lung_left)>", "doubtful"))
    assert (answer.status, answer.value) == ("doubtful", None)
    assert answer.text.startswith("Doubtful: the model finds that the evidence does not fit. Measured: Left lung: volume ")
    assert answer.doubts == ("the model finds that it does not fit the image; the scan cuts off left lung, which may be why",)
    assert any(item.name == "volume" for item in answer.evidence)


def test_experts_that_disagree_are_named_even_where_the_model_does_not_doubt(session: Session) -> None:
    session.evidence = Evidence((m("lung_left", "volume", 9.0, "ml"),), (), statuses={"lung_left": Status.FOUND})
    session.gather(ExpertCall("threshold_ct", ("lung_left",)), [], by="test")
    volume = session.evidence.find("lung_left", "volume").value
    answer = answer_question(session, "How large is the left lung?", model=Scripted(f"{volume:.1f} ml", f"{volume:.1f} ml"))
    assert answer.status == "answered"
    assert answer.doubts == (
        "experts disagree: left lung, by another expert: found, volume 9.0 ml",
        "the scan cuts off left lung: what is measured is the part inside",
    )


def test_an_expert_that_breaks_makes_a_failed_answer_with_its_reason(session: Session) -> None:
    class Broken:
        card = load_expert("threshold_ct").card

        def segment(self, volume, targets):
            raise RuntimeError("the worker was killed")

    session.source = Panel([Broken()], cache=None)
    answer = answer_question(session, "How large is the left lung?", model=Scripted("<threshold_ct(lung_left)>", "not covered"))
    assert (answer.status, answer.value) == ("failed", None)
    assert answer.text == "Failed: Left lung: segmentation failed (RuntimeError: the worker was killed)."
    (step,) = [step for step in answer.trace if step.call.startswith("<")]
    assert step.status == "failed"
    assert "the worker was killed" in step.detail


def test_a_second_malformed_call_ends_the_loop_and_is_no_answer(session: Session) -> None:
    say = Script("<threshold_ct(lung)>", "<threshold_ct(lung)>")
    draft, trace = run(session, "Are the lungs there?", say)
    assert [step.status for step in trace] == ["said", "refused", "said", "refused"]
    assert draft.structures == ()
    answer = answer_question(session, "Is the liver there?", model=Scripted("<nobody(liver)>", "<nobody(liver)>", "<nobody(liver)>"))
    assert answer.status == "not_covered"
    assert "<" not in answer.text


def test_a_yes_about_something_that_no_expert_knows_rests_on_nothing(session: Session) -> None:
    answer = answer_question(session, "Is there a pulmonary embolism?", model=Scripted("<threshold_ct(lungs)>", "yes"))
    assert answer.status == "not_covered"
    assert answer.text == "Not covered: no expert at hand looks at what the question asks."
