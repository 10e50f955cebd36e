"""Choose questions and distractors of a corpus so that who never sees a scan gains nothing.

Over questions that read the same (`Draft.key`):
- yes/no: as many yes as no; a question with one answer only is dropped;
- categories: equal counts over the classes that are kept;
- numbers: groups of four scans share their four true values as options, and each scan has its own, so that every option set is right once per
  option: a guess from the text alone is right in exactly one of four. Small counts are balanced as categories.
Letters go round robin per subtype.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.questions.model import Draft
from data_prep.questions.writer import answer_text, far_apart

_FEW_VALUES = 8


@dataclass(frozen=True)
class Placed:
    """A draft of scan number `case`, with distractors where the corpus decides them."""

    case: int
    draft: Draft
    wrong: tuple[str, ...] | None = None


def balance(drafts: Sequence[tuple[int, Draft]], rng: np.random.Generator) -> tuple[list[Placed], dict[str, int]]:
    """Balanced questions, and per subtype how many were left out for it.

    Args:
        drafts: (scan number, draft) over the whole corpus.
        rng: which surplus questions go.
    """
    groups: dict[tuple[str, str, str], list[Placed]] = defaultdict(list)
    for case, draft in drafts:
        groups[draft.key].append(Placed(case, draft))
    kept: list[Placed] = []
    left_out: dict[str, int] = defaultdict(int)
    for key, members in groups.items():
        chosen = _numbers(members, rng) if isinstance(members[0].draft.truth, float) else _classes(members, rng)
        kept += chosen
        left_out[key[0]] += len(members) - len(chosen)
    return kept, {name: count for name, count in left_out.items() if count}


def _classes(members: list[Placed], rng: np.random.Generator, *, most: int = 99) -> list[Placed]:
    """Equal numbers of each of the `j` most frequent answers, with the `j` that keeps most questions; none when all agree."""
    by_answer: dict[str, list[Placed]] = defaultdict(list)
    for member in members:
        by_answer[answer_text(member.draft)].append(member)
    ordered = sorted(by_answer.values(), key=len, reverse=True)[:most]
    if len(ordered) < 2:
        return []
    classes = max(range(2, len(ordered) + 1), key=lambda j: j * len(ordered[j - 1]))
    size = len(ordered[classes - 1])
    return [group[i] for group in ordered[:classes] for i in rng.permutation(len(group))[:size]]


def _numbers(members: list[Placed], rng: np.random.Generator) -> list[Placed]:
    members = [members[i] for i in rng.permutation(len(members))]
    values = sorted({answer_text(m.draft) for m in members}, key=float)
    if members[0].draft.decimals == 0 and len(values) < _FEW_VALUES:
        return _small_counts(members, rng)
    ordered = sorted(members, key=lambda m: float(m.draft.truth))
    quarter = len(ordered) // 4
    surplus = set(rng.permutation(len(ordered))[: len(ordered) - 4 * quarter].tolist())
    ordered = [m for i, m in enumerate(ordered) if i not in surplus]
    shifts = [rng.permutation(quarter) for _ in range(4)]
    kept = []
    for i in range(quarter):
        four = [ordered[k * quarter + int(shifts[k][i])] for k in range(4)]
        if far_apart([float(answer_text(m.draft)) for m in four], four[0].draft.decimals):
            texts = [answer_text(m.draft) for m in four]
            kept += [Placed(m.case, m.draft, tuple(t for t in texts if t != own)) for m, own in zip(four, texts, strict=True)]
    return kept


def _small_counts(members: list[Placed], rng: np.random.Generator) -> list[Placed]:
    chosen = _classes(members, rng, most=4)
    values = sorted({answer_text(m.draft) for m in chosen}, key=float)
    if not values:
        return []
    filler = [str(n) for n in range(int(float(values[-1])) + 5) if str(n) not in values]
    options = [*values, *filler[: 4 - len(values)]]
    return [Placed(m.case, m.draft, tuple(o for o in options if o != answer_text(m.draft))) for m in chosen]
