"""Records are complete, balance leaves a blind model nothing, and what is not asked says why."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from data_prep.questions import draft_case, generate, generate_corpus, subtypes, to_v1
from data_prep.questions.balance import balance
from data_prep.questions.facts import Facts
from data_prep.questions.model import Draft
from data_prep.questions.writer import Scan, answer_text, ladder, write
from tests.data_prep.questions.bodies import annotated
from vol3d.contracts import LabelMap, Status
from vol3d.errors import ConfigError, GeometryError
from vol3d.evaluation.vqa import read_options
from vol3d.volume.geometry import make_affine
from vol3d.volume.phantom import phantom_ct, phantom_mr
from vol3d.volume.volume import Volume

V2_KEYS = {
    "qid", "image_id", "question", "answer", "mc_question", "correct_option", "organ", "lesion", "question_type", "question_subtype", "spacing",
    "shape", "sex", "age", "requires_tools", "evidence", "formula",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    return [draft_case(p.volume, labels, image_id=f"body-{seed}", phase="unenhanced") for seed in range(12) for p, labels in [annotated(seed)]]


@pytest.fixture(scope="module")
def records(corpus):
    return generate_corpus(corpus, np.random.default_rng(3)).records


def test_records_carry_everything(records):
    for record in records:
        assert set(record) >= V2_KEYS
        options = read_options(record["mc_question"])
        assert options[record["correct_option"]].removesuffix(f" {record['unit']}") == record["answer"]
        assert len(set(options.values())) == len(options)
        assert len(options) == (2 if record["answer_kind"] == "yes_no" else 4), record["mc_question"]
        assert record["evidence"]
        assert "{" not in record["question"] + record["formula"]
    assert len({record["qid"] for record in records}) == len(records)


def test_the_right_letter_is_uniform(records):
    for options in (2, 4):
        letters = Counter(r["correct_option"] for r in records if len(read_options(r["mc_question"])) == options)
        expected = sum(letters.values()) / options
        assert all(abs(letters[letter] - expected) < 4 * np.sqrt(expected) for letter in "ABCD"[:options]), letters


def test_a_reader_without_scans_gains_nothing(corpus):
    """Over questions that read the same, all answers are equally frequent; numeric option sets are right once per option."""
    placed, left_out = balance([(i, d) for i, case in enumerate(corpus) for d in case.drafts], np.random.default_rng(0))
    by_key, by_options = defaultdict(Counter), defaultdict(list)
    for item in placed:
        answer = answer_text(item.draft)
        if isinstance(item.draft.truth, float) and item.draft.decimals > 0:
            by_options[item.draft.key, tuple(sorted((*item.wrong, answer)))].append(answer)
        else:
            by_key[item.draft.key][answer] += 1
    assert by_key
    assert by_options
    assert all(len(counts) > 1 and len(set(counts.values())) == 1 for key, counts in by_key.items() if key[0] != "largest lesion slice")
    assert all(sorted(answers) == list(options) for (_, options), answers in by_options.items())
    assert left_out["organ enlargement"] > 0  # most organs are not enlarged: the surplus of "no" goes


def test_four_scans_share_their_values_as_options(records):
    sets = defaultdict(list)
    for record in records:
        if record["question_subtype"] == "organ volume measurement":
            sets[record["organ"], tuple(sorted(read_options(record["mc_question"]).values()))].append(record["answer"])
    assert sets
    assert all(len(set(answers)) == len(answers) == 4 for answers in sets.values())


def test_ladder_puts_the_truth_on_every_rank():
    draft = Draft("organ volume measurement", "liver", 1500.0, (), {"organ": "liver"}, unit="cm3")
    rng = np.random.default_rng(0)
    ranks = Counter(sorted([*map(float, ladder(draft, rng)), 1500.0]).index(1500.0) for _ in range(2000))
    assert all(abs(ranks[i] - 500) < 90 for i in range(4))


@pytest.mark.parametrize(
    ("truth", "unit", "decimals"), [(0.0, "", 0), (1.0, "", 0), (150.0, "", 0), (-80.0, "HU", 1), (0.0, "HU", 1), (99.0, "%", 2), (0.01, "%", 2)]
)
def test_ladders_are_distinct_and_possible(truth, unit, decimals):
    draft = Draft("organ volume measurement", "liver", truth, (), {"organ": "liver"}, unit=unit, decimals=decimals)
    for seed in range(50):
        record = write(draft, Scan("s", "p", (1, 1, 1), (9, 9, 9)), np.random.default_rng(seed), qid="q")
        values = [float(v.removesuffix(unit)) for v in read_options(record["mc_question"]).values()]
        assert len(set(values)) == 4
        assert unit == "HU" or min(values) >= 0
        assert unit != "%" or max(values) <= 100


def test_same_seed_same_questions():
    phantom, labels = annotated(1)
    first, second = (generate(phantom.volume, labels, np.random.default_rng(5)).records for _ in range(2))
    assert first == second
    wordings = {
        r["question"]
        for s in range(4)
        for r in generate(phantom.volume, labels, np.random.default_rng(s), per_subtype=1).records
        if r["question_subtype"] == "kidney volume comparison"
    }
    assert len(wordings) > 1


def _spleen(volume_ml, *, touches=False):
    """A box of the wanted volume in a scan of 1 ml voxels."""
    array = np.zeros((12, 12, 12), np.uint8)
    array.ravel()[:0] = 0
    inside = np.argwhere(np.ones((10, 10, 10), bool))[:volume_ml] + (0 if touches else 1)
    array[tuple(inside.T)] = 1
    affine = make_affine((10, 10, 10))
    scan = Volume((array * 50).astype(np.int16), affine, "CT", "HU")
    return scan, LabelMap(array, affine, {1: "spleen"}, "box", "hand", "1")


def _reasons(generated, subtype):
    return {skip.reason for skip in generated.skipped if skip.subtype == subtype}


def test_reasons_for_not_asking():
    rng = np.random.default_rng(0)
    assert _reasons(generate(*_spleen(315), rng), "splenomegaly detection") == {"near_threshold"}
    assert _reasons(generate(*_spleen(400, touches=True), rng), "splenomegaly detection") == {"organ_cut_off"}
    assert _reasons(generate(*_spleen(400), rng), "fatty liver") == {"contrast_phase"}
    made = generate(*_spleen(400), rng)
    assert [r["answer"] for r in made.records if r["question_subtype"] == "splenomegaly grading"] == ["mild splenomegaly"]
    assert _reasons(made, "liver lesion existence") == {"class_not_labelled"}
    assert _reasons(made, "organ volume measurement") == {"not_covered"}


def test_no_is_never_said_about_a_class_that_nobody_labelled():
    """Masks of tumours only do not tell that there is no cyst."""
    scan, labels = _spleen(200)
    labels = replace(labels, names={1: "liver", 2: "liver_tumour"}, statuses={"liver_tumour": Status.ABSENT})
    made = generate(scan, labels, np.random.default_rng(0))
    assert _reasons(made, "liver lesion existence") == {"class_not_labelled"}


def test_density_rules_wait_for_unenhanced_scans():
    phantom, labels = annotated(1)
    enhanced = generate(phantom.volume, labels, np.random.default_rng(0), phase="portal venous")
    rules = {"fatty liver", "hepatic steatosis grading", "pancreatic steatosis", "lesion type classification", "renal mass characterization"}
    assert not rules & {r["question_subtype"] for r in enhanced.records}
    assert all(_reasons(enhanced, rule) == {"contrast_phase"} for rule in rules)


def test_left_is_the_patients_left_whatever_the_storage():
    phantom, labels = annotated(1)
    flip = np.diag([1.0, -1, -1, 1])
    flip[1, 3], flip[2, 3] = phantom.volume.shape[1] - 1, phantom.volume.shape[2] - 1
    affine = phantom.volume.affine @ flip
    volume = phantom.volume.with_array(phantom.volume.array[:, ::-1, ::-1], affine=affine)
    flipped = replace(labels, array=labels.array[:, ::-1, ::-1], affine=affine)
    before, after = (
        {(d.subtype, d.organ, tuple(d.slots.items())): d.truth for d in draft_case(v, m).drafts}
        for v, m in ((phantom.volume, labels), (volume, flipped))
    )
    assert before == pytest.approx(after)


def test_chest_and_brain_families_ask():
    chest = phantom_ct(2, shape_zyx=(80, 88, 100), spacing_mm=(5, 5, 5), region="chest")
    made = generate(chest.volume, chest.labels, np.random.default_rng(0), families=["chest"])
    assert {"lung nodule existence", "pericardial effusion existence"} <= {r["question_subtype"] for r in made.records}
    head = phantom_mr(0, shape_zyx=(40, 56, 56), spacing_mm=(5, 5, 5))
    made = generate(head.volume, head.labels, np.random.default_rng(0))
    assert {subtypes()[r["question_subtype"]].family for r in made.records} == {"brain"}
    assert len(made.records) >= 5


def test_v1_records_have_v1_keys(records):
    v1 = to_v1(records[0], split="test")
    assert set(v1) == {
        "question_id", "image_id", "spacing", "shape", "sex", "age", "scanner", "contrast", "question", "answer", "multiple_choice_question",
        "correct_option", "organ", "lesion", "question_type", "question_subtype", "split",
    }  # fmt: skip


def test_masks_on_another_grid_and_unknown_families_are_refused():
    scan, labels = _spleen(100)
    with pytest.raises(GeometryError):
        Facts(scan, replace(labels, array=labels.array[:-1]))
    with pytest.raises(ConfigError, match="family"):
        generate(scan, labels, np.random.default_rng(0), families=["pelvis"])
