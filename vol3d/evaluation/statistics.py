"""Intervals and tests for scores whose items are not independent: many questions per scan, many scans per patient.

Everything resamples or swaps whole clusters (patients). Statistics are functions of sums over items (a mean is sum / count, an F1 is made of
three sums), so that thousands of resamples are one matrix product. Sources: Efron 1987 (BCa), Holm 1979, Fagerland 2013 (mid-p McNemar).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import binom, norm

from vol3d.errors import ConfigError

Reduce = Callable[[np.ndarray], np.ndarray]
_CHUNK = 4_000_000  # doubles held at once by the resampling weights: 32 MB


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval; `low` and `high` are None where one cluster alone leaves nothing to resample."""

    value: float
    low: float | None
    high: float | None
    n: int
    num_clusters: int
    method: str


def mean_of_sums(sums: Float[np.ndarray, "r k"]) -> Float[np.ndarray, " r"]:
    """The default statistic: sums of (value, 1) to a mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]


def cluster_codes(clusters: Sequence[object] | np.ndarray | None, n: int) -> np.ndarray:
    """Cluster number of each item, 0..C-1; every item is its own cluster when None."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ConfigError("one cluster name per value is needed", expected=n, found=len(clusters))
    return np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)[1].reshape(-1)


def cluster_sums(columns: Float[np.ndarray, "n k"], codes: np.ndarray) -> Float[np.ndarray, "c k"]:
    """Sums of each column within each cluster."""
    out = np.zeros((int(codes.max()) + 1, columns.shape[1]))
    np.add.at(out, codes, columns)
    return out


def _columns(values: np.ndarray | Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ConfigError("no values to resample", expected="at least one scored item", found="none")
    if not np.isfinite(array).all():
        raise ConfigError("values must be finite", found=f"{int((~np.isfinite(array)).sum())} that are not", hint="Score unread answers as 0.")
    return np.stack([array, np.ones_like(array)], axis=1) if array.ndim == 1 else array


def cluster_bootstrap(
    values: np.ndarray | Sequence[float],
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    reduce: Reduce = mean_of_sums,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    rng: np.random.Generator | None = None,
) -> Estimate:
    """A statistic and its interval, resampling whole clusters.

    Args:
        values: `n` item scores, or `n k` columns whose sums make the statistic.
        clusters: the patient of each item; None makes each item its own.
        reduce: sums `r k` -> statistics `r`; default the mean.
        num_resamples: draws of as many clusters as there are, with replacement.
        confidence: coverage of the interval.
        method: `percentile`, or `bca` (bias-corrected, accelerated by leaving out one cluster at a time).
        rng: source of the draws; a fixed one when None, so that a table is the same twice.

    Errors: ConfigError for no values, values that are not finite, or a cluster list of another length.

    >>> e = cluster_bootstrap([1, 1, 0, 1, 0, 1], ["a", "a", "b", "b", "c", "d"])
    >>> round(e.value, 3), e.num_clusters, e.low < e.value < e.high
    (0.667, 4, True)

    """
    columns = _columns(values)
    codes = cluster_codes(clusters, len(columns))
    sums = cluster_sums(columns, codes)
    value = float(reduce(sums.sum(0, keepdims=True))[0])
    if len(sums) < 2:
        return Estimate(value, None, None, len(columns), len(sums), method)
    draws = resample_statistics(sums, reduce, num_resamples, rng or np.random.default_rng(0))
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(draws) == 0:
        return Estimate(value, None, None, len(columns), len(sums), method)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        tails = _bca_tails(tails, value, draws, reduce(sums.sum(0) - sums))
    low, high = np.quantile(draws, tails)
    return Estimate(value, float(low), float(high), len(columns), len(sums), method)


def resample_statistics(sums: Float[np.ndarray, "c k"], reduce: Reduce, num_resamples: int, rng: np.random.Generator) -> Float[np.ndarray, " r"]:
    """The statistic on `num_resamples` draws of clusters with replacement."""
    count = len(sums)
    step = max(1, _CHUNK // count)
    parts = []
    for start in range(0, num_resamples, step):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=min(step, num_resamples - start))
        parts.append(reduce(weights.astype(np.float64) @ sums))
    return np.concatenate(parts)


def _bca_tails(tails: np.ndarray, value: float, draws: np.ndarray, jackknife: np.ndarray) -> np.ndarray:
    """Efron's corrected quantiles; the plain ones where all draws are equal."""
    below = (np.mean(draws < value) + np.mean(draws <= value)) / 2
    if not 0 < below < 1:
        return tails
    jackknife = jackknife[np.isfinite(jackknife)]
    centred = jackknife.mean() - jackknife
    spread = float((centred**2).sum())
    acceleration = 0.0 if spread == 0 else float((centred**3).sum()) / (6 * spread**1.5)
    bias, z = norm.ppf(below), norm.ppf(tails)
    return np.asarray(norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))))


