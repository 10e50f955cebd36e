"""`vol3d evaluate probes`: what answers lose when the scan is changed, and whether a representation has collapsed."""

import argparse

from vol3d.cli.evaluate_output import add_output_arguments, show

SUMMARY = "does the model look? answers to changed scans against answers to the scan itself; collapse of saved features"
EXAMPLE = "vol3d evaluate probes --questions q.jsonl --predictions base.jsonl --probed blank=blank.jsonl swapped=swapped.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--questions", metavar="FILE", help="questions with truth")
    parser.add_argument("--predictions", metavar="FILE", help="answers to the scans as they are")
    parser.add_argument("--probed", nargs="+", default=[], metavar="NAME=FILE", help="answers to changed scans, by the name of the change")
    parser.add_argument("--format", choices=("mc", "free"), default="mc", help="multiple choice (default) or free form")
    parser.add_argument("--features", metavar="NPZ", help="array `features` (n d): adds effective rank, spread and mean cosine")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score and show."""
    from vol3d.errors import ConfigError
    from vol3d.evaluation.arrays import array_keys, load_array
    from vol3d.evaluation.probes import collapse_rows
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    named = dict(pair.partition("=")[::2] for pair in args.probed)
    if not args.features and not (args.questions and args.predictions and named):
        raise ConfigError("nothing to probe", expected="--questions, --predictions and --probed NAME=FILE; or --features", found="neither")
    rows = _answers(args, named) if named else []
    if args.features:
        rows += collapse_rows(load_array(args.features, "features" if "features" in array_keys(args.features) else None))
    data = hashes([args.questions, args.predictions, *named.values(), args.features])
    provenance = Provenance(scorer="vol3d-probes", model=args.model, data=data, settings={"probes": sorted(named), "format": args.format})
    return show(ResultFile(task="probes", rows=tuple(rows), provenance=provenance), args)


def _answers(args: argparse.Namespace, named: dict[str, str]) -> list:
    from vol3d.evaluation.probes import probe_rows
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_table import item_from_record, predictions_by_qid, score_items

    items = [item_from_record(record, args.format) for record in read_records(args.questions)]

    def scores(path: str) -> list[float]:
        return [s.score.value for s in score_items(items, predictions_by_qid(read_records(path)))]

    probed = {name: scores(path) for name, path in named.items()}
    return probe_rows(scores(args.predictions), probed, [i.patient for i in items], num_resamples=args.resamples, seed=args.seed)
