"""`vol3d evaluate vqa`: score a model's answers to questions about scans."""

import argparse
from typing import TYPE_CHECKING

from vol3d.cli.evaluate_output import add_output_arguments, show

if TYPE_CHECKING:
    from vol3d.evaluation.results import MetricRow
    from vol3d.evaluation.vqa_table import Item

SUMMARY = "score answers: choice, yes or no, numbers, categories; by subtype, group, organ and lesion size"
EXAMPLE = "vol3d evaluate vqa --questions questions.jsonl --predictions predictions.jsonl --format mc --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--questions", metavar="FILE", help="JSON or JSON lines with DeepTumorVQA's v1 or v2 keys")
    parser.add_argument("--predictions", required=True, metavar="FILE", help="JSON or JSON lines with qid and prediction, or the file of --reader")
    parser.add_argument(
        "--reader", choices=("deeptumorvqa", "m3d", "radfm"), help="predictions are a result file of this project (holds the truth too)"
    )
    parser.add_argument("--format", choices=("mc", "free"), default="mc", help="multiple choice (default) or free form")
    parser.add_argument("--mode", choices=("strict", "lenient"), default="strict", help="how answers are read (default strict)")
    parser.add_argument(
        "--scorer", choices=("vol3d", "deeptumorvqa", "m3d"), default="vol3d", help="a published scorer's own rules, defects included"
    )
    parser.add_argument("--train", metavar="FILE", help="training questions: adds the baseline that never sees a scan")
    parser.add_argument("--run", metavar="SPEC", help="first ask a model: vol3d:NAME, hf:NAME or openai:URL#MODEL; its answers go to --predictions")
    parser.add_argument("--scans", metavar="DIR", help="with --run: folder of IMAGE_ID.nii.gz; without it the model is asked blind")
    parser.add_argument("--probe", metavar="NAME", help="with --run: change each scan first (blank, mirrored, shuffled_slices, ...)")
    parser.add_argument("--feed", choices=("frames", "medgemma"), help="with --run: which pictures other people's models get")
    parser.add_argument("--slices", type=int, metavar="N", help="with --run: at most so many pictures")
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score and show."""
    from vol3d.evaluation.results import Provenance, ResultFile, hashes
    from vol3d.evaluation.vqa_table import item_records, score_items, vqa_rows

    decoding = _ask_model(args) if args.run else {}
    items, predictions = _read(args)
    settings = {"format": args.format, "mode": args.mode, "resamples": args.resamples, "seed": args.seed}
    settings["predictions_without_question"] = len(set(predictions) - {item.qid for item in items})
    data = hashes([args.questions, args.predictions, args.train])
    if args.scorer != "vol3d":
        rows = _published(args, items, predictions)
        provenance = Provenance(scorer=f"{args.scorer} (compatibility)", model=args.model, data=data, settings={"format": args.format})
        return show(ResultFile(task="vqa", rows=tuple(rows), provenance=provenance), args)
    scored = score_items(items, predictions, mode=args.mode)
    rows = [*vqa_rows(scored, num_resamples=args.resamples, seed=args.seed), *_blind(args, items)]
    provenance = Provenance(scorer="vol3d-vqa", model=args.model or args.run or "", data=data, decoding=decoding, settings=settings)
    return show(ResultFile(task="vqa", rows=tuple(rows), provenance=provenance, items=tuple(item_records(scored))), args)


def _ask_model(args: argparse.Namespace) -> dict:
    """Run the model on all questions that have no answer yet; gives what it was fed."""
    import numpy as np

    from vol3d.cli.console import progress
    from vol3d.errors import ConfigError
    from vol3d.evaluation.models.run import run_vqa
    from vol3d.evaluation.models.specs import answerer_from
    from vol3d.evaluation.probes import PROBES
    from vol3d.evaluation.results import read_records

    if not args.questions:
        raise ConfigError("--run needs --questions")
    if args.probe is not None and args.probe not in PROBES:
        raise ConfigError("no such probe", expected=" | ".join(PROBES), found=args.probe)
    records = read_records(args.questions)
    answerer = answerer_from(args.run, feed=args.feed, slices=args.slices)
    change, rng = None if args.probe is None else PROBES[args.probe].apply, np.random.default_rng(args.seed)
    with progress("Asking", total=len(records)) as advance:
        failures = run_vqa(
            answerer,
            records,
            args.scans,
            args.predictions,
            form=args.format,
            change=None if change is None else lambda volume: change(volume, rng),
            on_progress=lambda done, total: advance(1, ""),
        )
    if failures == len(records):
        raise ConfigError("every question failed", path=args.predictions, hint="The file holds each question's error.")
    return {**answerer.settings, "probe": args.probe, "blind": args.scans is None, "failures": failures}


def _read(args: argparse.Namespace) -> "tuple[list[Item], dict[str, str]]":
    from vol3d.errors import ConfigError
    from vol3d.evaluation.models.run import read_predictions
    from vol3d.evaluation.readers import READERS
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_table import item_from_record, predictions_by_qid

    if args.reader:
        return READERS[args.reader](args.predictions)
    if not args.questions:
        raise ConfigError("--questions is needed", hint="Or name the project that wrote the predictions with --reader.")
    items = [item_from_record(record, args.format) for record in read_records(args.questions)]
    return items, predictions_by_qid(read_predictions(args.predictions) if args.run else read_records(args.predictions))


def _blind(args: argparse.Namespace, items: "list[Item]") -> "list[MetricRow]":
    """The most frequent training answer per kind of question: what can be had without a scan."""
    from vol3d.evaluation.baselines import majority_answers
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_table import item_from_record, score_items, vqa_rows

    if not args.train:
        return []
    answers = majority_answers([item_from_record(record, args.format) for record in read_records(args.train)], items)
    if not answers:
        return []
    rows = vqa_rows(score_items(items, answers), num_resamples=args.resamples, seed=args.seed)
    return [row.model_copy(update={"metric": f"baseline_majority/{row.metric}"}) for row in rows]


def _published(args: argparse.Namespace, items: "list[Item]", predictions: dict[str, str]) -> "list[MetricRow]":
    from vol3d.evaluation.compat import deeptumorvqa, m3d
    from vol3d.evaluation.results import plain_row

    if args.scorer == "m3d":
        return [plain_row("closed_accuracy", m3d.closed_accuracy((predictions.get(i.qid, ""), i.truth) for i in items), len(items))]
    benchmark = {
        i.qid: {"question_subtype": i.groups.get("subtype"), "question_type": i.groups.get("group"), "correct_option": i.truth, "answer": i.truth}
        for i in items
    }
    records = [{"qid": qid, "pred_answer": text} for qid, text in predictions.items()]
    scores = deeptumorvqa.score(records, benchmark, "mc" if args.format == "mc" else "freeform")
    rows = [plain_row("overall", scores["overall"]["accuracy"], scores["overall"]["n_total"])]
    rows += [plain_row(f"group/{name}", m["accuracy"], m["n_total"]) for name, m in scores["by_super_type"].items()]
    return rows + [plain_row(f"subtype/{name}", m.get("mean_mra", m.get("accuracy")), m["n_total"]) for name, m in scores["by_subtype"].items()]
