"""What answers are worth without a scan, beside every model: chance, constant, majority, retrieved, and the model's own answers on other patients.

Baselines learn from training questions; where there are none, from the other patients of the test (five folds by patient), and say so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError
from vol3d.evaluation.baselines import majority_answers
from vol3d.evaluation.parsing import Mode
from vol3d.evaluation.parsing.text import normalise
from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap
from vol3d.evaluation.vqa import parse_choice
from vol3d.evaluation.vqa_table import Item, Scored, score_items, vqa_rows

_FOLDS = 5
_SHOWN = ("choice/", "yes_no/accuracy", "number/relative", "category/", "text/token_f1", "group/")


def baseline_answers(
    items: Sequence[Item],
    texts: Mapping[str, str],
    *,
    train: Sequence[Item] = (),
    likeness: Mapping[tuple[str, str], float] | None = None,
    mode: Mode = "strict",
    seed: int = 0,
) -> dict[str, dict[str, str]]:
    """Answers of each baseline by name.

    Args:
        items: the test questions.
        texts: the model's answers, for `shuffled`: its answer to the same kind of question about another patient.
        train: training questions; empty: the other patients' questions.
        likeness: similarity of (test scan, training scan); where None, `retrieved` takes the most similar question by its scan-free words.
        mode: how the model's answers are read before they are moved to another patient.
        seed: of the folds and of the shuffling.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, str]] = {"constant": {}, "majority": {}, "retrieved": {}}
    for known, asked in _splits(items, train, rng):
        found["constant"] |= majority_answers([_only_kind(i) for i in known], [_only_kind(i) for i in asked])
        found["majority"] |= majority_answers(known, asked)
        found["retrieved"] |= retrieved_answers(known, asked, likeness)
    found["shuffled"] = shuffled_answers(items, texts, rng, mode=mode)
    return {name: answers for name, answers in found.items() if answers}


def _splits(items: Sequence[Item], train: Sequence[Item], rng: np.random.Generator) -> list[tuple[list[Item], list[Item]]]:
    """(learn from, answer) pairs: the training set and all, or folds of patients. ConfigError where training patients are in the test."""
    if train:
        both = {item.patient for item in train if item.patient} & {item.patient for item in items}
        if both:
            raise ConfigError("baselines cannot learn from patients of the test", expected="other patients", found=", ".join(sorted(both)[:3]))
        return [(list(train), list(items))]
    patients = list(dict.fromkeys(item.patient for item in items))
    fold = dict(zip([patients[i] for i in rng.permutation(len(patients))], [i % _FOLDS for i in range(len(patients))], strict=True))
    return [([i for i in items if fold[i.patient] != f], [i for i in items if fold[i.patient] == f]) for f in range(_FOLDS)]


def _only_kind(item: Item) -> Item:
    """The item without its subtype and organ: a constant answer knows the form of the question and nothing else.

    Choices keep their letters alone, so that the constant answer is a letter.
    """
    options = dict.fromkeys(item.options, "") if item.kind != "choice" else {letter: letter for letter in item.options or "ABCD"}
    return Item(item.qid, item.image_id, item.patient, item.kind, item.truth, options, item.unit, {"subtype": item.kind, "organ": item.unit or ""})


def retrieved_answers(train: Sequence[Item], test: Sequence[Item], likeness: Mapping[tuple[str, str], float] | None = None) -> dict[str, str]:
    """The true answer to the same kind of question about the most similar training scan.

    Without similarities of scans the first training question of that subtype and organ with the same options or unit is taken, which is
    retrieval by the question alone.
    """
    by_key: dict[tuple[str, str], list[Item]] = {}
    for item in train:
        by_key.setdefault((item.groups.get("subtype", ""), item.groups.get("organ", "")), []).append(item)
    words = {id(item): frozenset(normalise(o) for o in item.options.values()) for item in (*train, *test)}  # once each: there are thousands of pairs
    answers = {}
    for item in test:
        known = by_key.get((item.groups.get("subtype", ""), item.groups.get("organ", "")), [])
        if not known:
            continue
        near = max(
            known, key=lambda k: (likeness or {}).get((item.image_id, k.image_id), 0.0) + _overlap(item, k, words) * (1e-6 if likeness else 1.0)
        )
        answers[item.qid] = transferred(near.options.get(near.truth, near.truth) if near.kind == "choice" else near.truth, item)
    return {qid: text for qid, text in answers.items() if text}


