"""Several models, several tasks, one command: a YAML file names them, a folder holds what came out.

    name: two models on phantoms
    models:
      - {name: demo, run: "vol3d:demo"}
      - {name: base, predictions: {mc: base.jsonl}}
    tasks:
      - {name: mc, kind: vqa, questions: questions.jsonl, scans: scans, format: mc}
      - {name: reports, kind: report, references: references.csv}

The first model is compared with every other one. Paths are relative to the file.
"""

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vol3d.errors import ConfigError
from vol3d.evaluation.compare import compare_results
from vol3d.evaluation.leaderboard import leaderboard_rows, page
from vol3d.evaluation.models.run import read_predictions, run_vqa
from vol3d.evaluation.models.specs import answerer_from
from vol3d.evaluation.report import Labeller, report_rows
from vol3d.evaluation.report_files import pair, read_reports
from vol3d.evaluation.results import Provenance, ResultFile, hashes, read_records, write_result
from vol3d.evaluation.vqa_table import item_from_record, item_records, patient_of, predictions_by_qid, score_items, vqa_rows
from vol3d.volume.atomic import atomic_path


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelEntry(_Strict):
    """A model: run it (`vol3d:NAME`, `hf:NAME`, `openai:URL#MODEL`), or read its answers per task."""

    name: str
    run: str | None = None
    predictions: dict[str, str] = Field(default_factory=dict)
    feed: str | None = None
    slices: int | None = None


class Task(_Strict):
    """Something to score: questions about scans, or reports."""

    name: str
    kind: Literal["vqa", "report"]
    questions: str | None = None
    scans: str | None = None
    format: Literal["mc", "free"] = "mc"
    references: str | None = None
    metric: str | None = None


class Suite(_Strict):
    """Models times tasks."""

    name: str
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    tasks: tuple[Task, ...] = Field(min_length=1)
    resamples: int = 2000
    seed: int = 0


def read_suite(path: str | Path) -> Suite:
    """Read a suite; ConfigError names the entry that is wrong."""
    try:
        return Suite.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a YAML file: {error}", path=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", path=path, expected="name, models, tasks") from error


def run_suite(path: str | Path, output: str | Path, *, labeller: Labeller | None = None) -> dict[str, Any]:
    """Run all, write `TASK/MODEL.json`, `TASK.html` and `suite.json` under `output`; gives what `suite.json` holds."""
    suite, base, folder = read_suite(path), Path(path).resolve().parent, Path(output)
    summary: dict[str, Any] = {
        "suite": suite.name,
        "tasks": {},
        "provenance": {"suite": hashes([path]), "resamples": suite.resamples, "seed": suite.seed},
    }
    for task in suite.tasks:
        (folder / task.name).mkdir(parents=True, exist_ok=True)
        results = [_one(suite, task, model, base, folder, labeller) for model in suite.models]
        for model, result in zip(suite.models, results, strict=True):
            write_result(result, folder / task.name / f"{model.name}.json")
        metric = task.metric or ("score" if task.kind == "vqa" else "clinical/macro_f1" if labeller else "words/bleu_mean")
        with atomic_path(folder / f"{task.name}.html") as temporary:
            temporary.write_text(page(results, metric=metric), encoding="utf-8")
        compared = (
            [compare_results(results[0], other, by="all", num_resamples=suite.resamples) for other in results[1:]] if task.kind == "vqa" else []
        )
        summary["tasks"][task.name] = {
            "metric": metric,
            "leaderboard": leaderboard_rows(results, metric),
            "compared": [c["summary"] for c in compared],
        }
    with atomic_path(folder / "suite.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return summary


def _one(suite: Suite, task: Task, model: ModelEntry, base: Path, folder: Path, labeller: Labeller | None) -> ResultFile:
    return _vqa(suite, task, model, base, folder) if task.kind == "vqa" else _report(suite, task, model, base, labeller)


def _vqa(suite: Suite, task: Task, model: ModelEntry, base: Path, folder: Path) -> ResultFile:
    if task.questions is None:
        raise ConfigError(f"task {task.name} has no questions", expected="questions: FILE")
    records = read_records(base / task.questions)
    settings: dict[str, Any] = {}
    if task.name in model.predictions:
        answers = base / model.predictions[task.name]
        written = read_records(answers)
    elif model.run:
        answerer = answerer_from(model.run, feed=model.feed, slices=model.slices)
        answers = folder / task.name / f"{model.name}.jsonl"
        run_vqa(answerer, records, None if task.scans is None else base / task.scans, answers, form=task.format)
        written, settings = read_predictions(answers), dict(answerer.settings)
    else:
        raise ConfigError(f"model {model.name} has no answers for task {task.name}", expected="run: SPEC, or predictions: {TASK: FILE}")
    scored = score_items([item_from_record(r, task.format) for r in records], predictions_by_qid(written))
    provenance = Provenance(
        scorer="vol3d-vqa", model=model.name, data=hashes([base / task.questions, answers]), decoding=settings,
        settings={"format": task.format, "resamples": suite.resamples, "seed": suite.seed},
    )  # fmt: skip
    rows = vqa_rows(scored, num_resamples=suite.resamples, seed=suite.seed)
    return ResultFile(task=task.name, rows=tuple(rows), provenance=provenance, items=tuple(item_records(scored)))


def _report(suite: Suite, task: Task, model: ModelEntry, base: Path, labeller: Labeller | None) -> ResultFile:
    if task.references is None or task.name not in model.predictions:
        raise ConfigError(
            f"task {task.name} needs reports", expected="references: FILE, and predictions: {TASK: FILE} of each model", found=model.name
        )
    hypotheses = base / model.predictions[task.name]
    paired = pair(read_reports(base / task.references), read_reports(hypotheses))
    patients = [patient_of(name) for name in paired.ids]
    rows = report_rows(paired.references, paired.hypotheses, patients, labeller=labeller, num_resamples=suite.resamples, seed=suite.seed)
    provenance = Provenance(
        scorer="vol3d-report", model=model.name, data=hashes([base / task.references, hypotheses]), settings={"missing": paired.missing}
    )
    return ResultFile(task=task.name, rows=tuple(rows), provenance=provenance)
