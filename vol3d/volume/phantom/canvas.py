"""Canvas: a voxel grid with anatomical coordinates, on which shapes are painted one over the other.

World points are mapped to *anatomical* millimetres (one reference body; z = 0 between T12 and L1, x to the right, y to the front) by a
pose, a size and a smooth deformation. Shapes are evaluated at voxel centres, inside their bounding boxes only. Everything is a function of
world millimetres, never of voxels, so the same seed gives the same body on any grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from vol3d.errors import GeometryError
from vol3d.volume.phantom.shapes import Point, Shape

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Warp:
    """World mm -> anatomical mm: rotation, shift, size, and a sum of products of sines (smooth, bounded, cheap on a grid).

    Args:
        rotation: 3x3, applied to world `x y z`.
        shift_mm: world position of the anatomical origin.
        scale: size of this body relative to the reference, along x y z.
        amplitude_mm: `3 terms`, displacement along x y z.
        frequency: `3 terms 3`, radians per mm along x y z.
        phase: `3 terms 3`, radians.
    """

    rotation: np.ndarray
    shift_mm: np.ndarray
    scale: np.ndarray
    amplitude_mm: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray

    @property
    def margin_mm(self) -> float:
        """Largest displacement that the deformation can cause along one axis."""
        return float(np.abs(self.amplitude_mm).sum(axis=1).max())

    def points(self, world_xyz: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Anatomical coordinates of world points `n 3`."""
        out = (world_xyz - self.shift_mm) @ self.rotation.T
        for c in range(3):
            for k in range(self.amplitude_mm.shape[1]):
                sx, sy, sz = (np.sin(self.frequency[c, k, i] * world_xyz[:, i] + self.phase[c, k, i]) for i in range(3))
                out[:, c] += self.amplitude_mm[c, k] * sx * sy * sz
        return out / self.scale

    def inverse(self, anatomical_xyz: Float[np.ndarray, "n 3"], *, steps: int = 4) -> Float[np.ndarray, "n 3"]:
        """World coordinates of anatomical points `n 3` by fixed-point iteration; each step leaves about a tenth of the error."""
        world = anatomical_xyz * self.scale @ self.rotation + self.shift_mm
        for _ in range(steps):
            world = world + ((anatomical_xyz - self.points(world)) * self.scale) @ self.rotation
        return world

    def grid(self, axes_xyz: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Anatomical x, y, z (float32, `z y x`) of a grid whose world axes are given as three vectors."""
        wx, wy, wz = (axis - shift for axis, shift in zip(axes_xyz, self.shift_mm, strict=True))
        out = []
        for c in range(3):
            plane = self.rotation[c, 1] * wy[:, None] + self.rotation[c, 0] * wx[None, :]
            total = np.add((self.rotation[c, 2] * wz / self.scale[c]).astype(np.float32)[:, None, None], (plane / self.scale[c]).astype(np.float32))
            for k in range(self.amplitude_mm.shape[1]):
                sx, sy, sz = (np.sin(self.frequency[c, k, i] * axes_xyz[i] + self.phase[c, k, i]) for i in range(3))
                wave = (self.amplitude_mm[c, k] / self.scale[c] * sy[:, None] * sx[None, :]).astype(np.float32)
                total += sz.astype(np.float32)[:, None, None] * wave
            out.append(total)
        return out[0], out[1], out[2]


@dataclass
class Region:
    """A box of the canvas: views of coordinates, labels and intensities, all `z y x`; `level` is the anatomical z of each slice."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    level: np.ndarray
    slices: Slices

    @classmethod
    def of_points(cls, xyz: Float[np.ndarray, "n 3"]) -> "Region":
        """Anatomical points `n 3` as a region of n slices with one voxel each: what is painted on grids can be asked of points."""
        x, y, z = (np.ascontiguousarray(xyz[:, i], np.float32)[:, None, None] for i in range(3))
        empty = np.zeros(x.shape, np.uint8)
        return cls(x, y, z, empty, empty.astype(np.float32), z[:, 0, 0], (slice(None), slice(None), slice(None)))


@dataclass
class Canvas:
    """Labels and intensities under construction.

    Args:
        shape: voxels z y x.
        spacing_mm: z y x.
        origin_mm: RAS position of voxel 0, as x y z.
        warp: world to anatomy.
        background: intensity outside of everything.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    warp: Warp
    background: float = -1000.0
    x: Float[np.ndarray, "z y x"] = field(init=False)
    y: Float[np.ndarray, "z y x"] = field(init=False)
    z: Float[np.ndarray, "z y x"] = field(init=False)
    level: np.ndarray = field(init=False)
    labels: UInt8[np.ndarray, "z y x"] = field(init=False)
    values: Float[np.ndarray, "z y x"] = field(init=False)

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.spacing_mm) <= 0:
            raise GeometryError("a phantom needs a grid", expected="shape >= 1 and spacing > 0 mm", found=f"{self.shape} at {self.spacing_mm} mm")
        self.x, self.y, self.z = self.warp.grid(self.axes)
        centre = np.stack([np.full(self.shape[0], self.warp.shift_mm[0]), np.full(self.shape[0], self.warp.shift_mm[1]), self.axes[2]], axis=1)
        linear = (centre - self.warp.shift_mm) @ self.warp.rotation.T / self.warp.scale
        self.level = linear[:, 2].astype(np.float32)
        self.labels = np.zeros(self.shape, np.uint8)
        self.values = np.full(self.shape, self.background, np.float32)

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World positions of the voxel centres along x, y, z."""
        x, y, z = (o + s * np.arange(n) for o, s, n in zip(self.origin_mm, self.spacing_mm[::-1], self.shape[::-1], strict=True))
        return x, y, z

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def world_slices(self, low_xyz: np.ndarray, high_xyz: np.ndarray) -> Slices | None:
        """Index box of a world box, or None where the field of view misses it."""
        out = []
        for axis in (2, 1, 0):
            origin, spacing, count = self.origin_mm[axis], self.spacing_mm[2 - axis], self.shape[2 - axis]
            start = max(0, int(np.ceil((low_xyz[axis] - origin) / spacing)))
            stop = min(count, int(np.floor((high_xyz[axis] - origin) / spacing)) + 1)
            if start >= stop:
                return None
            out.append(slice(start, stop))
        return out[0], out[1], out[2]

    def at(self, slices: Slices) -> Region:
        """The canvas seen through an index box."""
        return Region(self.x[slices], self.y[slices], self.z[slices], self.labels[slices], self.values[slices], self.level[slices[0]], slices)

    def whole(self) -> Region:
        """The whole canvas as one region."""
        return self.at((slice(None), slice(None), slice(None)))

    def region(self, low: Point, high: Point) -> Region | None:
        """The box that surely holds an anatomical box, or None where the field of view misses it."""
        lowest, highest = np.array(low, float), np.array(high, float)
        centre, half = (lowest + highest) / 2 * self.warp.scale, (highest - lowest) / 2 * self.warp.scale
        world = centre @ self.warp.rotation + self.warp.shift_mm
        reach = half @ np.abs(self.warp.rotation) + self.warp.margin_mm + 1e-3
        slices = self.world_slices(world - reach, world + reach)
        return None if slices is None else self.at(slices)

    def paint(self, shape: Shape, label: int, value: float, *, over: np.ndarray | None = None) -> None:
        """Paint a shape; `over` is a table of 256 booleans: which labels may be painted over (default: all)."""
        for part in shape.parts():
            region = self.region(*part.bounds())
            if region is None:
                continue
            mask = part.inside(region.x, region.y, region.z)
            if over is not None:
                mask &= over[region.labels]
            region.labels[mask] = label
            region.values[mask] = value


def table(ids: Iterable[int]) -> np.ndarray:
    """256 booleans, True at the given ids: `table(ids)[labels]` is a mask, faster than `np.isin`."""
    out = np.zeros(256, bool)
    out[list(ids)] = True
    return out
