"""What every format reader hands to `read.py`: voxels as stored, the grid as stored, and the facts of the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vol3d.errors import VolumeError
from vol3d.volume.inflate import Source
from vol3d.volume.judge import MAX_VOXELS, Judge
from vol3d.volume.volume import Modality


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user may say about a file that the file itself leaves open."""

    volume_index: int | None = None
    assume_orientation: str | None = None
    max_voxels: int = MAX_VOXELS


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Voxels `z y x` in the scan's units (rescale applied), affine over `(z, y, x, 1)` to RAS mm, neither checked yet."""

    array: Any
    affine: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)
    modality: Modality | None = None


def own_facts(found: object) -> dict[str, Any]:
    """What a file says that this toolkit wrote, as far as it is of the right kind; a file can say anything.

    >>> own_facts({"modality": "CT", "label_names": {"1": "liver"}, "padding_value": [], "other": 1})
    {'modality': 'CT', 'label_names': {'1': 'liver'}}
    """
    if not isinstance(found, dict):
        return {}
    facts: dict[str, Any] = {key: found[key] for key in ("modality", "source", "version", "expert") if isinstance(found.get(key), str)}
    names = found.get("label_names")
    if isinstance(names, dict) and all(str(key).isdecimal() and isinstance(name, str) for key, name in names.items()):
        facts["label_names"] = names
    if isinstance(found.get("padding_value"), int):
        facts["padding_value"] = found["padding_value"]
    return facts


def known_modality(facts: Mapping[str, Any]) -> Modality | None:
    """What a file of this toolkit says that it holds; one that did not know leaves it to the values.

    >>> known_modality({"modality": "CT"}), known_modality({"modality": "unknown"})
    ('CT', None)
    """
    modality = facts.get("modality")
    return modality if modality in ("CT", "MR") else None


def one_frame(dims: list[int], volume_index: int | None, judge: Judge) -> tuple[tuple[int, int, int], int, int]:
    """From the sizes in file order x y z t ...: the shape z y x, the number of frames, and the frame to read.

    Raises:
        VolumeError: several frames and no choice, or a choice that is not there.
    """
    size_x, size_y, size_z = [*dims, 1, 1][:3]
    frames = 1
    for size in dims[3:]:
        frames *= size
    if frames == 1 and len(dims) > 3:
        judge.note("squeezed", f"{len(dims)} axes, the ones after z of length 1: dropped")
    if frames > 1 and volume_index is None:
        judge.refuse(
            VolumeError,
            f"this file holds {frames} volumes",
            expected="one 3D volume",
            found=f"sizes {'x'.join(map(str, dims))}",
            hint=f"Pick one with --volume 0..{frames - 1} (volume_index= in Python).",
        )
    index = volume_index or 0
    if not 0 <= index < frames:
        judge.refuse(VolumeError, "there is no such volume in the file", expected=f"0..{frames - 1}", found=index, hint="Pick another --volume.")
    return (size_z, size_y, size_x), frames, index


def read_voxels(source: Source, dtype: np.dtype, shape: tuple[int, int, int], frames: int, frame: int) -> np.ndarray:
    """One frame of `shape`, straight into its final array; the source is left after the last frame, native byte order."""
    array = np.empty(shape, dtype)
    source.skip(frame * array.nbytes)
    source.read_into(array.reshape(-1).view(np.uint8).data)
    source.skip((frames - 1 - frame) * array.nbytes)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array


def rescale(array: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """`array * slope + intercept`; stays an integer array where the result is one, else float32."""
    if slope == 1.0 and intercept == 0.0:
        return array
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 4 and slope == int(slope) and intercept == int(intercept):
        info = (int(array.min()), int(array.max()))
        ends = [end * int(slope) + int(intercept) for end in info]
        if max(map(abs, ends)) < 2**31:
            wide = array.astype(np.int32)
            wide *= int(slope)
            wide += int(intercept)
            return wide
    out = array.astype(np.float64 if array.dtype.itemsize > 2 else np.float32)
    np.multiply(out, slope, out=out)
    np.add(out, intercept, out=out)
    return out
