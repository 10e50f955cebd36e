"""Where the body's midline is, so that an unnamed structure can be called left or right: from labels, else from the body's outline, else unknown."""

from collections.abc import Sequence

import numpy as np

from experts3d.anatomy import side_of_name
from vol3d.contracts import LabelMap
from vol3d.volume.volume import Volume

_MIDLINE_PREFIXES = ("vertebrae", "spinal_cord", "sacrum", "sternum")
_OUTLINE_HU = -300.0
_STRIDE_VOXELS = 1 << 20


def midline_x_mm(volume: Volume, labels: LabelMap) -> float | None:
    """RAS x of the body's midline in mm; None where nothing in the scan tells (a crop inside the body).

    Spine or sternum labels first, then the middle between left and right partners, then the outline of the body where air is seen on both sides.
    """
    spine = [i for i, name in labels.names.items() if name.startswith(_MIDLINE_PREFIXES)]
    for x_mm in (_mean_x(labels, spine), _between_partners(labels)):
        if x_mm is not None:
            return x_mm
    return _outline_x(volume)


def _mean_x(labels: LabelMap, ids: Sequence[int]) -> float | None:
    step = _stride(labels.array.shape)
    found = np.argwhere(np.isin(labels.array[::step, ::step, ::step], ids)) if ids else np.zeros((0, 3))
    if len(found) == 0:
        return None
    centre = found.mean(axis=0) * step
    return float(labels.affine[0, :3] @ centre + labels.affine[0, 3])


def _between_partners(labels: LabelMap) -> float | None:
    middles = []
    for i, name in labels.names.items():
        if side_of_name(name) != "left":
            continue
        partner = [j for j, other in labels.names.items() if other == name.replace("_left", "_right")]
        pair = _mean_x(labels, [i]), _mean_x(labels, partner)
        if pair[0] is not None and pair[1] is not None:
            middles.append((pair[0] + pair[1]) / 2)
    return float(np.median(middles)) if middles else None


def _outline_x(volume: Volume) -> float | None:
    scan = volume.canonical()
    step = _stride(scan.shape)
    image = np.asarray(scan.array[::step, ::step, ::step], np.float32)
    threshold = _OUTLINE_HU if scan.unit == "HU" else float(image.mean())
    body = image > threshold
    columns = body.mean(axis=(0, 1))
    # A crop inside the body has tissue up to its left and right faces; its middle says nothing about the patient's.
    if max(columns[0], columns[-1]) > 0.1 * columns.max() or not body.any():
        return None
    x = float((columns * np.arange(len(columns))).sum() / columns.sum()) * step
    z, y = (scan.shape[0] - 1) / 2, (scan.shape[1] - 1) / 2
    return float(scan.affine[0, :3] @ np.array([z, y, x]) + scan.affine[0, 3])


def _stride(shape: Sequence[int]) -> int:
    return max(1, round((np.prod(shape) / _STRIDE_VOXELS) ** (1 / 3)))
