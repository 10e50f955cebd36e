"""A volume as overlapping windows and back: what was cut is put together again exactly, and padding is remembered."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped

from vol3d.errors import ConfigError, ShapeError
from vol3d.volume.volume import Volume

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class WindowSpec:
    """How to cut.

    Args:
        shape: z y x voxels of every window.
        overlap: z y x voxels that neighbours share; under the shape.
        pad: how voxels beyond the volume are filled, `edge` (the last voxel goes on) or a value.

    >>> WindowSpec((16, 64, 64), overlap=(4, 0, 0)).stride
    (12, 64, 64)
    """

    shape: Triple
    overlap: Triple = (0, 0, 0)
    pad: int | float | Literal["edge"] = "edge"

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or any(not 0 <= o < s for o, s in zip(self.overlap, self.shape, strict=True)):
            raise ConfigError("windows need 0 <= overlap < shape", found=f"shape {self.shape}, overlap {self.overlap}")

    @property
    def stride(self) -> Triple:
        """Voxels from one window to the next."""
        z, y, x = (s - o for s, o in zip(self.shape, self.overlap, strict=True))
        return z, y, x

    def counts(self, shape: Triple) -> Triple:
        """How many windows cover a volume of this shape along z, y, x.

        >>> WindowSpec((16, 64, 64), overlap=(4, 0, 0)).counts((40, 64, 65))
        (3, 1, 2)
        """
        z, y, x = (1 + max(0, -(-(n - s) // d)) for n, s, d in zip(shape, self.shape, self.stride, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Window:
    """One window.

    Args:
        array: voxels, always of the full window shape.
        origin_vox: index of its first voxel in the volume, z y x.
        spacing_mm: of the volume, z y x.
        valid: how many of its voxels along z, y, x are the volume's own; the rest, at the far ends, is padding.
    """

    array: Shaped[np.ndarray, "z y x"]
    origin_vox: Triple
    spacing_mm: tuple[float, float, float]
    valid: Triple

    @property
    def content(self) -> np.ndarray:
        """The voxels without the padding."""
        return self.array[tuple(slice(n) for n in self.valid)]

    def with_array(self, array: np.ndarray) -> "Window":
        """The same place with other voxels (a prediction, a reconstruction)."""
        return Window(array, self.origin_vox, self.spacing_mm, self.valid)


def windows(volume: Volume, spec: WindowSpec) -> Iterator[Window]:
    """All windows in z, y, x order, one in memory at a time; a lazy array is read window by window.

    >>> v = Volume(np.arange(40 * 64 * 65).reshape(40, 64, 65), np.eye(4)[[2, 1, 0, 3]], "CT", "HU")
    >>> [w.origin_vox for w in windows(v, WindowSpec((32, 64, 64)))]
    [(0, 0, 0), (0, 0, 64), (32, 0, 0), (32, 0, 64)]
    """
    for index in np.ndindex(*spec.counts(volume.shape)):
        z, y, x = (i * d for i, d in zip(index, spec.stride, strict=True))
        yield _cut(volume, (z, y, x), spec)


def _cut(volume: Volume, origin: Triple, spec: WindowSpec) -> Window:
    stop = [min(o + s, n) for o, s, n in zip(origin, spec.shape, volume.shape, strict=True)]
    content = np.asarray(volume.array[tuple(slice(a, b) for a, b in zip(origin, stop, strict=True))])
    z, y, x = content.shape
    missing = [(0, s - n) for s, n in zip(spec.shape, content.shape, strict=True)]
    if not any(after for _, after in missing):
        array = content
    elif spec.pad == "edge":
        array = np.pad(content, missing, mode="edge")
    else:
        array = np.pad(content, missing, constant_values=spec.pad)
    return Window(array, origin, volume.spacing_mm, (z, y, x))


def stitch(pieces: Iterable[Window], shape: Triple, *, dtype: Any = None) -> np.ndarray:
    """Put windows back onto a grid of `shape`; padding is dropped, overlaps are blended by weights that fall to the edges.

    Windows that were not changed give back the volume exactly.

    Args:
        pieces: windows that cover the shape; read once, one at a time.
        shape: z y x of the whole.
        dtype: of the result; by default that of the windows, integers rounded.

    Raises:
        ShapeError: no window, or a voxel that no window covers.

    >>> v = Volume(np.arange(7 * 6 * 5).reshape(7, 6, 5), np.eye(4)[[2, 1, 0, 3]], "CT", "HU")
    >>> bool((stitch(windows(v, WindowSpec((4, 4, 4), (2, 1, 0))), v.shape) == v.array).all())
    True
    """
    total = np.zeros(shape, np.float64)
    weight = np.zeros(shape, np.float64)
    found: np.dtype | None = None
    for piece in pieces:
        found = piece.array.dtype
        place = tuple(slice(o, o + n) for o, n in zip(piece.origin_vox, piece.valid, strict=True))
        taper = _taper(piece.valid)
        total[place] += piece.content * taper
        weight[place] += taper
    if found is None or not (weight > 0).all():
        raise ShapeError(
            "the windows do not cover the volume", expected=f"all of {shape}", found=f"{int((weight == 0).sum())} voxels without a window"
        )
    total /= weight
    target = np.dtype(dtype) if dtype is not None else found
    return (np.rint(total) if target.kind in "iub" else total).astype(target)


def _taper(shape: Triple) -> Float[np.ndarray, "z y x"]:
    """Weights that rise linearly from each face to the middle; never zero, so that a face without neighbour keeps its voxels."""
    ramps = [np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)).astype(np.float64) for n in shape]
    return ramps[0][:, None, None] * ramps[1][None, :, None] * ramps[2][None, None, :]
