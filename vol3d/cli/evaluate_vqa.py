"""`vol3d evaluate vqa`: score a model's answers to questions about scans, after asking it where wanted."""

import argparse
from typing import TYPE_CHECKING, Any

from vol3d.cli.evaluate_output import add_output_arguments, show
from vol3d.cli.model_options import add_model_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vol3d.evaluation.results import MetricRow, ResultFile
    from vol3d.evaluation.vqa_table import Item
    from vol3d.evaluation.vqa_task import Asked

SUMMARY = "score answers: choice, yes or no, numbers, categories, open text; by subtype, group, organ and lesion size; baselines beside"
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
    parser.add_argument("--no-entities", action="store_true", help="do not look for findings in open text")
    _baseline_arguments(parser)
    _run_arguments(parser)
    parser.add_argument("--model", default="", help="name of the model, for the provenance")
    add_output_arguments(parser)


def _baseline_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--train", metavar="FILE", help="training questions: baselines learn there (else from the other patients, in five folds)")
    parser.add_argument("--blind", metavar="FILE", help="the same model's answers without a scan, as a baseline")
    parser.add_argument("--swapped", metavar="FILE", help="the same model's answers about another patient's scan, as a baseline")
    parser.add_argument(
        "--features", metavar="NPZ", help="arrays `features` and `ids` of the scans: `retrieved` then takes the most similar scan's answer"
    )
    parser.add_argument("--train-features", metavar="NPZ", help="the same for the scans of --train (default: those of --features)")


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="SPEC", help="first ask a model: vol3d:NAME, hf:NAME, m3d:NAME, merlin:, openai:URL#MODEL, module:Class; its answers go to --predictions")  # fmt: skip
    parser.add_argument("--base", metavar="SPEC", help="with --run: also ask the model that it was made from, the same way, and compare the two")
    parser.add_argument(
        "--probe", metavar="NAME", help="with --run: change each scan first (blank, mirrored, ...); all of them: vol3d evaluate probes"
    )
    parser.add_argument("--no-model-baselines", action="store_true", help="with --run: do not ask the model blind and about swapped scans")
    parser.add_argument(
        "--prompts", metavar="FILE", help="with --run: candidate prompts (apart by lines of ---); each model takes its best on --validation"
    )
    parser.add_argument("--validation", metavar="FILE", help="with --prompts: validation questions, of other patients")
    parser.add_argument("--validation-scans", metavar="DIR", help="with --prompts: their scans (default: --scans)")
    parser.add_argument(
        "--budget", type=int, metavar="N", help="with --prompts: validation questions per prompt, the same for every model (default all)"
    )
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Ask where asked to, score and show."""
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    asked = _ask(args, args.run, args.predictions) if args.run else None
    if args.scorer == "vol3d":
        result = _result(args, args.model or args.run or "", args.predictions, asked)
        return show(result if not args.base else _with_base(args, result), args)
    items, answers = _read(args, args.predictions)
    rows = _published(args, items, _texts(answers))
    data = hashes([args.questions, args.predictions])
    provenance = Provenance(scorer=f"{args.scorer} (compatibility)", model=args.model, data=data, settings={"format": args.format})
    return show(ResultFile(task="vqa", rows=tuple(rows), provenance=provenance), args)


def _result(args: argparse.Namespace, name: str, predictions: str, asked: "Asked | None") -> "ResultFile":
    from vol3d.evaluation.results import Provenance, ResultFile, hashes
    from vol3d.evaluation.vqa_table import item_records
    from vol3d.evaluation.vqa_task import answers_beside, score_model

    items, answers = _read(args, predictions)
    beside = {} if asked is None else answers_beside(asked)
    for key in ("blind", "swapped"):
        if asked is None and getattr(args, key):
            beside[key] = _texts(_read_any(getattr(args, key)))
    rows, scored = score_model(
        items, answers, mode=args.mode, train=_train(args), beside=beside, likeness=_likeness(args), extractor=_extractor(args),
        num_resamples=args.resamples, seed=args.seed,
    )  # fmt: skip
    settings = {"format": args.format, "mode": args.mode, "resamples": args.resamples, "seed": args.seed, "baselines_learn_from": "train" if args.train else "other patients of the test, 5 folds"}  # fmt: skip
    settings["predictions_without_question"] = len(_texts(answers).keys() - {item.qid for item in items})
    if asked is not None and asked.prompts is not None:
        settings["prompt_choice"] = asked.prompts.record()
    provenance = Provenance(
        scorer="vol3d-vqa",
        model=name,
        prompts=asked.prompts.prompt if asked is not None and asked.prompts is not None else "",
        decoding=dict(asked.decoding) if asked is not None else {},
        data=hashes([args.questions, predictions, args.train, args.blind, args.swapped, args.features, args.train_features]),
        settings=settings,
    )
    return ResultFile(task="vqa", rows=tuple(rows), provenance=provenance, items=tuple(item_records(scored)))


def _ask(args: argparse.Namespace, spec: str, predictions: "str | Path") -> "Asked":
    """Run a model on all questions that have no answer yet."""
    from vol3d.cli.console import progress
    from vol3d.cli.model_options import answerer_of
    from vol3d.errors import ConfigError
    from vol3d.evaluation.probes import PROBES
    from vol3d.evaluation.prompt_choice import read_validation
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_task import ask_model

    if not args.questions:
        raise ConfigError("--run needs --questions")
    if args.blind or args.swapped:
        raise ConfigError("--run asks the model blind and about swapped scans itself", hint="Leave out --run, or --blind and --swapped.")
    if args.probe is not None and args.probe not in PROBES:
        raise ConfigError("no such probe", expected=" | ".join(PROBES), found=args.probe)
    if bool(args.prompts) != bool(args.validation):
        raise ConfigError("prompts are chosen on validation questions", expected="--prompts and --validation", found="one of them")
    records = read_records(args.questions)
    scans = args.validation_scans or args.scans
    validation = read_validation(args.prompts, args.validation, scans, records, budget=args.budget, seed=args.seed) if args.prompts else None
    runs = len(records) * (1 if args.no_model_baselines or not args.scans else 3)
    with progress(f"Asking {spec}", total=runs + (len(validation.prompts) * len(validation.records) if validation else 0)) as advance:
        return ask_model(
            answerer_of(args, spec), records, args.scans, predictions, form=args.format, validation=validation,
            probe=args.probe, beside=not args.no_model_baselines, seed=args.seed, on_progress=lambda done, total: advance(1, ""),
        )  # fmt: skip


def _with_base(args: argparse.Namespace, mine: "ResultFile") -> "ResultFile":
    """The result with the base's score and the paired difference; the base's own result goes to OUTPUT.base.json."""
    from pathlib import Path

    from vol3d.errors import ConfigError
    from vol3d.evaluation.compare import compare_results
    from vol3d.evaluation.results import MetricRow, plain_row, write_result

    if not args.run:
        raise ConfigError("--base needs --run")
    path = Path(args.predictions).with_name(f"{Path(args.predictions).name.removesuffix('.jsonl')}.base.jsonl")
    base = _result(args, args.base, str(path), _ask(args, args.base, path))
    if args.output:
        write_result(base, Path(args.output).with_suffix(".base.json"))
    found = compare_results(mine, base, by="all", num_resamples=args.resamples, seed=args.seed)["rows"][0]
    score = base.find("score")
    rows = [score.model_copy(update={"metric": "base/score"})] if score is not None else []
    rows.append(MetricRow(metric="over_base/score", n=found["n"], value=found["value"], ci_low=found["ci_low"], ci_high=found["ci_high"]))
    rows.append(plain_row("over_base/p_value", found["p_value"], found["n"]))
    settings = {**mine.provenance.settings, "base": base.provenance.model_dump(mode="json")}
    return mine.model_copy(update={"rows": (*mine.rows, *rows), "provenance": mine.provenance.model_copy(update={"settings": settings})})


def _read(args: argparse.Namespace, predictions: str) -> "tuple[list[Item], Sequence[dict[str, Any]]]":
    from vol3d.errors import ConfigError
    from vol3d.evaluation.readers import READERS
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_table import item_from_record

    if args.reader:
        items, texts = READERS[args.reader](predictions)
        return items, [{"qid": qid, "prediction": text} for qid, text in texts.items()]
    if not args.questions:
        raise ConfigError("--questions is needed", hint="Or name the project that wrote the predictions with --reader.")
    return [item_from_record(record, args.format) for record in read_records(args.questions)], _read_any(predictions)


def _read_any(path: str) -> "list[dict[str, Any]]":
    """Answers of a run of ours (whose errors are left out) or of any other file."""
    from vol3d.evaluation.results import read_records

    return [record for record in read_records(path) if "error" not in record]


def _texts(answers: "Sequence[dict[str, Any]]") -> dict[str, str]:
    from vol3d.evaluation.vqa_table import predictions_by_qid

    return predictions_by_qid(answers)


def _train(args: argparse.Namespace) -> "list[Item]":
    from vol3d.evaluation.results import read_records
    from vol3d.evaluation.vqa_table import item_from_record

    return [item_from_record(record, args.format) for record in read_records(args.train)] if args.train else []


def _likeness(args: argparse.Namespace) -> "dict[tuple[str, str], float] | None":
    """Cosine of scans' features by (test scan, training scan)."""
    from vol3d.evaluation.arrays import load_array
    from vol3d.evaluation.retrieval import cosine

    if not args.features:
        return None
    pairs = [
        (load_array(path, "features"), [str(n) for n in load_array(path, "ids")]) for path in (args.features, args.train_features or args.features)
    ]
    (mine, names), (theirs, others) = pairs
    table = cosine(mine, theirs)
    return {(a, b): float(table[i, j]) for i, a in enumerate(names) for j, b in enumerate(others)}


def _extractor(args: argparse.Namespace):
    if args.no_entities:
        return None
    from data_prep.text.entities import extract_entities

    return extract_entities


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
