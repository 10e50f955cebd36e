"""`vol3d evaluate report`: score written reports, with baselines beside them."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vol3d.cli.evaluate_output import add_output_arguments, show

if TYPE_CHECKING:
    import numpy as np

    from vol3d.evaluation.number_check import Checked, Measured
    from vol3d.evaluation.package_metrics import PackageMetrics
    from vol3d.evaluation.radeval_metrics import RadevalScores
    from vol3d.evaluation.report_baselines import Features
    from vol3d.evaluation.report_files import PairedReports, ReportTable
    from vol3d.evaluation.results import MetricRow

SUMMARY = "score reports: BLEU, METEOR, ROUGE, CIDEr-D by named recipe, 18 labels, CRG and J, findings, numbers against masks; baselines beside"
EXAMPLE = "vol3d evaluate report --references valid_reports.csv --hypotheses written.json --train train_reports.csv --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--references", required=True, metavar="FILE", help="CSV, JSON or JSON lines with an id and a report (or findings and impression)"
    )
    parser.add_argument("--hypotheses", required=True, metavar="FILE", help="the same for the reports to score; VLM3D submissions are read too")
    parser.add_argument(
        "--train", metavar="FILE", help="training reports for the constant and retrieved baselines (default: other patients' references)"
    )
    parser.add_argument("--features", metavar="NPZ", help="`features` and `ids` of the scans: with --train-features adds the retrieved baseline")
    parser.add_argument("--train-features", metavar="NPZ", help="the same for the training scans")
    parser.add_argument("--blind", metavar="FILE", help="reports that the same model wrote without images")
    parser.add_argument("--measurements", metavar="DIR", help="ID.json of each scan, from vol3d measure --json: numbers are compared with the masks")
    parser.add_argument(
        "--radeval", metavar="A,B", default="", help="also these, through radeval: radgraph, ratescore, green, f1radbert_ct, bleu, rouge"
    )
    parser.add_argument("--radeval-python", metavar="PATH", help="the Python that has radeval (default: this one)")
    parser.add_argument("--meteor-java", action="store_true", help="also METEOR 1.5, the Java program of pycocoevalcap: a minute and 2 GB of memory")
    parser.add_argument("--no-labels", action="store_true", help="text overlap only: no clinical labels, no findings")
    parser.add_argument("--scorer", choices=("vol3d", "vlm3d"), default="vol3d", help="vlm3d: the challenge's own rules, defects included")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score the model and its baselines."""
    from vol3d.evaluation.report_files import pair, read_reports
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    references = read_reports(args.references)
    paired = pair(references, read_reports(args.hypotheses))
    settings: dict[str, Any] = {"missing": paired.missing, "without_reference": paired.unknown, "resamples": args.resamples, "seed": args.seed}
    items: list[dict] = []
    if args.scorer == "vlm3d":
        rows = _vlm3d_rows(args, paired)
    else:
        rows, items, more = _score(args, references, paired)
        settings |= more
    data = hashes([args.references, args.hypotheses, args.train, args.blind, args.features, args.train_features, args.measurements])
    scorer = "vol3d-report" if args.scorer == "vol3d" else "vlm3d (compatibility)"
    provenance = Provenance(scorer=scorer, model=args.model, data=data, settings=settings)
    return show(ResultFile(task="report", rows=tuple(rows), provenance=provenance, items=tuple(items)), args)


def _score(args: argparse.Namespace, references: "ReportTable", paired: "PairedReports") -> "tuple[list[MetricRow], list[dict], dict[str, Any]]":
    """Rows of the model and of each baseline, one record per report, and what goes into the provenance."""
    from vol3d.cli.evaluate_numbers import checked_reports, read_folder
    from vol3d.evaluation.package_metrics import open_package_metrics
    from vol3d.evaluation.vqa_table import patient_of

    patients = [patient_of(name) for name in paired.ids]
    systems = {"": paired.hypotheses, **_baselines(args, references, paired, patients)}
    measured = None if args.measurements is None else read_folder(args.measurements, paired.ids)
    if measured is not None:
        # How far the reports that people wrote agree with these masks is the most that any model can be asked for.
        systems["reference"] = paired.references
    radeval = _radeval(args, paired, systems)
    truth = None if args.no_labels else _truth(references)
    rows: list[MetricRow] = []
    with open_package_metrics(meteor_java=args.meteor_java) as packages:
        for name, texts in systems.items():
            numbers = None if measured is None else checked_reports(texts, measured)
            found = [] if name == "reference" else _text_rows(args, paired, texts, patients, truth, packages)
            if radeval is not None and name != "reference":
                found += radeval.rows(name, patients, num_resamples=args.resamples, seed=args.seed)
            rows += _prefixed(name, [*found, *_number_rows(args, numbers, patients)])
        missing = {**packages.missing, **({} if radeval is None else radeval.missing)}
        signatures = dict(packages.signatures) | ({} if radeval is None else {"radeval": radeval.version})
    more = {"signatures": signatures, "not_computed": missing}
    return rows, _items(args, paired, measured), more


