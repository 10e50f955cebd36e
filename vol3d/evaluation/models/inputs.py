"""How each family of models is fed, as its makers document it: pictures of slices, or a resampled volume.

- `medgemma`: up to 85 axial slices, three windows as colour channels (MedGemma 1.5's CT notebook: -1024..1024, -135..215, 0..80 HU).
- `frames`: axial slices at width 400, level 50 (DeepTumorVQA's pictures and videos), evenly spaced.
- `m3d`: minimum and maximum to 0..1, cropped to what is above the minimum, 32 x 256 x 256 (M3D-LaMed); no window, spacing lost, as published.
  Slices as pictures show them (anterior first, the patient's right first). Their order is not documented; here it is inferior to superior,
  the order of a NIfTI or DICOM array, which is what users hand in.
- `merlin`: RAS, 1.5 x 1.5 x 3 mm, -1000..1000 HU to 0..1, cropped and padded to 224 x 224 x 160 (Merlin), x y z order.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from vol3d.errors import ConfigError, IntensityError
from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume

if TYPE_CHECKING:
    from PIL.Image import Image

MEDGEMMA_SLICES = 85
_MEDGEMMA_WINDOWS_HU = ((-1024.0, 1024.0), (-135.0, 215.0), (0.0, 80.0))
_FRAME_WINDOW_HU = (-150.0, 250.0)


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most `most` evenly spaced slices, first and last included.

    >>> evenly(10, 4), evenly(3, 8)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if most < 1 or count < 1:
        raise ConfigError("number of slices", expected="at least 1", found=min(most, count))
    return sorted({int(i) for i in np.linspace(0, count - 1, min(most, count)).round()})


def _windowed(plane: np.ndarray, low: float, high: float) -> UInt8[np.ndarray, "h w"]:
    return np.clip((plane.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def _planes(volume: Volume, most: int) -> list[np.ndarray]:
    """Axial slices from superior to inferior as readers scroll, patient's right at the left edge, anterior up."""
    scan = volume.canonical()
    return [np.asarray(scan.array[i])[::-1, ::-1] for i in reversed(evenly(scan.shape[0], most))]


def _frame_range(volume: Volume) -> tuple[float, float]:
    if volume.unit == "HU":
        return _FRAME_WINDOW_HU
    low, high = np.percentile(volume.numpy(), (1, 99.5))
    return float(low), max(float(high), float(low) + 1e-6)


def medgemma(volume: Volume, *, slices: int = MEDGEMMA_SLICES) -> "list[Image]":
    """RGB pictures whose channels are the three windows; CT only.

    Errors: IntensityError for a scan that is not in HU.
    """
    from PIL import Image

    if volume.unit != "HU":
        raise IntensityError("the three windows are for CT in HU", path=volume.source or None, found=volume.unit, hint="Use the input 'frames'.")
    stacks = [
        np.stack([_windowed(plane, *window) for window in _MEDGEMMA_WINDOWS_HU], axis=-1) for plane in _planes(volume, min(slices, MEDGEMMA_SLICES))
    ]
    return [Image.fromarray(stack) for stack in stacks]


def frames(volume: Volume, *, slices: int = 16) -> "list[Image]":
    """Grey pictures at width 400, level 50; percentiles on MR."""
    from PIL import Image

    low, high = _frame_range(volume)
    return [Image.fromarray(np.repeat(_windowed(plane, low, high)[..., None], 3, axis=-1)) for plane in _planes(volume, slices)]


def m3d_volume(volume: Volume) -> Float[np.ndarray, "1 32 256 256"]:
    """M3D's tensor: axial slices, minimum and maximum to 0..1, foreground, 32 x 256 x 256 (scaled to the minimum and maximum of the whole scan)."""
    scan = volume.canonical()
    array = scan.numpy().astype(np.float32)
    low, high = float(array.min()), float(array.max())
    inside = array > low
    if inside.any():
        spans = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        origin = (int(spans[0][0]), int(spans[1][0]), int(spans[2][0]))
        stop = (int(spans[0][-1]) + 1, int(spans[1][-1]) + 1, int(spans[2][-1]) + 1)
        scan = scan.crop(origin, stop)
    small = resample(scan, shape=(32, 256, 256)).numpy().astype(np.float32)[:, ::-1, ::-1]
    return np.ascontiguousarray(np.clip((small - low) / max(high - low, 1e-6), 0.0, 1.0))[None]


def merlin_volume(volume: Volume) -> Float[np.ndarray, "1 224 224 160"]:
    """Merlin's tensor, x y z: RAS at 1.5 x 1.5 x 3 mm, -1000..1000 HU to 0..1, centred crop and padding with 0."""
    array = resample(volume.canonical(), spacing_mm=(3.0, 1.5, 1.5)).numpy().astype(np.float32)
    scaled = np.clip((array + 1000.0) / 2000.0, 0.0, 1.0).transpose(2, 1, 0)
    out = np.zeros((224, 224, 160), np.float32)
    source, target = [], []
    for have, want in zip(scaled.shape, out.shape, strict=True):
        size = min(have, want)
        source.append(slice((have - size) // 2, (have - size) // 2 + size))
        target.append(slice((want - size) // 2, (want - size) // 2 + size))
    out[tuple(target)] = scaled[tuple(source)]
    return out[None]


# Input by name: how it is made, and its shape.
VOLUMES: Mapping[str, tuple[Callable[[Volume], np.ndarray], tuple[int, ...]]] = {
    "m3d": (m3d_volume, (1, 32, 256, 256)),
    "merlin": (merlin_volume, (1, 224, 224, 160)),
}
PICTURES: Mapping[str, Callable[..., "list[Image]"]] = {"medgemma": medgemma, "frames": frames}


def pictures(volume: Volume, name: str, slices: int) -> "list[Image]":
    """Pictures of a scan by the name of the input.

    Errors: ConfigError for a name that is not known.
    """
    if name not in PICTURES:
        raise ConfigError("no such input", expected=" | ".join(PICTURES), found=name)
    return PICTURES[name](volume, slices=slices)
