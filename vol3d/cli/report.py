"""`vol3d report SCAN...`: a report and its page for every scan; a broken scan is listed with its reason and does not stop the rest."""

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vol3d.cli.scan_options import add_scan_options
from vol3d.errors import Vol3dError

if TYPE_CHECKING:
    from vol3d.inference.chat_loop import ChatModel
    from vol3d.vlm.model import VisionLanguageModel
    from vol3d.volume.volume import Volume

T = TypeVar("T")

SUMMARY = "write a report of each scan: HTML page and JSON, every measured claim linked to its measurement"
EXAMPLE = "vol3d report scans/ other.nii.gz --out reports"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scans", nargs="+", metavar="SCAN", help="scans, DICOM series folders, or folders of scans")
    parser.add_argument("--out", default="reports", metavar="DIR", help="folder for NAME.html and NAME.json (default: reports)")
    parser.add_argument("--ask", action="append", default=[], metavar="QUESTION", help="also answer this on each page; may be repeated")
    parser.add_argument("--skip-existing", action="store_true", help="leave out scans whose NAME.json is there already")
    add_scan_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON list, an object for each scan, instead of a table")


def run(args: argparse.Namespace) -> int:
    """Report on all scans; 0 when all went well, 1 when some of several failed. A single scan that is refused raises."""
    from vol3d.cli.console import print_json, progress, stdout_to_stderr
    from vol3d.cli.report_files import expand_scans, output_names
    from vol3d.cli.scan_options import model_from

    scans = expand_scans(args.scans)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    # Loaded once, after the first scan was read: one scan that cannot be read is refused at once.
    load = cache(lambda: model_from(args))
    results = []
    with stdout_to_stderr(), progress("Reports", total=len(scans)) as advance:
        for scan, name in zip(scans, output_names(scans), strict=True):
            advance(0, scan.name)
            results.append(_report_or_reason(scan, out / name, load, args, alone=len(scans) == 1))
            advance(1, scan.name)
    if args.json:
        print_json(results)
    else:
        _print_results(results)
    return 1 if any(result["status"] == "failed" for result in results) else 0


def report_scan(volume: "Volume", base: Path, model: "VisionLanguageModel | ChatModel", args: argparse.Namespace) -> dict[str, Any]:
    """Report on one scan and write `base`.html and `base`.json; returns what the JSON holds."""
    from vol3d.cli.report_files import write_json, write_text
    from vol3d.cli.scan_options import evidence_source
    from vol3d.inference import pipeline
    from vol3d.page import render_page

    experts = evidence_source(args, volume, pictures_per_plane=2)
    report, evidence = pipeline.report(volume, model=model, experts=experts)
    session = pipeline.open_session(volume, model=model, experts=experts) if args.ask else None
    answers = [pipeline.answer_question(session, question, model=model) for question in args.ask if session]
    page, document = base.with_name(base.name + ".html"), base.with_name(base.name + ".json")
    content = report.model_copy(update={"page": str(page)}).model_dump(mode="json")
    content |= {
        "answers": [answer.model_dump(mode="json") for answer in answers],
        "statuses": {name: str(status) for name, status in evidence.statuses.items()},
        "provenance": dict(evidence.provenance),
    }
    write_text(page, render_page(report, evidence, volume, answers=answers))
    write_json(document, content)
    return content


def _report_or_reason(
    scan: Path, base: Path, load: "Callable[[], VisionLanguageModel | ChatModel]", args: argparse.Namespace, *, alone: bool
) -> dict[str, Any]:
    from vol3d.cli.read_options import read_scan

    if args.skip_existing and base.with_name(base.name + ".json").exists():
        return {"scan": str(scan), "status": "skipped", "reason": "its JSON is there already", "page": str(base) + ".html"}
    volume, reason = _attempt(lambda: read_scan(str(scan), args), alone=alone)
    if volume is not None:
        model = load()  # not an attempt: without a model no scan can be reported on
        content, reason = _attempt(lambda: report_scan(volume, base, model, args), alone=alone)
        if content is not None:
            return content
    empty: dict[str, Any] = {"findings": "", "impression": "", "claims": [], "evidence": [], "page": None}
    return {"scan": str(scan), "status": "failed", "reason": reason, **empty}


def _attempt(work: "Callable[[], T]", *, alone: bool) -> "tuple[T | None, str]":
    """What `work` returns, or None and the reason. One scan of many must not stop the rest; a single one may raise."""
    try:
        return work(), ""
    except (Vol3dError, OSError) as error:
        if alone:
            raise
        return None, " ".join(str(error).split())
    except Exception as error:
        if alone:
            raise
        return None, f"unexpected {type(error).__name__}: {error}"


def _print_results(results: Sequence[dict[str, Any]]) -> None:
    from vol3d.cli.console import print_table
    from vol3d.contracts import DISCLAIMER

    rows = [(result["scan"], result["status"], result.get("reason") or result["page"]) for result in results]
    failed = sum(result["status"] == "failed" for result in results)
    if len(results) == 1 and not failed and "findings" in results[0]:
        print(f"Findings: {results[0]['findings']}\n\nImpression: {results[0]['impression']}\n")
    print_table(("scan", "status", "page, or reason"), rows)
    if failed:
        print(f"{failed} of {len(results)} scans failed.")
    print(DISCLAIMER)