def paired_permutation(
    a: np.ndarray | Sequence[float],
    b: np.ndarray | Sequence[float],
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    num_permutations: int = 10_000,
    rng: np.random.Generator | None = None,
) -> float:
    """Two-sided p-value for equal means of two systems on the same items, swapping the systems within whole clusters.

    Exact (all swaps) for up to 13 clusters, else `(1 + hits) / (1 + num_permutations)`.

    >>> paired_permutation([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0])
    0.03125
    """
    x, y = _columns(a)[:, :1], _columns(b)[:, :1]
    if x.shape != y.shape:
        raise ConfigError("paired systems need the same items", expected=len(x), found=len(y))
    sums = cluster_sums(x - y, cluster_codes(clusters, len(x)))[:, 0]
    observed = abs(sums.sum()) * (1 - 1e-9)
    if len(sums) <= 13:
        signs = np.array(list(product((1.0, -1.0), repeat=len(sums))))
        return float(np.mean(np.abs(signs @ sums) >= observed - 1e-12))
    rng = rng or np.random.default_rng(0)
    step, hits = max(1, _CHUNK // len(sums)), 0
    for start in range(0, num_permutations, step):
        signs = rng.integers(0, 2, size=(min(step, num_permutations - start), len(sums)), dtype=np.int8) * 2.0 - 1.0
        hits += int((np.abs(signs @ sums) >= observed - 1e-12).sum())
    return (1 + hits) / (1 + num_permutations)


def mcnemar(a: np.ndarray | Sequence[int], b: np.ndarray | Sequence[int], *, mid_p: bool = False) -> float:
    """Exact two-sided McNemar test of two systems' right and wrong answers on the same, independent items.

    With several items per patient use `paired_permutation` with clusters instead.

    >>> mcnemar([1] * 10 + [0] * 2, [0] * 10 + [1] * 2)
    0.03857421875
    """
    x, y = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if x.shape != y.shape:
        raise ConfigError("paired systems need the same items", expected=len(x), found=len(y))
    wins, losses = int((x & ~y).sum()), int((~x & y).sum())
    total = wins + losses
    if total == 0:
        return 1.0
    tail = float(binom.cdf(min(wins, losses), total, 0.5))
    p = 2 * tail - (float(binom.pmf(min(wins, losses), total, 0.5)) if mid_p else 0.0)
    return min(1.0, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


@dataclass(frozen=True)
class Comparison:
    """One row of a win/tie/loss table: the difference a - b, its interval, raw and corrected p, and the verdict for a."""

    task: str
    difference: Estimate
    p_value: float
    p_adjusted: float
    verdict: Literal["win", "tie", "loss"]


def win_tie_loss(
    tasks: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray, Sequence[object] | np.ndarray | None]],
    *,
    alpha: float = 0.05,
    num_resamples: int = 2000,
    rng: np.random.Generator | None = None,
) -> list[Comparison]:
    """Compare system a with system b on several tasks, each `(scores_a, scores_b, clusters)`; Holm over the tasks.

    A win or loss needs a corrected p below `alpha`; everything else is a tie (the reading of "Are we making progress?", arXiv 2411.04118).
    """
    rng = rng or np.random.default_rng(0)
    rows = []
    for task, (a, b, clusters) in tasks.items():
        difference = np.asarray(a, float) - np.asarray(b, float)
        estimate = cluster_bootstrap(difference, clusters, num_resamples=num_resamples, rng=rng)
        rows.append((task, estimate, paired_permutation(a, b, clusters, rng=rng)))
    adjusted = holm([p for _, _, p in rows])
    return [
        Comparison(task, estimate, p, q, "tie" if q >= alpha else "win" if estimate.value > 0 else "loss")
        for (task, estimate, p), q in zip(rows, adjusted, strict=True)
    ]
