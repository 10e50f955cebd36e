"""The tables of `expert_use`: shares with intervals that resample whole scans, and paired differences between two models.

Asked, Asked, ... --by exam, row, measure--> 0 or 1 for each question --cluster bootstrap--> Cell
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.classification import weighted_auroc
from vol3d.evaluation.expert_cards import Variant
from vol3d.evaluation.expert_use import AFTER, BEFORE, BESIDE, CALLS, CONSTRAINED, DOUBT, EVIDENCE, TRUE, Asked
from vol3d.evaluation.ranking_metrics import auroc
from vol3d.evaluation.statistics import Estimate, cluster_bootstrap, cluster_codes
from vol3d.vlm.conversation import WrongKind

ALL, SPOILED = "all", "spoiled, any kind"
GAIN, AUROC = "after - before", "auroc"
KINDS: tuple[str, ...] = get_args(WrongKind)
# The columns of each table, in order.
MEASURES = {
    CALLS: ("right", CONSTRAINED, "malformed", "invented", "wrong expert", "wrong structure", "not covered", "answered"),
    EVIDENCE: (BEFORE, AFTER, GAIN),
    DOUBT: ("right", "doubtful", "confident", AUROC),
}
_ROWS = {CALLS: (*map(str, Variant), ALL), DOUBT: (TRUE, BESIDE, *KINDS, SPOILED)}

Address = tuple[str, str, str]  # table, row, measure
Values = dict[tuple[str, str, str], tuple[str, float]]  # (row asked, scan, question) -> scan, value


@dataclass(frozen=True)
class Cell:
    """One number of a table. `model` is a model's name, or `A - B` for the paired difference of two."""

    table: str
    row: str
    measure: str
    model: str
    estimate: Estimate


def cells(asked: Sequence[Asked], *, seed: int = 0, num_resamples: int = 2000) -> list[Cell]:
    """All cells of all tables; with two models their paired differences too, first minus second.

    calls: the share of each outcome by variant of the cards, and over all variants; under `constrained` the share of right ones where
        nothing can be written that only looks like a call.
    evidence: accuracy before and after evidence, and the paired difference, over all questions and by family.
    doubt: the share of each outcome where the evidence is true, true beside spoiled, and spoiled in each way; and how well the
        probability of opening with "doubtful" ranks the spoiled above the true (AUROC, 0.5 is chance, ties count half).

    Raises ConfigError for no questions, or for two models that were asked different ones.
    """
    if not asked:
        raise ConfigError("no questions were asked", expected="scans with questions that need an expert")
    models = list(dict.fromkeys(a.model for a in asked))
    columns = {model: _columns([a for a in asked if a.model == model]) for model in models}
    if len(models) == 2:
        columns[" - ".join(models)] = {at: _difference(columns[models[0]], columns[models[1]], at) for at in columns[models[0]]}
    out = [Cell(*at, model, _estimate(values, seed, num_resamples)) for model, found in columns.items() for at, values in found.items()]
    out += _auroc_cells(asked, models, seed, num_resamples)
    return sorted(out, key=lambda cell: _order(cell, list(columns)))


def _columns(asked: Sequence[Asked]) -> dict[Address, Values]:
    """The values of one model behind each share."""
    out: dict[Address, Values] = {}
    for a in asked:
        for at, value in _shares(a):
            out.setdefault(at, {})[a.row if a.exam != EVIDENCE else "", a.patient, a.qid] = (a.patient, value)
    for table, row, measure in list(out):
        if measure == AFTER:
            before, after = out[table, row, BEFORE], out[table, row, AFTER]
            out[table, row, GAIN] = {key: (patient, value - before[key][1]) for key, (patient, value) in after.items()}
    return out


def _shares(a: Asked) -> list[tuple[Address, float]]:
    """Every cell that a question counts in, with its 0 or 1."""
    if a.exam == EVIDENCE:
        return [((EVIDENCE, row, a.row), float(a.outcome == "right")) for row in (ALL, a.family)]
    if a.exam == CONSTRAINED:
        return [((CALLS, row, CONSTRAINED), float(a.outcome == "right")) for row in (a.row, ALL)]
    rows = (a.row, ALL) if a.exam == CALLS else (a.row, SPOILED) if a.row in KINDS else (a.row,)
    outcomes = [m for m in MEASURES[a.exam] if m not in (AUROC, CONSTRAINED)]
    return [((a.exam, row, outcome), float(a.outcome == outcome)) for row in rows for outcome in outcomes]


def _difference(ours: dict[Address, Values], theirs: dict[Address, Values], at: Address) -> Values:
    if at not in theirs or ours[at].keys() != theirs[at].keys():
        raise ConfigError("the two models were asked different questions", found=" / ".join(at))
    return {key: (patient, value - theirs[at][key][1]) for key, (patient, value) in ours[at].items()}


def _estimate(values: Values, seed: int, num_resamples: int) -> Estimate:
    patients, numbers = zip(*values.values(), strict=True)
    return cluster_bootstrap(numbers, patients, num_resamples=num_resamples, rng=np.random.default_rng(seed))


def _auroc_cells(asked: Sequence[Asked], models: Sequence[str], seed: int, num_resamples: int) -> list[Cell]:
    """Spoiled of each kind against the true; the resamples are the same for both models, so their difference is paired."""
    out = []
    for row, kinds in [*((kind, (kind,)) for kind in KINDS), (SPOILED, KINDS)]:
        made = {}
        for model in models:
            items = [a for a in asked if a.model == model and a.exam == DOUBT and a.row in (TRUE, *kinds)]
            areas = _areas(items, seed, num_resamples)
            if areas is not None:
                made[model] = areas
                out.append(Cell(DOUBT, row, AUROC, model, _of_areas(areas, items)))
        if len(made) == 2:
            ours, theirs = (made[model] for model in models)
            out.append(Cell(DOUBT, row, AUROC, " - ".join(models), _of_areas(ours - theirs, items)))
    return out


def _areas(items: Sequence[Asked], seed: int, num_resamples: int) -> np.ndarray | None:
    """The AUROC itself, then that of each resample of scans; None where all are true or all are spoiled."""
    truth, score = np.array([int(a.row != TRUE) for a in items], int), np.array([a.doubt for a in items], float)
    area = auroc(truth, score) if len(items) else None
    if area is None:
        return None
    codes = cluster_codes([a.patient for a in items], len(items))
    num = int(codes.max()) + 1
    weights = np.random.default_rng(seed).multinomial(num, np.full(num, 1 / num), size=num_resamples)
    return np.concatenate([[area], weighted_auroc(truth, score, weights[:, codes].astype(float))])


def _of_areas(areas: np.ndarray, items: Sequence[Asked]) -> Estimate:
    num_scans = len({a.patient for a in items})
    draws = areas[1:][np.isfinite(areas[1:])]
    low, high = map(float, np.quantile(draws, [0.025, 0.975])) if num_scans > 1 and len(draws) else (None, None)
    return Estimate(float(areas[0]), low, high, len(items), num_scans, "percentile")


def _order(cell: Cell, models: Sequence[str]) -> tuple[int, int, str, int, int]:
    rows = _ROWS.get(cell.table, (ALL,))
    place = rows.index(cell.row) if cell.row in rows else len(rows)
    tables = list(MEASURES)
    return tables.index(cell.table), place, cell.row, models.index(cell.model), MEASURES[cell.table].index(cell.measure)
