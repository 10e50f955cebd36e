import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_prep.instructions import Instruction, expert_calls, instruct, write_jsonl
from data_prep.mixture import Mixture
from data_prep.text.labels18 import LABELS18, label_report
from vol3d.contracts import LabelMap, Row, Sentence, Status
from vol3d.errors import ConfigError
from vol3d.volume.geometry import make_affine


def row(series: str = "a", **changes: object) -> Row:
    labels = dict.fromkeys(LABELS18, 0) | {"Emphysema": 1, "Lung nodule": 1}
    facts = {
        "study": "s",
        "patient": "p",
        "series": series,
        "path": f"volumes/{series}.zarr",
        "modality": "CT",
        "spacing_mm": (1, 1, 1),
        "shape": (2, 2, 2),
    }
    return Row(**(facts | {"findings": "A nodule.", "impression": "Nodule.", "labels": labels, "split": "train"} | changes))  # type: ignore[arg-type]


def test_lines_are_llava_and_repeatable(tmp_path: Path) -> None:
    counts = write_jsonl(instruct([row("a"), row("b", findings="", labels={})], source="mine"), tmp_path / "one.jsonl")
    write_jsonl(instruct([row("b", findings="", labels={}), row("a")], source="mine"), tmp_path / "two.jsonl")
    assert counts == {"caption": 1, "report": 1, "vqa": 4, "negative": 1}
    one, two = ((tmp_path / f"{n}.jsonl").read_text(encoding="utf-8").splitlines() for n in ("one", "two"))
    assert one == two  # the order of the rows decides nothing
    for line in map(json.loads, one):
        assert [turn["from"] for turn in line["conversations"]] == ["human", "gpt"] * (len(line["conversations"]) // 2)
        assert "".join(turn["value"] for turn in line["conversations"]).count("<image>") == 1
        assert line["conversations"][0]["value"].startswith("<image>\n")
        assert (line["image"], line["split"], line["source"]) == ("volumes/a.zarr", "train", "mine")


def test_answers_are_true_and_yes_comes_as_often_as_no() -> None:
    made = [i for n in range(30) for i in instruct([row(f"s{n}")])]
    answers = Counter(i.turns[1] for i in made if i.stage == "vqa")
    assert answers["Yes."] == answers["No."] == 60
    for instruction in made:
        if instruction.stage == "vqa":
            asked = label_report(instruction.turns[0].replace("Is there", "There is").replace("?", "."))
            assert all(row().labels[name] == (instruction.turns[1] == "Yes.") for name, value in asked.items() if value)
        if instruction.stage == "caption":
            assert label_report(instruction.turns[1])["Emphysema"] == 1


def test_expert_calls_rest_on_evidence() -> None:
    array = np.zeros((4, 4, 4), np.uint8)
    array[1] = 1
    labels = LabelMap(array, make_affine((1, 1, 1)), {1: "liver"}, "a", "x", "1", statuses={"liver_cyst": Status.ABSENT})
    sentences = [
        Sentence(text="The liver measures 1500 ml.", structure="liver", status=Status.FOUND),
        Sentence(text="No liver cyst.", structure="liver_cyst", status=Status.ABSENT),
    ]
    found, absent = expert_calls(row(), labels, sentences, "Masks")
    assert found.turns[1] == "<Masks(liver)>"
    assert "1500 ml" in found.turns[2]
    assert found.turns[3] == "The liver measures 1500 ml."
    assert absent.turns[3] == "No liver cyst is found."
    with pytest.raises(ConfigError):
        Instruction("x", "vqa", row(), ("only a question",))
    with pytest.raises(ConfigError):
        list(instruct([row()], stages=("poetry",)))


def test_mixture_keeps_shares_and_sees_all_before_any_twice() -> None:
    mixture = Mixture({"real": 50, "phantom": 5}, {"real": 1, "phantom": 1}, seed=1)
    draws = list(mixture.draw(20))
    assert Counter(name for name, _ in draws) == {"real": 10, "phantom": 10}
    assert sorted(i for name, i in draws if name == "phantom") == sorted([*range(5)] * 2)
    assert draws == list(Mixture({"real": 50, "phantom": 5}, {"real": 1, "phantom": 1}, seed=1).draw(20))
    assert {s.name: s.epochs for s in mixture.report(100)} == {"real": 1.0, "phantom": 10.0}
    with pytest.raises(ConfigError):
        Mixture({"a": 1}, {"b": 1.0})
