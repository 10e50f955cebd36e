"""Several models, several tasks, one command: a YAML file names them, a folder holds what came out.

    name: two models on phantoms
    models:
      - {name: demo, run: "vol3d:demo"}
      - {name: base, predictions: {mc: base.jsonl}}
    tasks:
      - {name: mc, kind: vqa, questions: questions.jsonl, scans: scans, format: mc, train: train.jsonl}
      - {name: free, kind: vqa, questions: questions.jsonl, scans: scans, format: free,
         prompts: prompts.txt, validation: val.jsonl, budget: 50}      # each model that is run takes its best prompt
      - {name: reports, kind: report, references: references.csv}

The first model is compared with every other one. Paths are relative to the file.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vol3d.contracts import EvidenceSource
from vol3d.errors import ConfigError
from vol3d.evaluation.compare import compare_results
from vol3d.evaluation.entities import Extractor
from vol3d.evaluation.leaderboard import leaderboard_rows, page
from vol3d.evaluation.models.run import read_predictions
from vol3d.evaluation.models.specs import answerer_from
from vol3d.evaluation.prompt_choice import read_validation
from vol3d.evaluation.report import Labeller, report_rows
from vol3d.evaluation.report_baselines import report_baselines
from vol3d.evaluation.report_files import pair, read_reports
from vol3d.evaluation.results import Provenance, ResultFile, hashes, read_records, write_result
from vol3d.evaluation.vqa_table import item_from_record, item_records, patient_of
from vol3d.evaluation.vqa_task import Asked, answers_beside, ask_model, score_model
from vol3d.volume.atomic import atomic_path
from vol3d.volume.volume import Volume


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelEntry(_Strict):
    """A model: run it (a spec of `models/specs.py`), or read its answers per task."""

    name: str
    run: str | None = None
    predictions: dict[str, str] = Field(default_factory=dict)
    feed: str | None = None
    slices: int | None = None
    max_new_tokens: int | None = None
    trust_remote_code: bool = False


class Task(_Strict):
    """Something to score: questions about scans, or reports.

    `masks` holds label files named as the scans, which join a vol3d model's experts. Baselines learn from `train`. With `prompts` and `validation` every model that is run chooses its prompt on the same
    `budget` of validation questions per prompt (all of them where None).
    """

    name: str
    kind: Literal["vqa", "report"]
    questions: str | None = None
    scans: str | None = None
    masks: str | None = None
    format: Literal["mc", "free"] = "mc"
    train: str | None = None
    prompts: str | None = None
    validation: str | None = None
    validation_scans: str | None = None
    budget: int | None = Field(default=None, gt=0)
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


@dataclass(frozen=True)
class Helpers:
    """What the evaluation is given from outside its package.

    Args:
        labeller, extractor: of reports and open text; None: text overlap only.
        experts: folder of masks (None: without) -> scan -> panel, for vol3d models; None: what is installed.
    """

    labeller: Labeller | None = None
    extractor: Extractor | None = None
    experts: "Callable[[str | Path | None], Callable[[Volume], EvidenceSource]] | None" = None


def run_suite(path: str | Path, output: str | Path, helpers: Helpers = Helpers()) -> dict[str, Any]:
    """Run all, write `TASK/MODEL.json`, `TASK.html` and `suite.json` under `output`; gives what `suite.json` holds."""
    suite, base, folder = read_suite(path), Path(path).resolve().parent, Path(output)
    summary: dict[str, Any] = {
        "suite": suite.name,
        "tasks": {},
        "provenance": {"suite": hashes([path]), "resamples": suite.resamples, "seed": suite.seed},
    }
    for task in suite.tasks:
        (folder / task.name).mkdir(parents=True, exist_ok=True)
        results = [_one(suite, task, model, base, folder, helpers) for model in suite.models]
        for model, result in zip(suite.models, results, strict=True):
            write_result(result, folder / task.name / f"{model.name}.json")
        metric = task.metric or ("score" if task.kind == "vqa" else "clinical/macro_f1" if helpers.labeller else "words/bleu_mean")
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


def _one(suite: Suite, task: Task, model: ModelEntry, base: Path, folder: Path, helpers: Helpers) -> ResultFile:
    return _vqa(suite, task, model, base, folder, helpers) if task.kind == "vqa" else _report(suite, task, model, base, helpers.labeller)


def _vqa(suite: Suite, task: Task, model: ModelEntry, base: Path, folder: Path, helpers: Helpers) -> ResultFile:
    if task.questions is None:
        raise ConfigError(f"task {task.name} has no questions", expected="questions: FILE")
    records = read_records(base / task.questions)
    settings: dict[str, Any] = {"format": task.format, "resamples": suite.resamples, "seed": suite.seed}
    beside: dict[str, dict[str, str]] = {}
    decoding: dict[str, Any] = {}
    prompt = ""
    if task.name in model.predictions:
        answers = base / model.predictions[task.name]
        written = [record for record in read_records(answers) if "error" not in record]
    elif model.run:
        asked = _ask(suite, task, model, records, base, folder, helpers)
        answers, written, beside, decoding = asked.answers, read_predictions(asked.answers), answers_beside(asked), dict(asked.decoding)
        if asked.prompts is not None:
            settings["prompt_choice"], prompt = asked.prompts.record(), asked.prompts.prompt
    else:
        raise ConfigError(f"model {model.name} has no answers for task {task.name}", expected="run: SPEC, or predictions: {TASK: FILE}")
    train = [item_from_record(r, task.format) for r in read_records(base / task.train)] if task.train else []
    items = [item_from_record(r, task.format) for r in records]
    rows, scored = score_model(
        items, written, train=train, beside=beside, extractor=helpers.extractor, num_resamples=suite.resamples, seed=suite.seed
    )
    files = [base / task.questions, answers, base / task.train if task.train else None]
    provenance = Provenance(scorer="vol3d-vqa", model=model.name, prompts=prompt, data=hashes(files), decoding=decoding, settings=settings)
    return ResultFile(task=task.name, rows=tuple(rows), provenance=provenance, items=tuple(item_records(scored)))


def _ask(suite: Suite, task: Task, model: ModelEntry, records: list[dict[str, Any]], base: Path, folder: Path, helpers: Helpers) -> Asked:
    """Ask a model the questions of a task, with the prompt that it does best with on the task's validation questions."""
    scans = None if task.scans is None else base / task.scans
    validation = None
    if task.prompts or task.validation:
        if task.prompts is None or task.validation is None:
            raise ConfigError(f"task {task.name} chooses prompts on nothing", expected="prompts: FILE and validation: FILE")
        others = scans if task.validation_scans is None else base / task.validation_scans
        validation = read_validation(base / task.prompts, base / task.validation, others, records, budget=task.budget, seed=suite.seed)
    experts = None if helpers.experts is None else helpers.experts(None if task.masks is None else base / task.masks)
    answerer = answerer_from(
        str(model.run),
        experts=experts,
        trust_remote_code=model.trust_remote_code,
        feed=model.feed,
        slices=model.slices,
        max_new_tokens=model.max_new_tokens,
    )
    return ask_model(answerer, records, scans, folder / task.name / f"{model.name}.jsonl", form=task.format, validation=validation, seed=suite.seed)


