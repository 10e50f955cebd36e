"""Free answers in sentences: exact match after normalising, token F1, ROUGE-L, BLEU-1, and the findings that both texts name.

No judge model, and nothing for substrings: words count as words. Each number carries its recipe in its name (`vol3d.evaluation.text_metrics`).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vol3d.evaluation.entities import Extractor, entity_rows, match_entities
from vol3d.evaluation.parsing.text import clean, is_undecided
from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap
from vol3d.evaluation.text_metrics import bleu_columns, bleu_of_sums, google, lower_words, rouge_l

_ARTICLES = {"the", "a", "an"}
# More words than this are a sentence, not a category.
LONGEST_CATEGORY = 8


def answer_words(text: str) -> list[str]:
    """Lower-case words and numbers of an answer, without articles and punctuation (SQuAD's normalisation; decimals stay whole).

    >>> answer_words("The nodule measures 4.5 mm.")
    ['nodule', 'measures', '4.5', 'mm']
    """
    return [word for word in re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['-][^\W\d_]+)*", clean(text).lower()) if word not in _ARTICLES]


def token_f1(text: str, truth: str) -> float:
    """F1 of words in common, each as often as both have it (SQuAD).

    >>> token_f1("unresectable", "resectable"), token_f1("A liver cyst", "liver cyst"), round(token_f1("cyst", "liver cyst"), 2)
    (0.0, 1.0, 0.67)
    """
    said, wanted = Counter(answer_words(text)), Counter(answer_words(truth))
    common = sum((said & wanted).values())
    return 2 * common / (said.total() + wanted.total()) if common else 0.0


def text_scores(text: str, truth: str) -> dict[str, float]:
    """`exact_match`, `token_f1`, `rouge_l_google` and sentence `bleu_1_words` of one answer.

    >>> text_scores("Liver cyst.", "a liver cyst")["exact_match"]
    1.0
    """
    said = clean(text)
    return {
        "exact_match": float(answer_words(text) == answer_words(truth)),
        "token_f1": token_f1(text, truth),
        "rouge_l_google": float(rouge_l([truth], [said], tokeniser=google, beta=1.0)[0]),
        "bleu_1_words": float(bleu_of_sums(bleu_columns([truth], [said], tokeniser=lower_words))[0, 0]) if lower_words(said) else 0.0,
    }


def is_answer(text: str) -> bool:
    """Whether there are words that do not merely decline."""
    return bool(answer_words(text)) and not (is_undecided(text) and len(answer_words(text)) <= LONGEST_CATEGORY)


def text_rows(
    truths: Sequence[str],
    texts: Sequence[str],
    patients: Sequence[str],
    *,
    extractor: Extractor | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[MetricRow]:
    """Corpus rows of open answers: each score's mean, corpus BLEU-1, and findings matched one to one where there is an extractor.

    A missing answer is an empty text and scores 0. Findings are only looked for in answers whose truth names one.
    """
    if not truths:
        return []
    rng = np.random.default_rng(seed)
    scores = [text_scores(text, truth) for text, truth in zip(texts, truths, strict=True)]

    def add(name: str, values: Any, **settings: Any) -> MetricRow:
        return row(f"text/{name}", cluster_bootstrap(np.asarray(values), patients, num_resamples=num_resamples, rng=rng, **settings))

    rows = [add(name, [s[name] for s in scores]) for name in ("token_f1", "exact_match", "rouge_l_google")]
    columns = bleu_columns(list(truths), [clean(t) for t in texts], tokeniser=lower_words)
    rows.append(add("bleu_1_words", columns, reduce=lambda sums: bleu_of_sums(sums)[:, 0]))
    return rows + (_entity_rows(truths, texts, patients, extractor, num_resamples, seed) if extractor is not None else [])


def _entity_rows(
    truths: Sequence[str], texts: Sequence[str], patients: Sequence[str], extractor: Extractor, num_resamples: int, seed: int
) -> list[MetricRow]:
    named = [(extractor(truth), extractor(clean(text)), patient) for truth, text, patient in zip(truths, texts, patients, strict=True)]
    kept = [(match_entities(a, b), patient) for a, b, patient in named if a]
    if not kept:
        return []
    found = entity_rows([match for match, _ in kept], [patient for _, patient in kept], num_resamples=num_resamples, seed=seed)
    return [r.model_copy(update={"metric": f"text/{r.metric}"}) for r in found]


def extra_scores(text: str, truth: str) -> Mapping[str, float]:
    """The scores of one answer beside its main one (token F1)."""
    return {name: value for name, value in text_scores(text, truth).items() if name != "token_f1"}
