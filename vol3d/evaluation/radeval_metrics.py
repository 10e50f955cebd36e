"""RadGraph-F1, RaTEScore, GREEN and labels by RadBERT, through the package `radeval`, in a process of its own.

A process, because radeval sets global warning filters, downloads at import, and needs libraries (spaCy 3.7) built for numpy 1 for RaTEScore, which cannot
be loaded beside numpy 2. With `python` the package may live in any environment; without, it is looked for in this one.
Its models come from a hub at first use; what cannot be had is named with the reason, and the rest is scored.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vol3d.errors import ConfigError, MissingExtraError
from vol3d.evaluation import radeval_worker
from vol3d.evaluation.label_metrics import label_rows
from vol3d.evaluation.results import MetricRow, row
from vol3d.evaluation.statistics import cluster_bootstrap
from vol3d.extras import pip_command

# What radeval calls each, and what it is for; `bleu` and `rouge` need no model.
METRICS: Mapping[str, str] = {
    "radgraph": "F1 of entities and relations (chest X-ray model)",
    "ratescore": "entities, synonyms allowed",
    "green": "errors counted by a language model of 7 billion parameters",
    "f1radbert_ct": "18 labels by RadBERT",
    "bleu": "BLEU per report",
    "rouge": "ROUGE with stemming",
}


@dataclass(frozen=True)
class RadevalScores:
    """Scores per report of each system, labels by RadBERT, and what could not be had.

    Args:
        version: radeval's.
        scores: key (`radgraph_partial`) -> system -> one value per report.
        labels: system (and `references`) -> `n l` labels; empty unless `f1radbert_ct` was asked for.
        missing: metric -> why.
    """

    version: str
    scores: Mapping[str, Mapping[str, Sequence[float]]]
    labels: Mapping[str, np.ndarray]
    missing: Mapping[str, str]

    def rows(self, system: str, clusters: Sequence[object] | None, *, num_resamples: int = 2000, seed: int = 0) -> list[MetricRow]:
        """All rows of one system, with intervals over patients."""
        rng = np.random.default_rng(seed)
        rows = [
            row(f"radeval/{key}", cluster_bootstrap(np.asarray(values[system], float), clusters, num_resamples=num_resamples, rng=rng))
            for key, values in self.scores.items()
        ]
        if self.labels:
            truth, predicted = self.labels["references"], self.labels[system]
            rows += label_rows(truth, predicted, clusters, prefix="radbert/", num_resamples=num_resamples, seed=seed)
        return rows


def radeval_scores(
    references: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    metrics: Sequence[str],
    *,
    python: str | Path | None = None,
    timeout_seconds: float = 6 * 3600.0,
    environment: Mapping[str, str] | None = None,
) -> RadevalScores:
    """Score systems by radeval.

    Args:
        references: one per report.
        systems: name -> hypotheses.
        metrics: names of `METRICS`.
        python: a Python that has radeval; None: this one.
        timeout_seconds: how long all of it may take.
        environment: the process's variables; None: this one's.

    Errors: ConfigError for an unknown metric; MissingExtraError where there is no radeval.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ConfigError("unknown metric of radeval", expected=" | ".join(METRICS), found=unknown[0])
    if python is None and find_spec("radeval") is None:
        hint = f"Run: {pip_command('metrics-full')}, or name the Python of an environment that has radeval (--radeval-python)."
        raise MissingExtraError("radeval is not installed", hint=hint)
    # -P: else the worker's own folder comes first on the path, and our statistics.py stands in for Python's.
    job = json.dumps({"references": list(references), "systems": {k: list(v) for k, v in systems.items()}, "metrics": list(metrics)})
    found = _run([str(python or sys.executable), "-P", str(Path(radeval_worker.__file__))], job, timeout_seconds, environment)
    scores = {key: by_system for by_key in found["scores"].values() for key, by_system in by_key.items()}
    labels = {name: np.array(values, dtype=np.int64) for name, values in found["labels"].items()}
    return RadevalScores(found["version"], scores, labels, found["missing"])


def _run(command: Sequence[str], job: str, timeout_seconds: float, environment: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        done = subprocess.run(command, input=job, capture_output=True, text=True, timeout=timeout_seconds, env=environment, check=False)
    except FileNotFoundError as error:
        raise ConfigError("no such Python", path=command[0], hint="Name the python of an environment that has radeval.") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"radeval took more than {timeout_seconds:.0f} s", hint="Ask for fewer metrics, or fewer reports.") from error
    line = next((text for text in done.stdout.splitlines() if text.startswith(radeval_worker.MARK)), None)
    if line is None:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if "No module named 'radeval'" in last:
            raise MissingExtraError("radeval is not installed there", path=command[0], hint=f"Run in that environment: {pip_command('metrics-full')}")
        raise ConfigError(f"radeval broke: {last}", path=command[0])
    return dict(json.loads(line.removeprefix(radeval_worker.MARK)))
