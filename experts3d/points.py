"""Points that a user clicked in a scan: on a structure, or beside it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError
from vol3d.volume.volume import Volume

_NAME = re.compile(r"[a-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Point:
    """One click.

    Args:
        structure: what it says something about; a name of one's own where the expert takes any.
        position: RAS mm as x, y, z (`space="mm"`), or the scan's voxel indices as z, y, x (`space="voxel"`).
        positive: on the structure; False: what is here does not belong to it.
        space: what the position counts.

    """

    structure: str
    position: tuple[float, float, float]
    positive: bool = True
    space: Literal["mm", "voxel"] = "mm"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.structure):
            raise ConfigError("a point needs the name of a structure", expected="letters, digits and _", found=self.structure)
        if len(self.position) != 3 or not np.isfinite(self.position).all():
            raise ConfigError("a point needs three numbers", found=self.position)

    def world_mm(self, volume: Volume) -> Float[np.ndarray, " 3"]:
        """Where the point lies, RAS mm.

        Raises:
            ConfigError: outside the scan.

        >>> from vol3d.volume.geometry import make_affine
        >>> scan = Volume(np.zeros((4, 8, 8), np.int16), make_affine((3, 1, 1), (-4, 0, 0)), "CT", "HU")
        >>> Point("liver", (1, 2, 5), space="voxel").world_mm(scan).tolist(), Point("liver", (1, 2, 3)).world_mm(scan).tolist()
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
        """
        given = np.array([*self.position, 1.0])
        world = volume.affine @ given if self.space == "voxel" else given
        index = np.linalg.solve(volume.affine, world)[:3]
        if (index < -0.5).any() or (index > np.array(volume.shape) - 0.5).any():
            z, y, x = index
            raise ConfigError(
                f"the point on {self.structure} lies outside the scan", path=volume.source or None,
                expected=f"voxel 0 to {', '.join(str(n - 1) for n in volume.shape)} along z, y, x", found=f"{z:.1f}, {y:.1f}, {x:.1f}",
                hint="Positions are RAS mm (x to the right) unless said to be voxels (z,y,x).",
            )  # fmt: skip
        return np.asarray(world[:3], np.float64)


def parse_point(text: str, *, positive: bool = True, space: Literal["mm", "voxel"] = "mm") -> Point:
    """`NAME:A,B,C` as a point.

    >>> parse_point("liver_tumour:-60,12.5,33").position
    (-60.0, 12.5, 33.0)
    """
    name, _, numbers = text.partition(":")
    try:
        a, b, c = (float(part) for part in numbers.split(","))
    except ValueError as error:
        raise ConfigError("a point cannot be read", expected="NAME:X,Y,Z in RAS mm, or NAME:Z,Y,X in voxels", found=text) from error
    return Point(name.strip(), (a, b, c), positive, space)


def points_key(points: Sequence[Point]) -> str:
    """A short name for a set of points, the same in any order."""
    text = "\n".join(sorted(f"{p.structure} {p.position} {p.positive} {p.space}" for p in points))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
