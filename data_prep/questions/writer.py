"""From a draft to a record: wording, letters, distractors, chain of evidence, in DeepTumorVQA's v2 keys."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from data_prep.questions.model import Draft, Subtype, subtypes

LETTERS = "ABCD"
YES_NO = ("yes", "no")
_MIN_GAP = 0.08  # two numeric options differ by at least this share, or by two units of the last decimal


@dataclass(frozen=True)
class Scan:
    """What a record says about its scan."""

    image_id: str
    patient: str
    spacing_mm_zyx: tuple[float, ...]
    shape_zyx: tuple[int, ...]
    sex: str | None = None
    age: int | None = None
    contrast: str | None = None


def answer_text(draft: Draft, value: bool | float | str | None = None) -> str:
    """A truth (or another value of its kind) as records write it.

    >>> answer_text(Draft("organ volume measurement", "liver", 1450.24, ()))
    '1450.2'
    """
    value = draft.truth if value is None else value
    if isinstance(value, bool):
        return YES_NO[0] if value else YES_NO[1]
    if isinstance(value, str):
        return value
    text = f"{value:.{draft.decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def far_apart(values: Sequence[float], decimals: int) -> bool:
    """Whether numbers can serve as options beside each other."""
    ordered = sorted(values)
    unit = 10.0**-decimals
    return all(b - a >= max(unit if decimals == 0 else 2 * unit, _MIN_GAP * max(abs(a), abs(b)) * (decimals > 0)) for a, b in pairwise(ordered))


def ladder(draft: Draft, rng: np.random.Generator) -> list[str]:
    """Three wrong numbers such that the truth is equally often the smallest, second, third and largest of the four.

    Used for a single scan. In a corpus the wrong numbers are other scans' truths (`balance`), which no prior can tell apart.
    """
    truth = float(draft.truth)
    rank = int(rng.integers(4))
    if draft.decimals == 0:
        step = 1.0 if truth < 20 else max(2.0, float(round(0.12 * truth)))
        low = truth - rank * step
        if low < 0:
            rank, low = int(truth // step), truth - (truth // step) * step
        values = [low + i * step for i in range(4) if i != rank]
    elif abs(truth) < 5 * 10.0**-draft.decimals or draft.unit == "HU":
        step = max(10.0 * 10.0**-draft.decimals, 0.2 * abs(truth)) if draft.unit != "HU" else float(rng.uniform(9, 18)) + 0.06 * abs(truth)
        if draft.unit != "HU" and truth >= 0:
            rank = min(rank, int(truth / step + 1e-9))
        values = [truth + (i - rank) * step for i in range(4) if i != rank]
    else:
        factor = float(rng.uniform(1.2, 1.5))
        values = [truth * factor ** (i - rank) for i in range(4) if i != rank]
        ceiling = 100.0 if draft.unit == "%" else float("inf")
        values = [v if v <= ceiling else truth * factor ** -(i + 4) for i, v in enumerate(values)]
    return [answer_text(draft, value) for value in values]


def wrong_answers(draft: Draft, rng: np.random.Generator) -> list[str]:
    """Distractors of one scan: the other answer, a ladder of numbers, the other categories and then the pool."""
    if isinstance(draft.truth, bool):
        return [answer_text(draft, not draft.truth)]
    if isinstance(draft.truth, float):
        return ladder(draft, rng)
    others = [c for c in draft.categories if c != draft.truth]
    chosen = [others[i] for i in rng.permutation(len(others))[:3]]
    spare = [p for p in draft.pool if p not in (*chosen, draft.truth)]
    return [*chosen, *(spare[i] for i in rng.permutation(len(spare))[: 3 - len(chosen)])]


def write(
    draft: Draft,
    scan: Scan,
    rng: np.random.Generator,
    *,
    qid: str,
    wrong: Sequence[str] | None = None,
    position: int | None = None,
) -> dict[str, Any]:
    """One record.

    Args:
        draft: the question in facts.
        scan: the scan's own fields.
        rng: picks the wording, and distractors and letters that are not given.
        qid: its id.
        wrong: distractors as text; drawn when None.
        position: index of the right letter (modulo the number of options); drawn when None.
    """
    kind = subtypes()[draft.subtype]
    truth = answer_text(draft)
    others = [w for w in dict.fromkeys(wrong_answers(draft, rng) if wrong is None else wrong) if w != truth]
    options = [others[i] for i in rng.permutation(len(others))]
    place = int(rng.integers(len(options) + 1)) if position is None else position % (len(options) + 1)
    options.insert(place, truth)
    question = str(rng.choice(kind.wordings)).format(**draft.slots)
    shown = " ".join(f"{letter}. {with_unit(text, draft)}" for letter, text in zip(LETTERS, options, strict=False))
    return {
        "qid": qid,
        "image_id": scan.image_id,
        "patient": scan.patient,
        "spacing": " ".join(f"{s:.4g}" for s in scan.spacing_mm_zyx[::-1]),
        "shape": " ".join(str(n) for n in scan.shape_zyx[::-1]),
        "sex": scan.sex,
        "age": scan.age,
        "contrast": scan.contrast,
        "question": question,
        "answer": truth,
        "mc_question": f"{question} {shown}",
        "correct_option": LETTERS[place],
        "organ": draft.organ,
        "lesion": draft.lesion,
        "question_type": kind.group,
        "question_subtype": draft.subtype,
        "requires_tools": kind.tools,
        "answer_kind": kind.kind,
        "unit": draft.unit,
        "formula": kind.formula.format_map(_Slots(draft.slots)),
        "source": kind.source,
        "difficulty": kind.difficulty,
        "lesion_diameter_mm": None if draft.lesion_diameter_mm is None else round(draft.lesion_diameter_mm, 2),
        "evidence": [_step(step) for step in draft.steps],
    }


class _Slots(dict[str, str]):
    """Slots that a formula names and a draft lacks stay as words."""

    def __init__(self, slots: Mapping[str, str]) -> None:
        super().__init__(slots)

    def __missing__(self, key: str) -> str:
        return key


def with_unit(text: str, draft: Draft) -> str:
    """An option with the unit of its question."""
    return f"{text} {draft.unit}" if draft.unit else text


def _step(step: Any) -> dict[str, Any]:
    fields = {key: value for key, value in asdict(step).items() if value not in ("", None)}
    if isinstance(fields.get("value"), float):
        fields["value"] = round(fields["value"], 4)
    return fields


def to_v1(record: Mapping[str, Any], *, split: str = "") -> dict[str, Any]:
    """A record in the keys of DeepTumorVQA's first version."""
    same = (
        "image_id",
        "spacing",
        "shape",
        "sex",
        "age",
        "contrast",
        "question",
        "answer",
        "correct_option",
        "organ",
        "lesion",
        "question_type",
        "question_subtype",
    )
    return {
        "question_id": record["qid"],
        **{key: record[key] for key in same},
        "scanner": None,
        "multiple_choice_question": record["mc_question"],
        "split": split,
    }


def kind_of(draft: Draft) -> Subtype:
    """The table entry of a draft."""
    return subtypes()[draft.subtype]
