"""Zero-shot classification from embeddings: prompt sets, softmax and sigmoid forms, and scores whose thresholds never saw the test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from vol3d.errors import ConfigError
from vol3d.evaluation.label_metrics import label_rows
from vol3d.evaluation.ranking_metrics import auroc, average_precision, best_threshold, calibration
from vol3d.evaluation.results import MetricRow, plain_row, row
from vol3d.evaluation.statistics import Estimate, cluster_codes

# RAD-ChestCT names (Draelos 2021) for 16 of the 18 CT-RATE labels; Mosaic attenuation has none, and both calcification labels share one.
# The merge used in publications was never released; this one is ours, by meaning.
RAD_CHESTCT: Mapping[str, tuple[str, ...]] = {
    "Medical material": ("catheter_or_port", "pacemaker_or_defib", "stent", "staple", "suture", "clip", "hardware", "heart_valve_replacement", "gi_tube", "chest_tube", "tracheal_tube"),
    "Arterial wall calcification": ("calcification",),
    "Cardiomegaly": ("cardiomegaly",),
    "Pericardial effusion": ("pericardial_effusion",),
    "Hiatal hernia": ("hernia",),
    "Lymphadenopathy": ("lymphadenopathy",),
    "Emphysema": ("emphysema",),
    "Atelectasis": ("atelectasis",),
    "Lung nodule": ("nodule", "nodulegr1cm"),
    "Lung opacity": ("opacity", "groundglass"),
    "Pulmonary fibrotic sequela": ("fibrosis", "scarring"),
    "Pleural effusion": ("pleural_effusion",),
    "Peribronchial thickening": ("bronchial_wall_thickening",),
    "Consolidation": ("consolidation",),
    "Bronchiectasis": ("bronchiectasis",),
    "Interlobular septal thickening": ("septal_thickening",),
}  # fmt: skip


@dataclass(frozen=True)
class PromptSet:
    """Sentences for a label being present and being absent; several of each are averaged."""

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    def sentences(self, label: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The sentences of one label."""
        return tuple(t.format(label=label) for t in self.positive), tuple(t.format(label=label) for t in self.negative)


# `ct_clip` is what its inference used, `ct_clip_training` what its training log used; Merlin averages several per side.
PROMPT_SETS: Mapping[str, PromptSet] = {
    p.name: p
    for p in (
        PromptSet("ct_clip", ("{label} is present.",), ("{label} is not present.",)),
        PromptSet("ct_clip_training", ("There is {label}.",), ("There is no {label}.",)),
        PromptSet(
            "several",
            ("{label} is present.", "There is {label}.", "Findings consistent with {label}.", "{label} is seen."),
            ("{label} is not present.", "There is no {label}.", "No evidence of {label}.", "{label} is not seen."),
        ),
    )
}


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def zero_shot_softmax(
    images: Float[np.ndarray, "n d"], positive: Float[np.ndarray, "l k d"], negative: Float[np.ndarray, "l m d"], *, scale: float
) -> Float[np.ndarray, "n l"]:
    """Probability of present against absent: softmax over the two mean cosines times `scale` (CLIP's exp(temperature)).

    >>> zero_shot_softmax(np.eye(2), np.eye(2)[:, None], -np.eye(2)[:, None], scale=1.0).round(2).tolist()
    [[0.88, 0.5], [0.5, 0.88]]
    """
    difference = scale * (_mean_cosine(images, positive) - _mean_cosine(images, negative))
    return 1.0 / (1.0 + np.exp(-difference))


def zero_shot_sigmoid(
    images: Float[np.ndarray, "n d"], positive: Float[np.ndarray, "l k d"], *, scale: float, bias: float
) -> Float[np.ndarray, "n l"]:
    """Probability from present prompts alone, as models trained with a sigmoid loss score (SigLIP)."""
    return 1.0 / (1.0 + np.exp(-(scale * _mean_cosine(images, positive) + bias)))


