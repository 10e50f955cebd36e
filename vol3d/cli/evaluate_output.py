"""What all branches of `vol3d evaluate` share: their common flags, and how a result is shown and kept."""

import argparse
from typing import Any

from vol3d.evaluation.results import ResultFile, write_result


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`, `--output`, `--resamples`, `--seed`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--output", metavar="FILE", help="also write the result, with one record per item, to this JSON file")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="bootstrap resamples over patients (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the resampling (default 0)")


def show(result: ResultFile, args: argparse.Namespace, extra: dict[str, Any] | None = None) -> int:
    """Print rows (or one JSON document without the items) and write the whole result where asked."""
    from vol3d.cli.console import print_json, print_table

    if args.output:
        write_result(result, args.output)
    if args.json:
        print_json({**result.model_dump(mode="json", exclude={"items"}), **(extra or {})})
        return 0
    cells = [(r.metric, r.n, _cell(r.value), _cell(r.ci_low), _cell(r.ci_high)) for r in result.rows]
    print_table(("metric", "n", "value", "ci_low", "ci_high"), cells, title=f"{result.task}, scorer {result.provenance.scorer}")
    for name, why in result.provenance.settings.get("not_computed", {}).items():
        print(f"not computed: {name}: {why}")
    return 0


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
