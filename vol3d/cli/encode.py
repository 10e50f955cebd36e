"""`vol3d encode SCAN OUT`: a scan as tokens on disk, with all that is needed to go back."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vol3d.cli.read_options import add_read_options, read_scan
from vol3d.cli.tokenizer_options import add_tokenizer_options, load_tokenizer, normalised

if TYPE_CHECKING:
    from vol3d.volume.volume import Volume

SUMMARY = "turn a scan into tokens, 18 bits for a block of voxels"
EXAMPLE = "vol3d encode ct.nii.gz ct.tokens --spacing 1.5,0.75,0.75"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scan", metavar="SCAN", help="NIfTI, NRRD, MHA, Zarr, or a DICOM series folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="file of tokens to write")
    parser.add_argument("--spacing", type=_triple, metavar="Z,Y,X", help="resample to this voxel size in mm first (default: as it is)")
    parser.add_argument("--recipe", metavar="NAME", help="intensity recipe (default: ct_wide for CT, mri_percentile for MR)")
    parser.add_argument("--mode", choices=("stream", "windowed"), help="how to encode (default: as the tokenizer was trained)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_tokenizer_options(parser)
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read, normalise, encode, write, print."""
    from tokenizers3d.tokens import write_tokens
    from vol3d.cli.console import print_json, progress
    from vol3d.volume.resample import resample

    with progress("Encoding") as advance:
        tokenizer = load_tokenizer(args)
        volume = read_scan(args.scan, args).canonical()
        if args.spacing:
            volume = resample(volume, spacing_mm=args.spacing)
        voxels, recipe = normalised(volume, args.recipe)
        advance(1, "in the encoder")
        grid = tokenizer.encode(voxels, args.mode, affine=volume.affine)
        provenance = _provenance(volume, args) | {"intensity": {"name": recipe.name, "low": recipe.low, "high": recipe.high}}
        write_tokens(args.out, grid, provenance=provenance)
    document = {
        "scan": args.scan,
        "tokens": str(args.out),
        "grid_zyx": grid.shape,
        "num_tokens": grid.num_tokens,
        "bytes": args.out.stat().st_size,
        "bits_per_voxel": round(grid.bits_per_voxel, 5),
        "tokenizer_id": grid.tokenizer_id,
        "mode": grid.mode,
        "provenance": provenance,
    }
    if args.json:
        print_json(document)
    else:
        z, y, x = grid.shape
        print(f"{args.out}: {z} x {y} x {x} tokens of {grid.num_bits} bits, {document['bytes']} bytes, {grid.bits_per_voxel:.4f} bits a voxel")
    return 0


def _triple(text: str) -> tuple[float, float, float]:
    values = [float(part) for part in text.split(",")]
    if len(values) != 3 or min(values) <= 0:
        raise argparse.ArgumentTypeError(f"three positive numbers z,y,x, not {text!r}")
    return values[0], values[1], values[2]


def _provenance(volume: "Volume", args: argparse.Namespace) -> dict[str, Any]:
    """What the tokens were made from, and by what: codes change with all of it."""
    import torch

    from vol3d import __version__
    from vol3d.evaluation.results import sha256_of

    source = Path(args.scan)
    return {
        "scan": source.name,
        "sha256": sha256_of(source) if source.is_file() else None,
        "modality": volume.modality,
        "unit": volume.unit,
        "spacing_mm_zyx": volume.spacing_mm,
        "dtype": args.dtype,
        "vol3d": __version__,
        "torch": torch.__version__,
    }
