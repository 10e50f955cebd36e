"""The VLM3D challenge's scorers: reports (BLEU-1..4 and their mean, ROUGE-L, CIDEr), labels (macro P, R, F1, accuracy, AUROC), CRG.

Kept as they are: only scans with a prediction are scored on text, while a scan without predicted labels counts as all negative; tokens are what
whitespace leaves after some string surgery, case kept.
"""

from collections.abc import Mapping

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.ranking_metrics import auroc
from vol3d.evaluation.text_metrics import bleu, cider_d, rouge_l, whitespace


def _clean_reference(text: str) -> str:
    return text.replace("\n", "").replace(" . ", ".").replace(" .", ".")


def _clean_hypothesis(text: str) -> str:
    for mark in ("\n", "<|eot_id|>", '"', "_"):
        text = text.replace(mark, "")
    return text.replace(" . ", ".").replace(" .", ".")


def report_scores(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> dict[str, float]:
    """Text scores over the scans that have a report, without METEOR (it needs a Java program).

    Errors: ConfigError where no scan has one.
    """
    both = sorted(set(references) & set(hypotheses))
    if not both:
        raise ConfigError("references and hypotheses share no scan")
    ref, hyp = [_clean_reference(references[k]) for k in both], [_clean_hypothesis(hypotheses[k]) for k in both]
    scores = dict(zip(("BLEU_1", "BLEU_2", "BLEU_3", "BLEU_4"), bleu(ref, hyp, tokeniser=whitespace), strict=True))
    scores["BLEU_mean"] = sum(scores.values()) / 4
    scores["ROUGE_L"] = float(rouge_l(ref, hyp, tokeniser=lambda text: text.split(" "), beta=1.2).mean())
    scores["CIDEr"] = float(cider_d(ref, hyp, tokeniser=whitespace).mean())
    return scores


def _aligned(truth: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    zeros = np.zeros_like(next(iter(truth.values())))
    return np.stack(list(truth.values())), np.stack([predicted.get(name, zeros) for name in truth])


def label_scores(
    truth: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray], probabilities: Mapping[str, np.ndarray] | None = None
) -> dict[str, float]:
    """Macro precision, recall, F1, accuracy, and AUROC (mean over labels that have both classes)."""
    t, p = _aligned(truth, predicted)
    tp, fp, fn = ((t == 1) & (p == 1)).sum(0), ((t == 0) & (p == 1)).sum(0), ((t == 1) & (p == 0)).sum(0)
    precision, recall = (np.divide(tp, tp + x, out=np.zeros(len(tp)), where=(tp + x) > 0) for x in (fp, fn))
    f1 = np.divide(2 * tp, 2 * tp + fp + fn, out=np.zeros(len(tp)), where=(2 * tp + fp + fn) > 0)
    scores = {"precision": precision.mean(), "recall": recall.mean(), "f1": f1.mean(), "accuracy": (t == p).mean(0).mean()}
    if probabilities is not None:
        _, q = _aligned(truth, probabilities)
        areas = [auroc(t[:, i], q[:, i]) for i in range(t.shape[1])]
        scores["auroc"] = np.mean([a for a in areas if a is not None])
    return {name: float(value) for name, value in scores.items()}


def crg_score(truth: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray]) -> dict[str, float]:
    """CRG from its published intermediate quantities.

    Errors: ConfigError where there is no positive label.
    """
    t, p = _aligned(truth, predicted)
    positives, cells = int(t.sum()), t.size
    if positives == 0:
        raise ConfigError("CRG is undefined without a positive label", found="0 positives")
    tp, fn, fp = int(((t == 1) & (p == 1)).sum()), int(((t == 1) & (p == 0)).sum()), int(((t == 0) & (p == 1)).sum())
    r, u = (cells - positives) / (2 * positives), (cells - positives) / 2
    s = r * tp - r * fn - fp
    return {"TP": tp, "FN": fn, "FP": fp, "X": cells, "A": positives, "r": r, "U": u, "score_s": s, "CRG": u / (2 * u - s) if 2 * u != s else 0.0}
