"""`vol3d evaluate experts` end to end: real phantoms, a tiny untrained model, and a copy of it as the baseline."""

import json
import re
import shutil

import pytest

from tests.vol3d.tiny_model import save_tiny_model
from vol3d.cli.evaluate_experts import _print_table, _within
from vol3d.cli.main import main
from vol3d.evaluation.expert_tables import MEASURES, Cell
from vol3d.evaluation.statistics import Estimate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("experts")
    save_tiny_model(made / "one")
    shutil.copytree(made / "one", made / "other")
    return made


def run(capsys, folder, *arguments) -> str:
    code = main(["evaluate", "experts", "--model", str(folder / "one"), "--corpus", str(folder / "corpus"), "--num-questions", "2", *arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_tables_and_json_tell_the_same(folder, capsys) -> None:
    kept = folder / "asked.jsonl"
    document = json.loads(run(capsys, folder, "--json", "--baseline", str(folder / "other"), "--output", str(kept)))
    rows = {(row["metric"], row["model"]): row for row in document["rows"]}
    trained = rows["calls/as trained/right", "one"]
    assert (trained["n"], trained["value"]) == (2, 0.0)
    assert all(rows[f"calls/{variant}/right", "one"]["n"] == 2 for variant in ("reordered", "renamed", "removed", "unseen structures"))
    assert rows["evidence/all/after", "one"]["n"] == rows["evidence/all/after - before", "one - other"]["n"] == 2
    # The baseline is the same model: every paired difference is nil.
    assert {row["value"] for row in document["rows"] if row["model"] == "one - other"} == {0.0}
    assert "not for clinical use" in document["disclaimer"]
    asked = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(asked) == 2 * sum(row["n"] for (metric, model), row in rows.items() if model == "one" and metric in COUNTED)
    assert all(item["cards"] for item in asked if item["exam"] == "calls")
    # An untrained model spells nonsense; constrained it may still not write a call that stands on no card.
    assert not {item["outcome"] for item in asked if item["exam"] == "constrained"} & {"invented"}
    assert {0 < item["doubt"] < 1 for item in asked} == {True}

    printed = run(capsys, folder)
    assert printed.startswith("Phantom results: ")
    assert max(map(len, printed.splitlines())) <= 100
    assert re.search(r"as trained +2 +0\.00 ", printed)
    assert " one " not in printed
    assert printed.rstrip().endswith("Research software, not for clinical use.")

    tables = run(capsys, folder, "--markdown", "--exam", "evidence")
    assert "| evidence | model | n | before | after | after - before |\n|---|" in tables
    assert "| all | one | 2 | " in tables


@pytest.mark.parametrize("models", [("vlm",), ("vlm", "vlm_no_doubt", "vlm - vlm_no_doubt")])
@pytest.mark.parametrize("table", MEASURES)
def test_tables_are_within_100_columns_and_name_models_where_there_are_two(capsys, table, models) -> None:
    estimate = Estimate(-0.95, -0.97, 0.92, 200, 40, "percentile")
    rows = ("unseen structures", "spoiled, any kind of it")
    _print_table([Cell(table, row, measure, model, estimate) for row in rows for model in models for measure in MEASURES[table]])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    assert all(re.search(rf"\b{word}\b", printed) for measure in MEASURES[table] for word in measure.split(" - "))
    assert ("vlm_no_doubt" in printed, " vlm " in printed) == (len(models) > 1,) * 2
    assert printed.count("(-0.97 to 0.92)") == len(rows) * len(models) * len(MEASURES[table])


def test_shares_and_differences_with_their_intervals() -> None:
    estimates = [
        Estimate(0.95, 0.92, 0.97, 9, 9, "percentile"),
        Estimate(-0.01, -0.03, 0.02, 9, 9, "percentile"),
        Estimate(1.0, None, None, 1, 1, "percentile"),
    ]
    assert [_within(e) for e in (*estimates, None)] == ["0.95 (0.92-0.97)", "-0.01\n(-0.03 to 0.02)", "1.00", ""]


# Each question asked is counted once under these.
COUNTED = (
    "calls/all/right", "calls/all/constrained", "evidence/all/before", "evidence/all/after", "doubt/true/right", "doubt/true, beside spoiled/right",
    "doubt/spoiled, any kind/right",
)  # fmt: skip


def test_a_model_is_no_baseline_of_itself(folder, capsys) -> None:
    code = main(["evaluate", "experts", "--model", str(folder / "one"), "--corpus", str(folder / "corpus"), "--baseline", str(folder / "one")])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.count("\n") == 1
    assert "the baseline is the model itself" in captured.err
