"""How published models saw their scans, by the model's name, so that their checkpoints meet what they were trained on.

Facts from the models' code: CT-CLIP (also CT-CHAT's encoder), CT2Rep, Merlin, M3D, RadFM. Each preset also says how much of the
body its box cuts off: most chest CTs do not fit the usual 480 x 480 x 240 box.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError, IntensityError
from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume

_BODY_HU = -300.0


@dataclass(frozen=True)
class Preset:
    """One model's preprocessing.

    Args:
        name: the model.
        spacing_mm: z y x to resample to; None keeps the scan's.
        shape: z y x of the result; 0 keeps that axis.
        fit: `crop_pad` about the centre, or `resize` to the shape.
        window_hu: lower and upper HU; None scales by the scan's own minimum and maximum.
        value_range: what the window is mapped to.
        depth_multiple, max_depth: RadFM's rule for the number of slices.
        note: what else to know.
    """

    name: str
    spacing_mm: tuple[float, float, float] | None
    shape: tuple[int, int, int]
    fit: str
    window_hu: tuple[float, float] | None
    value_range: tuple[float, float]
    depth_multiple: int = 1
    max_depth: int = 0
    note: str = ""


@dataclass(frozen=True)
class Prepared:
    """What a model gets.

    Args:
        array: float32 voxels.
        affine: of `array`, `(z, y, x, 1)` to RAS mm.
        lost_fraction: share of the body's voxels (HU above -300; all voxels where there is no HU) that the box cuts off.
        preset: by which it was made.
    """

    array: Float[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    lost_fraction: float
    preset: str


PRESETS: dict[str, Preset] = {
    "ct_clip": Preset(
        "ct_clip", (1.5, 0.75, 0.75), (240, 480, 480), "crop_pad", (-1000, 1000), (-1, 1), note="also CT-CHAT's encoder; padded with -1"
    ),
    "ct2rep": Preset("ct2rep", (1.5, 0.75, 0.75), (240, 480, 480), "crop_pad", (-1000, 200), (-1, 1)),
    "merlin": Preset("merlin", (3.0, 1.5, 1.5), (160, 224, 224), "crop_pad", (-1000, 1000), (0, 1), note="RAS"),
    "m3d": Preset("m3d", None, (32, 256, 256), "resize", None, (0, 1), note="made for 8-bit pictures; HU are lost"),
    "radfm": Preset("radfm", None, (0, 512, 512), "resize", None, (0, 1), depth_multiple=4, max_depth=64, note="the model repeats it to 3 channels"),
}


def apply_preset(volume: Volume, preset: str | Preset) -> Prepared:
    """A scan as a published model saw it; canonical orientation (slices from feet to head, rows to anterior, columns to right).

    Raises:
        ConfigError: no such preset.
        IntensityError: a HU window for a scan that has no HU.

    >>> from vol3d.volume.geometry import make_affine
    >>> scan = Volume(np.full((20, 40, 40), 40, np.int16), make_affine((3, 3, 3)), "CT", "HU")
    >>> apply_preset(scan, "merlin").array.shape
    (160, 224, 224)
    """
    chosen = _find(preset)
    if chosen.window_hu is not None and volume.unit != "HU":
        raise IntensityError(f"the preset {chosen.name} needs Hounsfield units", path=volume.source or None, found=volume.modality)
    scan = volume.canonical()
    if chosen.spacing_mm is not None:
        scan = resample(scan, spacing_mm=chosen.spacing_mm)
    if chosen.fit == "resize":
        scan = resample(scan, shape=_target_shape(scan.shape, chosen))
        return Prepared(_scale(scan.numpy(), chosen), scan.affine, 0.0, chosen.name)
    array, affine, lost = _crop_pad(scan, chosen.shape)
    return Prepared(_scale(array, chosen), affine, lost, chosen.name)


def lost_by(volume: Volume, preset: str | Preset) -> float:
    """Share of the body that a preset's box cuts off, without making the array: from the extents and a coarse body mask."""
    chosen = _find(preset)
    if chosen.fit == "resize" or chosen.spacing_mm is None:
        return 0.0
    scan = volume.canonical()
    step = tuple(max(1, n // 64) for n in scan.shape)
    coarse = np.asarray(scan.array[:: step[0], :: step[1], :: step[2]])
    body = coarse > _BODY_HU if volume.unit == "HU" else np.ones(coarse.shape, bool)
    if not body.any():
        return 0.0
    inside = body.copy()
    for axis, (n, s) in enumerate(zip(scan.shape, scan.spacing_mm, strict=True)):
        half = chosen.shape[axis] * chosen.spacing_mm[axis] / 2
        centre = np.abs((np.arange(0, n, step[axis]) - (n - 1) / 2) * s) <= half
        inside &= centre.reshape([-1 if a == axis else 1 for a in range(3)])
    return float(1 - inside.sum() / body.sum())


def _find(preset: str | Preset) -> Preset:
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ConfigError("no such preset", expected=", ".join(PRESETS), found=preset)
    return PRESETS[preset]


def _target_shape(shape: tuple[int, int, int], preset: Preset) -> tuple[int, int, int]:
    depth = preset.shape[0]
    if depth == 0:
        depth = max(preset.depth_multiple, round(shape[0] / preset.depth_multiple) * preset.depth_multiple)
        depth = min(depth, preset.max_depth)
    return depth, preset.shape[1], preset.shape[2]


def _crop_pad(scan: Volume, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, float]:
    """The middle of a scan in a box; air (or the minimum) where the box is larger."""
    array = scan.numpy()
    fill = -1024 if scan.unit == "HU" else array.min()
    out = np.full(shape, fill, array.dtype)
    source, target, origin = [], [], []
    for n, wanted in zip(array.shape, shape, strict=True):
        start, put = max(0, (n - wanted) // 2), max(0, (wanted - n) // 2)
        length = min(n, wanted)
        source.append(slice(start, start + length))
        target.append(slice(put, put + length))
        origin.append(start - put)
    out[tuple(target)] = array[tuple(source)]
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(origin, float)
    body: Callable[[np.ndarray], int] = lambda a: int((a > _BODY_HU).sum()) if scan.unit == "HU" else a.size  # noqa: E731
    total = body(array)
    return out, affine, 1 - body(array[tuple(source)]) / total if total else 0.0


def _scale(array: np.ndarray, preset: Preset) -> np.ndarray:
    low, high = preset.window_hu or (float(array.min()), float(array.max()))
    first, last = preset.value_range
    unit = np.clip((array.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    return (unit * (last - first) + first).astype(np.float32)
