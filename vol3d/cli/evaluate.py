"""`vol3d evaluate BRANCH ...`: numbers with intervals, and the baselines that they must beat."""

import argparse
from importlib import import_module
from importlib.util import find_spec

SUMMARY = "score answers, reports, labels, retrieval and classification, with intervals and baselines"
EXAMPLE = "vol3d evaluate vqa --questions questions.jsonl --predictions predictions.jsonl --json"

# Each is a file `evaluate_<branch>.py` of this folder with SUMMARY, EXAMPLE, add_arguments and run.
BRANCHES = (
    "vqa",
    "report",
    "labeller",
    "classification",
    "retrieval",
    "baselines",
    "probes",
    "compare",
    "power",
    "suite",
    "page",
    "tokenizer",
    "demo",
    "experts",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the branches; each brings its own arguments."""
    branches = parser.add_subparsers(dest="branch", metavar="BRANCH", required=True)
    for name in BRANCHES:
        if find_spec(f"vol3d.cli.evaluate_{name}") is None:
            continue
        module = import_module(f"vol3d.cli.evaluate_{name}")
        branch = branches.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY,
            epilog=f"example:\n  {module.EXAMPLE.strip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(branch)


def run(args: argparse.Namespace) -> int:
    """Run the branch."""
    return int(import_module(f"vol3d.cli.evaluate_{args.branch}").run(args))
