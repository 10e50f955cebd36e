"""DeepTumorVQA 2.0's scorer (arXiv 2605.09679; package version 2.0.0) as it computes, letter parser and rounding included.

Known defects, kept here on purpose: an answer whose first letter is A-D counts as that letter ("Based on ... C" is B, "Answer: C" is A); "Normal" and
"nodule" are "no"; "1,234.5" is 1; missing predictions shrink the test set; `partial_accuracy` credits substrings ("resectable" for
"unresectable"); what is called MRA is plain relative accuracy.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

NUMERIC = frozenset(
    {
        "organ volume measurement",
        "organ HU measurement",
        "lesion volume measurement",
        "organ HU ratio",
        "tumor burden percentage",
        "largest lesion diameter",
        "largest lesion slice",
        "lesion counting",
        "lesion count by location",
        "organ aggregation",
        "tumor organ HU difference",
    }
)
BINARY = frozenset(
    {
        "pancreatic lesion existence",
        "liver lesion existence",
        "kidney lesion existence",
        "kidney tumor existence",
        "kidney cyst existence",
        "colon lesion existence",
        "PDAC existence",
        "PNET existence",
        "lesion outlier",
        "organ enlargement",
        "pancreatic steatosis",
        "pancreatic cyst resectability",
        "pseudocyst determination",
        "splenomegaly detection",
        "portal hypertension assessment",
    }
)
_TOLERANCES = (0.05, 0.10, 0.20, 0.50)
Pair = tuple[str, str]


def visible(text: str) -> str:
    """Text without thinking, closed or not."""
    return re.sub(r"<think>.*$", "", re.sub(r"<think>.*?</think>", "", text, flags=re.S), flags=re.S).strip()


def letter(text: str) -> str:
    """The published letter: the first character if it is A-D in any case, else the first stand-alone A-D; '' if neither.

    >>> letter("Based on the CT, the answer is C"), letter("Answer: C"), letter("Definitely B")
    ('B', 'A', 'D')
    """
    upper = visible(text).upper()
    if upper[:1] in {"A", "B", "C", "D"}:
        return upper[0]
    found = re.search(r"\b[A-D]\b", upper)
    return found.group() if found else ""


def number(text: str) -> float | None:
    """The published number: the first run of digits.

    >>> number("1,234.5"), number("10-20")
    (1.0, 10.0)
    """
    found = re.search(r"-?\d+\.?\d*", text.strip())
    return float(found.group()) if found else None


def yes_no(text: str) -> str:
    """The published yes/no: by prefix, then by word.

    >>> yes_no("Normal"), yes_no("nodule present")
    ('no', 'no')
    """
    lowered = text.strip().lower()
    for word in ("yes", "no"):
        if lowered.startswith(word):
            return word
    return next((word for word in ("yes", "no") if re.search(rf"\b{word}\b", lowered)), "")


def category(text: str) -> str:
    """The published normal form of a category."""
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s\-]", "", text.strip().lower()))


def score(
    predictions: Iterable[Mapping[str, Any]], benchmark: Mapping[str, Mapping[str, Any]], form: Literal["mc", "freeform"]
) -> dict[str, dict[str, Any]]:
    """The published `metrics` object: overall, by_super_type, by_subtype.

    Args:
        predictions: records with `qid` and `pred_answer` or `raw_output`; unknown ids are passed over.
        benchmark: qid -> question record.
        form: multiple choice or free form.
    """
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for record in predictions:
        question = benchmark.get(record["qid"])
        if question is not None:
            text = record.get("pred_answer") or record.get("raw_output") or ""
            truth = question["correct_option"] if form == "mc" else question["answer"]
            pairs[question["question_subtype"]].append((str(text), str(truth)))
    by_subtype = {subtype: _score_subtype(subtype, items, form) for subtype, items in pairs.items()}
    primary = {subtype: metric["mean_mra" if "mean_mra" in metric else "accuracy"] for subtype, metric in by_subtype.items()}
    groups: dict[str, list[str]] = defaultdict(list)
    for subtype in by_subtype:
        group = next((q["question_type"] for q in benchmark.values() if q["question_subtype"] == subtype), None)
        if group:
            groups[group].append(subtype)
    by_group = {group: _pooled(names, primary, by_subtype) for group, names in groups.items()}
    overall = {**_pooled(list(by_subtype), primary, by_subtype), "n_subtypes": len(by_subtype)}
    return {"overall": overall, "by_super_type": by_group, "by_subtype": by_subtype}


def _pooled(names: list[str], primary: Mapping[str, float], metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means of already rounded subtype scores, weighted by their size."""
    total = sum(metrics[name]["n_total"] for name in names)
    return {"accuracy": round(sum(primary[name] * metrics[name]["n_total"] for name in names) / max(total, 1), 4), "n_total": total}


def _score_subtype(subtype: str, items: list[Pair], form: str) -> dict[str, Any]:
    if form == "mc":
        letters = [letter(text) for text, _ in items]
        right = sum(own == truth.strip().upper() for own, (_, truth) in zip(letters, items, strict=True))
        parsed = sum(bool(own) for own in letters)
        return {"metric": "exact_match", "accuracy": round(right / max(len(items), 1), 4), "n_parsed": parsed, "n_total": len(items)}
    if subtype in NUMERIC:
        return _score_numbers(items)
    return _score_binary(items) if subtype in BINARY else _score_categories(items)


def _score_numbers(items: list[Pair]) -> dict[str, Any]:
    known = [(number(visible(text)), truth) for text, raw in items if (truth := number(raw)) is not None]
    accuracies, errors = [], []
    for predicted, truth in known:
        if predicted is None:
            error = float("inf")
        elif truth == 0:
            error = 0.0 if predicted == 0 else float("inf")
        else:
            error = abs(predicted - truth) / abs(truth)
        errors.append(error)
        accuracies.append(max(0.0, 1.0 - error))
    bands = {f"tol_{int(t * 100)}%": round(sum(e <= t for e in errors) / max(len(known), 1), 4) for t in _TOLERANCES}
    mean = round(sum(accuracies) / max(len(accuracies), 1), 4)
    return {"metric": "MRA", "mean_mra": mean, "tolerance_acc": bands, "n_total": len(items), "n_scored": len(known)}


def _score_binary(items: list[Pair]) -> dict[str, Any]:
    read = [(yes_no(visible(text)), yes_no(truth)) for text, truth in items]
    positives, negatives = [p for p, t in read if t == "yes"], [p for p, t in read if t == "no"]
    return {
        "metric": "exact_match",
        "accuracy": round(sum(bool(p) and p == t for p, t in read) / max(len(items), 1), 4),
        "sensitivity": round(sum(p == "yes" for p in positives) / max(len(positives), 1), 4),
        "specificity": round(sum(p != "yes" for p in negatives) / max(len(negatives), 1), 4),  # an empty answer counts as a no
        "n_total": len(items),
    }


def _score_categories(items: list[Pair]) -> dict[str, Any]:
    read = [(category(visible(text)), category(truth)) for text, truth in items]
    exact = sum(p == t for p, t in read)
    partial = exact + sum(p != t and bool(p) and bool(t) and (p in t or t in p) for p, t in read)
    size = max(len(items), 1)
    return {"metric": "exact_match", "accuracy": round(exact / size, 4), "partial_accuracy": round(partial / size, 4), "n_total": len(items)}
