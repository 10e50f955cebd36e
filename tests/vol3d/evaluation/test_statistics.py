"""Intervals cover, p-values are uniform under the null, and small cases equal enumeration by hand."""

import numpy as np
import pytest
from scipy.stats import kstest

from vol3d.errors import ConfigError
from vol3d.evaluation.statistics import cluster_bootstrap, holm, mcnemar, paired_permutation, win_tie_loss


def _clustered(rng, clusters=80):
    """Correct answers of a model: each patient has its own ability, mean 0.6, and 1 to 6 questions."""
    sizes = rng.integers(1, 7, clusters)
    ability = rng.beta(3, 2, clusters)
    codes = np.repeat(np.arange(clusters), sizes)
    return (rng.random(len(codes)) < ability[codes]).astype(float), codes


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_covers_95_percent(method):
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(1000):
        values, codes = _clustered(rng)
        estimate = cluster_bootstrap(values, codes, num_resamples=600, method=method, rng=rng)
        hits += estimate.low <= 0.6 <= estimate.high
    assert 930 <= hits <= 970, f"covered {hits} of 1000"


def test_ignoring_clusters_undercovers():
    """The reason for clustering: 25 questions per scan with one answer make the plain interval far too narrow."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(40), 25)
    plain = clustered = 0
    for _ in range(200):
        values = (rng.random(40) < 0.5)[codes].astype(float)
        a, b = cluster_bootstrap(values, num_resamples=300, rng=rng), cluster_bootstrap(values, codes, num_resamples=300, rng=rng)
        plain += a.low <= 0.5 <= a.high
        clustered += b.low <= 0.5 <= b.high
    assert plain < 100
    assert clustered > 170


def test_interval_is_not_a_point_and_is_the_same_twice():
    values, codes = _clustered(np.random.default_rng(3))
    first, second = cluster_bootstrap(values, codes), cluster_bootstrap(values, codes)
    assert first == second
    assert first.high - first.low > 0.02
    assert first.value == pytest.approx(values.mean())


def test_f1_of_sums_equals_f1_of_counts():
    rng = np.random.default_rng(0)
    truth, guess = rng.random(300) < 0.4, rng.random(300) < 0.5
    columns = np.stack([truth & guess, ~truth & guess, truth & ~guess], 1).astype(float)

    def f1(sums):
        return 2 * sums[:, 0] / (2 * sums[:, 0] + sums[:, 1] + sums[:, 2])

    estimate = cluster_bootstrap(columns, reduce=f1)
    tp, fp, fn = columns.sum(0)
    assert estimate.value == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert estimate.low < estimate.value < estimate.high


def test_one_cluster_has_no_interval():
    estimate = cluster_bootstrap([0.0, 1.0, 1.0], ["p", "p", "p"])
    assert (estimate.low, estimate.high, estimate.num_clusters) == (None, None, 1)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")]])
def test_nothing_and_nan_are_refused(values):
    with pytest.raises(ConfigError):
        cluster_bootstrap(values)


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(400):
        codes = np.repeat(np.arange(40), 3)
        shared = rng.normal(size=40)[codes]
        p_values.append(paired_permutation(shared + rng.normal(size=120), shared + rng.normal(size=120), codes, num_permutations=499, rng=rng))
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_permutation_finds_a_difference_and_agrees_with_enumeration():
    assert paired_permutation([1] * 6, [0] * 6) == 2 / 64
    rng = np.random.default_rng(1)
    a = rng.normal(0.5, 1, 300)
    assert paired_permutation(a, np.zeros(300), rng=rng) < 0.01


def test_mcnemar_by_hand():
    # 10 against 2 discordant pairs: 2 * (1 + 12 + 66) / 4096
    a, b = [1] * 10 + [0] * 2 + [1] * 50, [0] * 10 + [1] * 2 + [1] * 50
    assert mcnemar(a, b) == pytest.approx(2 * 79 / 4096)
    assert mcnemar(a, b, mid_p=True) == pytest.approx((2 * 79 - 66) / 4096)
    assert mcnemar([1, 0], [1, 0]) == 1.0


def test_holm_keeps_order_and_is_monotone():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_win_tie_loss():
    rng = np.random.default_rng(4)
    base = (rng.random(400) < 0.5).astype(float)
    better = np.maximum(base, rng.random(400) < 0.3).astype(float)
    rows = {r.task: r.verdict for r in win_tie_loss({"up": (better, base, None), "same": (base, base, None), "down": (base, better, None)})}
    assert rows == {"up": "win", "same": "tie", "down": "loss"}
