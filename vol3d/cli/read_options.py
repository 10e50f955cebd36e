"""Flags of every command that reads a scan: what the file leaves open, and which doubts to overrule."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vol3d.volume.volume import Volume


def add_read_options(parser: argparse.ArgumentParser) -> None:
    """`--modality`, `--volume`, `--nan-policy`, `--assume-orientation`, `--accept`."""
    group = parser.add_argument_group("reading the scan")
    group.add_argument("--modality", choices=("CT", "MR"), help="what the scan is, where the file does not say")
    group.add_argument("--volume", type=int, metavar="N", help="which volume of a 4D file, from 0")
    group.add_argument("--nan-policy", choices=("refuse", "fill"), default="refuse", help="voxels that are not numbers (default: refuse)")
    group.add_argument("--assume-orientation", metavar="CODES", help="directions of x, y, z for a header without transform, such as LPS")
    group.add_argument("--accept", action="append", default=[], metavar="CODE", help="overrule a refusal by the code that it names; may be repeated")


def read_scan(path: str, args: argparse.Namespace) -> "Volume":
    """The scan of a command line, read with its flags."""
    from vol3d.volume.read import read_volume

    return read_volume(
        path,
        modality=args.modality,
        volume_index=args.volume,
        nan_policy=args.nan_policy,
        assume_orientation=args.assume_orientation,
        accept=tuple(args.accept),
    )
