"""`vol3d evaluate experts`: calls under unknown cards, what evidence brings, and doubt, on phantoms that the model never saw."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SUMMARY = "does the model call the right expert, gain from its evidence, and doubt it where it is wrong? on held-out phantoms"
EXAMPLE = "vol3d evaluate experts --num-questions 20 --exam evidence doubt"

# Training phantoms start at seed 10,000; see configs/demo/vlm.yaml.
FIRST_SEED, MOST = 0, 10_000
TITLES = {
    "calls": (
        "Calls: image and experts are shown, no evidence; nothing in the prompt says that an expert should be asked",
        "Right: just the structures that the question needs, from an expert that is shown and offers them; under *removed*, \"not covered\" and no call.\n"
        "Constrained: the share of right replies where generation can write no call that the cards do not allow; the other columns are free generation.\n"
        "Malformed: half a call. Invented: an expert or a structure that stands on no card. Wrong expert, wrong structure: calls that the cards allow.\n"
        "Not covered: says so although an expert offers it. Answered: without asking. *All* pools the rows above it.",
    ),
    "evidence": (
        "Evidence: the same questions from the image alone, and with the lines and overlays of the phantom's exact masks",
        "The share of right answers: the choice, the number within 2% or half a unit, the very words.",
    ),
    "doubt": (
        "Doubt: questions with true evidence and with evidence spoiled on purpose",
        "Right: the true answer. Doubtful: the reply is \"doubtful\", a false alarm where the evidence is true. Confident: any other answer.\n"
        "AUROC: how well the probability of opening with \"doubtful\" ranks spoiled above true evidence; 0.5 is chance.",
    ),
}  # fmt: skip

# Measures side by side in a printed table; more do not fit on one line.
_BESIDE = 3

# As in vol3d.evaluation.expert_use, which is too heavy to import for --help.
EXAMS = ("calls", "evidence", "doubt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--num-questions", type=int, default=200, metavar="N", help="questions in each table's rows (default 200)")
    parser.add_argument("--model", default="demo", metavar="NAME", help="model name or folder (default: demo)")
    parser.add_argument("--baseline", metavar="PATH", help="a second model, asked the same: adds its rows and paired differences")
    parser.add_argument("--exam", nargs="+", default=EXAMS, choices=EXAMS, help="only some of the tables (default: all three)")
    parser.add_argument("--corpus", type=Path, default=Path("runs/demo/held_out_experts"), metavar="DIR", help="where the phantoms' tokens are kept")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write every question and reply as JSON lines")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--markdown", action="store_true", help="print the tables as Markdown, for documents: wider than 100 columns")
    shown.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--seed", type=int, default=0, help="of the questions, the cards and the resampling (default 0)")


def run(args: argparse.Namespace) -> int:
    """Make the phantoms, ask, score, show."""
    import json
    from dataclasses import asdict

    from data_prep.conversations import SCORED
    from vol3d.cli.console import print_json, progress
    from vol3d.contracts import DISCLAIMER
    from vol3d.errors import ConfigError
    from vol3d.evaluation.expert_tables import cells
    from vol3d.evaluation.expert_use import asker, examine
    from vol3d.volume.atomic import atomic_path

    if args.num_questions < 1:
        raise ConfigError("number of questions", expected="at least 1", found=args.num_questions)
    models = _load(args.model, args.baseline)
    asks = {name: asker(model) for name, model in models.items()}
    with progress("Asking", total=args.num_questions) as advance:
        asked = examine(
            _scans(args.corpus, next(iter(models.values()))),
            asks,
            num_questions=args.num_questions,
            families=SCORED,
            exams=args.exam,
            seed=args.seed,
            on_scan=lambda new: advance(new, ""),
        )
    if args.output:
        with atomic_path(args.output) as temporary:
            Path(temporary).write_text("".join(json.dumps(asdict(a)) + "\n" for a in asked), encoding="utf-8")
    made = cells(asked, seed=args.seed)
    facts = {
        "models": {name: model.provenance for name, model in models.items()},
        "phantoms": len({a.patient for a in asked}),
        "first_seed": FIRST_SEED,
        "seed": args.seed,
    }
    if args.json:
        print_json({"rows": [_record(c) for c in made], "provenance": facts, "data": "held-out phantoms", "disclaimer": DISCLAIMER})
        return 0
    print(f"Phantom results: {facts['phantoms']} held-out phantoms; 95% intervals clustered by phantom; n counts questions.")
    for table in TITLES:
        one = [c for c in made if c.table == table]
        if args.markdown:
            print("\n".join(["", *_markdown(one)]))
        elif one:
            _print_table(one)
    print(f"\n{DISCLAIMER}")
    return 0


def _load(name: str, baseline: str | None) -> dict[str, Any]:
    """The models by the names that the tables show. Raises ConfigError where the two cannot be shown the same tokens."""
    from vol3d.errors import ConfigError
    from vol3d.vlm.model import load_model

    paths = [name, *([baseline] if baseline else [])]
    names = [Path(path).name for path in paths] if len({Path(path).name for path in paths}) == len(paths) else paths
    if len(set(names)) < len(names):
        raise ConfigError("the baseline is the model itself", expected="another model", found=baseline)
    models = {shown: load_model(path) for shown, path in zip(names, paths, strict=True)}
    tokenizers = [model.tokenizer3d.tokenizer_id for model in models.values() if model.tokenizer3d]
    if len(set(tokenizers)) > 1:
        raise ConfigError("the two models read different visual tokens", expected=tokenizers[0], found=tokenizers[1])
    return models


def _scans(folder: Path, model: Any) -> Iterator[tuple[Any, Any]]:
    """Held-out phantoms, made when they are asked for."""
    from data_prep.phantom_conversations import PhantomConversations

    corpus = PhantomConversations(folder, MOST, FIRST_SEED, model.tokenizer3d_path)
    return (corpus[i] for i in range(len(corpus)))


def _record(cell: Any) -> dict[str, object]:
    """One row of the JSON document."""
    e = cell.estimate
    metric = f"{cell.table}/{cell.row}/{cell.measure}"
    return {"metric": metric, "model": cell.model, "n": e.n, "num_phantoms": e.num_clusters, "value": e.value, "ci_low": e.low, "ci_high": e.high}


def _print_table(made: Sequence[Any]) -> None:
    """One table within 100 columns: a line for each row and model, three measures side by side, models named where there are several."""
    from textwrap import wrap

    from vol3d.cli.console import WIDTH, print_table
    from vol3d.evaluation.expert_tables import MEASURES

    table = made[0].table
    measures = MEASURES[table]
    title, note = TITLES[table]
    found = {(c.row, c.model, c.measure): c.estimate for c in made}
    lines = dict.fromkeys((c.row, c.model) for c in made)
    several = len({model for _, model in lines}) > 1
    print("", *wrap(f"{title}.", WIDTH), sep="\n")
    for start in range(0, len(measures), _BESIDE):
        part = measures[start : start + _BESIDE]
        rows = [
            (row, *([model] if several else []), found[row, model, measures[0]].n, *(_within(found.get((row, model, m))) for m in part))
            for row, model in lines
        ]
        print_table([table, *(["model"] if several else []), "n", *part], rows)
    print(*(line for text in note.splitlines() for line in wrap(text, WIDTH)), sep="\n")


def _within(estimate: Any) -> str:
    """A share and its interval in few columns: `0.95 (0.92-0.97)`; where a sign would be misread, `to` and a line of its own."""
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    if estimate.low < 0:
        return f"{estimate.value:.2f}\n({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{estimate.value:.2f} ({estimate.low:.2f}-{estimate.high:.2f})"


def _markdown(made: Sequence[Any]) -> list[str]:
    """One table: a line for each row and model, a column for each measure."""
    from vol3d.evaluation.expert_tables import MEASURES

    if not made:
        return []
    table = made[0].table
    measures = MEASURES[table]
    title, note = TITLES[table]
    lines = [f"**{title}.**", "", f"| {table} | model | n | " + " | ".join(measures) + " |", "|---|---|---|" + "---|" * len(measures)]
    found = {(c.row, c.model, c.measure): c.estimate for c in made}
    for row, model in dict.fromkeys((c.row, c.model) for c in made):
        estimates = [found.get((row, model, measure)) for measure in measures]
        lines.append(f"| {row} | {model} | {found[row, model, measures[0]].n} | " + " | ".join(map(_shown, estimates)) + " |")
    return [*lines, "", note]


def _shown(estimate: Any) -> str:
    if estimate is None:
        return ""
    interval = f" ({estimate.low:.2f} to {estimate.high:.2f})" if estimate.low is not None and estimate.high is not None else ""
    return f"{estimate.value:.2f}{interval}"
