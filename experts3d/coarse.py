"""A scan at about 3 mm for questions of shape and connection, and the way back to the full grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Num
from scipy import ndimage

TARGET_MM = 3.0


@dataclass(frozen=True)
class Coarse:
    """Block means of a scan.

    Args:
        image_hu: block means, `z y x`.
        factors: voxels per block along z, y, x.
        spacing_mm: size of a block.
        full_shape: shape of the scan.
    """

    image_hu: Float[np.ndarray, "z y x"]
    factors: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    full_shape: tuple[int, int, int]

    @property
    def block_ml(self) -> float:
        """Volume of one block."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def to_full(self, mask: Num[np.ndarray, "z y x"] | Bool[np.ndarray, "z y x"]) -> np.ndarray:
        """A coarse mask or label array on the scan's grid, each block repeated."""
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                mask = np.repeat(mask, factor, axis=axis)
        z, y, x = self.full_shape
        return mask[:z, :y, :x]

    def ball(self, radius_mm: float) -> Bool[np.ndarray, "z y x"]:
        """A ball of a radius in mm as a structuring element; at least the centre and its in-range neighbours."""
        reach = [int(radius_mm / s + 1e-6) for s in self.spacing_mm]
        grids = np.meshgrid(*[np.arange(-r, r + 1) * s for r, s in zip(reach, self.spacing_mm, strict=True)], indexing="ij")
        return sum(g**2 for g in grids) <= radius_mm**2 + 1e-6


def coarsen(image_hu: Num[np.ndarray, "z y x"], spacing_mm: tuple[float, float, float], *, target_mm: float = TARGET_MM) -> Coarse:
    """Block means with whole-number factors that bring the voxels as near to `target_mm` as possible without shrinking them.

    >>> c = coarsen(np.zeros((4, 8, 8), np.int16), (5.0, 0.75, 0.75))
    >>> c.image_hu.shape, c.factors, c.to_full(c.image_hu > 0).shape
    ((4, 2, 2), (1, 4, 4), (4, 8, 8))
    """
    factors = tuple(max(1, round(target_mm / s)) for s in spacing_mm)
    z, y, x = (int(f) for f in factors)
    padding = [(0, -n % f) for n, f in zip(image_hu.shape, factors, strict=True)]
    padded = np.pad(image_hu, padding, mode="edge") if any(after for _, after in padding) else image_hu
    blocks = padded.reshape(padded.shape[0] // z, z, padded.shape[1] // y, y, padded.shape[2] // x, x)
    means = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    spacing = tuple(float(f * s) for f, s in zip(factors, spacing_mm, strict=True))
    return Coarse(means, (z, y, x), (spacing[0], spacing[1], spacing[2]), tuple(int(n) for n in image_hu.shape))  # type: ignore[arg-type]


def dilate(mask: Bool[np.ndarray, "z y x"], coarse: Coarse, radius_mm: float) -> Bool[np.ndarray, "z y x"]:
    """Grow a mask by a distance in mm."""
    if not mask.any():
        return mask
    out = np.zeros_like(mask)
    box = box_around(mask, coarse, radius_mm)
    out[box] = distance_mm(~mask[box], coarse) <= radius_mm
    return out


def erode(mask: Bool[np.ndarray, "z y x"], coarse: Coarse, radius_mm: float) -> Bool[np.ndarray, "z y x"]:
    """Shrink a mask by a distance in mm; the faces of the scan do not eat into it."""
    out = np.zeros_like(mask)
    if mask.any():
        box = box_around(mask, coarse, 1.01 * max(coarse.spacing_mm))
        out[box] = distance_mm(mask[box], coarse) > radius_mm
    return out


def distance_mm(mask: Bool[np.ndarray, "z y x"], coarse: Coarse) -> Float[np.ndarray, "z y x"]:
    """Distance of each voxel of a mask to the nearest voxel outside it; 0 outside."""
    import edt

    return edt.edt(np.ascontiguousarray(mask), anisotropy=coarse.spacing_mm, black_border=False, parallel=1)


def box_around(mask: Bool[np.ndarray, "z y x"], coarse: Coarse, margin_mm: float) -> tuple[slice, slice, slice]:
    """The box of a mask with a margin, cut at the faces of the scan; of the whole grid when the mask is empty."""
    out = []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = int(np.ceil(margin_mm / coarse.spacing_mm[axis]))
        first, last = (line[0], line[-1]) if len(line) else (0, mask.shape[axis] - 1)
        out.append(slice(max(0, int(first) - margin), min(mask.shape[axis], int(last) + margin + 1)))
    return out[0], out[1], out[2]


def label_in_plane(mask: Bool[np.ndarray, "z y x"]) -> tuple[np.ndarray, int]:
    """Connected components slice by slice, numbered through."""
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = True
    numbers, num = ndimage.label(mask, structure)
    return numbers, int(num)
