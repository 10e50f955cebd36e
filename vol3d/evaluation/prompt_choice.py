"""One prompt per model, chosen on validation questions with the same budget for all, before the test questions are asked once.

A model whose prompt was tuned and a base whose prompt was not cannot be compared ("Are we making progress?", arXiv 2411.04118); nor can a prompt be
chosen on the questions that it is then scored on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.models import Answerer
from vol3d.evaluation.models.prompts import prompt_id, read_prompts
from vol3d.evaluation.models.run import read_predictions, run_vqa
from vol3d.evaluation.results import hashes, read_records
from vol3d.evaluation.vqa_table import item_from_record, patient_of, predictions_by_qid, score_items

Form = Literal["mc", "free"]


@dataclass(frozen=True)
class Validation:
    """What every model chooses its prompt on.

    Args:
        prompts: candidates, in the order in which ties are broken.
        records: the validation questions, already drawn: `budget` of them, the same for every model and prompt.
        scans: folder of their scans; None asks blind.
        source: SHA-256 of the files of prompts and questions.
    """

    prompts: tuple[str, ...]
    records: tuple[Mapping[str, Any], ...]
    scans: str | Path | None
    source: Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """The chosen prompt, and how each candidate did."""

    prompt: str
    scores: tuple[float, ...]
    budget: int
    source: Mapping[str, str]
    candidates: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """For the provenance."""
        return {
            "chosen": self.prompt,
            "chosen_id": prompt_id(self.prompt),
            "candidates": [{"prompt": text, "validation_score": score} for text, score in zip(self.candidates, self.scores, strict=True)],
            "validation_questions_per_prompt": self.budget,
            "validation_questions_asked": self.budget * len(self.candidates),
            "source": dict(self.source),
        }


def drawn(records: Sequence[dict[str, Any]], count: int | None, seed: int) -> list[dict[str, Any]]:
    """`count` questions, the same for every model, in file order; all of them where None or fewer.

    >>> [r["qid"] for r in drawn([{"qid": i} for i in range(9)], 3, 0)] == [r["qid"] for r in drawn([{"qid": i} for i in range(9)], 3, 0)]
    True
    """
    if count is None or count >= len(records):
        return list(records)
    if count < 1:
        raise ConfigError("number of questions", expected="at least 1", found=count)
    return [records[int(i)] for i in np.sort(np.random.default_rng(seed).permutation(len(records))[:count])]


def read_validation(
    prompts: str | Path, questions: str | Path, scans: str | Path | None, test: Sequence[Mapping[str, Any]], *, budget: int | None, seed: int = 0
) -> Validation:
    """Candidates and validation questions.

    Errors: ConfigError where a validation patient is also in the test.
    """
    records = drawn(read_records(questions), budget, seed)
    both = {_patient(r) for r in records} & {_patient(r) for r in test}
    if both:
        raise ConfigError(
            "prompts cannot be chosen on patients of the test", path=questions, expected="other patients", found=", ".join(sorted(both)[:3])
        )
    return Validation(read_prompts(prompts), tuple(records), scans, hashes([prompts, questions]))


def _patient(record: Mapping[str, Any]) -> str:
    return str(record.get("patient") or patient_of(str(record["image_id"])))


def choose_prompt(
    answerer: Answerer,
    validation: Validation,
    folder: str | Path,
    name: str,
    *,
    form: Form = "mc",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Choice:
    """Ask all validation questions with every candidate and take the best; answers are kept as `folder/NAME.validation.PROMPT.jsonl`.

    Unread answers count as wrong, so a prompt that makes a model chat is no good prompt. Ties go to the earlier candidate.
    """
    items = [item_from_record(record, form) for record in validation.records]
    scores = []
    for template in validation.prompts:
        path = Path(folder) / f"{name}.validation.{prompt_id(template)}.jsonl"
        failures = run_vqa(answerer, validation.records, validation.scans, path, form=form, template=template, on_progress=on_progress)
        if failures:
            raise ConfigError(
                f"{failures} validation questions failed", path=path, hint="Run again: a choice needs every model to have answered all of them."
            )
        scored = score_items(items, predictions_by_qid(read_predictions(path)))
        scores.append(float(np.mean([s.score.value for s in scored])))
    best = max(range(len(scores)), key=lambda i: (scores[i], -i))
    return Choice(validation.prompts[best], tuple(scores), len(validation.records), validation.source, validation.prompts)
