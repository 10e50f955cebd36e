"""Clinical agreement on binary labels: precision, recall and F1 (macro, micro, weighted), and CRG with the J that it stands for.

CRG (BTB3D; VLM3D challenge) has a closed form: `CRG = 1 / (3 - 2 J)` with `J` = pooled true positive rate - pooled false positive rate. All negative,
all positive and coin flips score exactly 1/3; whoever guesses common labels more often scores above that without a look at the scan, because the
rates are pooled over labels. So J is printed beside CRG, and baselines beside both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from vol3d.errors import ConfigError
from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap

_PARTS = 4  # tp, fp, fn, tn of each label, in this order


def confusion_columns(truth: Integer[np.ndarray, "n l"], predicted: Integer[np.ndarray, "n l"]) -> Float[np.ndarray, "n m"]:
    """Per item: true positives, false positives, false negatives, true negatives of each label; `m` is 4 l. Summable."""
    t, p = np.asarray(truth).astype(bool), np.asarray(predicted).astype(bool)
    if t.shape != p.shape or t.ndim != 2 or not t.size:
        raise ConfigError("labels of truth and prediction do not match", expected=f"shape {t.shape}", found=f"shape {p.shape}")
    return np.concatenate([t & p, ~t & p, t & ~p, ~t & ~p], axis=1).astype(np.float64)


def _parts(sums: Float[np.ndarray, "r m"]) -> list[Float[np.ndarray, "r l"]]:
    return np.split(sums, _PARTS, axis=1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where the denominator is 0 (`zero_division=0`, as the challenge scores)."""
    return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)


def label_scores(sums: Float[np.ndarray, "r m"], what: str) -> Float[np.ndarray, "r l"]:
    """Precision, recall or F1 of each label from summed columns."""
    tp, fp, fn, _ = _parts(sums)
    if what == "precision":
        return _ratio(tp, tp + fp)
    return _ratio(tp, tp + fn) if what == "recall" else _ratio(2 * tp, 2 * tp + fp + fn)


def youden_j(sums: Float[np.ndarray, "r m"]) -> Float[np.ndarray, " r"]:
    """Pooled true positive rate minus pooled false positive rate; NaN without positives or negatives."""
    tp, fp, fn, tn = (part.sum(axis=1) for part in _parts(sums))
    with np.errstate(invalid="ignore", divide="ignore"):
        return tp / (tp + fn) - fp / (fp + tn)


def crg(sums: Float[np.ndarray, "r m"]) -> Float[np.ndarray, " r"]:
    """Clinically relevant generation score; 1/3 for all negative, all positive and coin flips, 1 for perfect labels.

    >>> columns = confusion_columns(np.array([[1, 0], [0, 1]]), np.zeros((2, 2), int))
    >>> crg(columns.sum(0, keepdims=True)).round(6).tolist()
    [0.333333]
    """
    return 1.0 / (3.0 - 2.0 * youden_j(sums))


@dataclass(frozen=True)
class Statistic:
    """A metric of summed confusion columns."""

    name: str
    of_sums: Callable[[np.ndarray], np.ndarray]


def _averaged(what: str, how: str) -> Callable[[np.ndarray], np.ndarray]:
    def of_sums(sums: np.ndarray) -> np.ndarray:
        if how == "macro":
            return label_scores(sums, what).mean(axis=1)
        if how == "micro":
            pooled = np.stack([part.sum(axis=1) for part in _parts(sums)], axis=1)
            return label_scores(pooled, what)[:, 0]
        tp, _, fn, _ = _parts(sums)
        return _ratio((label_scores(sums, what) * (tp + fn)).sum(axis=1), (tp + fn).sum(axis=1))

    return of_sums


STATISTICS = (
    *(Statistic(f"{how}_{what}", _averaged(what, how)) for how in ("macro", "micro", "weighted") for what in ("precision", "recall", "f1")),
    Statistic("crg", crg),
    Statistic("j", youden_j),
)


def label_rows(
    truth: Integer[np.ndarray, "n l"],
    predicted: Integer[np.ndarray, "n l"],
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    prefix: str = "",
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricRow]:
    """All averages, CRG and J, with intervals over patients."""
    columns, rng = confusion_columns(truth, predicted), np.random.default_rng(seed)
    return [row(prefix + s.name, cluster_bootstrap(columns, clusters, reduce=s.of_sums, num_resamples=num_resamples, rng=rng)) for s in STATISTICS]


def per_label(truth: Integer[np.ndarray, "n l"], predicted: Integer[np.ndarray, "n l"], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of positives of each label."""
    sums = confusion_columns(truth, predicted).sum(0, keepdims=True)
    scores = {what: label_scores(sums, what)[0] for what in ("precision", "recall", "f1")}
    positives = np.asarray(truth).astype(bool).sum(axis=0)
    return {name: {**{what: float(values[i]) for what, values in scores.items()}, "positives": int(positives[i])} for i, name in enumerate(names)}
