"""The reports that always stand beside a model's: constant, retrieved, shuffled, another patient's, blind. None of them saw the scan that it reports on.

Where no training reports are given, the constant and the retrieved report come from the references of other patients, so that there is always a floor.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vol3d.evaluation.baselines import constant_report, retrieved_reports, shuffled_reports
from vol3d.evaluation.text_metrics import lower_words


@dataclass(frozen=True)
class Features:
    """Features of training scans and of the scans to report on; rows as the reports."""

    train: Float[np.ndarray, "m d"]
    test: Float[np.ndarray, "n d"]


def report_baselines(
    references: Sequence[str],
    hypotheses: Sequence[str],
    patients: Sequence[str],
    *,
    train: Sequence[str] | None = None,
    features: Features | None = None,
    blind: Sequence[str] | None = None,
    rng: np.random.Generator,
) -> dict[str, tuple[str, ...]]:
    """Name -> reports.

    - `constant`: the one training report that scores best on the training reports as everybody's report (without `train`: chosen among the references of
      one half of the patients for the other half);
    - `retrieved_by_text`: the training report (without `train`: another patient's reference) nearest to what the model wrote, by tf-idf: does the model add
      anything to the report that it resembles?
    - `retrieved`: the training report of the scan with the nearest features, where there are features;
    - `shuffled`: the model's own report on another patient; `other_patient`: the reference of another patient;
    - `blind`: what the same model wrote without images, where that was given.
    """
    found: dict[str, tuple[str, ...]] = {}
    several = len(set(patients)) > 1
    if train:
        found["constant"] = (constant_report(train, rng=rng),) * len(references)
        found["retrieved_by_text"] = nearest_by_text(hypotheses, train)
        if features is not None:
            found["retrieved"] = tuple(retrieved_reports(train, features.train, features.test))
    elif several:
        found["constant"] = _constant_of_other_half(references, patients, rng)
        found["retrieved_by_text"] = nearest_by_text(hypotheses, references, owners=patients, candidates=patients)
    if several:
        found["shuffled"] = tuple(shuffled_reports(hypotheses, patients, rng))
        found["other_patient"] = tuple(shuffled_reports(references, patients, rng))
    if blind is not None:
        found["blind"] = tuple(blind)
    return found


def _constant_of_other_half(references: Sequence[str], patients: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    names = sorted(set(patients))
    first = {names[i] for i in rng.permutation(len(names))[: len(names) // 2]}
    halves = [[text for text, patient in zip(references, patients, strict=True) if (patient in first) is inside] for inside in (True, False)]
    chosen = [constant_report(half, rng=rng) for half in halves]
    return tuple(chosen[1] if patient in first else chosen[0] for patient in patients)


def nearest_by_text(
    texts: Sequence[str], pool: Sequence[str], *, owners: Sequence[str] | None = None, candidates: Sequence[str] | None = None
) -> tuple[str, ...]:
    """For each text the report of the pool that is nearest by the cosine of tf-idf; never one of the same patient where both sides have patients.

    >>> nearest_by_text(["pleural effusion on the left"], ["clear lungs", "left pleural effusion", "a liver cyst"])
    ('left pleural effusion',)
    """
    counts = [Counter(lower_words(text)) for text in pool]
    frequency = Counter(word for one in counts for word in one)
    column = {word: i for i, word in enumerate(sorted(frequency))}
    idf = np.log((1 + len(pool)) / (1 + np.array([frequency[word] for word in column]))) + 1.0
    similarity = _rows([Counter(lower_words(text)) for text in texts], column, idf) @ _rows(counts, column, idf).T
    if owners is not None and candidates is not None:
        similarity[np.asarray(owners, str)[:, None] == np.asarray(candidates, str)[None, :]] = -1.0
    return tuple(pool[int(i)] for i in similarity.argmax(axis=1))


def _rows(counts: Sequence[Mapping[str, int]], column: Mapping[str, int], idf: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(counts), len(column)))
    for i, one in enumerate(counts):
        for word, count in one.items():
            if word in column:
                rows[i, column[word]] = count * idf[column[word]]
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
