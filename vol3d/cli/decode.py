"""`vol3d decode TOKENS OUT`: tokens back to a scan, on the grid that they were made from."""

import argparse
from pathlib import Path

from vol3d.cli.tokenizer_options import add_tokenizer_options, load_tokenizer

SUMMARY = "turn a file of tokens back into a scan"
EXAMPLE = "vol3d decode ct.tokens ct_decoded.nii.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("tokens", metavar="TOKENS", type=Path, help="a file that vol3d encode wrote")
    parser.add_argument("out", metavar="OUT", type=Path, help="scan to write (.nii.gz, .nii, .zarr)")
    parser.add_argument("--any-mode", action="store_true", help="decode also what was encoded in a mode that the weights do not know")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_tokenizer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read, decode, undo the intensity recipe, write."""
    import numpy as np

    from tokenizers3d.tokens import read_tokens
    from vol3d.cli.console import print_json, progress
    from vol3d.errors import CheckpointError
    from vol3d.volume.intensity import Recipe, denormalize
    from vol3d.volume.volume import Volume
    from vol3d.volume.write import write_volume

    with progress("Decoding") as advance:
        grid, provenance = read_tokens(args.tokens)
        if grid.affine is None or "intensity" not in provenance:
            raise CheckpointError("tokens without geometry or intensity recipe", path=args.tokens, hint="Encode the scan again with vol3d encode.")
        tokenizer = load_tokenizer(args)
        advance(1, "in the decoder")
        voxels = tokenizer.decode(grid, any_mode=args.any_mode)[0, 0].clamp(-1, 1).numpy()
        values = denormalize(voxels, Recipe(**provenance["intensity"]))
        is_ct = provenance.get("unit") == "HU"
        array = np.rint(values).astype(np.int16) if is_ct else values
        volume = Volume(array, grid.affine, provenance.get("modality", "unknown"), "HU" if is_ct else "a.u.", source=str(args.tokens))
        write_volume(volume, args.out)
    document = {"tokens": str(args.tokens), "scan": str(args.out), "shape_zyx": volume.shape, "spacing_mm_zyx": volume.spacing_mm}
    if args.json:
        print_json(document)
    else:
        z, y, x = volume.shape
        print(f"{args.out}: {z} x {y} x {x} voxels, {provenance['intensity']['name']}")
    return 0
