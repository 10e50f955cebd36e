"""`vol3d info`: what a scan file holds, whether it can be trusted, and whether a mask fits it."""

import argparse
from typing import TYPE_CHECKING, Any

from vol3d.cli.read_options import add_read_options, read_scan

if TYPE_CHECKING:
    from vol3d.volume.volume import Volume

SUMMARY = "print geometry, intensities and warnings of a scan"
EXAMPLE = "vol3d info scan.nii.gz --mask labels.nii.gz"
_SLAB = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scan", metavar="SCAN", help="NIfTI, NRRD, MHA or Zarr file, or a folder of one DICOM series")
    parser.add_argument("--mask", metavar="FILE", help="a label mask: check that it lies on the scan's grid, and list its labels")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    add_read_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read everything, so that damage shows, and print it."""
    from vol3d.cli.console import print_json, stdout_to_stderr

    with stdout_to_stderr():
        volume = read_scan(args.scan, args)
        facts = _facts(volume)
        if args.mask:
            facts["mask"] = _mask_facts(args.mask, volume)
    if args.json:
        print_json(facts)
    else:
        _print(facts)
    return 0


def _facts(volume: "Volume") -> dict[str, Any]:
    low, high = _limits(volume)
    return {
        "path": volume.source,
        "shape_zyx": volume.shape,
        "spacing_mm_zyx": volume.spacing_mm,
        "extent_mm_zyx": tuple(round(n * s, 3) for n, s in zip(volume.shape, volume.spacing_mm, strict=True)),
        "origin_ras_mm": tuple(round(float(value), 4) for value in volume.affine[:3, 3]),
        "orientation": volume.orientation,
        "modality": volume.modality,
        "unit": volume.unit,
        "dtype": str(volume.array.dtype),
        "min": low,
        "max": high,
        "header": dict(volume.header),
        "warnings": [{"code": notice.code, "message": notice.message} for notice in volume.notices],
    }


def _limits(volume: "Volume") -> tuple[int | float, int | float]:
    """Smallest and largest value, a slab at a time: a store is read whole, but never held whole."""
    import numpy as np

    lows, highs = [], []
    for start in range(0, volume.shape[0], _SLAB):
        slab = np.asarray(volume.array[start : start + _SLAB])
        lows.append(slab.min().item())
        highs.append(slab.max().item())
    return min(lows), max(highs)


def _mask_facts(path: str, volume: "Volume") -> dict[str, Any]:
    import numpy as np

    from vol3d.volume.geometry import require_same_grid
    from vol3d.volume.read import read_mask

    mask = read_mask(path)
    require_same_grid(volume.shape, volume.affine, mask.shape, mask.affine, path=path)
    names = mask.header.get("label_names", {})
    ids, counts = np.unique(mask.array, return_counts=True)
    labels = [
        {"id": int(i), "name": names.get(str(i), ""), "voxels": int(n), "volume_ml": round(float(n) * mask.voxel_ml, 3)}
        for i, n in zip(ids, counts, strict=True)
        if i != 0
    ]
    return {"path": path, "labels": labels}


def _print(facts: dict[str, Any]) -> None:
    from vol3d.cli.console import print_table

    unit = facts["unit"]
    rows = [
        ("shape (z y x)", " x ".join(map(str, facts["shape_zyx"]))),
        ("spacing", " x ".join(f"{s:.4g}" for s in facts["spacing_mm_zyx"]) + " mm"),
        ("extent", " x ".join(f"{e:.4g}" for e in facts["extent_mm_zyx"]) + " mm"),
        ("first voxel (R A S)", ", ".join(f"{o:.1f}" for o in facts["origin_ras_mm"]) + " mm"),
        ("orientation (x y z)", facts["orientation"]),
        ("modality", f"{facts['modality']} (from the {facts['header'].get('modality_from', 'file')})"),
        ("values", f"{facts['min']:g} to {facts['max']:g} {unit}, {facts['dtype']}"),
        ("format", ", ".join(str(facts["header"][key]) for key in ("format", "compression") if key in facts["header"])),
    ]
    print_table(("property", "value"), rows, title=facts["path"])
    if "mask" in facts:
        labels = [(item["id"], item["name"], item["voxels"], item["volume_ml"]) for item in facts["mask"]["labels"]]
        print_table(("label", "name", "voxels", "ml"), labels, title=facts["mask"]["path"])
    if facts["warnings"]:
        print_table(("warning", "what it means"), [(item["code"], item["message"]) for item in facts["warnings"]])
    else:
        print("no warnings")
