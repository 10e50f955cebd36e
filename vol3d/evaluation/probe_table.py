"""What each probe did to the answers: score, drop (paired, corrected), how many changed, declined, swapped sides, and how sure the model stayed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vol3d.evaluation.results import MetricRow, plain_row, row
from vol3d.evaluation.statistics import cluster_bootstrap, holm, paired_permutation
from vol3d.evaluation.vqa_table import Item, Scored, predictions_by_qid, score_items

_DECLINED = ("doubtful", "failed", "not_covered", "withheld")
_SIDE = re.compile(r"\b(left|right)\b", re.I)


def probe_table(
    items: Sequence[Item],
    base: Sequence[Mapping[str, Any]],
    probed: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricRow]:
    """Rows `NAME/score`, `drop` (base minus probed, with `p_value` and Holm's `p_adjusted` over the probes), `parse_rate`, `changed`.

    Where the answers have them: `declined` (doubtful, failed, not covered, withheld), `mean_confidence`; for answers that are a side,
    `swapped_sides` (what a mirrored scan must do).
    """
    rng = np.random.default_rng(seed)
    patients = [item.patient for item in items]
    plain = score_items(items, predictions_by_qid(base))
    scores = {"base": plain} | {name: score_items(items, predictions_by_qid(records)) for name, records in probed.items()}
    values = {name: np.array([s.score.value for s in scored]) for name, scored in scores.items()}
    p_values = {name: paired_permutation(values["base"], values[name], patients, rng=rng) for name in probed}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))

    def add(name: str, numbers: Sequence[float] | np.ndarray, clusters: Sequence[str] = patients) -> None:
        if len(numbers):
            rows.append(row(name, cluster_bootstrap(np.asarray(numbers, float), clusters, num_resamples=num_resamples, rng=rng)))

    rows: list[MetricRow] = []
    for name, scored in scores.items():
        add(f"{name}/score" if name != "base" else "base", values[name])
        add(f"{name}/parse_rate", [float(s.score.is_parsed) for s in scored])
        if name != "base":
            add(f"{name}/drop", values["base"] - values[name])
            rows.append(plain_row(f"{name}/p_value", p_values[name], len(items)))
            rows.append(plain_row(f"{name}/p_adjusted", adjusted[name], len(items)))
            add(f"{name}/changed", [float(_said(a) != _said(b)) for a, b in zip(plain, scored, strict=True)])
            sided = [(a.item.patient, _mirror(_said(a)) == _said(b)) for a, b in zip(plain, scored, strict=True) if _SIDE.search(_said(a))]
            add(f"{name}/swapped_sides", [float(swapped) for _, swapped in sided], [patient for patient, _ in sided])
        _own_words(name, items, base if name == "base" else probed[name], add)
    return rows


def _own_words(name: str, items: Sequence[Item], records: Sequence[Mapping[str, Any]], add: Any) -> None:
    """Rows from what the model said of itself, where it did."""
    by_qid = {str(r.get("qid")): r for r in records}
    known = [(i.patient, by_qid[i.qid]) for i in items if i.qid in by_qid]
    states = [(patient, str(r["status"]) in _DECLINED) for patient, r in known if r.get("status")]
    sure = [(patient, float(r["confidence"])) for patient, r in known if r.get("confidence") is not None]
    add(f"{name}/declined", [float(declined) for _, declined in states], [patient for patient, _ in states])
    add(f"{name}/mean_confidence", [value for _, value in sure], [patient for patient, _ in sure])


def _said(scored: Scored) -> str:
    """What was answered, in words: the option behind a letter, the parsed value, or the text."""
    parsed = scored.score.parsed
    if scored.item.kind == "choice" and isinstance(parsed, str):
        return scored.item.options.get(parsed, parsed).lower()
    return str(scored.text if parsed is None else parsed).strip().lower()


def _mirror(text: str) -> str:
    """Left for right and right for left.

    >>> _mirror("left kidney")
    'right kidney'
    """
    return _SIDE.sub(lambda m: "right" if m.group(1).lower() == "left" else "left", text)