def _overlap(a: Item, b: Item, words: Mapping[int, frozenset[str]]) -> float:
    """Share of options in common (Jaccard); of free answers, whether the unit is the same."""
    mine, theirs = words[id(a)], words[id(b)]
    return len(mine & theirs) / max(1, len(mine | theirs)) if mine or theirs else float(a.unit == b.unit)


def shuffled_answers(items: Sequence[Item], texts: Mapping[str, str], rng: np.random.Generator, *, mode: Mode = "strict") -> dict[str, str]:
    """For each question what the model said to one of the same subtype and organ about another patient.

    None where nobody else was asked, or where what was said is not among this question's options; what cannot be read stays as it is, for it is
    as wrong here as there.
    """
    by_key: dict[tuple[str, str, str], list[Item]] = {}
    for item in items:
        if item.qid in texts:
            by_key.setdefault((item.kind, item.groups.get("subtype", ""), item.groups.get("organ", "")), []).append(item)
    answers = {}
    for item in items:
        others = [o for o in by_key.get((item.kind, item.groups.get("subtype", ""), item.groups.get("organ", "")), []) if o.patient != item.patient]
        if others:
            other = others[int(rng.integers(len(others)))]
            letter = parse_choice(texts[other.qid], other.options or None, mode=mode) if other.kind == "choice" else None
            moved = transferred(other.options.get(letter, letter) if letter else texts[other.qid], item)
            if moved or letter is None:
                answers[item.qid] = moved or texts[other.qid]
    return answers


def transferred(answer: str, item: Item) -> str:
    """Another question's answer as an answer to this one: the letter of the option with the same words, or with the nearest number.

    >>> transferred("12 cm3", Item("q", "s", "p", "choice", "A", {"A": "3 cm3", "B": "14 cm3"}))
    'B'
    """
    if item.kind != "choice":
        return answer
    same = next((letter for letter, text in item.options.items() if normalise(text) == normalise(answer)), None)
    if same is not None:
        return same
    own, numbers = _number(answer), {letter: _number(text) for letter, text in item.options.items()}
    if own is not None and numbers and all(value is not None for value in numbers.values()):
        return min(numbers, key=lambda letter: abs((numbers[letter] or 0.0) - own))
    return answer if answer in item.options else ""


def _number(text: str) -> float | None:
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None


def chance_of(item: Item) -> float:
    """What a uniform guess is expected to score: one over the number of answers; 0 where the answers cannot be listed."""
    if item.kind == "choice":
        return 1.0 / max(2, len(item.options) or 4)
    return 0.5 if item.kind == "yes_no" else 1.0 / len(item.options) if item.options else 0.0


def baseline_rows(
    scored: Sequence[Scored], answers: Mapping[str, Mapping[str, str]], *, mode: Mode = "strict", num_resamples: int = 2000, seed: int = 0
) -> list[MetricRow]:
    """`baseline_NAME/...` rows, and `over_NAME/score`: what the model adds to each, paired by question, resampled by patient.

    Only questions that a baseline answered count, and `n` says how many: where it has no answer, the model would add all of its score to nothing.
    `mode` must be the one that the model was read in, or a lenient reading would pass for what the scan adds.
    """
    items, patients = [s.item for s in scored], [s.item.patient for s in scored]
    own = np.array([s.score.value for s in scored])
    chance = np.array([chance_of(item) for item in items])
    rows = _pair("chance", own, chance, patients, num_resamples, seed)
    for name, texts in answers.items():
        answered = [i for i, item in enumerate(items) if item.qid in texts]
        if not answered:
            continue
        theirs = score_items([items[i] for i in answered], texts, mode=mode)
        known = vqa_rows(theirs, groups=("group",), num_resamples=num_resamples, seed=seed)
        rows += [r.model_copy(update={"metric": f"baseline_{name}/{r.metric}"}) for r in known if r.metric.startswith(_SHOWN)]
        rows += _pair(name, own[answered], np.array([s.score.value for s in theirs]), [patients[i] for i in answered], num_resamples, seed)
    return rows


def _pair(
    name: str, own: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " n"], patients: Sequence[str], num_resamples: int, seed: int
) -> list[MetricRow]:
    return [
        row(metric, cluster_bootstrap(values, patients, num_resamples=num_resamples, rng=np.random.default_rng(seed)))
        for metric, values in ((f"baseline_{name}/score", theirs), (f"over_{name}/score", own - theirs))
    ]
