"""`vol3d evaluate vqa`: score a model's answers to questions about scans."""

import argparse

from vol3d.cli.evaluate_output import add_output_arguments, show

SUMMARY = "score answers: choice, yes or no, numbers, categories; by subtype, group, organ and lesion size"
EXAMPLE = "vol3d evaluate vqa --questions questions.jsonl --predictions predictions.jsonl --format mc --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--questions", required=True, metavar="FILE", help="JSON or JSON lines with DeepTumorVQA's v1 or v2 keys")
    parser.add_argument("--predictions", required=True, metavar="FILE", help="JSON or JSON lines with qid and prediction (or a result file)")
    parser.add_argument("--format", choices=("mc", "free"), default="mc", help="multiple choice (default) or free form")
    parser.add_argument("--mode", choices=("strict", "lenient"), default="strict", help="how answers are read (default strict)")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score and show."""
    from vol3d.evaluation.results import Provenance, ResultFile, hashes, read_records
    from vol3d.evaluation.vqa_table import item_from_record, item_records, predictions_by_qid, score_items, vqa_rows

    items = [item_from_record(record, args.format) for record in read_records(args.questions)]
    predictions = predictions_by_qid(read_records(args.predictions))
    scored = score_items(items, predictions, mode=args.mode)
    unknown = len(set(predictions) - {item.qid for item in items})
    settings = {"format": args.format, "mode": args.mode, "resamples": args.resamples, "seed": args.seed, "predictions_without_question": unknown}
    result = ResultFile(
        task="vqa",
        rows=tuple(vqa_rows(scored, num_resamples=args.resamples, seed=args.seed)),
        provenance=Provenance(scorer="vol3d-vqa", model=args.model, data=hashes([args.questions, args.predictions]), settings=settings),
        items=tuple(item_records(scored)),
    )
    return show(result, args)
