"""How well the rule labeller agrees with human labels: per-label counts, precision, recall, F1, and the same by folds."""

import csv
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prep.text.labels18 import LABELS18, label_report
from vol3d.errors import VolumeError

# Rules were written while looking at errors of folds 0 to 3; fold 4 was only ever scored.
NUM_FOLDS = 5
HELD_BACK_FOLD = 4
_TEXT_COLUMNS = ("report_text", "text", "report", "Findings_EN")


@dataclass(frozen=True)
class LabelScore:
    """Agreement on one label."""

    label: str
    true_positive: int
    false_positive: int
    false_negative: int
    precision: float
    recall: float
    f1: float

    @property
    def positives(self) -> int:
        """Reports that carry the label."""
        return self.true_positive + self.false_negative


def evaluate_labeller(path: str | Path) -> list[dict[str, Any]]:
    """Score `label_report` on a CSV of reports with human labels.

    Args:
        path: CSV with a text column (`report_text`, or `Findings_EN` with `Impressions_EN`) and the 18 label columns (0/1).

    Returns:
        Rows with the keys `metric n value` (ci_low and ci_high are None: the caller bootstraps if it wants them), first
        `macro_f1`, `micro_f1`, `macro_f1_fold_0..4` and `macro_f1_held_back`, then for each label
        `f1/<label>`, `precision/<label>`, `recall/<label>`.

    Raises:
        VolumeError: the file lacks the text column or a label column.
    """
    truth, predicted, texts = read_and_predict(path)
    scores = score_labels(truth, predicted)
    rows = [_row("macro_f1", len(texts), macro_f1(scores)), _row("micro_f1", len(texts), micro_f1(scores))]
    for fold in range(NUM_FOLDS):
        chosen = [i for i, text in enumerate(texts) if fold_of(text) == fold]
        value = macro_f1(score_labels([truth[i] for i in chosen], [predicted[i] for i in chosen])) if chosen else 0.0
        rows.append(_row(f"macro_f1_fold_{fold}", len(chosen), value))
        if fold == HELD_BACK_FOLD:
            rows.append(_row("macro_f1_held_back", len(chosen), value))
    for score in scores:
        rows += [_row(f"{name}/{score.label}", score.positives, getattr(score, name)) for name in ("f1", "precision", "recall")]
    return rows


def read_and_predict(path: str | Path) -> tuple[list[dict[str, int]], list[dict[str, int]], list[str]]:
    """Human labels, our labels and texts of a CSV, in its order."""
    with Path(path).open(newline="", encoding="utf-8") as handle:
        records = list(csv.DictReader(handle))
    if not records:
        raise VolumeError("the file holds no reports", path=path)
    column = next((name for name in _TEXT_COLUMNS if name in records[0]), None)
    missing = [name for name in LABELS18 if name not in records[0]]
    if column is None or missing:
        raise VolumeError(
            "not a table of reports with labels", path=path, expected=f"{_TEXT_COLUMNS[0]} and 18 labels", found=f"missing {missing or _TEXT_COLUMNS}"
        )
    texts = [record[column] + (' " ' + record["Impressions_EN"] if "Impressions_EN" in record else "") for record in records]
    truth = [{name: int(float(record[name] or 0)) for name in LABELS18} for record in records]
    return truth, [label_report(text) for text in texts], texts


def score_labels(truth: Sequence[Mapping[str, int]], predicted: Sequence[Mapping[str, int]]) -> list[LabelScore]:
    """Per-label counts and rates; a rate without a denominator is 0."""
    out = []
    for name in LABELS18:
        pairs = [(t[name], p[name]) for t, p in zip(truth, predicted, strict=True)]
        tp, fp, fn = pairs.count((1, 1)), pairs.count((0, 1)), pairs.count((1, 0))
        out.append(LabelScore(name, tp, fp, fn, tp / max(tp + fp, 1), tp / max(tp + fn, 1), 2 * tp / max(2 * tp + fp + fn, 1)))
    return out


def macro_f1(scores: Sequence[LabelScore]) -> float:
    """Mean of the labels' F1."""
    return sum(score.f1 for score in scores) / len(scores)


def micro_f1(scores: Sequence[LabelScore]) -> float:
    """F1 of the pooled counts."""
    tp = sum(s.true_positive for s in scores)
    return 2 * tp / max(2 * tp + sum(s.false_positive + s.false_negative for s in scores), 1)


def fold_of(text: str) -> int:
    """A report's fold by its text, so that equal reports never stand on both sides of a split."""
    return zlib.crc32(text.encode()) % NUM_FOLDS


def as_table(scores: Sequence[LabelScore]) -> list[dict[str, Any]]:
    """Scores as plain dictionaries."""
    return [asdict(score) for score in scores]


def _row(metric: str, n: int, value: float) -> dict[str, Any]:
    return {"metric": metric, "n": n, "value": value, "ci_low": None, "ci_high": None}
