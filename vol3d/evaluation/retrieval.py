"""Retrieval between scans and reports: recall@k, MAP@k, median rank, pools of n; relevant is whatever shares the query's scan or report.

Grouping matters: other reconstructions of a scan and word-for-word equal normal reports are right answers, and a query is no hit for itself.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer

from vol3d.errors import ConfigError
from vol3d.evaluation.results import MetricRow, plain_row, row
from vol3d.evaluation.statistics import cluster_bootstrap

_EXCLUDED = -np.inf


def cosine(queries: Float[np.ndarray, "q d"], gallery: Float[np.ndarray, "g d"]) -> Float[np.ndarray, "q g"]:
    """Cosine similarities."""
    a, b = (np.asarray(x, float) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (queries, gallery))
    return a @ b.T


def relevance(queries: Sequence[object], gallery: Sequence[object]) -> Bool[np.ndarray, "q g"]:
    """Whether two items have the same name (scan id, report id)."""
    return np.asarray([str(x) for x in queries])[:, None] == np.asarray([str(x) for x in gallery])[None, :]


def first_hit_rank(similarity: Float[np.ndarray, "q g"], relevant: Bool[np.ndarray, "q g"]) -> Float[np.ndarray, " q"]:
    """Rank of the best relevant item, from 1; items as similar as it count half, so that constant features rank at chance."""
    best = np.where(relevant, similarity, _EXCLUDED).max(axis=1, keepdims=True)
    others = ~relevant & np.isfinite(similarity)
    return 1 + (others & (similarity > best)).sum(axis=1) + (others & (similarity == best)).sum(axis=1) / 2


def average_precision_at(similarity: Float[np.ndarray, "q g"], relevant: Bool[np.ndarray, "q g"], k: int) -> Float[np.ndarray, " q"]:
    """Average precision within the first k, over min(k, number of relevant items)."""
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    hits = np.take_along_axis(relevant & np.isfinite(similarity), order, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    wanted = np.minimum((relevant & np.isfinite(similarity)).sum(axis=1), hits.shape[1])
    return (precision * hits).sum(axis=1) / np.maximum(wanted, 1)


def retrieval_rows(
    similarity: Float[np.ndarray, "q g"],
    relevant: Bool[np.ndarray, "q g"],
    patients: Sequence[object] | np.ndarray | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10, 50, 100),
    pools: Sequence[int] = (32, 64, 128),
    exclude: Bool[np.ndarray, "q g"] | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricRow]:
    """Recall@k with what chance gives, MAP@10, median rank, and recall@1 and @8 in random pools.

    Args:
        similarity: larger is nearer.
        relevant: right answers; every query needs at least one that is not excluded.
        patients: cluster of each query.
        ks, pools: cut-offs, and sizes of random pools (one right answer, the rest wrong).
        exclude: pairs that are out of the game (a scan and itself).
        num_resamples, seed: of intervals and pools.
    """
    if exclude is not None:
        similarity, relevant = np.where(exclude, _EXCLUDED, similarity), relevant & ~exclude
    answerable = np.asarray(relevant.any(axis=1))
    if not answerable.any():
        raise ConfigError("no query has a relevant item", hint="Check that queries and gallery are named alike.")
    similarity, relevant = similarity[answerable], relevant[answerable]
    clusters = None if patients is None else [p for p, keep in zip(patients, answerable, strict=True) if keep]
    rng, ranks = np.random.default_rng(seed), first_hit_rank(similarity, relevant)
    size, right = np.isfinite(similarity).sum(axis=1), relevant.sum(axis=1)

    def add(name: str, values: np.ndarray) -> MetricRow:
        return row(name, cluster_bootstrap(values.astype(float), clusters, num_resamples=num_resamples, rng=rng))

    rows = []
    for k in [k for k in ks if k <= similarity.shape[1]]:
        rows.append(add(f"recall@{k}", ranks <= k))
        rows.append(
            plain_row(f"chance_recall@{k}", float(np.mean([_chance(int(n), int(r), k) for n, r in zip(size, right, strict=True)])), len(ranks))
        )
    rows += [add("map@10", average_precision_at(similarity, relevant, 10)), plain_row("median_rank", float(np.median(ranks)), len(ranks))]
    for pool in [p for p in pools if p <= int((size - right).min()) + 1]:
        inside = _pool_ranks(similarity, relevant, pool, rng)
        rows += [add(f"pool_{pool}/recall@{k}", inside <= k) for k in (1, 8)]
    return rows


def _chance(size: int, right: int, k: int) -> float:
    """Probability that k random draws of `size` items hold one of `right`."""
    miss = 1.0
    for i in range(min(k, size)):
        miss *= max(0.0, (size - right - i) / (size - i))
    return 1.0 - miss


def _pool_ranks(similarity: np.ndarray, relevant: np.ndarray, pool: int, rng: np.random.Generator) -> np.ndarray:
    ranks = np.zeros(len(similarity))
    for i, (scores, mask) in enumerate(zip(similarity, relevant, strict=True)):
        own = scores[rng.choice(np.flatnonzero(mask))]
        others = scores[rng.choice(np.flatnonzero(~mask & np.isfinite(scores)), size=pool - 1, replace=False)]
        ranks[i] = 1 + (others > own).sum() + (others == own).sum() / 2
    return ranks


def label_overlap_at(
    similarity: Float[np.ndarray, "q g"], query_labels: Integer[np.ndarray, "q l"], gallery_labels: Integer[np.ndarray, "g l"], k: int
) -> Float[np.ndarray, " q"]:
    """Mean Jaccard overlap of label vectors over the k nearest (1 where both are all normal); excluded pairs are never among them."""
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    a, b = query_labels.astype(bool)[:, None], gallery_labels.astype(bool)[nearest]
    both, either = (a & b).sum(axis=2), (a | b).sum(axis=2)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0).mean(axis=1)
