"""Each model takes its best prompt on validation questions, with the same budget, and never on patients of the test."""

import json

import numpy as np
import pytest

from vol3d.cli.main import main
from vol3d.errors import ConfigError
from vol3d.evaluation.models.prompts import prompt_for, prompt_id, read_prompts
from vol3d.evaluation.prompt_choice import choose_prompt, drawn, read_validation
from vol3d.evaluation.vqa_task import ask_model
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

PROMPTS = "{question}\n{instruction}\n---\nLook closely. {question}\n---\nAs a radiologist: {question}\n"


def _records(names):
    return [{"qid": f"{n}-{i}", "image_id": n, "question": "?", "answer": "1", "mc_question": f"Q{i}? A. 1 B. 2", "correct_option": "AB"[i % 2]} for n in names for i in range(6)]  # fmt: skip


class Fussy:
    """Answers right under the prompt that it likes, else always A. Its class is importable, so that a command line can name it."""

    feed = "m3d"

    def __init__(self, likes="radiologist"):
        self.likes, self.asked = likes, []
        self.name, self.settings = f"likes {likes}", {"feed": "nothing"}

    def answer(self, volume, prompt):
        self.asked.append(prompt)
        number = int(prompt.split("Q")[1][0])
        return "AB"[number % 2] if self.likes in prompt else "A"

    def generate(self, inputs, prompt):
        return self.answer(inputs, prompt)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    for name, scans in {"val": ("v0", "v1"), "test": ("t0", "t1", "t2")}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, _records(scans))))
        for scan in scans:
            write_volume(Volume(np.random.default_rng(0).normal(0, 50, (12, 12, 12)).astype(np.float32), make_affine((5, 5, 5)), "MR", "a.u."), tmp_path / f"{scan}.nii.gz")  # fmt: skip
    return tmp_path


def _validation(files, **settings):
    return read_validation(files / "prompts.txt", files / "val.jsonl", None, _records(["t0"]), **{"budget": None, **settings})


@pytest.mark.parametrize(("likes", "place"), [("radiologist", 2), ("closely", 1), ("nothing of this", 0)])
def test_every_model_gets_the_prompt_that_suits_it(files, likes, place):
    choice = choose_prompt(Fussy(likes), _validation(files), files, "m")
    assert choice.prompt == read_prompts(files / "prompts.txt")[place]
    assert choice.scores[place] == max(choice.scores)
    record = choice.record()
    assert (record["validation_questions_per_prompt"], record["validation_questions_asked"]) == (12, 36)


def test_the_budget_is_the_same_questions_for_everybody(files):
    one, two = Fussy("closely"), Fussy("radiologist")
    for model, name in ((one, "one"), (two, "two")):
        choose_prompt(model, _validation(files, budget=4), files, name)
    assert one.asked == two.asked
    assert len(one.asked) == 4 * 3
    with pytest.raises(ConfigError):
        drawn([{}], 0, 0)


def test_the_test_is_asked_once_with_the_chosen_prompt_and_files_of_another_prompt_are_refused(files):
    model = Fussy()
    asked = ask_model(model, _records(["t0"]), None, files / "m.jsonl", validation=_validation(files, budget=4))
    assert sum("As a radiologist" in prompt for prompt in model.asked[-6:]) == 6
    lines = [json.loads(line) for line in asked.answers.read_text().splitlines()]
    assert {line["prompt"] for line in lines} == {prompt_id("As a radiologist: {question}")}
    with pytest.raises(ConfigError, match="another prompt"):
        ask_model(model, _records(["t0"]), None, files / "m.jsonl")


def test_patients_of_the_test_and_bad_prompts_are_refused(files):
    with pytest.raises(ConfigError, match="patients of the test"):
        read_validation(files / "prompts.txt", files / "val.jsonl", None, _records(["v0"]), budget=None)
    for text in ("", "no place for it", "{question}\n---\n{question}"):
        (files / "bad.txt").write_text(text)
        with pytest.raises(ConfigError):
            read_prompts(files / "bad.txt")
    assert prompt_for({"mc_question": "Q? A. 1"}, "mc", "{question} {instruction}").endswith("right option.")


