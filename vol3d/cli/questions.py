"""`vol3d questions`: questions whose answers follow from masks, as JSON lines."""

import argparse
from typing import TYPE_CHECKING, Any

from vol3d.cli.read_options import add_read_options, read_scan

if TYPE_CHECKING:
    from data_prep.questions import Case, Generated

SUMMARY = "make questions with known answers from masks: 42 tumour-centred subtypes, chest, brain; one scan or a balanced corpus"
EXAMPLE = "vol3d questions scan.nii.gz --masks labels.nii.gz --labels totalseg > questions.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scans", nargs="*", metavar="SCAN", help="scan files; several make a corpus")
    parser.add_argument("--masks", nargs="+", default=[], metavar="FILE", help="per scan: a label file, or a folder of STRUCTURE.nii.gz")
    parser.add_argument("--labels", metavar="TABLE", help="names of the masks' labels: totalseg, totalseg_mr, or a .json or .csv file")
    parser.add_argument("--resample-mask", action="store_true", help="bring masks of another grid to the scan's instead of refusing them")
    parser.add_argument("--phantoms", type=int, default=0, metavar="N", help="use N phantoms instead of scans")
    parser.add_argument(
        "--write-scans", metavar="DIR", help="with --phantoms: write each scan to DIR, and its masks to DIR/masks, to ask a model about"
    )
    parser.add_argument("--phase", help="contrast phase where it is known: unenhanced, arterial, portal venous, ...")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="abdomen, chest, brain (default: those that the masks speak about)")
    parser.add_argument("--per-subtype", type=int, metavar="N", help="at most N questions of a subtype per scan")
    parser.add_argument("--no-balance", action="store_true", help="keep all questions of a corpus, also those that can be guessed without scans")
    parser.add_argument("--schema", choices=("v2", "v1"), default="v2", help="DeepTumorVQA's keys (default v2, with evidence and formula)")
    parser.add_argument("--seed", type=int, default=0, help="seed of wordings, distractors and letters (default 0)")
    parser.add_argument("--output", metavar="FILE", help="write the questions here instead of to stdout")
    parser.add_argument("--skipped", metavar="FILE", help="write what was not asked, and why, to this file (JSON lines)")
    parser.add_argument("--table", action="store_true", help="print a table for reading instead of JSON lines")
    parser.add_argument("--json", action="store_true", help="print JSON lines (the default)")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Make the questions and show or write them."""
    import json
    from dataclasses import asdict

    from data_prep.questions import to_v1
    from vol3d.evaluation.results import write_json_lines

    made = _generate(args)
    records = [to_v1(r) for r in made.records] if args.schema == "v1" else list(made.records)
    if args.skipped:
        write_json_lines([asdict(skip) for skip in made.skipped], args.skipped)
    if args.output:
        write_json_lines(records, args.output)
    elif args.table:
        _print_table(records)
    else:
        for record in records:
            print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    return 0


def _generate(args: argparse.Namespace) -> "Generated":
    import numpy as np

    from data_prep.questions import generate_corpus
    from vol3d.errors import ConfigError

    if bool(args.scans) == bool(args.phantoms):
        raise ConfigError("what to ask about?", expected="SCAN with --masks, or --phantoms N", found="both" if args.scans else "neither")
    if len(args.masks) != len(args.scans):
        raise ConfigError("one --masks per scan is needed", expected=f"{len(args.scans)} label files or folders", found=len(args.masks))
    cases = _phantom_cases(args) if args.phantoms else [_scan_case(args, scan, mask) for scan, mask in zip(args.scans, args.masks, strict=True)]
    balanced = len(cases) > 1 and not args.no_balance
    return generate_corpus(cases, np.random.default_rng(args.seed), balanced=balanced, per_subtype=args.per_subtype)


def _scan_case(args: argparse.Namespace, scan: str, mask: str) -> "Case":
    from pathlib import Path

    from data_prep.questions import draft_case
    from experts3d.supplied import SuppliedMasks

    volume = read_scan(scan, args)
    labels = SuppliedMasks(mask, labels=args.labels, resample=args.resample_mask).segment(volume)
    name = Path(scan).name.removesuffix(".gz").removesuffix(".nii")
    return draft_case(volume, labels, image_id=name, phase=args.phase, families=args.families)


def _phantom_cases(args: argparse.Namespace) -> "list[Case]":
    import os
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial

    seeds = range(args.seed, args.seed + args.phantoms)
    workers = min(args.phantoms, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(partial(_phantom_case, families=args.families, folder=args.write_scans), seeds, chunksize=4))


def _phantom_case(seed: int, *, families: list[str] | None, folder: str | None) -> "Case":
    from dataclasses import replace
    from pathlib import Path

    from data_prep.questions import draft_case
    from vol3d.volume.phantom import random_phantom
    from vol3d.volume.write import write_labels, write_volume

    body = random_phantom(seed)
    if folder is not None:
        name = f"{Path(body.volume.source).name}.nii.gz"
        (Path(folder) / "masks").mkdir(parents=True, exist_ok=True)
        write_volume(body.volume, Path(folder) / name)
        # As a user would have them: the organ's own name, with its lesions under theirs.
        names = {i: n.removesuffix("_parenchyma").removesuffix("_bone") for i, n in body.labels.names.items()}
        write_labels(replace(body.labels, names=names, unions={}), Path(folder) / "masks" / name)
    sex, age, phase = (body.parameters.get(key) for key in ("sex", "age", "phase"))
    return draft_case(body.volume, body.labels, families=families, sex=sex, age=age, phase=phase if body.volume.modality == "CT" else None)


def _print_table(records: "list[dict[str, Any]]") -> None:
    from vol3d.cli.console import print_table

    rows = [(r["question_subtype"], r["question"], r["answer"], r.get("unit", "")) for r in records]
    print_table(("subtype", "question", "answer", "unit"), rows, title=f"{len(rows)} questions")
