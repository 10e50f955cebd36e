"""Corpus preparation and reading, beside the way that CT-CLIP's scripts do it, on the same files in the same run.

    python -m benchmarks.bench_data [--slices 300] [--volumes 2]

Ends with exit code 1 when an aim is missed: load and resample in half the time of the CT-CLIP way and under 300 MB extra; random
64-cubes at 3 times zarr-python's rate and 100 times decompressing; under 1 GB a worker. Rates and seconds are of processor time, so
that a busy machine changes little; on an idle one the wall says the same, for all but the loader runs in one thread. Each memory
figure is the growth of the peak of a process of its own.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
import zarr
from torch.utils.data import DataLoader

from data_prep.preparation import prepare
from vol3d.volume.corpus import CorpusDataset, collate
from vol3d.volume.geometry import make_affine
from vol3d.volume.manifest import read_manifest
from vol3d.volume.phantom import phantom_ct
from vol3d.volume.read import read_volume
from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

TARGET_MM = (1.5, 0.75, 0.75)
_SPACING_MM = (1.0, 0.75, 0.75)
_REPEATS = 3
_NOISE_HU = 15


def make_corpus(root: Path, *, slices: int, volumes: int) -> list[Path]:
    """Noisy 512 x 512 chest CTs as .nii.gz, with the CSV that the plain-folder source wants."""
    root.mkdir()
    paths = []
    for seed in range(volumes):
        small = phantom_ct(seed, shape_zyx=(-(-slices // 3), 128, 128), spacing_mm=(3, 3, 3)).volume.numpy()
        array = small.repeat(3, 0)[:slices].repeat(4, 1).repeat(4, 2).astype(np.float32)
        array += np.random.default_rng(seed).normal(0, _NOISE_HU, array.shape).astype(np.float32)
        hu = np.clip(np.rint(array), -1024, 3000).astype(np.int16)
        paths.append(root / f"scan_{seed}.nii.gz")
        write_volume(Volume(hu, make_affine(_SPACING_MM), "CT", "HU"), paths[-1])
    (root / "scans.csv").write_text("path\n" + "\n".join(p.name for p in paths), encoding="utf-8")
    return paths


def ct_clip_way(path: Path, out: Path | None) -> None:
    """What CT-CLIP's preprocessing does: float64 voxels, scale, trilinear without anti-aliasing, npz."""
    image = nibabel.load(path)
    data = image.get_fdata() * 1.0 + 0.0  # type: ignore[attr-defined]
    data = np.clip(data, -1000, 1000) / 1000
    tensor = torch.tensor(data.transpose(2, 0, 1)).unsqueeze(0).unsqueeze(0)
    size = [round(n * s / t) for n, s, t in zip(tensor.shape[2:], _SPACING_MM, TARGET_MM, strict=True)]
    moved = torch.nn.functional.interpolate(tensor, size=size, mode="trilinear", align_corners=False).squeeze().numpy()
    if out is not None:
        np.savez(out, moved.astype(np.float32))


def our_way(path: Path, out: Path | None) -> None:
    """Strict reading, anti-aliased resampling to int16, sharded store."""
    volume = resample(read_volume(path, modality="CT"), spacing_mm=TARGET_MM)
    if out is not None:
        write_volume(volume, out)


def prepare_one(path: Path, out: Path) -> None:
    """All of `vol3d prep` for one folder: reading, checks, store, tables."""
    prepare("nifti_csv", path.parent, out, limit=1)


