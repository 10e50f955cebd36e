"""CT-CLIP's protocol (arXiv 2403.17834): thresholds chosen on the test set, F1 weighted over both classes, intervals of width zero, MAP@K.

The released bootstrap evaluates the full set each time, so its interval is a point; MAP@K averages over all k asked before and keeps the query in
its gallery.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from vol3d.evaluation.ranking_metrics import auroc

_GRID = np.linspace(0, 1, 100)


def test_set_threshold(truth: Integer[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> float:
    """The threshold of a 100-step grid whose (false, true) positive rate is nearest to (0, 1), on the very data that is then scored."""
    positive = truth == 1
    called = score[None, :] > _GRID[:, None]
    tpr, fpr = called[:, positive].mean(axis=1), called[:, ~positive].mean(axis=1)
    distance = np.sqrt((1 - tpr) ** 2 + fpr**2)
    return float(_GRID[np.flatnonzero(distance == distance.min())[-1]])  # of equals the last, as published


test_set_threshold.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def label_scores(truth: Integer[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> dict[str, float]:
    """AUROC, weighted F1, accuracy, precision of one label, and an interval that is a point."""
    threshold = test_set_threshold(truth, score)
    called = (score > threshold).astype(int)
    weighted = sum(float((truth == c).mean()) * _f1(truth == c, called == c) for c in (0, 1))
    tp, fp = int(((called == 1) & (truth == 1)).sum()), int(((called == 1) & (truth == 0)).sum())
    area = auroc(truth, score)
    scores = {
        "threshold": threshold,
        "f1_weighted": weighted,
        "accuracy": float((called == truth).mean()),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
    }
    return scores | ({} if area is None else {"auroc": area, "auroc_low": area, "auroc_high": area})


def _f1(truth: np.ndarray, called: np.ndarray) -> float:
    tp = int((truth & called).sum())
    wrong = int((truth != called).sum())
    return 2 * tp / (2 * tp + wrong) if tp else 0.0


def accumulated_map(latents: Float[np.ndarray, "n d"], labels: Integer[np.ndarray, "n l"], ks: Sequence[int] = (1, 5, 10, 50)) -> dict[int, float]:
    """`MAP@K` of volume-to-volume retrieval: mean label overlap of the top k among labelled volumes, over this and all smaller k."""
    kept = labels.any(axis=1)
    gallery, gallery_labels = latents[kept], labels[kept].astype(bool)
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    queries = latents / np.linalg.norm(latents, axis=1, keepdims=True)
    order = np.argsort(-(queries @ unit.T), axis=1, kind="stable")
    running: list[float] = []
    result = {}
    for k in ks:
        for query, nearest in enumerate(order[:, :k]):
            own = labels[query].astype(bool)
            both, either = (gallery_labels[nearest] & own).sum(axis=1), (gallery_labels[nearest] | own).sum(axis=1)
            running.append(float(np.mean(np.divide(both, either, out=np.zeros(len(both)), where=either > 0))))
        result[k] = float(np.mean(running))
    return result
