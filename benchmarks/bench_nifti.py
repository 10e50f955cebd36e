"""Reading .nii.gz: how fast, and how many damaged files are noticed, beside nibabel and SimpleITK in the same run.

    python -m benchmarks.bench_nifti

The scan is synthetic (soft tissue in air, noise of 15 HU, 512 x 512 x 150, int16), because compression and so speed depend on
the noise. Flipped bits lie in the compressed data and the checksum behind them; the 10 bytes of the gzip header hold a time and
a system that nobody reads.
"""

import contextlib
import os
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK

from vol3d.errors import Vol3dError
from vol3d.volume.geometry import make_affine
from vol3d.volume.inflate import BACKEND
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

_SHAPE = (150, 512, 512)
_SMALL = (96, 128, 128)
_FLIPS, _CUTS, _REPEATS = 200, 40, 5
_AIM = 1.5
_GZIP_HEADER = 10


def _with_vol3d(path: Path) -> np.ndarray:
    return read_volume(path).numpy()


def _with_nibabel(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0)  # type: ignore[attr-defined]


def _with_simpleitk(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


READERS: dict[str, Callable[[Path], np.ndarray]] = {"vol3d": _with_vol3d, "nibabel": _with_nibabel, "SimpleITK": _with_simpleitk}


def scan(shape: tuple[int, int, int]) -> Volume:
    """A cylinder of soft tissue in air, with noise."""
    rng = np.random.default_rng(0)
    _, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    inside = (y / shape[1] - 0.5) ** 2 + (x / shape[2] - 0.5) ** 2 < 0.16
    hu = rng.standard_normal(shape, np.float32) * 15 + np.where(inside, np.float32(40), np.float32(-1000))
    return Volume(np.rint(hu).astype(np.int16), make_affine((1.0, 0.75, 0.75)), "CT", "HU")


def seconds(path: Path) -> dict[str, float]:
    """Best of several reads to int16 per reader, taken in turns so that a busy machine slows all alike."""
    best = dict.fromkeys(READERS, float("inf"))
    for _ in range(_REPEATS):
        for name, read in READERS.items():
            start = time.perf_counter()
            read(path)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def outcomes(files: Sequence[bytes], truth: np.ndarray, folder: Path) -> dict[str, tuple[int, int, int]]:
    """For damaged files, per reader: how many it refused, read right all the same, and read wrong without a word."""
    counts = {name: [0, 0, 0] for name in READERS}
    path = folder / "damaged.nii.gz"
    for content in files:
        path.write_bytes(content)
        for name, read in READERS.items():
            try:
                array = read(path)
            except (Vol3dError, OSError, EOFError, ValueError, RuntimeError, nibabel.filebasedimages.ImageFileError, zlib.error):
                counts[name][0] += 1
            else:
                counts[name][1 if array.shape == truth.shape and np.array_equal(array, truth) else 2] += 1
    return {name: (refused, right, wrong) for name, (refused, right, wrong) in counts.items()}


def flipped(data: bytes) -> list[bytes]:
    """One flipped bit each."""
    rng = np.random.default_rng(1)
    files = []
    for position in rng.integers(_GZIP_HEADER, len(data), _FLIPS):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        files.append(bytes(damaged))
    return files


def cut(data: bytes) -> list[bytes]:
    """Truncations, one of them by a single byte."""
    lengths = np.random.default_rng(2).integers(1, len(data), _CUTS - 1)
    return [data[: int(length)] for length in lengths] + [data[:-1]]


def main() -> int:
    """Print both tables; exit 1 when damage was accepted, or when isal is installed and the aim of speed is missed."""
    warnings.simplefilter("ignore")
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "scan.nii.gz"
        write_volume(scan(_SHAPE), path)
        raw = int(np.prod(_SHAPE)) * 2 / 1e6
        best = seconds(path)
        print(
            f"Reading {'x'.join(map(str, _SHAPE))} int16 from .nii.gz ({raw:.0f} MB, {path.stat().st_size / 1e6:.0f} MB packed), backend {BACKEND}:"
        )
        for reader, value in best.items():
            print(f"  {reader:10s} {value:6.3f} s  {raw / value:6.0f} MB/s  {best['nibabel'] / value:5.2f} x nibabel")
        small = scan(_SMALL)
        write_volume(small, path)
        data, truth = path.read_bytes(), small.numpy()
        with _silence():
            results = {"bit flips": outcomes(flipped(data), truth, folder), "truncations": outcomes(cut(data), truth, folder)}
    print("Damaged files:         refused  read right  read wrong")
    for kind, counts in results.items():
        for reader, (refused, right, wrong) in counts.items():
            print(f"  {kind:11s} {reader:10s} {refused:5d} {right:11d} {wrong:11d}")
    strict = results["bit flips"]["vol3d"][0] == _FLIPS and results["truncations"]["vol3d"][0] == _CUTS
    fast = best["nibabel"] / best["vol3d"] >= _AIM
    print(f"All damage refused: {'yes' if strict else 'NO'}. At least {_AIM} x nibabel: {'yes' if fast else 'no'}.")
    return 0 if strict and (fast or BACKEND != "isal") else 1


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """C++ readers write their complaints to file descriptor 2 themselves."""
    sys.stderr.flush()
    saved = os.dup(2)
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


if __name__ == "__main__":
    sys.exit(main())
