"""`vol3d evaluate tokenizer`: how alike decoded scans are, and what the same bits buy otherwise."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vol3d.cli.evaluate_output import add_output_arguments, show
from vol3d.cli.read_options import add_read_options, read_scan
from vol3d.cli.tokenizer_options import add_tokenizer_options, load_tokenizer, normalised

if TYPE_CHECKING:
    import numpy as np

    from vol3d.volume.intensity import Recipe
    from vol3d.volume.volume import Volume

SUMMARY = "reconstruction of scans by a tokenizer: PSNR, SSIM, HU by tissue, edges, codes, beside baselines at the same bits"
EXAMPLE = "vol3d evaluate tokenizer ct.nii.gz mr.nrrd --pictures pictures --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the branch's arguments."""
    parser.add_argument("scans", nargs="+", metavar="SCAN", help="NIfTI, NRRD, MHA, Zarr, or DICOM series folders")
    parser.add_argument("--recipe", metavar="NAME", help="intensity recipe (default: ct_wide for CT, mri_percentile for MR)")
    parser.add_argument("--mode", choices=("stream", "windowed"), help="how to encode (default: as the tokenizer was trained)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write original, reconstruction and difference as PNG")
    add_tokenizer_options(parser)
    add_read_options(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score each scan, then the means with intervals over scans."""
    return run_tokenizer(args)


def run_tokenizer(args: argparse.Namespace) -> int:
    """The branch, for callers that parse for themselves."""
    from vol3d.cli.console import progress
    from vol3d.evaluation.results import Provenance, ResultFile, hashes

    tokenizer = load_tokenizer(args)
    items = []
    with progress("Scoring", total=len(args.scans)) as advance:
        for path in args.scans:
            volume = read_scan(path, args).canonical()
            items.append({"scan": path} | _score(tokenizer, volume, args))
            advance(1, Path(path).name)
    rows = _rows(items, args)
    provenance = Provenance(
        scorer="vol3d-tokenizer",
        model=tokenizer.tokenizer_id,
        data=hashes([p for p in args.scans if Path(p).is_file()]),
        settings={"mode": items[0]["mode"], "dtype": args.dtype, "recipe": args.recipe or "by modality", "seed": args.seed},
    )
    result = ResultFile(task="tokenizer", rows=rows, provenance=provenance, items=tuple(items))
    if not args.json:
        _print_scans(items)
    return show(result, args, extra={"scans": items})


def _score(tokenizer: Any, volume: "Volume", args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one scan."""
    import time

    from tokenizers3d import metrics
    from vol3d.evaluation.codec_baselines import jpeg2000, linear_samples

    truth, recipe = normalised(volume, args.recipe)
    start = time.perf_counter()
    grid = tokenizer.encode(truth, args.mode)
    middle = time.perf_counter()
    decoded = tokenizer.decode(grid, any_mode=True).clamp(-1, 1)
    seconds = (middle - start, time.perf_counter() - middle)
    usage = metrics.code_usage(grid.codes, grid.num_bits) if grid.codes is not None else None
    bits = grid.num_tokens * grid.num_bits
    numbers = _likeness(decoded, truth, recipe)
    for name, made in (("linear", linear_samples(truth[0, 0].numpy(), bits)), ("jpeg2000", jpeg2000(truth[0, 0].numpy(), bits))):
        if made is not None:
            numbers |= {f"{name}/{key}": value for key, value in _likeness(_tensor(made[0]), truth, recipe).items() if key in ("psnr", "ssim_axial")}
            numbers[f"{name}/bits_per_voxel"] = made[1] / truth.numel()
    if usage is not None:
        numbers |= {"codes_used": usage.num_used, "code_perplexity": usage.perplexity, "bit_entropy": usage.bit_entropy}
    numbers |= {"bits_per_voxel": grid.bits_per_voxel, "bits_per_axial_slice": bits / volume.shape[0], "bits_per_volume": bits}
    numbers |= {"encode_seconds": seconds[0], "decode_seconds": seconds[1]}
    if args.pictures:
        _draw(volume, truth[0, 0].numpy(), decoded[0, 0].numpy(), args.pictures)
    return {"mode": grid.mode, "shape_zyx": volume.shape, "recipe": recipe.name, "num_tokens": grid.num_tokens, **numbers}


def _tensor(array: "np.ndarray") -> Any:
    import torch

    return torch.from_numpy(array)[None, None]


def _likeness(decoded: Any, truth: Any, recipe: "Recipe") -> dict[str, float]:
    from tokenizers3d import metrics

    numbers = {"psnr": metrics.psnr(decoded, truth), "edge_gradient_error": metrics.edge_gradient_error(decoded, truth)}
    numbers |= {f"psnr_{plane}": value for plane, value in metrics.psnr_by_plane(decoded, truth).items()}
    planes = metrics.ssim_by_plane(decoded, truth)
    numbers |= {f"ssim_{plane}": value for plane, value in planes.items()}
    if planes:
        numbers["ssim"] = sum(planes.values()) / len(planes)
    if recipe.name.startswith("ct_"):
        half, centre = (recipe.high - recipe.low) / 2, (recipe.high + recipe.low) / 2
        numbers |= {f"mae_hu_{band}": v for band, v in metrics.mae_by_band(decoded * half + centre, truth * half + centre).items()}
    return numbers


def _rows(items: list[dict[str, Any]], args: argparse.Namespace) -> tuple[Any, ...]:
    """The mean of each number over the scans that have it."""
    import numpy as np

    from vol3d.evaluation.results import plain_row, row
    from vol3d.evaluation.statistics import cluster_bootstrap

    names = dict.fromkeys(name for item in items for name, value in item.items() if isinstance(value, float | int))
    rows = []
    for name in names:
        values = [float(item[name]) for item in items if name in item]
        if len(values) > 1:
            rows.append(row(name, cluster_bootstrap(values, num_resamples=args.resamples, rng=np.random.default_rng(args.seed))))
        else:
            rows.append(plain_row(name, values[0], 1))
    return tuple(rows)


def _print_scans(items: list[dict[str, Any]]) -> None:
    from vol3d.cli.console import print_table

    columns = ("scan", "tokens", "bits/voxel", "PSNR", "SSIM", "linear PSNR", "linear SSIM", "JPEG 2000 PSNR", "SSIM ")
    keys = ("num_tokens", "bits_per_voxel", "psnr", "ssim_axial", "linear/psnr", "linear/ssim_axial", "jpeg2000/psnr", "jpeg2000/ssim_axial")
    print_table(columns, [(Path(item["scan"]).name, *(item.get(key) for key in keys)) for item in items], title="Each scan")


def _draw(volume: "Volume", truth: "np.ndarray", decoded: "np.ndarray", folder: Path) -> None:
    """Middle slices of the three planes: original, reconstruction, difference (four times as strong)."""
    import matplotlib.pyplot as plt
    import numpy as np

    from vol3d.volume.atomic import atomic_path

    folder.mkdir(parents=True, exist_ok=True)
    spacing = volume.spacing_mm
    figure, axes = plt.subplots(3, 3, figsize=(9, 9), layout="constrained")
    for row, axis in enumerate(range(3)):
        others = [a for a in range(3) if a != axis]
        aspect = spacing[others[0]] / spacing[others[1]]
        slices = [np.flipud(np.take(v, v.shape[axis] // 2, axis)) for v in (truth, decoded, (decoded - truth) * 4)]
        for column, (picture, title) in enumerate(zip(slices, ("original", "decoded", "difference x4"), strict=True)):
            axes[row, column].imshow(picture, vmin=-1, vmax=1, cmap="gray", aspect=aspect)
            axes[row, column].set_axis_off()
            if row == 0:
                axes[row, column].set_title(title)
    with atomic_path(folder / f"{Path(volume.source).name.split('.')[0]}.png") as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    plt.close(figure)
