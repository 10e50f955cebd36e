"""`vol3d evaluate baselines`: what reports score that never saw a scan, the floor under every report model."""

import argparse
from typing import TYPE_CHECKING

from vol3d.cli.evaluate_output import add_output_arguments, show

if TYPE_CHECKING:
    import numpy as np

    from vol3d.evaluation.report import Labeller
    from vol3d.evaluation.report_files import ReportTable

SUMMARY = "scores of reports written without any scan: one constant report, another patient's report, all-normal labels"
EXAMPLE = "vol3d evaluate baselines reports.csv --test-share 0.25 --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("reports", metavar="FILE", help="reports (and labels, where there are some): CSV, JSON or JSON lines")
    parser.add_argument("--train", metavar="FILE", help="training reports; without it the file is split by --test-share")
    parser.add_argument(
        "--test-share", type=float, default=0.25, metavar="P", help="share of reports to test on when there is no --train (default 0.25)"
    )
    parser.add_argument("--meteor-java", action="store_true", help="also METEOR 1.5, the Java program of pycocoevalcap: a minute and 2 GB of memory")
    parser.add_argument("--no-labels", action="store_true", help="text overlap only")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Choose on one part, score on the other, show."""
    import numpy as np

    from vol3d.errors import ConfigError
    from vol3d.evaluation.baselines import constant_report, shuffled_reports
    from vol3d.evaluation.package_metrics import open_package_metrics
    from vol3d.evaluation.report import report_rows
    from vol3d.evaluation.report_files import read_reports
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    if not 0 < args.test_share < 1:
        raise ConfigError("share of reports to test on", expected="between 0 and 1", found=args.test_share)
    rng = np.random.default_rng(args.seed)
    table = read_reports(args.reports)
    order = np.arange(len(table.ids)) if args.train else rng.permutation(len(table.ids))
    test = np.sort(order if args.train else order[: max(2, round(args.test_share * len(order)))])
    held = set(test.tolist())
    train = read_reports(args.train).texts if args.train else tuple(t for i, t in enumerate(table.texts) if i not in held)
    references = [table.texts[i] for i in test]
    unseen = [text for text in train if text not in set(references)]
    systems = {
        "constant": [constant_report(unseen, rng=rng)] * len(references),
        "other_patient": shuffled_reports(references, references, rng),
        "training_report": [unseen[int(rng.integers(len(unseen)))] for _ in references],
    }
    labeller = None if args.no_labels else _labeller()
    known = None if args.no_labels else _known_labels(table)
    truth = None if known is None else known[test]
    rows = []
    with open_package_metrics(meteor_java=args.meteor_java) as packages:
        for name, texts in systems.items():
            scored = report_rows(references, texts, references, labeller=labeller, truth_labels=truth, num_resamples=args.resamples, seed=args.seed)
            scored += packages.rows(references, texts, references, num_resamples=args.resamples, seed=args.seed)
            rows += [row.model_copy(update={"metric": f"{name}/{row.metric}"}) for row in scored]
    settings = {"tested": len(references), "trained": len(unseen), "seed": args.seed, "resamples": args.resamples}
    settings |= {"signatures": packages.signatures, "not_computed": packages.missing}
    provenance = Provenance(scorer="vol3d-report", model="baselines", data=hashes([args.reports, args.train]), settings=settings)
    return show(ResultFile(task="baselines", rows=tuple(rows), provenance=provenance), args)


def _known_labels(table: "ReportTable") -> "np.ndarray | None":
    from data_prep.text.labels18 import LABELS18

    return table.labels_as(LABELS18)


def _labeller() -> "Labeller":
    from data_prep.text.labels18 import label_report

    return label_report
