"""Reading, writing, resampling and cropping scans, beside nibabel, SimpleITK, torch and zarr-python in the same run.

    python -m benchmarks.bench_volume

Ends with exit code 1 when damaged files were accepted, or when reading is under 1.5 times nibabel's speed with isal installed.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
import torch
import zarr

from benchmarks import bench_nifti
from vol3d.volume.geometry import from_nifti
from vol3d.volume.read import read_volume
from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

_REPEATS = 3
_CROPS, _CROP = 60, 64


def best_of(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Best seconds of each, taken in turns so that a busy machine slows all alike."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(_REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def writing(scan: Volume, folder: Path) -> None:
    """Seconds and size of one .nii.gz."""
    image = nibabel.Nifti1Image(scan.array.transpose(2, 1, 0), from_nifti(scan.affine))
    itk = SimpleITK.GetImageFromArray(scan.array)
    runs: dict[str, Callable[[], object]] = {
        "vol3d": lambda: write_volume(scan, folder / "vol3d.nii.gz"),
        "nibabel": lambda: nibabel.save(image, folder / "nibabel.nii.gz"),  # type: ignore[attr-defined]
        "SimpleITK": lambda: SimpleITK.WriteImage(itk, str(folder / "SimpleITK.nii.gz"), True),
    }
    print("Writing .nii.gz:")
    for name, value in best_of(runs).items():
        print(f"  {name:24s} {value:6.3f} s  {(folder / f'{name}.nii.gz').stat().st_size / 1e6:5.1f} MB")


def resampling(scan: Volume) -> None:
    """Seconds to 1.5 mm, int16 to int16 where the library can."""
    shape = resample(scan, spacing_mm=(1.5, 1.5, 1.5)).shape
    itk = SimpleITK.GetImageFromArray(scan.array)
    itk.SetSpacing(scan.spacing_mm[::-1])

    def with_torch() -> object:
        tensor = torch.from_numpy(scan.array.astype(np.float32))[None, None]
        return torch.nn.functional.interpolate(tensor, size=shape, mode="trilinear")

    def with_itk() -> object:
        identity = SimpleITK.Transform(3, SimpleITK.sitkIdentity)
        return SimpleITK.Resample(itk, shape[::-1], identity, SimpleITK.sitkLinear, itk.GetOrigin(), (1.5, 1.5, 1.5), itk.GetDirection())

    print(f"Resampling to 1.5 mm ({'x'.join(map(str, shape))}):")
    runs = {
        "vol3d, anti-aliased": lambda: resample(scan, spacing_mm=(1.5, 1.5, 1.5)),
        "vol3d, nearest": lambda: resample(scan, spacing_mm=(1.5, 1.5, 1.5), mode="nearest"),
        "torch, aliased, float32": with_torch,
        "SimpleITK, aliased": with_itk,
    }
    for name, value in best_of(runs).items():
        print(f"  {name:24s} {value:6.3f} s")


def cropping(scan: Volume, folder: Path) -> None:
    """Random crops from one Zarr store, by our reader and by zarr-python, and from .nii.gz."""
    write_volume(scan, folder / "store.zarr")
    rng = np.random.default_rng(0)
    corners = [tuple(int(rng.integers(0, n - _CROP)) for n in scan.shape) for _ in range(_CROPS)]

    def crops(array: object) -> Callable[[], None]:
        def run() -> None:
            for corner in corners:
                array[tuple(slice(o, o + _CROP) for o in corner)]  # type: ignore[index]

        return run

    runs = {
        "vol3d": crops(read_volume(folder / "store.zarr").array),
        "zarr-python": crops(zarr.open_array(store=str(folder / "store.zarr"), mode="r")),
    }
    print(f"Random {_CROP}^3 crops from the same Zarr store:")
    for name, value in best_of(runs).items():
        print(f"  {name:24s} {_CROPS / value:6.0f} crops/s")
    write_volume(scan, folder / "scan.nii.gz")
    start = time.perf_counter()
    read_volume(folder / "scan.nii.gz")
    print(f"  {'.nii.gz, whole per crop':24s} {1 / (time.perf_counter() - start):6.1f} crops/s")


def main() -> int:
    """Print all tables."""
    code = bench_nifti.main()
    scan = bench_nifti.scan((150, 512, 512))
    with tempfile.TemporaryDirectory() as name:
        writing(scan, Path(name))
        resampling(scan)
        cropping(scan, Path(name))
    return code


if __name__ == "__main__":
    sys.exit(main())
