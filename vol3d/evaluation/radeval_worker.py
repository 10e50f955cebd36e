"""Runs in the Python that has `radeval`: JSON on standard input, one JSON document after `RESULT` on standard output. Imports nothing of vol3d.

Input: `{"references": [...], "systems": {name: [...]}, "metrics": [...]}`. Output: `{"version": ..., "scores": {metric: {key: {name: [one per report]}}},
"labels": {name: [[...]]}, "label_names": [...], "missing": {metric: why}}`.
"""

import json
import sys

MARK = "RESULT "


def main() -> None:
    """Score all systems by all metrics; a metric that cannot be had says why, and the others go on."""
    job = json.load(sys.stdin)
    import radeval

    # radeval 2.2.1 names itself `RadEval` inside its copy of radgraph, where only a file system that ignores case finds it.
    sys.modules.setdefault("RadEval", radeval)
    from importlib.metadata import version

    result: dict = {"version": version("radeval"), "scores": {}, "labels": {}, "label_names": [], "missing": {}}
    for metric in job["metrics"]:
        try:
            _score(metric, job, result)
        except Exception as error:  # noqa: BLE001 - sixteen metrics by as many authors fail in their own ways, offline above all
            result["missing"][metric] = f"{type(error).__name__}: {' '.join(str(error).split())[:240]}"
    sys.stdout.write(f"\n{MARK}{json.dumps(result)}\n")


def _score(metric: str, job: dict, result: dict) -> None:
    from radeval import RadEval

    evaluator = RadEval(metrics=[metric], per_sample=True, show_progress=False)
    if metric == "f1radbert_ct":
        scorer = evaluator.f1radbert_ct_scorer
        texts = {"references": job["references"], **job["systems"]}
        # The 19th column, 'No finding', is not one of the labels.
        names = list(scorer.LABELS)
        result["labels"] = {name: scorer._predict_label_matrix(list(given))[:, : len(names)].tolist() for name, given in texts.items()}
        result["label_names"] = names
        return
    scores: dict = {}
    for name, hypotheses in job["systems"].items():
        for key, values in evaluator(refs=list(job["references"]), hyps=list(hypotheses)).items():
            scores.setdefault(key, {})[name] = [float(value) for value in values]
    result["scores"][metric] = scores


if __name__ == "__main__":
    main()
