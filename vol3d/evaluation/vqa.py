"""Scores of single answers: choice, yes or no, number, category, open text; and the parsers that they rest on.

A score is always in [0, 1] and says whether the answer could be read. Numeric rules are kept apart by name, because the papers are not:
`relative_accuracy` is DeepTumorVQA's (it calls it MRA), `mean_relative_accuracy` is VSI-Bench's (arXiv 2412.14171, eq. 1).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vol3d.evaluation.open_text import LONGEST_CATEGORY, answer_words, extra_scores, is_answer, token_f1
from vol3d.evaluation.parsing import Mode, Quantity, parse_category, parse_choice, parse_number, parse_quantity, parse_yes_no
from vol3d.evaluation.parsing.choice import read_options
from vol3d.evaluation.parsing.text import clean, normalise

__all__ = [
    "Kind", "Score", "answer_kind", "mean_relative_accuracy", "parse_category", "parse_choice", "parse_number", "parse_quantity",
    "parse_yes_no", "read_options", "relative_accuracy", "score_answer", "score_category", "score_choice", "score_number", "score_text", "score_yes_no",
    "within_tolerance",
]  # fmt: skip

Kind = Literal["choice", "yes_no", "number", "category", "text"]
TOLERANCES = (0.05, 0.10, 0.20, 0.50)
_MRA_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True)
class Score:
    """One scored answer: `value` in [0, 1], what was read (None: nothing could be), and further scores by name."""

    value: float
    parsed: str | float | bool | None
    extra: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_parsed(self) -> bool:
        """Whether the text decided."""
        return self.parsed is not None


def relative_accuracy(predicted: float, truth: float) -> float:
    """`max(0, 1 - |p - t| / |t|)`; for a truth of 0 only an exact 0 scores.

    >>> relative_accuracy(90, 100), relative_accuracy(300, 100)
    (0.9, 0.0)
    """
    if truth == 0:
        return float(predicted == 0)
    return max(0.0, 1.0 - abs(predicted - truth) / abs(truth))


def mean_relative_accuracy(predicted: float, truth: float) -> float:
    """VSI-Bench: the share of thresholds c in 0.50, 0.55 .. 0.95 with `|p - t| / |t| < 1 - c`.

    >>> mean_relative_accuracy(100, 100), mean_relative_accuracy(88, 100)
    (1.0, 0.8)
    """
    if truth == 0:
        return float(predicted == 0)
    error = abs(predicted - truth) / abs(truth)
    return sum(error < 1 - c - 1e-12 for c in _MRA_THRESHOLDS) / len(_MRA_THRESHOLDS)


def within_tolerance(predicted: float, truth: float, tolerance: float) -> float:
    """1.0 where the relative error is at most `tolerance`."""
    return float(abs(predicted - truth) <= tolerance * abs(truth) + 1e-12)


def score_choice(text: str, correct: str, options: Mapping[str, str] | Sequence[str] | None = None, *, mode: Mode = "strict") -> Score:
    """1.0 for the right letter; text that names no letter is wrong and counts as unread."""
    letter = parse_choice(text, options, mode=mode)
    return Score(float(letter == correct.strip().upper()), letter)


def score_yes_no(text: str, truth: bool, *, mode: Mode = "strict") -> Score:
    """1.0 for the right answer."""
    answer = parse_yes_no(text, mode=mode)
    return Score(float(answer is not None and answer == truth), answer)


def score_number(text: str, truth: float, unit: str | None = None, *, mode: Mode = "strict") -> Score:
    """Relative accuracy, with VSI-Bench's mean relative accuracy and tolerance bands beside it; units are converted.

    >>> score_number("1.1 cm", 10.0, "mm").extra["within_10"]
    1.0
    """
    value = parse_number(text, unit=unit, mode=mode)
    names = [f"within_{round(100 * t)}" for t in TOLERANCES]
    if value is None:
        return Score(0.0, None, dict.fromkeys(["mean_relative_accuracy", *names], 0.0))
    extra = {name: within_tolerance(value, truth, t) for name, t in zip(names, TOLERANCES, strict=True)}
    return Score(relative_accuracy(value, truth), value, {"mean_relative_accuracy": mean_relative_accuracy(value, truth), **extra})


def score_category(text: str, truth: str, categories: Sequence[str] = (), *, mode: Mode = "strict") -> Score:
    """1.0 for the right category. Without the list of categories only the same words count, so nothing is won by a substring.

    >>> score_category("unresectable", "resectable", ["resectable", "unresectable"]).value
    0.0
    """
    if not categories:
        body = normalise(clean(text))
        return Score(float(body == normalise(truth)), body or None)
    answer = parse_category(text, categories, mode=mode)
    return Score(float(answer is not None and normalise(answer) == normalise(truth)), answer)


def score_text(text: str, truth: str) -> Score:
    """Token F1 of an answer in sentences; exact match, ROUGE-L and BLEU-1 beside it. What merely declines is unread.

    >>> score_text("There is a cyst in the left kidney.", "A cyst in the left kidney").value > 0.7
    True
    """
    said = is_answer(text)
    return Score(token_f1(text, truth) if said else 0.0, clean(text) if said else None, extra_scores(text, truth))


def answer_kind(answer: object) -> Kind:
    """The kind of a free-form truth: yes or no, a number (a unit may follow), a category, or open text where it is longer than a few words.

    >>> answer_kind("Yes"), answer_kind("12.5 cm3"), answer_kind("segment 4")
    ('yes_no', 'number', 'category')
    >>> answer_kind("There is a cyst of 12 mm in the upper pole of the left kidney.")
    'text'
    """
    text = str(answer).strip()
    if text.lower().rstrip(".") in {"yes", "no"}:
        return "yes_no"
    if re.fullmatch(r"[+-]?[\d.,]+(?:e[+-]?\d+)?\s*(?:cm3|mm3|cm|mm|ml|HU|%)?", text, re.I):
        return "number"
    return "text" if len(answer_words(text)) > LONGEST_CATEGORY else "category"


def score_answer(
    text: str,
    truth: object,
    *,
    kind: Kind,
    unit: str | None = None,
    options: Mapping[str, str] | Sequence[str] = (),
    mode: Mode = "strict",
) -> Score:
    """Score one answer by its kind. For `choice` the truth is a letter and `options` are the texts behind the letters."""
    if kind == "choice":
        return score_choice(text, str(truth), options or None, mode=mode)
    if kind == "yes_no":
        return score_yes_no(text, str(truth).strip().lower().startswith("y"), mode=mode)
    if kind == "number":
        quantity = parse_quantity(str(truth)) or Quantity(float(str(truth)), "")
        return score_number(text, quantity.value, unit or quantity.unit or None, mode=mode)
    if kind == "text":
        return score_text(text, str(truth))
    categories = list(options.values()) if isinstance(options, Mapping) else options
    return score_category(text, str(truth), categories, mode=mode)
