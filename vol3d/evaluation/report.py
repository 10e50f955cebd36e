"""Scores of reports: text overlap under named recipes, clinical labels, findings; always beside baselines.

Text overlap cannot rank report models (one constant normal report beats published systems), so `report_rows` is meant to be called once for the
model and once for each of `vol3d.evaluation.baselines`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vol3d.evaluation.entities import Extractor, Match, entity_rows, match_entities, sentence_at
from vol3d.evaluation.label_metrics import label_rows
from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap
from vol3d.evaluation.text_metrics import TOKENISERS, bleu_columns, bleu_of_sums, cider_d, rouge_l

Labeller = Callable[[str], Mapping[str, int]]
# recipe -> (tokeniser, beta of ROUGE-L): `vlm3d` is the challenge's, `words` lower-cases and drops punctuation, `google` is rouge-score's.
RECIPES: Mapping[str, tuple[str, float]] = {"vlm3d": ("whitespace", 1.2), "words": ("lower_words", 1.2), "google": ("google", 1.0)}


def text_rows(
    references: Sequence[str],
    hypotheses: Sequence[str],
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricRow]:
    """BLEU-1..4 and their mean, ROUGE-L and CIDEr-D under each recipe (`google`: ROUGE-L only)."""
    rng = np.random.default_rng(seed)
    rows = []
    for recipe, (tokeniser_name, beta) in RECIPES.items():
        tokeniser = TOKENISERS[tokeniser_name]
        if recipe != "google":
            columns = bleu_columns(references, hypotheses, tokeniser=tokeniser)
            for order in range(4):
                reduce = _order(order)
                rows.append(
                    row(f"{recipe}/bleu_{order + 1}", cluster_bootstrap(columns, clusters, reduce=reduce, num_resamples=num_resamples, rng=rng))
                )
            mean = cluster_bootstrap(columns, clusters, reduce=lambda s: bleu_of_sums(s).mean(axis=1), num_resamples=num_resamples, rng=rng)
            rows.append(row(f"{recipe}/bleu_mean", mean))
            cider = cider_d(references, hypotheses, tokeniser=tokeniser)
            rows.append(row(f"{recipe}/cider_d", cluster_bootstrap(cider, clusters, num_resamples=num_resamples, rng=rng)))
        overlap = rouge_l(references, hypotheses, tokeniser=tokeniser, beta=beta)
        rows.append(row(f"{recipe}/rouge_l", cluster_bootstrap(overlap, clusters, num_resamples=num_resamples, rng=rng)))
    return rows


def _order(order: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda sums: bleu_of_sums(sums)[:, order]


def label_matrix(texts: Sequence[str], labeller: Labeller) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of texts as an integer matrix `n l`, and the labels' names; equal texts are read once."""
    known: dict[str, Mapping[str, int]] = {}
    for text in texts:
        if text not in known:
            known[text] = labeller(text)
    names = tuple(next(iter(known.values())))
    return np.array([[known[text][name] for name in names] for text in texts], dtype=np.int64), names


def report_rows(
    references: Sequence[str],
    hypotheses: Sequence[str],
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    labeller: Labeller | None = None,
    truth_labels: np.ndarray | None = None,
    extractor: Extractor | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricRow]:
    """The whole table of one system.

    Args:
        references, hypotheses: texts, pair by pair.
        clusters: patients.
        labeller: text -> labels; gives precision, recall, F1, CRG and J.
        truth_labels: the references' labels where they are known better than by the labeller.
        extractor: text -> entities; gives agreement of findings, sides, sizes and negation.
        num_resamples, seed: of the intervals.
    """
    rows = text_rows(references, hypotheses, clusters, num_resamples=num_resamples, seed=seed)
    if labeller is not None:
        truth = label_matrix(references, labeller)[0] if truth_labels is None else truth_labels
        predicted, _ = label_matrix(hypotheses, labeller)
        rows += label_rows(truth, predicted, clusters, prefix="clinical/", num_resamples=num_resamples, seed=seed)
    if extractor is not None:
        rows += entity_rows(match_reports(references, hypotheses, extractor), clusters, num_resamples=num_resamples, seed=seed)
    return rows


def match_reports(references: Sequence[str], hypotheses: Sequence[str], extractor: Extractor) -> list[list[Match]]:
    """Findings of each pair of reports, matched."""
    return [match_entities(extractor(r), extractor(h)) for r, h in zip(references, hypotheses, strict=True)]


def differences(reference: str, hypothesis: str, matches: Sequence[Match]) -> list[dict[str, str]]:
    """Hallucinated, omitted and contradicted findings of one report, each with the sentences that it rests on."""
    listed = []
    for match in matches:
        if match.verdict == "matched":
            continue
        listed.append(
            {
                "verdict": match.verdict,
                "finding": match.finding,
                "reference": "" if match.reference is None else sentence_at(reference, match.reference.start),
                "hypothesis": "" if match.hypothesis is None else sentence_at(hypothesis, match.hypothesis.start),
            }
        )
    return listed
