"""All 42 subtypes occur on phantoms, and every answer equals its independent recomputation from voxels."""

from collections import defaultdict

import numpy as np
import pytest

from data_prep.questions import generate, subtypes
from tests.data_prep.questions.bodies import annotated
from tests.data_prep.questions.recompute import CHECKS, Scan

SEEDS = range(12)
DECIMALS = {"lesion volume measurement": 2, "organ HU ratio": 2, "tumor burden percentage": 2}
ABDOMEN = [name for name, subtype in subtypes().items() if subtype.family == "abdomen"]


@pytest.fixture(scope="module")
def asked():
    """subtype -> [(scan, record)] over all bodies, at most 10 per subtype and scan."""
    found = defaultdict(list)
    for seed in SEEDS:
        phantom, labels = annotated(seed)
        scan = Scan(phantom.volume, labels)
        made = generate(phantom.volume, labels, np.random.default_rng(seed), phase="unenhanced", per_subtype=6, families=["abdomen"])
        for record in made.records:
            found[record["question_subtype"]].append((scan, record))
    return found


def test_every_subtype_has_a_check_of_its_own():
    assert set(CHECKS) == set(ABDOMEN)
    assert len(ABDOMEN) == 42


@pytest.mark.parametrize("subtype", ABDOMEN)
def test_answers_equal_the_recomputation(asked, subtype):
    assert asked[subtype], "never asked"
    for scan, record in asked[subtype]:
        expected = CHECKS[subtype](scan, record)
        if record["answer_kind"] == "number":
            places = len(record["answer"].split(".")[1]) if "." in record["answer"] else 0
            assert float(record["answer"]) == pytest.approx(float(expected), abs=0.5001 * 10.0**-places + 1e-6), (record["question"], record["organ"])
        else:
            said = {
                "adrenal gland left": "left adrenal gland",
                "adrenal gland right": "right adrenal gland",
                "kidney left": "left kidney",
                "kidney right": "right kidney",
            }
            assert record["answer"] == said.get(expected, expected), (record["question"], record["organ"])


@pytest.mark.parametrize("subtype", [name for name in ABDOMEN if subtypes()[name].kind == "yes_no"])
def test_yes_and_no_both_occur_or_are_known_to_be_rare(asked, subtype):
    answers = {record["answer"] for _, record in asked[subtype]}
    rare = {"lesion outlier", "portal hypertension assessment", "pseudocyst determination", "pancreatic steatosis"}
    assert answers == {"yes", "no"} or subtype in rare
