"""`vol3d evaluate compare`: did a model improve on its base? Paired, by patient, corrected for the number of tasks."""

import argparse

from vol3d.cli.evaluate_output import add_output_arguments

SUMMARY = "win, tie or loss of one result against another on the same questions, per group, with corrected p-values"
EXAMPLE = "vol3d evaluate compare model.json base.json --by subtype"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="RESULT", help="result file of `vol3d evaluate vqa --output`")
    parser.add_argument("base", metavar="RESULT", help="the same for the model that it is compared with")
    parser.add_argument(
        "--by", choices=("all", "group", "subtype", "organ", "kind", "lesion_size"), default="group", help="what counts as one task (default group)"
    )
    parser.add_argument("--alpha", type=float, default=0.05, help="error over all tasks together (default 0.05)")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compare and show."""
    from vol3d.cli.console import print_json, print_table
    from vol3d.evaluation.compare import compare_results
    from vol3d.evaluation.results import read_result

    table = compare_results(
        read_result(args.model), read_result(args.base), by=args.by, alpha=args.alpha, num_resamples=args.resamples, seed=args.seed
    )
    if args.json:
        print_json(table)
        return 0
    cells = [(r["metric"], r["n"], f"{r['value']:+.3f}", f"{r['ci_low']:+.3f}" if r["ci_low"] is not None else "", f"{r['ci_high']:+.3f}" if r["ci_high"] is not None else "", f"{r['p_adjusted']:.3g}", r["verdict"]) for r in table["rows"]]  # fmt: skip
    print_table(("task", "n", "difference", "ci_low", "ci_high", "p (Holm)", "verdict"), cells, title=table["summary"])
    return 0
