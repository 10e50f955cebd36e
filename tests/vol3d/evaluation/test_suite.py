"""A suite of two models and two tasks from one file."""

import json

import pytest

from vol3d.cli.main import main
from vol3d.errors import ConfigError
from vol3d.evaluation.suite import read_suite, run_suite

SUITE = """
name: two models
models:
  - {name: good, predictions: {mc: good.jsonl, reports: good.json}}
  - {name: bad, predictions: {mc: bad.jsonl, reports: bad.json}}
tasks:
  - {name: mc, kind: vqa, questions: q.jsonl}
  - {name: reports, kind: report, references: ref.json}
resamples: 50
"""


@pytest.fixture
def folder(tmp_path):
    questions = [
        {"qid": i, "image_id": f"s{i}", "mc_question": "Q? A. 1 B. 2", "correct_option": "A", "answer": "1", "question_subtype": "x"}
        for i in range(12)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, questions)))
    for name, letter in (("good", "A"), ("bad", "B")):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"qid": i, "prediction": letter}) for i in range(12)))
    references = {f"s{i}": f"The liver is normal. A {i} mm cyst is seen in the left kidney." for i in range(6)}
    (tmp_path / "ref.json").write_text(json.dumps(references))
    (tmp_path / "good.json").write_text(json.dumps(references))
    (tmp_path / "bad.json").write_text(json.dumps(dict.fromkeys(references, "Nothing.")))
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


def test_one_command_gives_results_pages_and_a_summary(folder, capsys):
    assert main(["evaluate", "suite", str(folder / "suite.yaml"), "--output", str(folder / "out"), "--no-labels", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    models = [r["model"] for r in summary["tasks"]["mc"]["leaderboard"]]
    assert [m for m in models if m in ("good", "bad")] == ["good", "bad"]
    assert {"baseline: constant", "baseline: chance"} <= set(models)  # in the table, where nobody can overlook them
    assert summary["tasks"]["mc"]["compared"] == ["good against bad: 1 win, 0 tie, 0 loss"]
    assert summary["tasks"]["reports"]["leaderboard"][0]["model"] == "good"
    beside = {r["metric"] for r in json.loads((folder / "out" / "reports" / "good.json").read_text())["rows"]}
    assert {f"baseline_{name}/words/bleu_1" for name in ("constant", "retrieved_by_text", "shuffled", "other_patient")} <= beside
    assert {p.name for p in (folder / "out").iterdir()} == {"mc", "reports", "mc.html", "reports.html", "suite.json"}


def test_wrong_suites_are_refused(folder):
    (folder / "a.yaml").write_text("name: x\nmodels: []\ntasks: []\n")
    (folder / "b.yaml").write_text("name: [\n")
    (folder / "c.yaml").write_text(SUITE.replace("mc: good.jsonl, ", ""))
    for name, words in {"a": "models", "b": "YAML"}.items():
        with pytest.raises(ConfigError, match=words):
            read_suite(folder / f"{name}.yaml")
    with pytest.raises(ConfigError, match="no answers for task mc"):
        run_suite(folder / "c.yaml", folder / "out2")
