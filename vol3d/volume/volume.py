"""Volume: voxels, where they lie in the patient, and what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from vol3d.errors import GeometryError

Modality = Literal["CT", "MR", "unknown"]
Unit = Literal["HU", "a.u."]


@dataclass(frozen=True)
class Notice:
    """Something a reader should know about a scan that was accepted all the same."""

    code: str
    message: str


@dataclass(frozen=True)
class Volume:
    """One 3D image, `z y x`, with world coordinates in RAS millimetres.

    Args:
        array: voxels; a numpy array, or anything that slices to one (a Zarr array stays on disk until it is sliced).
        affine: maps `(z, y, x, 1)` voxel indices to RAS mm.
        modality: `CT`, `MR` or `unknown`.
        unit: `HU` for CT, else `a.u.`.
        source: path or name that it came from.
        header: facts of the file worth keeping (format, stored dtype, rescale), never patient identifiers.
        notices: what the reader found suspicious and accepted.

    >>> v = Volume(np.zeros((4, 8, 8), np.int16), np.diag([3.0, 1, 1, 1])[[2, 1, 0, 3]], "CT", "HU")
    >>> v.shape, v.spacing_mm, v.orientation
    ((4, 8, 8), (3.0, 1.0, 1.0), 'RAS')
    """

    array: Any
    affine: Float[np.ndarray, "4 4"]
    modality: Modality
    unit: Unit
    source: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        if len(self.array.shape) != 3:
            raise GeometryError(
                "a volume has three axes z y x",
                path=self.source or None,
                found=f"shape {tuple(self.array.shape)}",
                hint="Pick one frame or channel first.",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.array.shape
        return int(z), int(y), int(x)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along z, y, x in mm."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return round(float(z), 6), round(float(y), 6), round(float(x), 6)

    @property
    def orientation(self) -> str:
        """Axis codes in file order x y z: the patient direction in which each index grows (`RAS`, `LPS`)."""
        from vol3d.volume.geometry import axis_codes

        return axis_codes(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres, from the determinant (exact for oblique grids)."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def numpy(self) -> np.ndarray:
        """All voxels in memory."""
        return np.asarray(self.array[...])

    def with_array(self, array: Any, *, affine: np.ndarray | None = None, **changes: Any) -> "Volume":
        """The same scan with other voxels; give `affine` whenever the grid changed."""
        if affine is None and tuple(array.shape) != self.shape:
            raise GeometryError(
                "voxels on another grid need their own affine",
                expected=f"shape {self.shape}",
                found=f"shape {tuple(array.shape)}",
            )
        return replace(self, array=array, affine=self.affine if affine is None else affine, **changes)

    def crop(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> "Volume":
        """Voxels `start:stop` along z, y, x; the affine's origin moves with them."""
        if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, self.shape, strict=True)):
            raise GeometryError("crop leaves the volume", expected=f"0 <= start < stop <= {self.shape}", found=f"{start}:{stop}")
        affine = self.affine.copy()
        affine[:3, 3] = (self.affine @ np.array([*start, 1.0]))[:3]
        return self.with_array(self.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))], affine=affine)

    def canonical(self) -> "Volume":
        """The same voxels with z growing to superior, y to anterior, x to right (RAS in x y z); flips and permutes only."""
        from vol3d.volume.geometry import to_canonical

        array, affine = to_canonical(self.array, self.affine)
        return self.with_array(array, affine=affine)
