"""Running a model over questions: resumable, errors asked again, no blind answers by accident."""

import json

import numpy as np
import pytest

from vol3d.errors import ConfigError
from vol3d.evaluation.models.prompts import prompt_for
from vol3d.evaluation.models.run import find_scan, read_predictions, run_vqa
from vol3d.evaluation.models.specs import answerer_from
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

RECORDS = [
    {"qid": f"q{i}", "image_id": f"s{i // 2}", "question": "Mean?", "answer": "1", "mc_question": "Mean? A. 1 B. 2", "correct_option": "A", "spacing": "1 1 1", "shape": "8 8 8"}
    for i in range(4)
]  # fmt: skip


class Mean:
    """Answers with the scan's mean, and fails where it is told to."""

    name, settings = "mean", {"feed": "volume"}

    def __init__(self, failing=()):
        self.failing, self.asked = set(failing), []

    def answer(self, volume, prompt):
        self.asked.append(prompt)
        if len(self.asked) in self.failing:
            raise RuntimeError("out of memory")
        return "blind" if volume is None else str(abs(round(float(volume.numpy().mean()))))


@pytest.fixture
def scans(tmp_path):
    for i in range(2):
        array = np.random.default_rng(i).normal(100 * i, 1, (12, 12, 12)).astype(np.float32)
        write_volume(Volume(array, make_affine((5, 5, 5)), "MR", "a.u."), tmp_path / f"s{i}.nii.gz")
    return tmp_path


def test_answers_are_on_disk_and_errors_are_asked_again(scans):
    output = scans / "out.jsonl"
    assert run_vqa(Mean(failing=[2]), RECORDS, scans, output) == 1
    assert [r["qid"] for r in read_predictions(output)] == ["q0", "q2", "q3"]
    with output.open("a") as file:
        file.write('{"qid": "q1", "predic')  # a crash in the middle of a line
    output.write_text(output.read_text() + "\n")
    again = Mean()
    assert run_vqa(again, RECORDS, scans, output) == 0
    assert len(again.asked) == 1
    assert {r["qid"]: r["prediction"] for r in read_predictions(output)} == {"q0": "0", "q1": "0", "q2": "100", "q3": "100"}


def test_a_missing_scan_stops_the_run_and_blind_is_asked_for(scans):
    (scans / "s1.nii.gz").unlink()
    with pytest.raises(ConfigError, match="blind"):
        run_vqa(Mean(), RECORDS, scans, scans / "out.jsonl")
    assert run_vqa(Mean(), RECORDS, None, scans / "blind.jsonl") == 0
    assert {r["prediction"] for r in read_predictions(scans / "blind.jsonl")} == {"blind"}


def test_answers_of_something_else_are_not_gone_on_with(scans):
    """Each line says who was asked under what; a mismatch is refused, and lines of older files lack what they lack."""
    output = scans / "out.jsonl"
    run_vqa(Mean(), RECORDS, scans, output, condition="blank, seed 0")
    before = output.read_text()
    line = json.loads(before.splitlines()[0])
    assert [line[key] for key in ("model", "condition", "form", "scans")] == ["mean", "blank, seed 0", "mc", scans.name]
    other = Mean()
    other.name = "median"
    (scans / "more").mkdir()
    for i in range(2):
        (scans / "more" / f"s{i}.nii.gz").write_bytes((scans / f"s{i}.nii.gz").read_bytes())
    for word, model, folder, how in (
        ("model", other, scans, {"condition": "blank, seed 0"}),
        ("condition", Mean(), scans, {"condition": "mirrored, seed 0"}),
        ("condition", Mean(), scans, {}),
        ("form", Mean(), scans, {"condition": "blank, seed 0", "form": "free"}),
        ("folder of scans", Mean(), scans / "more", {"condition": "blank, seed 0"}),
    ):
        with pytest.raises(ConfigError, match=f"another {word}"):
            run_vqa(model, RECORDS, folder, output, **how)
        assert model.asked == []
    assert output.read_text() == before
    output.write_text("\n".join(json.dumps({"qid": r["qid"], "image_id": r["image_id"], "prediction": "A"}) for r in RECORDS) + "\n")
    assert run_vqa(Mean(failing=[1]), RECORDS, scans, output) == 0


def test_ids_cannot_leave_the_folder(scans):
    (scans / "inner").mkdir()
    assert find_scan(scans / "inner", "../s0") is None
    assert find_scan(scans, "s0").name == "s0.nii.gz"


def test_probes_change_the_scan(scans):
    run_vqa(Mean(), RECORDS[2:3], scans, scans / "p.jsonl", change=lambda volume: volume.with_array(volume.numpy() * 0))
    assert json.loads((scans / "p.jsonl").read_text())["prediction"] == "0"


def test_prompts_carry_the_instruction():
    assert prompt_for(RECORDS[0], "mc").endswith("Answer with ONLY the letter of the right option.")
    free = prompt_for(RECORDS[0], "free")
    assert "Voxel spacing (mm): 1 1 1." in free
    assert free.endswith("no extra words).")


def test_unknown_models_are_refused():
    for spec in ("gpt", "hf:", "openai:http://x/v1"):
        with pytest.raises(ConfigError, match="no such kind"):
            answerer_from(spec)
