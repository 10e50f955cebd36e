"""Areas under curves and calibration of scores, in numpy, with ties handled exactly."""

import numpy as np
from jaxtyping import Float, Integer
from scipy.stats import rankdata

from vol3d.errors import ConfigError


def _checked(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t, s = np.asarray(truth).astype(bool), np.asarray(score, dtype=np.float64)
    if t.shape != s.shape or t.ndim != 1 or not np.isfinite(s).all():
        raise ConfigError("truth and scores must be finite lists of one length", expected=f"{t.shape}", found=f"{s.shape}")
    return t, s


def auroc(truth: Integer[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> float | None:
    """Area under the ROC curve (Mann-Whitney, ties count half); None with one class only.

    >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    t, s = _checked(truth, score)
    positives = int(t.sum())
    if positives in (0, len(t)):
        return None
    return float((rankdata(s)[t].sum() - positives * (positives + 1) / 2) / (positives * (len(t) - positives)))


def average_precision(truth: Integer[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> float | None:
    """Area under the precision-recall curve as a step function (scikit-learn's definition); None without positives.

    >>> round(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
    0.8333
    """
    t, s = _checked(truth, score)
    if not t.any():
        return None
    order = np.argsort(-s, kind="stable")
    t, s = t[order], s[order]
    last = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)  # ends of runs of equal scores
    hits = np.cumsum(t)[last]
    precision, recall = hits / (last + 1), hits / t.sum()
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def calibration(truth: Integer[np.ndarray, " n"], probability: Float[np.ndarray, " n"], *, bins: int = 10) -> dict[str, float]:
    """Brier score, and expected calibration error over bins of equal count."""
    t, p = _checked(truth, probability)
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    error = sum(len(part) * abs(float(t[part].mean()) - float(p[part].mean())) for part in parts) / len(p)
    return {"brier": float(np.mean((p - t) ** 2)), "ece": float(error)}


def best_threshold(truth: Integer[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> float:
    """Threshold (call positive at or above) with the highest F1 on validation data; never to be chosen on the test set."""
    t, s = _checked(truth, score)
    order = np.argsort(-s, kind="stable")
    hits, called = np.cumsum(t[order]), np.arange(1, len(s) + 1)
    f1 = 2 * hits / (called + max(1, int(t.sum())))
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    return float(s[order][last[int(np.argmax(f1[last]))]])
