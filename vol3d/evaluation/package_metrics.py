"""Text metrics as the packages that define them compute them: sacrebleu, rouge-score, METEOR. What is not installed is named, never left out silently."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError, MissingExtraError
from vol3d.evaluation.meteor import CocoMeteor, NltkMeteor
from vol3d.evaluation.results import MetricRow, plain_row, row
from vol3d.evaluation.statistics import Estimate, cluster_bootstrap
from vol3d.extras import require

_ORDERS = 4
Interval = Callable[..., Estimate]
Scorer = Callable[[Sequence[str], Sequence[str], Interval], list[MetricRow]]


@dataclass
class PackageMetrics:
    """The scorers that are at hand, what each calls itself (for the provenance), and why the others are not. Close it, or use it in `with`."""

    scorers: list[Scorer] = field(default_factory=list)
    signatures: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "PackageMetrics":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rows(
        self,
        references: Sequence[str],
        hypotheses: Sequence[str],
        clusters: Sequence[object] | None = None,
        *,
        num_resamples: int = 2000,
        seed: int = 0,
    ) -> list[MetricRow]:
        """Rows of one system."""
        rng = np.random.default_rng(seed)

        def interval(values: np.ndarray, **how: Callable[[np.ndarray], np.ndarray]) -> Estimate:
            return cluster_bootstrap(values, clusters, num_resamples=num_resamples, rng=rng, **how)  # type: ignore[arg-type]

        return [found for scorer in self.scorers for found in scorer(references, hypotheses, interval)]


def open_package_metrics(*, meteor_java: bool = False) -> PackageMetrics:
    """Look what is installed, and load it; METEOR's Java program, which loads for about a minute and takes 2 GB, only where it is asked for."""
    metrics = PackageMetrics()
    for name, opener in _OPENERS.items():
        if name == "meteor_coco" and not meteor_java:
            metrics.missing[name] = "its Java program takes a minute and 2 GB: ask for it with --meteor-java"
            continue
        try:
            opener(metrics)
        except (MissingExtraError, ConfigError) as error:
            metrics.missing[name] = str(error)
    return metrics


def _open_sacrebleu(metrics: PackageMetrics) -> None:
    sacrebleu = require("sacrebleu", extra="metrics")
    bleu = sacrebleu.metrics.BLEU()
    bleu.corpus_score(["a"], [["a"]])
    metrics.signatures["sacrebleu"] = str(bleu.get_signature())
    metrics.scorers.append(_sacrebleu_rows)


def sacrebleu_columns(references: Sequence[str], hypotheses: Sequence[str]) -> Float[np.ndarray, "n 10"]:
    """Per report: correct and total n-grams of orders 1-4, lengths of hypothesis and reference, as sacrebleu counts them. Summable."""
    bleu = require("sacrebleu", extra="metrics").metrics.BLEU()
    found = [bleu.corpus_score([h], [[r]]) for r, h in zip(references, hypotheses, strict=True)]
    return np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in found], dtype=np.float64)


def sacrebleu_of_sums(sums: Float[np.ndarray, "r 10"]) -> Float[np.ndarray, " r"]:
    """Corpus BLEU from summed columns, on sacrebleu's scale of 0 to 100."""
    compute = require("sacrebleu", extra="metrics").metrics.BLEU.compute_bleu
    scores = [compute(s[:_ORDERS], s[_ORDERS : 2 * _ORDERS], int(s[-2]), int(s[-1]), smooth_method="exp").score for s in sums.tolist()]
    return np.array(scores)


def _sacrebleu_rows(references: Sequence[str], hypotheses: Sequence[str], interval: Interval) -> list[MetricRow]:
    return [row("sacrebleu/bleu", interval(sacrebleu_columns(references, hypotheses), reduce=sacrebleu_of_sums))]


def _open_rouge(metrics: PackageMetrics) -> None:
    scorer = require("rouge_score.rouge_scorer", extra="metrics").RougeScorer(["rouge1", "rouge2"], use_stemmer=False)
    from importlib.metadata import version

    metrics.signatures["rouge_score"] = f"version {version('rouge-score')}, F1, no stemming"

    def rows(references: Sequence[str], hypotheses: Sequence[str], interval: Interval) -> list[MetricRow]:
        found = [scorer.score(r, h) for r, h in zip(references, hypotheses, strict=True)]
        return [row(f"rouge_score/{name}", interval(np.array([one[name].fmeasure for one in found]))) for name in ("rouge1", "rouge2")]

    metrics.scorers.append(rows)


def _open_meteor_nltk(metrics: PackageMetrics) -> None:
    meteor = NltkMeteor()
    version = require("nltk", extra="metrics").__version__
    metrics.signatures["meteor_nltk"] = f"nltk {version}, lower-case words, mean of reports"
    metrics.scorers.append(lambda r, h, interval: [row("meteor_nltk", interval(meteor.scores(r, h)))])


def _open_meteor_coco(metrics: PackageMetrics) -> None:
    meteor = CocoMeteor()
    metrics._stack.callback(meteor.close)
    metrics.signatures["meteor_coco"] = "METEOR 1.5 of pycocoevalcap, -l en -norm; meteor_coco of the corpus, meteor_coco_mean of reports"

    def rows(references: Sequence[str], hypotheses: Sequence[str], interval: Interval) -> list[MetricRow]:
        try:
            whole, each = meteor.scores(references, hypotheses)
        except (ConfigError, OSError) as error:  # its memory ran out: the other scores still stand
            metrics.missing["meteor_coco"] = str(error)
            return []
        return [plain_row("meteor_coco", whole, len(each)), row("meteor_coco_mean", interval(each))]

    metrics.scorers.append(rows)


_OPENERS: Mapping[str, Callable[[PackageMetrics], None]] = {
    "sacrebleu": _open_sacrebleu,
    "rouge_score": _open_rouge,
    "meteor_nltk": _open_meteor_nltk,
    "meteor_coco": _open_meteor_coco,
}
