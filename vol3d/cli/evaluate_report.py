"""`vol3d evaluate report`: score written reports, with baselines beside them."""

import argparse
from typing import TYPE_CHECKING

from vol3d.cli.evaluate_output import add_output_arguments, show

if TYPE_CHECKING:
    import numpy as np

    from vol3d.evaluation.report_files import PairedReports, ReportTable
    from vol3d.evaluation.results import MetricRow

SUMMARY = "score reports: BLEU, ROUGE-L, CIDEr-D by named recipe, 18 clinical labels, CRG and J, findings; baselines beside"
EXAMPLE = "vol3d evaluate report --references valid_reports.csv --hypotheses written.json --train train_reports.csv --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--references", required=True, metavar="FILE", help="CSV, JSON or JSON lines with an id and a report (or findings and impression)"
    )
    parser.add_argument("--hypotheses", required=True, metavar="FILE", help="the same for the reports to score; VLM3D submissions are read too")
    parser.add_argument("--train", metavar="FILE", help="training reports: the constant baseline is chosen there")
    parser.add_argument("--blind", metavar="FILE", help="reports that the same model wrote without images")
    parser.add_argument("--no-labels", action="store_true", help="text overlap only: no clinical labels, no findings")
    parser.add_argument("--scorer", choices=("vol3d", "vlm3d"), default="vol3d", help="vlm3d: the challenge's own rules, defects included")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score the model and its baselines."""
    from vol3d.evaluation.report_files import pair, read_reports
    from vol3d.evaluation.results import Provenance, ResultFile, hashes
    from vol3d.evaluation.vqa_table import patient_of

    references = read_reports(args.references)
    paired = pair(references, read_reports(args.hypotheses))
    truth = None if args.no_labels else _truth(references)
    items: list[dict] = []
    if args.scorer == "vlm3d":
        rows = _vlm3d_rows(args, paired)
    else:
        patients = [patient_of(name) for name in paired.ids]
        systems = {"": paired.hypotheses, **_baselines(args, paired, patients)}
        rows = [row for name, texts in systems.items() for row in _system_rows(args, paired, texts, patients, name, truth)]
        items = _items(args, paired)
    settings = {"missing": paired.missing, "without_reference": paired.unknown, "resamples": args.resamples, "seed": args.seed}
    data = hashes([args.references, args.hypotheses, args.train, args.blind])
    scorer = "vol3d-report" if args.scorer == "vol3d" else "vlm3d (compatibility)"
    provenance = Provenance(scorer=scorer, model=args.model, data=data, settings=settings)
    return show(ResultFile(task="report", rows=tuple(rows), provenance=provenance, items=tuple(items)), args)


def _system_rows(
    args: argparse.Namespace, paired: "PairedReports", texts: tuple[str, ...], patients: list[str], name: str, truth: "np.ndarray | None"
) -> "list[MetricRow]":
    from vol3d.evaluation.report import report_rows

    labeller, extractor = _readers(args)
    rows = report_rows(
        paired.references,
        texts,
        patients,
        labeller=labeller,
        extractor=extractor,
        truth_labels=truth,
        num_resamples=args.resamples,
        seed=args.seed,
    )
    return [row.model_copy(update={"metric": f"baseline_{name}/{row.metric}"}) if name else row for row in rows]


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


def _baselines(args: argparse.Namespace, paired: "PairedReports", patients: list[str]) -> dict[str, tuple[str, ...]]:
    import numpy as np

    from vol3d.evaluation.baselines import constant_report, shuffled_reports
    from vol3d.evaluation.report_files import pair, read_reports

    rng = np.random.default_rng(args.seed)
    found: dict[str, tuple[str, ...]] = {}
    if args.train:
        found["constant"] = (constant_report(read_reports(args.train).texts, rng=rng),) * len(paired.ids)
    if len(set(patients)) > 1:
        found["shuffled"] = tuple(shuffled_reports(paired.hypotheses, patients, rng))
        found["other_patient"] = tuple(shuffled_reports(paired.references, patients, rng))
    if args.blind:
        found["blind"] = pair(read_reports(args.references), read_reports(args.blind)).hypotheses
    return found


def _items(args: argparse.Namespace, paired: "PairedReports") -> list[dict]:
    """Per report: what it hallucinated, omitted or contradicted, with the sentences."""
    if args.no_labels:
        return []
    from data_prep.text.entities import extract_entities
    from vol3d.evaluation.report import differences, match_reports

    matches = match_reports(paired.references, paired.hypotheses, extract_entities)
    rows = zip(paired.ids, paired.references, paired.hypotheses, matches, strict=True)
    return [{"id": name, "differences": differences(reference, hypothesis, found)} for name, reference, hypothesis, found in rows]


def _vlm3d_rows(args: argparse.Namespace, paired: "PairedReports") -> "list[MetricRow]":
    from vol3d.evaluation.compat.vlm3d import report_scores
    from vol3d.evaluation.report_files import read_reports
    from vol3d.evaluation.results import plain_row

    scores = report_scores(read_reports(args.references).by_id(), read_reports(args.hypotheses).by_id())
    return [plain_row(name, value, len(paired.ids) - paired.missing) for name, value in scores.items()]
