"""`vol3d demo`: the whole way on a scan that is made on the spot, so that the truth is known."""

import argparse
import shlex
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vol3d.contracts import Answer, LabelMap
    from vol3d.vlm.model import VisionLanguageModel
    from vol3d.volume.phantom import Phantom

SUMMARY = "make a phantom CT, ask three questions about it, write its report and page"
EXAMPLE = "vol3d demo --out out/demo"

# What goes into the mask file, as if a user had segmented it: organs first, so that lesions lie on top of them.
ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "pancreas")
LESIONS = (("liver_tumour", None), ("kidney_tumour", "left"), ("lung_nodule", None))
QUESTIONS = ("What is the volume of the liver tumour?", "On which side is the kidney tumour?", "What is the volume of the brain?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="folder for the scan, its masks, report and page (default: out/demo)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the phantom (default 7)")
    parser.add_argument("--model", default="demo", metavar="NAME", help="model name or folder (default: demo, which ships with vol3d)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def run(args: argparse.Namespace) -> int:
    """Make the phantom, then run what a user would run: `ask` three times, `report` once."""
    from vol3d.cli.console import print_json, stdout_to_stderr

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    with stdout_to_stderr() if args.json else nullcontext():
        document = _walk(out, args)
    if args.json:
        print_json(document)
    return 0


def make_phantom(seed: int) -> "Phantom":
    """A chest and abdomen with a tumour of the liver, one of the left kidney, and a lung nodule."""
    from vol3d.volume.phantom import Lesion, phantom_ct

    return phantom_ct(seed, lesions=[Lesion(kind, side=side) for kind, side in LESIONS])


def masks_of(phantom: "Phantom") -> "LabelMap":
    """The phantom's organs and lesions as one plain label map, an id for each structure."""
    import numpy as np

    from vol3d.contracts import LabelMap

    names = dict(enumerate(dict.fromkeys([*ORGANS, *(lesion.structure for lesion in phantom.lesions)]), start=1))
    array = np.zeros(phantom.volume.shape, np.uint8)
    for index, name in names.items():
        array[phantom.labels.mask(name)] = index
    return LabelMap(array, phantom.labels.affine, names, phantom.volume.source, "phantom", phantom.labels.version)


def _walk(out: Path, args: argparse.Namespace) -> dict[str, Any]:
    from vol3d.cli.console import progress
    from vol3d.cli.report_files import write_json
    from vol3d.contracts import DISCLAIMER
    from vol3d.vlm.model import load_model
    from vol3d.volume.write import write_labels, write_volume

    scan, mask, table = out / "phantom.nii.gz", out / "masks.nii.gz", out / "masks.json"
    clock = time.perf_counter()
    with progress("Making a phantom CT"):
        phantom = make_phantom(args.seed)
        labels = masks_of(phantom)
        write_volume(phantom.volume, scan)
        write_labels(labels, mask)
        write_json(table, {str(index): name for index, name in labels.names.items()})
    z, y, x = phantom.volume.shape
    print(f"A phantom CT with known truth, {z} x {y} x {x} voxels: {scan}; its masks: {mask} [{_since(clock)}]")
    clock = time.perf_counter()
    with progress("Loading the model; the first time it is fetched and converted"):
        model = load_model(args.model)
    print(f"Model {args.model} loaded [{_since(clock)}]")
    own = ["--mask", str(mask), "--labels", str(table)]
    answers = [_ask([str(scan), question, *own], labels, model) for question in QUESTIONS]
    report = _report([str(scan), "--out", str(out), *own], out, model)
    print(f"\n{DISCLAIMER}\nOpen the page: {Path(report['page']).resolve()}")
    return {"scan": str(scan), "seed": args.seed, "answers": answers, "report": report, "page": report["page"]}


def _ask(arguments: list[str], labels: "LabelMap", model: "VisionLanguageModel") -> "Answer":
    from vol3d.cli import ask
    from vol3d.cli.console import progress

    clock = time.perf_counter()
    print(f"\n$ vol3d ask {shlex.join(arguments)}")
    with progress("Asking"):
        answer, _ = ask.ask_scan(_parse("ask", arguments), model)
    calls = [step.call for step in answer.trace if step.call.startswith("<")]
    print(f"{answer.text}  [{answer.status.replace('_', ' ')}; {', '.join(calls) or 'no expert called'}; {_since(clock)}]")
    for item in answer.evidence[:1]:
        print(f"It rests on {item.id} = {item.value} {item.unit}, from {item.mask_id}.")
    return answer


def _report(arguments: list[str], out: Path, model: "VisionLanguageModel") -> dict[str, Any]:
    from vol3d.cli import report
    from vol3d.cli.console import progress
    from vol3d.cli.read_options import read_scan

    clock = time.perf_counter()
    print(f"\n$ vol3d report {shlex.join(arguments)}")
    with progress("Writing the report"):
        args = _parse("report", [*arguments, *_asked()])
        content = report.report_scan(read_scan(arguments[0], args), out / "phantom", model, args)
    claims = content["claims"]
    doubted = sum(claim["verdict"] == "doubtful" for claim in claims)
    measured = doubted + sum(claim["verdict"] == "supported" for claim in claims)
    doubts = f", {doubted} of them doubted by the model" if doubted else ""
    print(
        f"Findings: {content['findings']}\nImpression: {content['impression']}\n{measured} of {len(claims)} claims rest on a measurement{doubts} "
        f"[{_since(clock)}]"
    )
    return content


def _parse(command: str, arguments: list[str]) -> argparse.Namespace:
    from vol3d.cli.main import build_parser

    return build_parser([command]).parse_args([command, *arguments])


def _asked() -> list[str]:
    return [word for question in QUESTIONS for word in ("--ask", question)]


def _since(clock: float) -> str:
    return f"{time.perf_counter() - clock:.1f} s"
