"""`vol3d evaluate probes`: what answers lose when the scan or the evidence is changed, and whether a representation has collapsed."""

import argparse
from typing import TYPE_CHECKING, Any

from vol3d.cli.evaluate_output import add_output_arguments, show
from vol3d.cli.model_options import add_model_options

if TYPE_CHECKING:
    from vol3d.evaluation.results import MetricRow

SUMMARY = "does the model look? answers to changed scans and evidence against unchanged ones; collapse and alignment of features"
EXAMPLE = "vol3d evaluate probes --run vol3d:demo --questions q.jsonl --scans scans/ --answers probes/ --probes blank swapped evidence_wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--questions", metavar="FILE", help="questions with truth")
    parser.add_argument("--format", choices=("mc", "free"), default="mc", help="multiple choice (default) or free form")
    parser.add_argument("--run", metavar="SPEC", help="ask this model under every probe: vol3d:NAME, hf:NAME, openai:URL#MODEL, module:Class, ...")
    parser.add_argument("--answers", metavar="DIR", help="with --run: folder for the answers of each condition; what is there is kept")
    parser.add_argument("--probes", nargs="+", metavar="NAME", help="with --run: these only (default: all that fit the model)")
    parser.add_argument("--limit", type=int, metavar="N", help="with --run: N questions, drawn by --seed")
    parser.add_argument("--inspect", action="store_true", help="with --run of a vol3d model: add collapse and alignment of its representation")
    add_model_options(parser)
    parser.add_argument("--predictions", metavar="FILE", help="without --run: answers to the scans as they are")
    parser.add_argument(
        "--probed", nargs="+", default=[], metavar="NAME=FILE", help="without --run: answers to changed scans, by the name of the change"
    )
    parser.add_argument("--features", metavar="NPZ", help="array `features` (n d): adds effective rank, spread and mean cosine")
    parser.add_argument(
        "--text-features", metavar="NPZ", help="array `features` of the same items' texts, in the same order: adds alignment by retrieval"
    )
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask where asked to, score and show."""
    from vol3d.errors import ConfigError
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    named = dict(pair.partition("=")[::2] for pair in args.probed)
    ready = args.questions and (args.run or (args.predictions and named))
    if not args.features and not ready:
        raise ConfigError(
            "nothing to probe", expected="--questions with --run, or with --predictions and --probed NAME=FILE; or --features", found="neither"
        )
    rows: list[MetricRow] = []
    decoding: dict[str, Any] = {}
    if args.run:
        rows, decoding, named = _ask(args)
    elif named:
        rows = _table(args, args.predictions, named)
    if args.features:
        rows += _features(args)
    data = hashes([args.questions, args.predictions, *named.values(), args.features, args.text_features])
    settings = {"probes": sorted(named), "format": args.format, "resamples": args.resamples, "seed": args.seed, "correction": "Holm"}
    provenance = Provenance(scorer="vol3d-probes", model=args.model or args.run or "", data=data, decoding=decoding, settings=settings)
    return show(ResultFile(task="probes", rows=tuple(rows), provenance=provenance), args)


def _ask(args: argparse.Namespace) -> "tuple[list[MetricRow], dict[str, Any], dict[str, str]]":
    """Run the model under every condition; gives rows, what it was fed, and the files."""
    from vol3d.cli.console import progress
    from vol3d.cli.model_options import answerer_of
    from vol3d.errors import ConfigError
    from vol3d.evaluation.models import Inspectable
    from vol3d.evaluation.probe_runs import NAMES, representation_rows, run_probes
    from vol3d.evaluation.prompt_choice import drawn
    from vol3d.evaluation.results import read_records

    if not args.scans or not args.answers:
        raise ConfigError("--run needs scans and a folder for the answers", expected="--scans DIR --answers DIR")
    records = drawn(read_records(args.questions), args.limit, args.seed)
    answerer = answerer_of(args)
    names = args.probes or NAMES
    with progress("Asking", total=len(records) * (len(names) + 1)) as advance:
        files, skipped = run_probes(
            answerer, records, args.scans, args.answers, names=names, form=args.format, seed=args.seed, on_progress=lambda done, total: advance(1, "")
        )
    rows = _table(args, str(files.pop("base")), {name: str(path) for name, path in files.items()}, records)
    if args.inspect:
        if not isinstance(answerer, Inspectable):
            raise ConfigError(
                "this model's representation cannot be looked at", found=args.run, hint="Save its features and give them with --features."
            )
        rows += representation_rows(answerer, records, args.scans, num_resamples=args.resamples, seed=args.seed)
    return rows, {**answerer.settings, "skipped": skipped, "questions": len(records)}, {name: str(path) for name, path in files.items()}


def _table(args: argparse.Namespace, base: str, named: dict[str, str], records: Any = None) -> "list[MetricRow]":
    from vol3d.evaluation.models.run import read_predictions
    from vol3d.evaluation.probe_table import probe_table
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_table import item_from_record

    read = read_predictions if args.run else read_records
    items = [item_from_record(record, args.format) for record in (records or read_records(args.questions))]
    return probe_table(items, read(base), {name: read(path) for name, path in named.items()}, num_resamples=args.resamples, seed=args.seed)


def _features(args: argparse.Namespace) -> "list[MetricRow]":
    from vol3d.errors import ConfigError
    from vol3d.evaluation.arrays import array_keys, load_array
    from vol3d.evaluation.probe_runs import alignment_rows
    from vol3d.evaluation.probes import collapse_rows
    from vol3d.evaluation.retrieval import cosine

    def load(path: str) -> Any:
        return load_array(path, "features" if "features" in array_keys(path) else None)

    features = load(args.features)
    rows = collapse_rows(features)
    if args.text_features:
        texts = load(args.text_features)
        if texts.shape != features.shape:
            raise ConfigError("features of scans and texts do not match", expected=str(features.shape), found=str(texts.shape))
        rows += alignment_rows(cosine(features, texts), [str(i) for i in range(len(features))], num_resamples=args.resamples, seed=args.seed)
    return rows
