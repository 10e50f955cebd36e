"""How many cases would tell two models apart, before the reading is done.

Closed forms for paired designs (Connor 1987 for right and wrong answers), corrected for several questions per patient by the design effect
`1 + (m - 1) * icc`, and a simulation on pilot scores that assumes nothing.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from vol3d.errors import ConfigError
from vol3d.evaluation.statistics import cluster_codes, cluster_sums


def design_effect(values: Sequence[float] | np.ndarray, clusters: Sequence[object] | np.ndarray) -> float:
    """Variance inflation of a mean by clustering: at least 1, from the one-way ANOVA estimate of the intra-cluster correlation.

    >>> design_effect([1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0], list("aaabbbcccddd"))
    3.0
    """
    array, codes = np.asarray(values, dtype=float), cluster_codes(clusters, len(values))
    sizes = np.bincount(codes)
    if len(sizes) < 2 or len(sizes) == len(array):
        return 1.0
    means = np.bincount(codes, array) / sizes
    between = float((sizes * (means - array.mean()) ** 2).sum()) / (len(sizes) - 1)
    within = float(((array - means[codes]) ** 2).sum()) / (len(array) - len(sizes))
    mean_size = (len(array) - float((sizes**2).sum()) / len(array)) / (len(sizes) - 1)
    total = between + (mean_size - 1) * within
    icc = 0.0 if total <= 0 else max(0.0, (between - within) / total)
    return 1.0 + (mean_size - 1.0) * icc


def items_for_paired_accuracy(difference: float, discordant: float, *, alpha: float = 0.05, power: float = 0.8, deff: float = 1.0) -> int:
    """Items needed for a two-sided paired test to see `difference` in accuracy.

    Args:
        difference: accuracy of a minus accuracy of b.
        discordant: share of items that exactly one of the two gets right; at least `|difference|`.
        alpha: two-sided error.
        power: wanted power.
        deff: design effect of several items per patient.

    >>> items_for_paired_accuracy(0.05, 0.3)
    940

    """
    gap = abs(difference)
    if not 0 < gap <= discordant <= 1:
        raise ConfigError("no such pair of models", expected="0 < |difference| <= discordant <= 1", found=f"{difference}, {discordant}")
    za, zb = norm.ppf(1 - alpha / 2), norm.ppf(power)
    n = (za * math.sqrt(discordant) + zb * math.sqrt(max(0.0, discordant - gap**2))) ** 2 / gap**2
    return math.ceil(n * deff)


def items_for_paired_mean(difference: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, deff: float = 1.0) -> int:
    """Items needed to see a mean difference between paired scores whose differences have standard deviation `sd`.

    >>> items_for_paired_mean(0.1, 0.5)
    197
    """
    if difference == 0 or sd <= 0:
        raise ConfigError("a difference and its spread are needed", expected="difference != 0, sd > 0", found=f"{difference}, {sd}")
    z = norm.ppf(1 - alpha / 2) + norm.ppf(power)
    return math.ceil((z * sd / difference) ** 2 * deff)


def simulated_power(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    clusters: Sequence[object] | np.ndarray | None,
    num_patients: int,
    *,
    alpha: float = 0.05,
    num_studies: int = 1000,
    rng: np.random.Generator,
) -> float:
    """The share of studies of `num_patients` patients, drawn from a pilot, whose paired difference is significant.

    Each study tests the cluster sums of `a - b` with a z test whose variance is the study's own.
    """
    difference = (np.asarray(a, float) - np.asarray(b, float))[:, None]
    sums = cluster_sums(difference, cluster_codes(clusters, len(difference)))[:, 0]
    draws = sums[rng.integers(0, len(sums), size=(num_studies, num_patients))]
    total, spread = draws.sum(1), draws.std(axis=1, ddof=1) * math.sqrt(num_patients)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, np.abs(total) / spread, np.where(total == 0, 0.0, np.inf))
    return float(np.mean(z > norm.ppf(1 - alpha / 2)))
