"""`vol3d evaluate labeller`: how well a report labeller agrees with labels that people gave."""

import argparse

from vol3d.cli.evaluate_output import add_output_arguments, show

SUMMARY = "agreement of the 18-label reader with labels that people gave to reports"
EXAMPLE = "vol3d evaluate labeller --reports reports_with_labels.csv --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--reports", metavar="CSV", required=True, help="an id, the report text, and one 0/1 column per label")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Label, compare, show."""
    from data_prep.text.labels18 import label_report
    from vol3d.errors import ConfigError
    from vol3d.evaluation.label_metrics import label_rows, per_label
    from vol3d.evaluation.report import label_matrix
    from vol3d.evaluation.report_files import read_reports
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    table = read_reports(args.reports)
    predicted, names = label_matrix(table.texts, label_report)
    missing = [name for name in names if name not in table.label_names]
    if table.labels is None or missing:
        raise ConfigError(
            "the file lacks label columns", path=args.reports, expected="0/1 columns named as the 18 labels", found=f"without {', '.join(missing)}"
        )
    truth = table.labels[:, [table.label_names.index(name) for name in names]]
    patients = table.texts  # the same text twice is one case, whatever its number
    rows = tuple(label_rows(truth, predicted, patients, num_resamples=args.resamples, seed=args.seed))
    provenance = Provenance(
        scorer="vol3d-labels", model="rules18", data=hashes([args.reports]), settings={"resamples": args.resamples, "seed": args.seed}
    )
    result = ResultFile(task="labeller", rows=rows, provenance=provenance)
    by_name = {row.metric: row.value for row in rows}
    labels = per_label(truth, predicted, names)
    extra = {"macro_f1": by_name["macro_f1"], "micro_f1": by_name["micro_f1"], "per_label": labels}
    if not args.json:
        from vol3d.cli.console import print_table

        cells = [(name, s["positives"], f"{s['precision']:.3f}", f"{s['recall']:.3f}", f"{s['f1']:.3f}") for name, s in labels.items()]
        print_table(("label", "positives", "precision", "recall", "f1"), cells)
    return show(result, args, extra)
