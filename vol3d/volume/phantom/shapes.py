"""Shapes in anatomical millimetres: an ellipsoid, a tube along a polyline. Each knows its box and which points it holds."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

Number = float | int
Point = tuple[Number, Number, Number]


@runtime_checkable
class Shape(Protocol):
    """Anything that can be painted, in parts that each have a tight box."""

    def parts(self) -> "tuple[Shape, ...]":
        """Pieces that are painted one by one."""
        ...

    def bounds(self) -> tuple[Point, Point]:
        """Lowest and highest corner."""
        ...

    def inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Which points the shape holds."""
        ...


def rotation_xyz(degrees: Point) -> np.ndarray:
    """Rotation about x, then y, then z, in degrees (right-handed).

    >>> rotation_xyz((0, 0, 90)).round(6)[1].tolist()
    [1.0, 0.0, 0.0]
    """
    ax, ay, az = np.deg2rad(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(ax), -np.sin(ax)], [0, np.sin(ax), np.cos(ax)]])
    ry = np.array([[np.cos(ay), 0, np.sin(ay)], [0, 1, 0], [-np.sin(ay), 0, np.cos(ay)]])
    rz = np.array([[np.cos(az), -np.sin(az), 0], [np.sin(az), np.cos(az), 0], [0, 0, 1]])
    return rz @ ry @ rx


@dataclass(frozen=True)
class Ellipsoid:
    """Centre, three semi-axes (mm), and how they are turned (degrees about x, y, z)."""

    centre: Point
    semi: Point
    turn: Point = (0.0, 0.0, 0.0)

    def parts(self) -> tuple["Ellipsoid", ...]:
        """One part: itself."""
        return (self,)

    def grown(self, mm: float) -> "Ellipsoid":
        """Longer by `mm` on every semi-axis."""
        a, b, c = self.semi
        return Ellipsoid(self.centre, (a + mm, b + mm, c + mm), self.turn)

    def bounds(self) -> tuple[Point, Point]:
        """Tight box."""
        reach = np.sqrt(((rotation_xyz(self.turn) * np.array(self.semi)) ** 2).sum(axis=1))
        low, high = np.array(self.centre) - reach, np.array(self.centre) + reach
        return tuple(low.tolist()), tuple(high.tolist())

    def radius(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Squared ellipsoidal radius: 1 on the surface, 0 in the centre."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        if self.turn == (0.0, 0.0, 0.0):
            a, b, c = (1.0 / s for s in self.semi)
            return (dx * a) ** 2 + (dy * b) ** 2 + (dz * c) ** 2
        total: np.ndarray | float = 0.0
        for axis, semi in zip(rotation_xyz(self.turn).T.tolist(), self.semi, strict=True):
            total = total + ((dx * axis[0] + dy * axis[1] + dz * axis[2]) * (1.0 / semi)) ** 2
        return np.asarray(total)

    def inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Points on or in the ellipsoid."""
        return self.radius(x, y, z) <= 1.0


@dataclass(frozen=True)
class Capsule:
    """A cone with round ends from one point to another; radii in mm."""

    start: Point
    stop: Point
    radius_start: Number
    radius_stop: Number

    def parts(self) -> tuple["Capsule", ...]:
        """One part: itself."""
        return (self,)

    def bounds(self) -> tuple[Point, Point]:
        """Tight box."""
        r = max(self.radius_start, self.radius_stop)
        low = tuple(min(a, b) - r for a, b in zip(self.start, self.stop, strict=True))
        high = tuple(max(a, b) + r for a, b in zip(self.start, self.stop, strict=True))
        return low, high  # type: ignore[return-value]

    def inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Points within the radius of the axis, where the radius runs linearly along it."""
        ax, ay, az = self.start
        ux, uy, uz = (b - a for a, b in zip(self.start, self.stop, strict=True))
        length2 = max(ux * ux + uy * uy + uz * uz, 1e-9)
        dx, dy, dz = x - ax, y - ay, z - az
        along = np.clip((dx * (ux / length2) + dy * (uy / length2) + dz * (uz / length2)), 0.0, 1.0)
        distance2 = (dx - along * ux) ** 2 + (dy - along * uy) ** 2 + (dz - along * uz) ** 2
        radius = self.radius_start + along * (self.radius_stop - self.radius_start)
        return distance2 <= radius * radius


@dataclass(frozen=True)
class Tube:
    """A chain of capsules along a polyline, with a radius at each point."""

    points: tuple[Point, ...]
    radii: tuple[Number, ...]

    def parts(self) -> tuple[Capsule, ...]:
        """Its capsules."""
        pairs = zip(self.points[:-1], self.points[1:], self.radii[:-1], self.radii[1:], strict=True)
        return tuple(Capsule(a, b, ra, rb) for a, b, ra, rb in pairs)

    def grown(self, mm: float) -> "Tube":
        """The same path, wider by `mm` (thinner where negative; never below 0.1 mm)."""
        return Tube(self.points, tuple(max(0.1, r + mm) for r in self.radii))

    def bounds(self) -> tuple[Point, Point]:
        """Box of all capsules."""
        boxes = [part.bounds() for part in self.parts()]
        low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
        return tuple(low.tolist()), tuple(high.tolist())

    def inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Points in any of the capsules."""
        out = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)), bool)
        for part in self.parts():
            out |= part.inside(x, y, z)
        return out


def smooth_tube(points: tuple[Point, ...], radii: tuple[Number, ...], *, pieces: int = 3) -> Tube:
    """A tube along the Catmull-Rom curve through the points, `pieces` capsules per given segment."""
    nodes = np.column_stack([np.array(points, float), np.array(radii, float)])
    padded = np.vstack([2 * nodes[0] - nodes[1], nodes, 2 * nodes[-1] - nodes[-2]])
    rows = []
    for i in range(len(nodes) - 1):
        p0, p1, p2, p3 = padded[i : i + 4]
        for t in np.arange(pieces) / pieces:
            rows.append(0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3))
    rows.append(nodes[-1])
    return Tube(tuple((float(r[0]), float(r[1]), float(r[2])) for r in rows), tuple(max(0.2, float(r[3])) for r in rows))
