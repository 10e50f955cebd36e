"""`vol3d evaluate demo`: what the shipped model answers from, on phantoms that it never saw."""

import argparse
from dataclasses import asdict
from pathlib import Path

SUMMARY = "accuracy of the demo model on held-out phantoms: blind, image, evidence, both, another patient's image"
EXAMPLE = "vol3d evaluate demo --num 64"

# Training phantoms start at seed 10,000; see configs/demo/vlm.yaml.
FIRST_SEED, MOST = 0, 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--num", type=int, default=64, metavar="N", help="held-out phantoms (default 64)")
    parser.add_argument("--model", default="demo", metavar="NAME", help="model name or folder (default: demo)")
    parser.add_argument("--corpus", type=Path, default=Path("runs/demo/held_out"), metavar="DIR", help="where the phantoms' tokens are kept")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write every question and reply as JSON lines")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Make the phantoms, ask, score, show."""
    import json

    from data_prep.conversations import SCORED
    from data_prep.phantom_conversations import PhantomConversations
    from vol3d.cli.console import print_json, progress
    from vol3d.errors import ConfigError
    from vol3d.evaluation.conditions import run_conditions, table
    from vol3d.vlm.model import load_model
    from vol3d.volume.atomic import atomic_path

    if not 1 < args.num <= MOST:
        raise ConfigError("number of held-out phantoms", expected=f"2 to {MOST}", found=args.num)
    model = load_model(args.model)
    assert model.tokenizer3d_path is not None  # load_model attaches one
    corpus = PhantomConversations(args.corpus, args.num, FIRST_SEED, model.tokenizer3d_path)
    with progress("Making held-out phantoms", total=args.num) as advance:
        scans = []
        for i in range(args.num):
            scans.append(corpus[i])
            advance(1, "")
    with progress("Asking under five conditions", total=args.num) as advance:
        scored = run_conditions(
            [c for c, _ in scans], [v for _, v in scans], model.reply_many, families=SCORED, on_progress=lambda done, total: advance(1, "")
        )
    rows = table(scored)
    if args.output:
        with atomic_path(args.output) as temporary:
            Path(temporary).write_text("".join(json.dumps(asdict(s)) + "\n" for s in scored), encoding="utf-8")
    facts = {"model": args.model, "model_id": model.provenance, "phantoms": args.num, "first_seed": FIRST_SEED}
    if args.json:
        print_json({"rows": [asdict(row) for row in rows], "provenance": facts})
    else:
        print_markdown(rows, facts)
    return 0


def print_markdown(rows: list, facts: dict[str, object]) -> None:
    """The README's table: accuracy and 95% interval, clustered by phantom."""
    names = list(rows[0].estimates)
    print(f"Phantom results: {facts['phantoms']} held-out phantoms, {rows[-2].num_questions} questions; 95% intervals clustered by phantom.\n")
    print("| questions | n | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    for row in rows:
        cells = [_cell(row.estimates[name]) if name in row.estimates else "" for name in names]
        print(f"| {row.group} | {row.num_questions} | " + " | ".join(cells) + " |")


def _cell(estimate: object) -> str:
    low, high = estimate.low, estimate.high  # type: ignore[attr-defined]
    interval = f" ({low:.2f}-{high:.2f})" if low is not None and high is not None else ""
    return f"{estimate.value:.2f}{interval}"  # type: ignore[attr-defined]
