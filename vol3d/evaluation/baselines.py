"""What a model must beat before its numbers mean anything: constant, shuffled and retrieved reports, majority and blind answers."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError
from vol3d.evaluation.text_metrics import Tokeniser, bleu, lower_words
from vol3d.evaluation.vqa_table import Item

_SHORTLIST, _COMPARED = 20, 150


def constant_report(train: Sequence[str], *, tokeniser: Tokeniser = lower_words, rng: np.random.Generator) -> str:
    """The one training report that scores the best mean BLEU-1..4 as everybody's report, chosen on the training set alone.

    Candidates are shortlisted by word overlap with a sample, then scored on all training reports.
    """
    if not train:
        raise ConfigError("no training reports to choose a constant report from")
    counts = [Counter(tokeniser(text)) for text in train]
    sample = rng.permutation(len(train))[:_COMPARED]
    overlap = [_overlap(candidate, [counts[i] for i in sample]) for candidate in counts]
    shortlist = np.argsort(overlap)[::-1][:_SHORTLIST]
    scores = {int(i): float(np.mean(bleu(train, [train[i]] * len(train), tokeniser=tokeniser))) for i in shortlist}
    return train[max(scores, key=lambda i: scores[i])]


def _overlap(candidate: Counter[str], others: Sequence[Counter[str]]) -> float:
    """Clipped unigram matches over the longer length: precision with a penalty for being short."""
    size = sum(candidate.values())
    matched = sum(sum((candidate & other).values()) for other in others)
    return matched / max(1, sum(max(size, sum(other.values())) for other in others))


def shuffled_reports(reports: Sequence[str], patients: Sequence[object], rng: np.random.Generator) -> list[str]:
    """For each item the report of another patient.

    Errors: ConfigError where there is only one patient.
    """
    codes = [str(p) for p in patients]
    if len(set(codes)) < 2:
        raise ConfigError("shuffling needs at least two patients", found=f"{len(set(codes))}")
    chosen = []
    for own in codes:
        others = [i for i, code in enumerate(codes) if code != own]
        chosen.append(reports[others[int(rng.integers(len(others)))]])
    return chosen


def retrieved_reports(train: Sequence[str], train_features: Float[np.ndarray, "m d"], features: Float[np.ndarray, "n d"]) -> list[str]:
    """For each item the report of the training scan with the most similar features (cosine)."""

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    nearest = (unit(np.asarray(features, float)) @ unit(np.asarray(train_features, float)).T).argmax(axis=1)
    return [train[int(i)] for i in nearest]


def majority_answers(train: Sequence[Item], test: Sequence[Item]) -> dict[str, str]:
    """What a reader without scans would answer: per subtype and organ the most frequent training answer (a letter's text for choices).

    Numbers get the training median. Questions whose kind was never seen get no answer.
    """
    seen: dict[tuple[str, str], list[str]] = {}
    for item in train:
        seen.setdefault(_key(item), []).append(_answer(item))
    # Counted once per key: thousands of questions share one.
    counted = {key: (Counter(texts), [number for number in map(_leading_number, texts) if number is not None]) for key, texts in seen.items()}
    answers = {}
    for item in test:
        known = counted.get(_key(item))
        if known:
            answers[item.qid] = _guess(item, *known)
    return {qid: text for qid, text in answers.items() if text}


def _key(item: Item) -> tuple[str, str]:
    return item.groups.get("subtype", ""), item.groups.get("organ", "")


def _answer(item: Item) -> str:
    return item.options.get(item.truth, item.truth) if item.kind == "choice" else item.truth


def _guess(item: Item, known: Counter[str], numbers: Sequence[float]) -> str:
    if item.kind == "number":
        return f"{np.median(numbers):.4g}" if numbers else ""
    if item.kind != "choice":
        return known.most_common(1)[0][0]
    options: Mapping[str, str] = item.options
    if len(numbers) == known.total() and all(_leading_number(text) is not None for text in options.values()):
        middle = float(np.median(numbers))
        return min(options, key=lambda letter: abs((_leading_number(options[letter]) or 0.0) - middle))
    return max(sorted(options), key=lambda letter: known[options[letter]])


def _leading_number(text: str) -> float | None:
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None