def measured(function: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Best seconds of processor time, and MB by which the peak of a fresh process grew."""
    context = multiprocessing.get_context("spawn")
    seconds, megabytes = float("inf"), float("inf")
    for _ in range(_REPEATS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(sender, function, arguments))
        process.start()
        took, grew = receiver.recv()
        process.join()
        seconds, megabytes = min(seconds, took), min(megabytes, grew)
    return seconds, megabytes


def _child(sender: Any, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    # Kernels and codecs load on first use: that is not the volume's memory.
    resample(Volume(np.zeros((8, 8, 8), np.int16), make_affine((2, 2, 2)), "CT", "HU"), spacing_mm=(3, 3, 3))
    # Writing 5 sets the kernel's record of the peak back to what is held now; ru_maxrss would still hold the parent's.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak_mb()
    start = time.process_time()
    function(*arguments)
    sender.send((time.process_time() - start, _peak_mb() - before))


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def rates(draws: dict[str, Callable[[tuple[int, ...]], object]], starts: list[tuple[int, ...]], few: tuple[str, ...] = ()) -> dict[str, float]:
    """Crops per second of each, best of the repeats, taken in turns so that a busy machine slows all alike."""
    best = dict.fromkeys(draws, 0.0)
    for _ in range(_REPEATS):
        for name, draw in draws.items():
            chosen = starts[:2] if name in few else starts
            begin = time.process_time()
            for start in chosen:
                draw(start)
            best[name] = max(best[name], len(chosen) / (time.process_time() - begin))
    return best


def crops(store: Path, path: Path, size: int, count: int) -> dict[str, float]:
    """Random cubes per second from our reader, from zarr-python on the same files, and by decompressing for each."""
    row = read_manifest(store)[0]
    ours = read_volume(store / row.path, modality="CT").array
    theirs = zarr.open_array(str(store / row.path), mode="r")
    rng = np.random.default_rng(0)
    starts = [tuple(int(rng.integers(0, n - size + 1)) for n in row.shape) for _ in range(count)]

    def cut(array: Any, start: tuple[int, int, int]) -> np.ndarray:
        return np.asarray(array[tuple(slice(s, s + size) for s in start)])

    assert all(np.array_equal(cut(ours, s), cut(theirs, s)) for s in starts[:3])
    return rates(
        {
            "ours": lambda s: cut(ours, s),
            "zarr-python": lambda s: cut(theirs, s),
            "nii.gz": lambda s: cut(np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0), s),  # type: ignore[attr-defined]
        },
        starts,
        few=("nii.gz",),
    )


def loader_rates(store: Path) -> dict[int, float]:
    """Samples of 128-cubes per second of the wall clock through a DataLoader."""
    out = {}
    for workers in (0, 1, 2):
        dataset = CorpusDataset(store, crop_vox=(128, 128, 128))
        dataset.rows = dataset.rows * (48 // len(dataset.rows))
        loader = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0)
        for _ in loader:  # workers start in the first epoch
            break
        start, seen = time.perf_counter(), 0
        for batch in loader:
            seen += len(batch["image"])
        out[workers] = seen / (time.perf_counter() - start)
    return out


def main() -> int:
    """Measure, print, and compare with the aims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    global _REPEATS
    _REPEATS = args.repeats
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = make_corpus(Path(folder) / "root", slices=args.slices, volumes=args.volumes)
        print(f"{args.volumes} volumes of 512x512x{args.slices}, {paths[0].stat().st_size / 1e6:.0f} MB as .nii.gz; one thread")
        _preparation(paths, Path(folder), figures)
        store = Path(folder) / "store"
        start = time.process_time()
        prepare("nifti_csv", paths[0].parent, store)
        figures["vol3d prep, volumes per minute"] = 60 * len(paths) / (time.process_time() - start)
        for size, count in ((64, 60), (128, 24)):
            for name, value in crops(store, paths[0], size, count).items():
                figures[f"{size}-cubes per second, {name}"] = value
        for workers, value in loader_rates(store).items():
            figures[f"128-cubes per second, loader with {workers} workers"] = value
    for name, value in figures.items():
        print(f"  {name:58s} {value:10.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return _judge(figures)


def _preparation(paths: list[Path], folder: Path, figures: dict[str, float]) -> None:
    for name, way in (("CT-CLIP way", ct_clip_way), ("vol3d", our_way)):
        seconds, megabytes = measured(way, paths[0], None)
        figures[f"load and resample, {name}, s"] = seconds
        figures[f"load and resample, {name}, extra MB"] = megabytes
        suffix = "npz" if way is ct_clip_way else "zarr"
        seconds, megabytes = measured(way, paths[0], folder / f"out.{suffix}")
        figures[f"to store, {name}, volumes per minute"] = 60 / seconds
        figures[f"to store, {name}, extra MB"] = megabytes
    figures["vol3d prep of one volume, extra MB"] = measured(prepare_one, paths[0], folder / "one")[1]


def _judge(figures: dict[str, float]) -> int:
    aims = {
        "load and resample in half the time": figures["load and resample, vol3d, s"] <= 0.5 * figures["load and resample, CT-CLIP way, s"],
        "load and resample under 300 MB extra": figures["load and resample, vol3d, extra MB"] < 300,
        "64-cubes at 3 times zarr-python": figures["64-cubes per second, ours"] >= 3 * figures["64-cubes per second, zarr-python"],
        "64-cubes at 100 times decompressing": figures["64-cubes per second, ours"] >= 100 * figures["64-cubes per second, nii.gz"],
        "under 1 GB a worker": figures["vol3d prep of one volume, extra MB"] < 1000,
    }
    for name, met in aims.items():
        print(f"  {'met   ' if met else 'MISSED'} {name}")
    return 0 if all(aims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
