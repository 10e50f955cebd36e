"""`vol3d segment SCAN --expert NAME`: run one expert, write its label map, print what it measured."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vol3d.cli.expert_options import add_expert_options, clicked_structures, expert_arguments
from vol3d.cli.measure_output import comma_list, measured_document, print_document, refuse_unknown
from vol3d.cli.read_options import add_read_options, read_scan

if TYPE_CHECKING:
    from vol3d.contracts import LabelMap
    from vol3d.volume.volume import Volume

SUMMARY = "segment structures with one expert, and measure them"
EXAMPLE = "vol3d segment ct.nii.gz --expert threshold_ct --targets lungs,airway --out lungs.nii.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scan", metavar="SCAN", help="NIfTI, NRRD, MHA, Zarr, or a DICOM series folder")
    parser.add_argument("--expert", required=True, metavar="NAME", help="which expert; `vol3d experts list` shows them")
    parser.add_argument("--targets", type=comma_list, default=(), metavar="A,B", help="structures (default: all that the expert's card lists)")
    add_expert_options(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the label map with its names (.nii.gz, .nii, .zarr; .dcm: a DICOM segmentation)"
    )
    parser.add_argument("--sr", type=Path, metavar="FILE", help="with --out FILE.dcm: also write the measurements as a DICOM structured report")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write the key slices with their overlays as PNG")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Segment, write, measure, print."""
    from experts3d.cards import expert_names, load_expert
    from vol3d.cli.console import progress, stdout_to_stderr

    refuse_unknown([args.expert], expert_names(), what="expert")
    _check_outputs(args)
    with stdout_to_stderr(), progress("Reading the scan") as advance:
        expert = load_expert(args.expert, **expert_arguments(args))
        targets = args.targets or clicked_structures(args)
        refuse_unknown(targets, expert.card.arguments, what=f"target of {args.expert}")
        volume = read_scan(args.scan, args)
        advance(1, f"Running {args.expert}")
        labels = expert.segment(volume, targets)
        structures = targets or expert.card.targets
        advance(1, "Measuring")
        document = measured_document(volume, labels, structures)
        if args.out:
            _write(labels, structures, document, args)
        document["mask"] = str(args.out) if args.out else None
        if args.pictures:
            document["pictures"] = _draw(volume, labels, structures, args.pictures)
    print_document(document, args)
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Before the work: DICOM goes out only where DICOM came in."""
    from vol3d.errors import ConfigError

    dicom = args.out is not None and args.out.suffix.lower() == ".dcm"
    if args.sr and not dicom:
        raise ConfigError("a structured report points at a DICOM segmentation", hint="Add --out FILE.dcm.")
    if dicom and not Path(args.scan).is_dir():
        raise ConfigError(
            "a DICOM segmentation points at the DICOM series that was segmented", path=args.scan, expected="a folder of one DICOM series"
        )


def _write(labels: "LabelMap", structures: tuple[str, ...], document: dict[str, Any], args: argparse.Namespace) -> None:
    """The label map in the format that the name asks for."""
    from vol3d.volume.write import write_labels

    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.out.suffix.lower() != ".dcm":
        write_labels(labels, args.out)
        return
    from experts3d.dicom_out import read_series, write_report, write_segmentation
    from vol3d.contracts import Measurement

    series = read_series(args.scan)
    written = write_segmentation(labels, series, args.out, structures=structures)
    if args.sr:
        known = set(Measurement.model_fields)
        numbers = [Measurement(**{key: value for key, value in item.items() if key in known}) for item in document["measurements"]]
        write_report(numbers, series, args.out, written, args.sr)


def _draw(volume: "Volume", labels: "LabelMap", structures: tuple[str, ...], folder: Path) -> list[str]:
    from experts3d.keyslices import key_slices
    from experts3d.render import overlay, png
    from vol3d.volume.atomic import atomic_path

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for key in key_slices(labels, structures):
        path = folder / f"{key.plane}_{key.index:04d}.png"
        with atomic_path(path) as temporary:
            temporary.write_bytes(png(overlay(volume, labels, key)))
        written.append(str(path))
    return written
