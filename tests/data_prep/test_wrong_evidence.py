"""Spoiled evidence says exactly what its wrong mask would say, and touches no other structure."""

import numpy as np
import pytest

from data_prep.phantom_conversations import converse, corpus_phantom, exact_evidence
from data_prep.wrong_evidence import KINDS, shifted, spoil
from vol3d.contracts import Status
from vol3d.vlm import prompt


@pytest.fixture(scope="module")
def scene():
    phantom = corpus_phantom(3)
    return phantom, exact_evidence(phantom.volume, phantom.labels)


@pytest.fixture(scope="module")
def spoiled(scene):
    phantom, evidence = scene
    found = [s for s, status in evidence.statuses.items() if status is Status.FOUND and s not in ("body", "soft_tissue", "fat", "bone")]
    return {s: made for seed in range(3) for s, made in spoil(*_parts(phantom), evidence, found, np.random.default_rng(seed)).items()}


def _parts(phantom):
    return phantom.volume, phantom.labels


def test_every_kind_occurs_and_none_repeats_the_truth(scene, spoiled) -> None:
    _, evidence = scene
    assert {made.evidence.kind for made in spoiled.values()} == set(KINDS)
    for structure, made in spoiled.items():
        assert made.evidence.lines != (prompt.evidence_line(evidence, structure), *prompt.derived_lines(evidence).get(structure, ()))


def test_the_lines_are_those_of_the_wrong_mask(scene, spoiled) -> None:
    phantom, _ = scene
    drawn = {s: made for s, made in spoiled.items() if made.mask is not None}
    assert drawn
    for structure, made in drawn.items():
        millilitres = made.mask.sum() * phantom.volume.voxel_ml
        assert made.evidence.lines[0].startswith(f"{prompt.words(structure)}: found, volume {millilitres:.1f} ml")
        assert not np.array_equal(made.mask, phantom.labels.mask(structure))


def test_missing_and_contradictory_lines_are_worded_as_the_pipeline_words_them(scene, spoiled) -> None:
    _, evidence = scene
    for structure, made in spoiled.items():
        name = prompt.words(structure)
        if made.evidence.kind == "missing":
            assert made.evidence.lines[0] == f"{name}: absent"
        elif made.evidence.kind == "contradictory":
            assert made.evidence.lines[-1].startswith(f"{name}, by another expert: ")
            assert any(line.replace(", by another expert", "") == prompt.evidence_line(evidence, structure) for line in made.evidence.lines)


def test_a_shift_keeps_what_stays_inside() -> None:
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 0, 0] = mask[2, 3, 4] = True
    moved = shifted(mask, (1, 1, 1))
    assert np.argwhere(moved).tolist() == [[1, 1, 1]]


def test_a_conversation_spoils_what_is_asked_about() -> None:
    conversation, mask = converse(corpus_phantom(3), 3)
    asked = {s for turn in conversation.turns for s in turn.structures}
    assert set(conversation.wrong) <= asked
    assert len(conversation.wrong) >= 3
    assert (mask is not None) == (conversation.wrong_overlay_of is not None)
