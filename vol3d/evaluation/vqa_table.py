"""From questions and predictions to a table: overall, by kind, by group, subtype, organ and lesion size, with parse rates.

A missing prediction is a wrong answer, not a smaller test set: dropping it would reward models that crash.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.entities import Extractor
from vol3d.evaluation.open_text import text_rows
from vol3d.evaluation.parsing import Mode
from vol3d.evaluation.parsing.text import normalise
from vol3d.evaluation.ranking_metrics import calibration
from vol3d.evaluation.results import MetricRow, plain_row, row
from vol3d.evaluation.statistics import cluster_bootstrap
from vol3d.evaluation.vqa import Kind, Score, answer_kind, read_options, score_answer

Format = Literal["mc", "free"]
_SIZES = ((10.0, "under_10_mm"), (20.0, "10_to_20_mm"), (50.0, "20_to_50_mm"), (float("inf"), "over_50_mm"))
_GROUPS = ("group", "subtype", "organ", "lesion_size")
_TEXT_KEYS = ("prediction", "raw_output", "pred_answer", "output", "response", "text", "answer_text", "pred")


@dataclass(frozen=True)
class Item:
    """One question as the scorer sees it."""

    qid: str
    image_id: str
    patient: str
    kind: Kind
    truth: str
    options: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """An item, what the model wrote (None: nothing), its score, and the model's own probability of its answer where it gave one."""

    item: Item
    text: str | None
    score: Score
    confidence: float | None = None


def patient_of(image_id: str) -> str:
    """The patient behind a scan's name: CT-RATE names carry it, other names are their own patient.

    >>> patient_of("valid_12_a_2.nii.gz"), patient_of("BDMAP_00000012")
    ('valid_12', 'BDMAP_00000012')
    """
    match = re.match(r"((?:train|valid)_\d+)_[a-z]+_\d+", image_id)
    return match.group(1) if match else image_id


def item_from_record(record: Mapping[str, Any], form: Format) -> Item:
    """An item from a v1 or v2 record of DeepTumorVQA, or one of ours."""
    qid = record.get("qid", record.get("question_id", record.get("id")))
    if qid is None:
        raise ConfigError("a question has no id", expected="the key qid or question_id", found=", ".join(sorted(record)[:8]))
    text = str(record.get("mc_question") or record.get("multiple_choice_question") or "")
    options = read_options(text)
    image_id = str(record.get("image_id", ""))
    groups = {"group": record.get("question_type"), "subtype": record.get("question_subtype"), "organ": record.get("organ")}
    diameter = record.get("lesion_diameter_mm")
    if isinstance(diameter, int | float):
        groups["lesion_size"] = next(name for limit, name in _SIZES if diameter < limit)
    truth = record.get("correct_option") if form == "mc" else record.get("answer")
    if truth in (None, ""):
        raise ConfigError(f"question {qid} has no truth", expected="correct_option" if form == "mc" else "answer")
    if form == "free" and normalise(str(truth)) not in {normalise(option) for option in options.values()}:
        options = {}  # the letters' texts are not this answer's categories
    return Item(
        qid=str(qid),
        image_id=image_id,
        patient=str(record.get("patient") or patient_of(image_id)),
        kind="choice" if form == "mc" else _kind_of(record, truth),
        truth=str(truth),
        options=options,
        unit=record.get("unit"),
        groups={key: str(value) for key, value in groups.items() if value not in (None, "")},
    )


def _kind_of(record: Mapping[str, Any], truth: object) -> Kind:
    """The record's own word on it, where it has one."""
    known: Mapping[str, Kind] = {"yes_no": "yes_no", "number": "number", "category": "category", "text": "text"}
    return known.get(str(record.get("answer_kind")), answer_kind(truth))


