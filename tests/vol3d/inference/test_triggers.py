"""Calls of experts in text: what a card declares is taken, everything else is text or a problem, whatever a model writes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol3d.contracts import ExpertCall, ExpertCard
from vol3d.inference.triggers import MAX_CALLS, CallProblem, card_prompt, parse_calls, parse_tool_call, tool_schema


def card(name: str, *arguments: str, summary: str = "an expert") -> ExpertCard:
    return ExpertCard(
        name=name,
        version="1",
        modalities=("CT",),
        summary=summary,
        targets=arguments,
        arguments=arguments,
        cost="",
        licence="",
        commercial_use=True,
        weights="",
    )


CARDS = (card("threshold_ct", "lungs", "airway", "bone"), card("Totalseg", "liver", "spleen", "kidney_left"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<threshold_ct(lungs)>", [ExpertCall("threshold_ct", ("lungs",))]),
        ("I need <threshold_ct( lungs ,bone )> first.", [ExpertCall("threshold_ct", ("lungs", "bone"))]),
        ("<threshold_ct(lungs, lungs)>", [ExpertCall("threshold_ct", ("lungs",))]),
        ("<Totalseg(liver)> and <threshold_ct(bone)>", [ExpertCall("Totalseg", ("liver",)), ExpertCall("threshold_ct", ("bone",))]),
    ],
)
def test_well_formed_calls(text: str, expected: list[ExpertCall]):
    assert list(parse_calls(text, CARDS)) == expected


@pytest.mark.parametrize(
    "text", ["", "a nodule <5 mm", "HU < -950 (emphysema)", "<|im_end|>", "<volume> <slice>", "a<b and c>d", "threshold_ct(lungs)", "1450.2 ml"]
)
def test_text_that_is_no_call(text: str):
    assert parse_calls(text, CARDS) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<totalseg(liver)>", "Write <Totalseg(argument, ...)>"),
        ("<threshold_ct(lung)>", "has no argument 'lung'"),
        ("<threshold_ct()>", "with some of: lungs, airway, bone"),
        ("<threshold_ct>", "Write <threshold_ct(argument, ...)>"),
        ("<threshold_ct(lungs", "Write <threshold_ct(argument, ...)>"),
        ("<threshold_ct(lungs)", "Write <threshold_ct(argument, ...)>"),
        ("<threshold_ct(lungs; bone)>", "has no argument 'lungs; bone'"),
        ("<threshold_ct(lungs,)>", "has no argument ''"),
        ("<vista3d(liver)>", "There is no expert 'vista3d'. Experts: threshold_ct, Totalseg."),
        ("<threshold_ct(<Totalseg(liver)>)>", "Write <threshold_ct(argument, ...)>"),
    ],
)
def test_malformed_calls_say_how_to_write_them(text: str, says: str):
    problem = parse_calls(text, CARDS)[0]
    assert isinstance(problem, CallProblem)
    assert says in problem.message


def test_a_call_after_a_malformed_one_is_still_taken():
    problem, call = parse_calls("<threshold_ct(lung)> <Totalseg(spleen)>", CARDS)
    assert isinstance(problem, CallProblem)
    assert call == ExpertCall("Totalseg", ("spleen",))


def test_many_calls_are_bounded():
    calls = parse_calls("<threshold_ct(lungs)>" * 50, CARDS)
    assert len(calls) == MAX_CALLS + 1
    assert "at most" in calls[-1].message


@given(st.text(alphabet="<>(), abthreshold_ct|lungsTotalseg\n", max_size=200))
def test_whatever_is_written_only_declared_calls_come_out(text: str):
    declared = {c.name: set(c.arguments) for c in CARDS}
    for call in parse_calls(text, CARDS):
        if isinstance(call, ExpertCall):
            assert call.arguments
            assert set(call.arguments) <= declared[call.name]
            assert f"<{call.name}(" in text
        else:
            assert call.message


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str):
    assert isinstance(parse_calls(text, CARDS), tuple)


@given(st.sampled_from(CARDS), st.data(), st.text(alphabet=st.characters(blacklist_characters="<"), max_size=50))
def test_a_call_survives_being_written_and_read(chosen: ExpertCard, data: st.DataObject, around: str):
    arguments = data.draw(st.lists(st.sampled_from(chosen.arguments), min_size=1, max_size=3, unique=True))
    call = ExpertCall(chosen.name, tuple(arguments))
    assert parse_calls(f"{around}{call}{around}", CARDS) == (call,)


def test_hostile_lengths_are_read_in_linear_time():
    assert parse_calls("<threshold_ct(" * 20000, CARDS)[0].message
    assert parse_calls("<threshold_ct(" + "a" * 200000 + ")>", CARDS)[0].message


def test_card_prompt_is_short_and_shows_how_to_call():
    many = card(
        "totalsegmentator", *(f"structure_number_{i}" for i in range(117)), summary="organs, vessels, bones and muscles of a CT in 117 classes " * 3
    )
    text = card_prompt([*CARDS, many])
    assert text.splitlines()[0] == "<threshold_ct(lungs, airway, bone)> an expert"
    assert len(text.splitlines()) == 3
    assert all(len(line) <= 240 for line in text.splitlines())
    assert "more)" in text.splitlines()[2]


def test_tool_schema_and_tool_calls_agree():
    schema = tool_schema(CARDS)
    json.dumps(schema)
    properties = schema[0]["function"]["parameters"]["properties"]
    assert properties["structures"]["items"]["enum"] == ["lungs", "airway", "bone"]
    assert parse_tool_call("threshold_ct", {"structures": ["bone"]}, CARDS) == ExpertCall("threshold_ct", ("bone",))
    for name, arguments in [("threshold_ct", {"structures": "bone"}), ("threshold_ct", {}), ("threshold_ct", None), ("x", {"structures": ["bone"]})]:
        assert isinstance(parse_tool_call(name, arguments, CARDS), CallProblem)
    assert isinstance(parse_tool_call("threshold_ct", {"structures": ["lung"]}, CARDS), CallProblem)
    assert isinstance(parse_tool_call("threshold_ct", {"structures": []}, CARDS), CallProblem)