def _prefixed(name: str, rows: "Sequence[MetricRow]") -> "list[MetricRow]":
    prefix = {"": "", "reference": "reference/"}.get(name, f"baseline_{name}/")
    return [row.model_copy(update={"metric": f"{prefix}{row.metric}"}) for row in rows]


def _text_rows(
    args: argparse.Namespace,
    paired: "PairedReports",
    texts: Sequence[str],
    patients: list[str],
    truth: "np.ndarray | None",
    packages: "PackageMetrics",
) -> "list[MetricRow]":
    from vol3d.evaluation.report import report_rows

    labeller, extractor = _readers(args)
    how = {"num_resamples": args.resamples, "seed": args.seed}
    rows = report_rows(paired.references, texts, patients, labeller=labeller, extractor=extractor, truth_labels=truth, **how)
    return [*rows, *packages.rows(paired.references, texts, patients, **how)]


def _number_rows(args: argparse.Namespace, checked: "list[tuple[Checked, ...]] | None", patients: list[str]) -> "list[MetricRow]":
    from vol3d.evaluation.number_check import number_rows

    return [] if checked is None else number_rows(checked, patients, num_resamples=args.resamples, seed=args.seed)


def _readers(args: argparse.Namespace) -> tuple:
    if args.no_labels:
        return None, None
    from data_prep.text.entities import extract_entities
    from data_prep.text.labels18 import label_report

    return label_report, extract_entities


def _truth(references: "ReportTable") -> "np.ndarray | None":
    """Labels that people gave, where the reference file has all 18 by name; else None, and the labeller reads the references too."""
    from data_prep.text.labels18 import LABELS18

    return references.labels_as(LABELS18)


def _baselines(args: argparse.Namespace, references: "ReportTable", paired: "PairedReports", patients: list[str]) -> dict[str, tuple[str, ...]]:
    import numpy as np

    from vol3d.evaluation.report_baselines import report_baselines
    from vol3d.evaluation.report_files import pair, read_reports

    train = read_reports(args.train) if args.train else None
    blind = pair(references, read_reports(args.blind)).hypotheses if args.blind else None
    return report_baselines(
        paired.references,
        paired.hypotheses,
        patients,
        train=None if train is None else train.texts,
        features=_features(args, train, paired),
        blind=blind,
        rng=np.random.default_rng(args.seed),
    )


def _features(args: argparse.Namespace, train: "ReportTable | None", paired: "PairedReports") -> "Features | None":
    from vol3d.cli.evaluate_retrieval import load_features
    from vol3d.errors import ConfigError
    from vol3d.evaluation.report_baselines import Features

    if not args.features and not args.train_features:
        return None
    if not (args.features and args.train_features and train is not None):
        raise ConfigError("the retrieved baseline needs all three", expected="--train, --features and --train-features")
    tables = []
    for path, ids in ((args.train_features, train.ids), (args.features, paired.ids)):
        features, names = load_features(path)
        rows = {name: i for i, name in enumerate(names)}
        without = next((name for name in ids if name not in rows), None)
        if without is not None:
            raise ConfigError("a report has no features", path=path, expected=f"{len(ids)} scans", found=f"without {without}")
        tables.append(features[[rows[name] for name in ids]])
    return Features(*tables)


def _radeval(args: argparse.Namespace, paired: "PairedReports", systems: Mapping[str, Sequence[str]]) -> "RadevalScores | None":
    from vol3d.cli.measure_output import comma_list
    from vol3d.evaluation.radeval_metrics import radeval_scores

    metrics = comma_list(args.radeval)
    if not metrics:
        return None
    asked = {name: texts for name, texts in systems.items() if name != "reference"}
    return radeval_scores(paired.references, asked, metrics, python=args.radeval_python)


def _items(args: argparse.Namespace, paired: "PairedReports", measured: "Sequence[Measured | None] | None") -> list[dict]:
    """Per report: what it hallucinated, omitted or contradicted, and its numbers against the masks, with the sentences."""
    from vol3d.cli.evaluate_numbers import checked_reports

    items: list[dict] = [{"id": name} for name in paired.ids]
    if not args.no_labels:
        from data_prep.text.entities import extract_entities
        from vol3d.evaluation.report import differences, match_reports

        matches = match_reports(paired.references, paired.hypotheses, extract_entities)
        for item, reference, hypothesis, found in zip(items, paired.references, paired.hypotheses, matches, strict=True):
            item["differences"] = differences(reference, hypothesis, found)
    if measured is not None:
        for item, checked in zip(items, checked_reports(paired.hypotheses, measured), strict=True):
            item["numbers"] = [one.as_record() for one in checked]
    return items if len(items[0]) > 1 else []


def _vlm3d_rows(args: argparse.Namespace, paired: "PairedReports") -> "list[MetricRow]":
    from vol3d.evaluation.compat.vlm3d import report_scores
    from vol3d.evaluation.report_files import read_reports
    from vol3d.evaluation.results import plain_row

    scores = report_scores(read_reports(args.references).by_id(), read_reports(args.hypotheses).by_id())
    return [plain_row(name, value, len(paired.ids) - paired.missing) for name, value in scores.items()]