def predictions_by_qid(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Qid -> text, from any of the usual keys; two different texts for one question are refused."""
    found: dict[str, str] = {}
    for record in records:
        qid = record.get("qid", record.get("question_id", record.get("id")))
        text = next((record[key] for key in _TEXT_KEYS if record.get(key) is not None), record.get("answer"))
        if qid is None or text is None:
            raise ConfigError("a prediction lacks its id or its text", expected=f"qid and one of {', '.join(_TEXT_KEYS)}", found=", ".join(record))
        if found.setdefault(str(qid), str(text)) != str(text):
            raise ConfigError(f"two different predictions for question {qid}", hint="Keep one prediction per question.")
    return found


def confidences_by_qid(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Qid -> the model's probability of its answer, where the prediction has one in 0..1."""
    found = {str(r.get("qid", r.get("question_id", r.get("id")))): r.get("confidence") for r in records}
    return {qid: float(value) for qid, value in found.items() if isinstance(value, int | float) and 0 <= value <= 1}


def score_items(
    items: Sequence[Item], predictions: Mapping[str, str], *, mode: Mode = "strict", confidences: Mapping[str, float] | None = None
) -> list[Scored]:
    """Score all items; those without a prediction score 0, unread."""
    if items and not any(item.qid in predictions for item in items):
        raise ConfigError("no prediction belongs to any question", expected=f"ids such as {items[0].qid}", found=str(next(iter(predictions), None)))
    scored = []
    for item in items:
        text = predictions.get(item.qid)
        score = score_answer(text or "", item.truth, kind=item.kind, unit=item.unit, options=item.options, mode=mode)
        scored.append(Scored(item, text, score, (confidences or {}).get(item.qid)))
    return scored


def vqa_rows(
    scored: Sequence[Scored],
    *,
    groups: Sequence[str] = _GROUPS,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    extractor: Extractor | None = None,
) -> list[MetricRow]:
    """The table of one model: overall, parse rate, calibration, by kind, then by each of `groups`; intervals resample patients.

    `extractor` finds the findings in open text; without it they are not compared.
    """
    if not scored:
        raise ConfigError("no questions to score", expected="at least one")
    rng = np.random.default_rng(seed)

    def add(metric: str, chosen: Sequence[Scored], value: Callable[[Scored], float]) -> None:
        if chosen:
            values, clusters = [value(s) for s in chosen], [s.item.patient for s in chosen]
            rows.append(row(metric, cluster_bootstrap(values, clusters, num_resamples=num_resamples, confidence=confidence, rng=rng)))

    rows: list[MetricRow] = []
    add("score", scored, lambda s: s.score.value)
    add("parse_rate", scored, lambda s: float(s.score.is_parsed))
    add("answered_rate", scored, lambda s: float(s.text is not None))
    sure = [s for s in scored if s.confidence is not None]
    add("calibration/mean_confidence", sure, lambda s: s.confidence or 0.0)
    add("calibration/brier", sure, lambda s: (s.score.value - (s.confidence or 0.0)) ** 2)
    right = np.array([int(s.score.value >= 0.5) for s in sure])
    if len(sure):
        rows.append(plain_row("calibration/ece", calibration(right, np.array([s.confidence or 0.0 for s in sure]))["ece"], len(sure)))
    _kind_rows(scored, add)
    free = [s for s in scored if s.item.kind == "text"]
    truths, texts, patients = [s.item.truth for s in free], [s.text or "" for s in free], [s.item.patient for s in free]
    rows += text_rows(truths, texts, patients, extractor=extractor, num_resamples=num_resamples, seed=seed)
    for group in groups:
        for name in sorted({s.item.groups[group] for s in scored if group in s.item.groups}):
            add(f"{group}/{name}", [s for s in scored if s.item.groups.get(group) == name], lambda s: s.score.value)
    return rows


def _kind_rows(scored: Sequence[Scored], add: Callable[[str, Sequence[Scored], Callable[[Scored], float]], None]) -> None:
    by_kind = {kind: [s for s in scored if s.item.kind == kind] for kind in ("choice", "yes_no", "number", "category")}
    for kind in ("choice", "yes_no", "category"):
        add(f"{kind}/accuracy", by_kind[kind], lambda s: s.score.value)  # type: ignore[index]
    add("number/relative_accuracy", by_kind["number"], lambda s: s.score.value)
    for name in by_kind["number"][0].score.extra if by_kind["number"] else ():
        add(f"number/{name}", by_kind["number"], lambda s, name=name: s.score.extra[name])  # type: ignore[misc]
    yes = [s for s in by_kind["yes_no"] if s.item.truth.strip().lower().startswith("y")]
    add("yes_no/sensitivity", yes, lambda s: s.score.value)
    add("yes_no/specificity", [s for s in by_kind["yes_no"] if s not in yes], lambda s: s.score.value)


def item_records(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """One record per question for the result file and the page of worst cases."""
    return [
        {
            "qid": s.item.qid,
            "image_id": s.item.image_id,
            "patient": s.item.patient,
            "kind": s.item.kind,
            **s.item.groups,
            "truth": s.item.truth,
            **({"truth_text": f"{s.item.truth}. {s.item.options[s.item.truth]}"} if s.item.options.get(s.item.truth) else {}),
            "prediction": s.text,
            "parsed": s.score.parsed,
            "score": s.score.value,
            **({} if s.confidence is None else {"confidence": s.confidence}),
        }
        for s in scored
    ]
