"""`vol3d measure SCAN --mask MASK`: numbers of masks that the user already has."""

import argparse

from vol3d.cli.measure_output import comma_list, measured_document, print_document, refuse_unknown
from vol3d.cli.read_options import add_read_options, read_scan

SUMMARY = "measure your own masks on a scan: volume, diameters, counts, intensities, side"
EXAMPLE = "vol3d measure ct.nii.gz --mask labels.nii.gz --labels totalseg --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scan", metavar="SCAN", help="NIfTI, NRRD, MHA, Zarr, or a DICOM series folder")
    parser.add_argument("--mask", required=True, metavar="FILE", help="a label file, or a folder of STRUCTURE.nii.gz")
    parser.add_argument("--labels", metavar="TABLE", help="names of the labels: totalseg, totalseg_mr, or a .json or .csv file")
    parser.add_argument("--structures", type=comma_list, default=(), metavar="A,B", help="what to measure (default: all that have a voxel)")
    parser.add_argument("--resample-mask", action="store_true", help="bring a mask of another grid to the scan's instead of refusing it")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Bring the mask onto the scan's grid, measure, print."""
    import numpy as np

    from experts3d.supplied import SuppliedMasks
    from vol3d.cli.console import progress, stdout_to_stderr

    with stdout_to_stderr(), progress("Reading the scan") as advance:
        volume = read_scan(args.scan, args)
        expert = SuppliedMasks(args.mask, labels=args.labels, resample=args.resample_mask, accept=args.accept)
        refuse_unknown(args.structures, expert.card.arguments, what="structure of the mask")
        labels = expert.segment(volume, args.structures)
        advance(1, "Measuring")
        present = set(np.unique(labels.array).tolist())
        structures = args.structures or tuple(name for name in labels.structures if present & set(labels.ids(name)))
        document = measured_document(volume, labels, structures)
        document["mask"] = args.mask
    print_document(document, args)
    return 0