def _mean_cosine(images: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    return np.einsum("nd,lkd->nlk", _unit(np.asarray(images, float)), _unit(np.asarray(prompts, float))).mean(axis=2)


def thresholds_from_validation(truth: Integer[np.ndarray, "n l"], probability: Float[np.ndarray, "n l"]) -> Float[np.ndarray, " l"]:
    """Per label the threshold with the best F1 on validation data; 0.5 where a label has no positive."""
    return np.array([best_threshold(truth[:, i], probability[:, i]) if truth[:, i].any() else 0.5 for i in range(truth.shape[1])])


def weighted_auroc(truth: Integer[np.ndarray, " n"], score: Float[np.ndarray, " n"], weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
    """AUROC under each row of item weights (resample counts); NaN where a row holds one class only."""
    order = np.argsort(score, kind="stable")
    _, run = np.unique(score[order], return_inverse=True)
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    t, w = truth[order].astype(float), weights[:, order]
    positive = np.add.reduceat(w * t, starts, axis=1)
    negative = np.add.reduceat(w * (1 - t), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * (below + negative / 2)).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def classification_rows(
    truth: Integer[np.ndarray, "n l"],
    probability: Float[np.ndarray, "n l"],
    names: Sequence[str],
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    thresholds: Float[np.ndarray, " l"],
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[MetricRow]:
    """AUROC, average precision, calibration per label and on average; F1, CRG and J at the given thresholds.

    Args:
        truth, probability: `n l`.
        names: of the labels.
        clusters: patients; several reconstructions of a scan are no independent cases.
        thresholds: chosen on other data (`thresholds_from_validation`); a probability at or above is a positive.
        num_resamples, seed: of the intervals.
    """
    truth, probability = np.asarray(truth), np.asarray(probability, float)
    if truth.shape != probability.shape or truth.shape[1] != len(names):
        raise ConfigError("truth, probabilities and names do not match", expected=f"{truth.shape}", found=f"{probability.shape}, {len(names)} names")
    codes = cluster_codes(clusters, len(truth))
    weights = _item_weights(codes, num_resamples, np.random.default_rng(seed))
    rows, draws = [], []
    for i, name in enumerate(names):
        area = auroc(truth[:, i], probability[:, i])
        if area is None:
            continue
        draws.append(weighted_auroc(truth[:, i], probability[:, i], weights))
        rows.append(row(f"auroc/{name}", _estimate(area, draws[-1], codes)))
        rows.append(plain_row(f"average_precision/{name}", average_precision(truth[:, i], probability[:, i]), len(truth)))
    if not rows:
        raise ConfigError("no label has both positives and negatives")
    areas = [r.value for r in rows if r.metric.startswith("auroc/") and r.value is not None]
    precisions = [r.value for r in rows if r.metric.startswith("average_precision/") and r.value is not None]
    summary = [
        row("auroc", _estimate(float(np.mean(areas)), np.nanmean(np.stack(draws), axis=0), codes)),
        plain_row("average_precision", float(np.mean(precisions)), len(truth)),
    ]
    summary += [plain_row(key, value, truth.size) for key, value in calibration(truth.ravel(), probability.ravel()).items()]
    called = (probability >= thresholds[None, :]).astype(int)
    return summary + label_rows(truth, called, clusters, num_resamples=num_resamples, seed=seed) + rows


def _item_weights(codes: np.ndarray, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    count = int(codes.max()) + 1
    return rng.multinomial(count, np.full(count, 1 / count), size=num_resamples)[:, codes].astype(np.float64)


def _estimate(value: float, draws: np.ndarray, codes: np.ndarray) -> Estimate:
    draws = draws[np.isfinite(draws)]
    low, high = np.quantile(draws, (0.025, 0.975)) if len(draws) else (None, None)
    return Estimate(value, None if low is None else float(low), None if high is None else float(high), len(codes), int(codes.max()) + 1, "percentile")


def to_rad_chestct(probability: Float[np.ndarray, "n l"], names: Sequence[str]) -> tuple[Float[np.ndarray, "n m"], tuple[str, ...]]:
    """Probabilities of the 18 labels as the 16 that RAD-ChestCT has: the two calcification labels become one, by their maximum."""
    index = {name: i for i, name in enumerate(names)}
    columns = []
    for name in RAD_CHESTCT:
        both = [name, "Coronary artery wall calcification"] if name == "Arterial wall calcification" else [name]
        columns.append(probability[:, [index[b] for b in both]].max(axis=1))
    return np.stack(columns, axis=1), tuple(RAD_CHESTCT)
