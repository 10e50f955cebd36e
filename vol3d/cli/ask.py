"""`vol3d ask SCAN QUESTION`: one answer, and what it rests on."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vol3d.cli.scan_options import add_scan_options

if TYPE_CHECKING:
    from vol3d.contracts import Answer
    from vol3d.inference.chat_loop import ChatModel
    from vol3d.vlm.model import VisionLanguageModel

SUMMARY = "answer a question about a scan, with the measurements that the answer rests on"
EXAMPLE = 'vol3d ask ct.nii.gz "How large is the left lung?"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scan", metavar="SCAN", help="NIfTI, NRRD, MHA, Zarr, or a DICOM series folder")
    parser.add_argument("question", metavar="QUESTION", help="in English, in quotes")
    parser.add_argument("--choice", action="append", default=[], metavar="TEXT", help="an answer to choose from; give it several times")
    add_scan_options(parser)
    parser.add_argument("--page", metavar="FILE", help="also write the answer as an HTML page with its slices and measurements")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(args: argparse.Namespace) -> int:
    """Ask, and show the answer."""
    from vol3d.cli.console import print_json, progress, stdout_to_stderr

    with stdout_to_stderr(), progress("Asking"):
        answer, page = ask_scan(args)
    if args.json:
        print_json({**answer.model_dump(mode="json"), "page": page})
    else:
        print_answer(answer)
    return 0


def ask_scan(args: argparse.Namespace, model: "VisionLanguageModel | ChatModel | None" = None) -> "tuple[Answer, str | None]":
    """The answer to a command line, and the path of its page where one was wanted.

    The model is loaded after the scan was read, so that a scan that cannot be read is refused at once.
    """
    from vol3d.cli.read_options import read_scan
    from vol3d.cli.report_files import write_text
    from vol3d.cli.scan_options import evidence_source, model_from
    from vol3d.inference import pipeline
    from vol3d.page import render_page

    volume = read_scan(args.scan, args)
    experts = evidence_source(args, volume)
    model = model or model_from(args)
    session = pipeline.open_session(volume, model=model, experts=experts)
    answer = pipeline.answer_question(session, args.question, model=model, choices=args.choice)
    if args.page:
        write_text(Path(args.page), render_page(None, session.evidence, volume, answers=(answer,)))
    return answer, args.page


def print_answer(answer: "Answer") -> None:
    """The answer as text, then what it rests on and the steps that led to it."""
    from vol3d.cli.console import measurement_rows, print_table

    sure = f", confidence {answer.confidence:.2f}" if answer.confidence is not None else ""
    print(f"{answer.text}\n[{answer.status.replace('_', ' ')}{sure}]")
    for doubt in answer.doubts:
        print(f"Doubt: {doubt}")
    if answer.evidence:
        columns = ("structure", "part", "measurement", "value", "unit", "status")
        print_table(columns, measurement_rows([item.model_dump() for item in answer.evidence]), title="Rests on")
    if answer.trace:
        steps = [(step.step, step.call, step.status, f"{step.seconds:.2f}", step.detail) for step in answer.trace]
        print_table(("step", "call", "status", "s", "detail"), steps, title="Trace")
    print(answer.disclaimer)
