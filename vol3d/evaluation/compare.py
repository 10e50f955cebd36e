"""Two results on the same questions, paired by question, resampled by patient, corrected over tasks (Holm); McNemar for comparison."""

from typing import Any

import numpy as np

from vol3d.errors import ConfigError
from vol3d.evaluation.power import design_effect, items_for_paired_mean
from vol3d.evaluation.results import ResultFile
from vol3d.evaluation.statistics import win_tie_loss


def compare_results(
    model: ResultFile, base: ResultFile, *, by: str = "group", alpha: float = 0.05, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Rows of differences (model minus base) with verdicts, a summary, and how many questions a tie would have needed.

    Errors: ConfigError where the results have no items, or other questions.
    """
    mine, theirs = ({item["qid"]: item for item in result.items} for result in (model, base))
    if not mine or set(mine) != set(theirs):
        raise ConfigError(
            "results can be compared question by question only", expected=f"the same questions ({len(mine)})", found=f"{len(set(mine) & set(theirs))} in both",
            hint="Write both with --output from the same questions.",
        )  # fmt: skip
    tasks: dict[str, list[str]] = {}
    for qid, item in mine.items():
        tasks.setdefault("all" if by == "all" else str(item.get(by, "other")), []).append(qid)
    pairs = {
        task: ([mine[q]["score"] for q in qids], [theirs[q]["score"] for q in qids], [mine[q].get("patient", q) for q in qids])
        for task, qids in tasks.items()
    }
    found = win_tie_loss(pairs, alpha=alpha, num_resamples=num_resamples, rng=np.random.default_rng(seed))
    rows = [
        {
            "metric": c.task, "n": c.difference.n, "value": c.difference.value, "ci_low": c.difference.low, "ci_high": c.difference.high,
            "p_value": c.p_value, "p_adjusted": c.p_adjusted, "verdict": c.verdict, "items_needed": _needed(*pairs[c.task], alpha=alpha),
        }
        for c in found
    ]  # fmt: skip
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("win", "tie", "loss")}
    summary = f"{model.provenance.model or 'model'} against {base.provenance.model or 'base'}: " + ", ".join(f"{n} {v}" for v, n in counts.items())
    provenance = {
        "model": model.provenance.model_dump(mode="json"),
        "base": base.provenance.model_dump(mode="json"),
        "alpha": alpha,
        "by": by,
        "correction": "Holm",
    }
    return {"rows": rows, "summary": summary, **counts, "provenance": provenance}


def _needed(a: list[float], b: list[float], patients: list[str], *, alpha: float) -> int | None:
    """Questions that would make this difference significant with 80% power; None where there is none."""
    difference = np.asarray(a) - np.asarray(b)
    if len(difference) < 2 or difference.mean() == 0 or difference.std() == 0:
        return None
    return items_for_paired_mean(float(difference.mean()), float(difference.std(ddof=1)), alpha=alpha, deff=design_effect(difference, patients))
