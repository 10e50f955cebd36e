"""`vol3d evaluate power`: how many questions tell two models apart."""

import argparse

SUMMARY = "how many questions (and patients) would tell two models apart"
EXAMPLE = "vol3d evaluate power --difference 0.03 --discordant 0.3 --questions-per-patient 10 --icc 0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--difference", type=float, required=True, help="difference in accuracy to be seen, such as 0.03")
    parser.add_argument("--discordant", type=float, required=True, help="share of questions that exactly one of the two models gets right")
    parser.add_argument("--questions-per-patient", type=float, default=1.0, metavar="M", help="mean number of questions per patient (default 1)")
    parser.add_argument("--icc", type=float, default=0.0, help="correlation of differences within a patient (default 0)")
    parser.add_argument("--alpha", type=float, default=0.05, help="two-sided error (default 0.05)")
    parser.add_argument("--power", type=float, default=0.8, help="wanted power (default 0.8)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a line")


def run(args: argparse.Namespace) -> int:
    """Compute and show."""
    import math

    from vol3d.cli.console import print_json
    from vol3d.errors import ConfigError
    from vol3d.evaluation.power import items_for_paired_accuracy

    if args.questions_per_patient < 1 or not 0 <= args.icc <= 1 or not 0 < args.alpha < 1 or not 0 < args.power < 1:
        raise ConfigError("no such study", expected="questions per patient >= 1, icc in 0..1, alpha and power between 0 and 1")
    deff = 1 + (args.questions_per_patient - 1) * args.icc
    items = items_for_paired_accuracy(args.difference, args.discordant, alpha=args.alpha, power=args.power, deff=deff)
    patients = math.ceil(items / args.questions_per_patient)
    if args.json:
        print_json({"questions": items, "patients": patients, "design_effect": deff, "alpha": args.alpha, "power": args.power})
    else:
        print(
            f"{items} questions on {patients} patients (design effect {deff:.2f}) see {args.difference:g} with power {args.power:g} at alpha {args.alpha:g}."
        )
    return 0
