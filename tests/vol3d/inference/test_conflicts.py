import pytest

from tests.vol3d.evidence import m
from vol3d.contracts import Evidence, Status
from vol3d.inference.conflicts import conflicts_between, doubt
from vol3d.inference.expert_loop import evidence_lines, merge


def liver(volume_ml: float | None) -> Evidence:
    if volume_ml is None:
        return Evidence((m("liver", "volume", 0.0, "ml"),), (), statuses={"liver": Status.ABSENT})
    return Evidence((m("liver", "volume", volume_ml, "ml"),), (), statuses={"liver": Status.FOUND})


@pytest.mark.parametrize(("old", "new", "disagree"), [(1400.0, 1500.0, False), (1400.0, 900.0, True), (1400.0, None, True), (0.2, 0.9, False)])
def test_experts_disagree_on_presence_or_on_size(old: float | None, new: float | None, disagree: bool) -> None:
    assert ("liver" in conflicts_between(liver(old), liver(new))) is disagree


def test_what_was_not_covered_contradicts_nobody() -> None:
    unseen = Evidence((), (), statuses={"liver": Status.NOT_COVERED})
    assert conflicts_between(liver(1400.0), unseen) == {}


def test_both_opinions_stand_in_the_prompt_and_the_one_that_found_it_is_believed() -> None:
    both = merge(liver(1400.0), liver(None))
    assert evidence_lines(both, ["liver"]) == ["liver: found, volume 1400.0 ml", "liver, by another expert: absent"]
    newer = merge(liver(1400.0), liver(420.0))
    assert evidence_lines(newer, ["liver"]) == ["liver: found, volume 420.0 ml", "liver, by another expert: found, volume 1400.0 ml"]


def test_a_doubt_names_the_structures_that_the_scan_cuts_off() -> None:
    measured = (m("lung_left", "touches_border", 1, ""), m("liver", "touches_border", 0, ""))
    found = Evidence(measured, (), statuses={"lung_left": Status.FOUND, "liver": Status.FOUND})
    assert doubt(found, ["liver"]) == "the model finds that it does not fit the image"
    assert doubt(found, ["liver", "lung_left"]).endswith("; the scan cuts off left lung, which may be why")
