"""The model that ships, on phantoms that it never saw. It needs the base language model (98 MB from the package index)."""

import pytest

from data_prep.conversations import SCORED
from data_prep.phantom_conversations import PhantomConversations
from experts3d.cards import load_expert
from experts3d.panel import Panel
from vol3d.errors import ResourceError
from vol3d.evaluation.conditions import run_conditions, table
from vol3d.inference import pipeline
from vol3d.vlm.model import load_model
from vol3d.volume.phantom import phantom_ct

NUM_SCANS = 3


@pytest.fixture(scope="module")
def model():
    try:
        return load_model("demo")
    except ResourceError as error:
        pytest.skip(f"no base language model here: {error}")


def test_evidence_is_read_and_its_absence_noticed(model, tmp_path) -> None:
    corpus = PhantomConversations(tmp_path, NUM_SCANS, 0, model.tokenizer3d_path)
    scans = [corpus[i] for i in range(NUM_SCANS)]
    scored = run_conditions([c for c, _ in scans], [v for _, v in scans], model.reply_many, families=SCORED)
    accuracy = {name: estimate.value for name, estimate in next(r for r in table(scored) if r.group == "all").estimates.items()}
    assert accuracy["image+evidence"] >= 0.8
    assert accuracy["image+evidence"] > accuracy["blind"] + 0.3


def test_an_answer_about_a_scan_rests_on_a_mask_of_that_scan(model) -> None:
    phantom = phantom_ct(41, shape_zyx=(64, 80, 96), spacing_mm=(5.0, 5.0, 5.0), region="chest", lesions=())
    panel = Panel([load_expert("threshold_ct")], cache=None, pictures_per_plane=0)
    session = pipeline.open_session(phantom.volume, model=model, experts=panel)
    answer = pipeline.answer_question(session, "What is the volume of the left lung in ml?", model=model)
    truth = phantom.labels.mask("lung_left").sum() * phantom.volume.voxel_ml
    measured = next(m for m in answer.evidence if m.name == "volume")
    assert measured.mask_id.startswith("threshold_ct@")
    assert measured.value == pytest.approx(truth, rel=0.1)
    assert answer.status in ("answered", "withheld")
    missing = pipeline.answer_question(session, "What is the volume of the pancreas in ml?", model=model)
    assert missing.status == "not_covered"
    assert missing.value is None
