"""`vol3d train`: run a recipe, and go on with it after a stop."""

import argparse
from pathlib import Path

SUMMARY = "train a model from a recipe, and resume it"
EXAMPLE = "vol3d train --config demo/vlm --steps 20 --out runs/try"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--config", required=True, metavar="NAME|FILE", help="a recipe that ships (demo/vlm) or a YAML file")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps, instead of the recipe's")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/<name of the recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last whole checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")


def run(args: argparse.Namespace) -> int:
    """Train, show progress, write the weights."""
    from vol3d.cli.console import print_json, progress
    from vol3d.errors import ConfigError
    from vol3d.training.loop import StepRecord
    from vol3d.training.recipe import read_recipe
    from vol3d.training.run import train

    recipe = read_recipe(args.config, steps=args.steps)
    out = Path(args.out) if args.out else Path("runs") / recipe.path.stem
    if not args.resume and (out / "checkpoints").exists():
        raise ConfigError("the folder holds another run", path=out, hint="Add --resume to go on with it, or give another --out.")
    with progress("Training", total=recipe.loop.steps) as advance:
        shown = 0

        def on_step(record: StepRecord) -> None:
            nonlocal shown
            advance(record.step - shown, f"loss {record.terms['loss']:.3f}")
            shown = record.step

        finished = train(recipe, out=out, resume=args.resume, on_step=on_step)
    last = dict(finished.last.terms) if finished.last else {}
    if args.json:
        print_json({"recipe": str(recipe.path), "out": str(out), "step": finished.step, "terms": last})
    else:
        terms = ", ".join(f"{name} {value:.4f}" for name, value in last.items()) or "nothing left to do"
        print(f"{finished.step} steps: {terms}\nlog and weights in {out}")
    return 0