def test_the_command_compares_a_model_with_its_base_after_both_have_chosen(files, capsys):
    arguments = ["--questions", files / "test.jsonl", "--scans", files, "--predictions", files / "p.jsonl", "--output", files / "r.json"]
    arguments += ["--run", f"{__name__}:Fussy", "--base", f"{__name__}:Fussy#never", "--resamples", "50"]
    arguments += ["--prompts", files / "prompts.txt", "--validation", files / "val.jsonl", "--budget", "6"]
    assert main(["evaluate", "vqa", *map(str, arguments), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {r["metric"]: r["value"] for r in document["rows"]}
    assert (rows["score"], rows["base/score"], rows["over_base/score"]) == (1.0, 0.5, 0.5)
    assert document["provenance"]["prompts"] == "As a radiologist: {question}"
    choice = document["provenance"]["settings"]["prompt_choice"]
    base = document["provenance"]["settings"]["base"]["settings"]["prompt_choice"]
    assert choice["validation_questions_per_prompt"] == base["validation_questions_per_prompt"] == 6
    assert base["chosen_id"] == "default"
    assert (files / "r.base.json").exists()
    assert {"baseline_blind/score", "baseline_swapped/score", "baseline_constant/score", "baseline_chance/score", "over_blind/score"} <= set(rows)


class Bright:
    """Says whether it sees anything."""

    name, settings = "bright", {}

    def answer(self, volume, prompt):
        return "B" if volume is None or np.ptp(volume.numpy()) == 0 else "A"


def test_a_probe_changes_the_swapped_scans_too_and_its_answers_are_not_taken_for_others(files):
    asked = ask_model(Bright(), _records(["t0", "t1"]), files, files / "p.jsonl", probe="blank")
    lines = {name: [json.loads(line) for line in path.read_text().splitlines()] for name, path in {"": asked.answers, **asked.beside}.items()}
    assert {name: {line["prediction"] for line in found} for name, found in lines.items()} == {"": {"B"}, "blind": {"B"}, "swapped": {"B"}}
    conditions = {name: found[0]["condition"] for name, found in lines.items()}
    assert conditions == {"": "blank, seed 0", "blind": "no_image", "swapped": "swapped, seed 0 + blank, seed 0"}
    with pytest.raises(ConfigError, match="another condition"):
        ask_model(Bright(), _records(["t0", "t1"]), files, files / "p.jsonl", probe="mirrored")
    plain = ask_model(Bright(), _records(["t0", "t1"]), files, files / "plain.jsonl")
    assert {json.loads(line)["prediction"] for line in plain.beside["swapped"].read_text().splitlines()} == {"A"}


def test_a_suite_chooses_for_each_model(files, capsys):
    (files / "suite.yaml").write_text(
        f"name: two\nmodels:\n  - {{name: a, run: '{__name__}:Fussy'}}\n  - {{name: b, run: '{__name__}:Fussy#closely'}}\n"
        "tasks:\n  - {name: mc, kind: vqa, questions: test.jsonl, scans: ., prompts: prompts.txt, validation: val.jsonl, budget: 6}\n"
        "  - {name: plain, kind: vqa, questions: test.jsonl}\nresamples: 50\n"
    )
    assert main(["evaluate", "suite", str(files / "suite.yaml"), "--output", str(files / "out"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    board = {row["model"]: row["value"] for row in summary["tasks"]["mc"]["leaderboard"]}
    assert (board["a"], board["b"]) == (1.0, 1.0)
    assert {"a, blind", "b, swapped", "baseline: majority"} <= set(board)
    chosen = [json.loads((files / "out" / "mc" / f"{n}.json").read_text())["provenance"]["settings"]["prompt_choice"]["chosen"] for n in "ab"]
    assert chosen == ["As a radiologist: {question}", "Look closely. {question}"]
