"""`vol3d evaluate suite`: several models on several tasks, one command."""

import argparse

SUMMARY = "several models on several tasks, from a YAML file: results, leaderboards and pages in one folder"
EXAMPLE = "vol3d evaluate suite suite.yaml --output results/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("suite", metavar="YAML", help="models and tasks; see vol3d/evaluation/suite.py for the form")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for results, leaderboards and pages")
    parser.add_argument("--no-labels", action="store_true", help="score reports by text overlap only")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")


def run(args: argparse.Namespace) -> int:
    """Run all and show the leaderboards."""
    from vol3d.cli.console import print_json, print_table
    from vol3d.cli.model_options import experts_with_masks
    from vol3d.evaluation.suite import Helpers, run_suite

    labeller = extractor = None
    if not args.no_labels:
        from data_prep.text.entities import extract_entities
        from data_prep.text.labels18 import label_report

        labeller, extractor = label_report, extract_entities
    summary = run_suite(args.suite, args.output, Helpers(labeller, extractor, experts_with_masks))
    if args.json:
        print_json(summary)
        return 0
    for name, task in summary["tasks"].items():
        cells = [(r["rank"], r["model"], f"{r['value']:.3f}", r["n"]) for r in task["leaderboard"]]
        print_table(("rank", "model", task["metric"], "n"), cells, title=name)
    return 0