def _report(suite: Suite, task: Task, model: ModelEntry, base: Path, labeller: Labeller | None) -> ResultFile:
    if task.references is None or task.name not in model.predictions:
        raise ConfigError(
            f"task {task.name} needs reports", expected="references: FILE, and predictions: {TASK: FILE} of each model", found=model.name
        )
    hypotheses = base / model.predictions[task.name]
    paired = pair(read_reports(base / task.references), read_reports(hypotheses))
    patients = [patient_of(name) for name in paired.ids]
    train = None if task.train is None else base / task.train
    systems = {"": paired.hypotheses} | report_baselines(
        paired.references,
        paired.hypotheses,
        patients,
        train=None if train is None else read_reports(train).texts,
        rng=np.random.default_rng(suite.seed),
    )
    rows = []
    for name, texts in systems.items():
        found = report_rows(paired.references, texts, patients, labeller=labeller, num_resamples=suite.resamples, seed=suite.seed)
        rows += [row.model_copy(update={"metric": f"baseline_{name}/{row.metric}"}) if name else row for row in found]
    provenance = Provenance(
        scorer="vol3d-report", model=model.name, data=hashes([base / task.references, hypotheses, train]), settings={"missing": paired.missing}
    )
    return ResultFile(task=task.name, rows=tuple(rows), provenance=provenance)
