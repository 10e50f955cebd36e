"""One model on one set of questions, the same way for the command and for suites: choose its prompt, ask, ask again without its scan, score.

What a model said blind and about another patient's scan is asked with the same prompt, and stands beside its score as a baseline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.entities import Extractor
from vol3d.evaluation.models import Answerer
from vol3d.evaluation.models.prompts import DEFAULT
from vol3d.evaluation.models.run import read_predictions, run_vqa
from vol3d.evaluation.parsing import Mode
from vol3d.evaluation.probe_runs import SWAPPED, changed_scan, condition_of, swap_partners
from vol3d.evaluation.prompt_choice import Choice, Validation, choose_prompt
from vol3d.evaluation.results import MetricRow
from vol3d.evaluation.vqa_baselines import baseline_answers, baseline_rows
from vol3d.evaluation.vqa_table import Item, Scored, confidences_by_qid, predictions_by_qid, score_items, vqa_rows

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Asked:
    """Where the answers lie, and how they came about."""

    answers: Path
    decoding: Mapping[str, Any]
    prompts: Choice | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)


def ask_model(
    answerer: Answerer,
    records: Sequence[Mapping[str, Any]],
    scans: str | Path | None,
    answers: str | Path,
    *,
    form: Literal["mc", "free"] = "mc",
    validation: Validation | None = None,
    probe: str | None = None,
    beside: bool = True,
    seed: int = 0,
    on_progress: Progress = _silent,
) -> Asked:
    """Choose a prompt where there is something to choose on, ask every question once, then blind and about another patient's scan.

    Args:
        answerer: the model.
        records: the test questions.
        scans: their folder; None asks blind, and nothing is asked beside.
        answers: JSON lines; `NAME.blind.jsonl` and `NAME.swapped.jsonl` are written next to it.
        form: multiple choice or free form.
        validation: prompts and questions to choose on.
        probe: changes every scan, the swapped ones too.
        beside: whether to ask the two baselines of the model itself.
        seed: of the swap and the probe.
        on_progress: called after every question.

    Errors: ConfigError where every question failed.
    """
    path = Path(answers)
    stem = path.name.removesuffix(".jsonl")
    choice = None if validation is None else choose_prompt(answerer, validation, path.parent, stem, form=form, on_progress=on_progress)
    template = DEFAULT if choice is None else choice.prompt
    change = None if probe is None else partial(changed_scan, name=probe, seed=seed)
    condition = "" if probe is None or scans is None else condition_of(probe, seed)
    ask = partial(run_vqa, answerer, records, form=form, template=template, on_progress=on_progress)
    failures = ask(scans, path, change=change, condition=condition)
    if failures == len(records):
        raise ConfigError("every question failed", path=path, hint="The file holds each question's error.")
    others: dict[str, Path] = {}
    if beside and scans is not None:
        others["blind"] = path.with_name(f"{stem}.blind.jsonl")
        ask(None, others["blind"])
        partners = swap_partners(records, np.random.default_rng(seed))
        if partners is not None:
            others["swapped"] = path.with_name(f"{stem}.swapped.jsonl")
            swapped = " + ".join(filter(None, (condition_of(SWAPPED, seed), condition)))
            ask(scans, others["swapped"], instead=partners, change=change, condition=swapped)
    decoding = {**answerer.settings, "blind": scans is None, "failures": failures}
    return Asked(path, decoding, choice, others)


def score_model(
    items: Sequence[Item],
    answers: Sequence[Mapping[str, Any]],
    *,
    mode: Mode = "strict",
    train: Sequence[Item] = (),
    beside: Mapping[str, Mapping[str, str]] | None = None,
    likeness: Mapping[tuple[str, str], float] | None = None,
    extractor: Extractor | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[list[MetricRow], list[Scored]]:
    """The model's table with every baseline beside it, and its scored answers.

    `beside` holds further answers by name (blind, swapped). Baselines that learn use `train`, or other patients of the test.
    """
    texts = predictions_by_qid(answers)
    scored = score_items(items, texts, mode=mode, confidences=confidences_by_qid(answers))
    rows = vqa_rows(scored, num_resamples=num_resamples, seed=seed, extractor=extractor)
    known = baseline_answers(items, texts, train=train, likeness=likeness, mode=mode, seed=seed)
    rows += baseline_rows(scored, {**known, **(beside or {})}, mode=mode, num_resamples=num_resamples, seed=seed)
    return rows, scored


def answers_beside(asked: Asked) -> dict[str, dict[str, str]]:
    """Blind and swapped answers of a run, by name."""
    return {name: predictions_by_qid(found) for name, path in asked.beside.items() if (found := read_predictions(path))}
