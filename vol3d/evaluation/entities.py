"""Report against reference, finding by finding: matched, hallucinated, omitted, contradicted, with the sentences that say so.

What an entity is comes from outside (`data_prep.text.entities`, or any extractor whose items carry `finding`, `side`, `sizes_mm`, `assertion`,
`organ` and `sentence`); here they are matched, one to one, and scored.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap

Verdict = Literal["matched", "hallucinated", "omitted", "contradicted"]
_SIZE_TOLERANCE = 0.2


@runtime_checkable
class EntityLike(Protocol):
    """One mention of a finding in a text."""

    @property
    def finding(self) -> str:
        """Canonical finding."""
        ...

    @property
    def organ(self) -> str:
        """Where."""
        ...

    @property
    def side(self) -> str:
        """Patient's side, '' where the text does not say."""
        ...

    @property
    def sizes_mm(self) -> tuple[float, ...]:
        """Lengths of the statement."""
        ...

    @property
    def assertion(self) -> str:
        """present, absent or uncertain."""
        ...

    @property
    def start(self) -> int:
        """Position in the text."""
        ...


Extractor = Callable[[str], Sequence[EntityLike]]


@dataclass(frozen=True)
class Match:
    """What became of one finding: which mention of the reference, which of the hypothesis, and how their details compare."""

    verdict: Verdict
    finding: str
    reference: EntityLike | None
    hypothesis: EntityLike | None
    side_agrees: bool | None = None
    size_agrees: bool | None = None


def _is_present(entity: EntityLike) -> bool:
    return entity.assertion != "absent"


def _likeness(a: EntityLike, b: EntityLike) -> tuple[bool, bool, float]:
    """Same organ, same side, nearness in size: the order in which candidates of one finding are preferred."""
    size = -abs(max(a.sizes_mm) - max(b.sizes_mm)) if a.sizes_mm and b.sizes_mm else -1e6
    return a.organ == b.organ, a.side == b.side, size


def match_entities(reference: Sequence[EntityLike], hypothesis: Sequence[EntityLike]) -> list[Match]:
    """Match findings one to one, best pairs first; denials match denials only to be told from contradictions.

    A finding that one text states and the other denies, and states nowhere, is contradicted.
    """
    free_ref, free_hyp = [e for e in reference if _is_present(e)], [e for e in hypothesis if _is_present(e)]
    pairs = sorted(
        ((r, h) for r in range(len(free_ref)) for h in range(len(free_hyp)) if free_ref[r].finding == free_hyp[h].finding),
        key=lambda rh: _likeness(free_ref[rh[0]], free_hyp[rh[1]]),
        reverse=True,
    )
    used_ref: set[int] = set()
    used_hyp: set[int] = set()
    found = []
    for r, h in pairs:
        if r not in used_ref and h not in used_hyp:
            used_ref.add(r)
            used_hyp.add(h)
            found.append(_matched(free_ref[r], free_hyp[h]))
    denied_ref = {e.finding: e for e in reference if not _is_present(e)}
    denied_hyp = {e.finding: e for e in hypothesis if not _is_present(e)}
    stated_ref, stated_hyp = {e.finding for e in free_ref}, {e.finding for e in free_hyp}
    for h, entity in enumerate(free_hyp):
        if h not in used_hyp:
            contradicts = entity.finding in denied_ref and entity.finding not in stated_ref
            found.append(Match("contradicted" if contradicts else "hallucinated", entity.finding, denied_ref.get(entity.finding), entity))
    for r, entity in enumerate(free_ref):
        if r not in used_ref:
            contradicts = entity.finding in denied_hyp and entity.finding not in stated_hyp
            found.append(Match("contradicted" if contradicts else "omitted", entity.finding, entity, denied_hyp.get(entity.finding)))
    return found


def _matched(ref: EntityLike, hyp: EntityLike) -> Match:
    side = ref.side == hyp.side if ref.side else None
    size = None
    if ref.sizes_mm:
        size = bool(hyp.sizes_mm) and abs(max(ref.sizes_mm) - max(hyp.sizes_mm)) <= _SIZE_TOLERANCE * max(ref.sizes_mm)
    return Match("matched", ref.finding, ref, hyp, side, size)


def _f1(sums: np.ndarray) -> np.ndarray:
    below = 2 * sums[:, 0] + sums[:, 1] + sums[:, 2]
    return np.divide(2 * sums[:, 0], below, out=np.zeros(len(sums)), where=below > 0)


def _share(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]


def entity_rows(
    matches: Sequence[Sequence[Match]], clusters: Sequence[object] | np.ndarray | None, *, num_resamples: int = 2000, seed: int = 0
) -> list[MetricRow]:
    """Precision, recall, F1 of findings; agreement of side and size where the reference gives them; contradictions per report."""
    columns = np.array([_counts(report) for report in matches], dtype=float)
    rng = np.random.default_rng(seed)
    tp, extra, missing, contradicted, sided, side_ok, sized, size_ok = columns.T
    ones = np.ones_like(tp)
    wanted = {
        "entity/precision": (np.stack([tp, tp + extra], 1), _share),
        "entity/recall": (np.stack([tp, tp + missing], 1), _share),
        "entity/f1": (np.stack([tp, extra, missing], 1), _f1),
        "entity/side_accuracy": (np.stack([side_ok, sided], 1), _share),
        "entity/size_within_20_percent": (np.stack([size_ok, sized], 1), _share),
        "entity/contradictions_per_report": (np.stack([contradicted, ones], 1), _share),
    }
    rows = []
    for name, (values, reduce) in wanted.items():
        if values[:, -1].sum() > 0 or reduce is _f1:
            rows.append(row(name, cluster_bootstrap(values, clusters, reduce=reduce, num_resamples=num_resamples, rng=rng)))
    return rows


def _counts(report: Sequence[Match]) -> list[int]:
    matched = [m for m in report if m.verdict == "matched"]
    extra = sum(
        m.verdict == "hallucinated" or (m.verdict == "contradicted" and m.hypothesis is not None and _is_present(m.hypothesis)) for m in report
    )
    missing = sum(m.verdict == "omitted" or (m.verdict == "contradicted" and m.reference is not None and _is_present(m.reference)) for m in report)
    sided, sized = [m for m in matched if m.side_agrees is not None], [m for m in matched if m.size_agrees is not None]
    contradicted = sum(m.verdict == "contradicted" for m in report)
    return [
        len(matched),
        extra,
        missing,
        contradicted,
        len(sided),
        sum(bool(m.side_agrees) for m in sided),
        len(sized),
        sum(bool(m.size_agrees) for m in sized),
    ]


# A stop before a space, a new line, or the bullet marks with which impressions are often listed.
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n|\s[\"“”•](?=\s)")


def sentence_at(text: str, start: int) -> str:
    """The sentence of a text that holds a position.

    >>> sentence_at("No effusion. A 4 mm nodule is seen. Normal heart.", 20)
    'A 4 mm nodule is seen.'
    """
    begin = max((m.end() for m in _SENTENCE_END.finditer(text, 0, start)), default=0)
    end = next((m.end() for m in _SENTENCE_END.finditer(text, start)), len(text))
    return text[begin:end].strip(' \n"“”•')
