"""One pass over a label map: voxel counts, intensity sums and histograms, boxes and centroids of every label at once."""

from dataclasses import dataclass

import cc3d
import numpy as np
from jaxtyping import Bool, Float, Integer, Num

_SLAB_VOXELS = 1 << 24
_MAX_EXACT_BINS = 8192


@dataclass(frozen=True)
class Tally:
    """Sums per label id; row `i` belongs to `ids[i]`.

    Args:
        ids: the label ids that have voxels, ascending.
        counts: voxels per label.
        sums, squares: intensity sums and sums of squares per label.
        histogram: voxels per label and intensity bin.
        bin_edges: lower edge of bin 0 and width of a bin.
        starts, stops: bounding boxes, `z y x`, half open.
        centroids_vox: mean voxel index, `z y x`.

    """

    ids: Integer[np.ndarray, " n"]
    counts: Integer[np.ndarray, " n"]
    sums: Float[np.ndarray, " n"]
    squares: Float[np.ndarray, " n"]
    histogram: Integer[np.ndarray, "n bins"]
    bin_edges: tuple[float, float]
    starts: Integer[np.ndarray, "n 3"]
    stops: Integer[np.ndarray, "n 3"]
    centroids_vox: Float[np.ndarray, "n 3"]

    def rows(self, ids: tuple[int, ...]) -> Integer[np.ndarray, " m"]:
        """Rows of those of `ids` that have voxels."""
        return np.flatnonzero(np.isin(self.ids, ids))

    def percentile(self, rows: Integer[np.ndarray, " m"], share: float) -> float:
        """The lowest intensity that `share` (0..1) of the voxels do not exceed; exact for integer scans, else to one bin."""
        cumulative = np.cumsum(self.histogram[rows].sum(axis=0))
        index = int(np.searchsorted(cumulative, share * cumulative[-1]))
        low, width = self.bin_edges
        return low + width * index


def tally(image: Num[np.ndarray, "z y x"], labels: Integer[np.ndarray, "z y x"]) -> Tally:
    """Tally all labels above 0.

    Args:
        image: intensities on the labels' grid.
        labels: label ids, 0 is background.

    >>> t = tally(np.arange(8).reshape(2, 2, 2), np.array([[[0, 1], [1, 1]], [[2, 2], [2, 2]]]))
    >>> t.ids.tolist(), t.counts.tolist(), (t.sums / t.counts).tolist(), t.percentile(np.array([1]), 0.5)
    ([1, 2], [3, 4], [2.0, 5.5], 5.0)

    """
    return tally_compact(image, *compact_labels(labels))


def tally_compact(image: Num[np.ndarray, "z y x"], compact: Integer[np.ndarray, "z y x"], ids: Integer[np.ndarray, " n"]) -> Tally:
    """`tally` of labels that `compact_labels` has renumbered."""
    low, width, num_bins = _bins(image)
    num = len(ids) + 1
    counts, sums, squares = np.zeros(num, np.int64), np.zeros(num), np.zeros(num)
    histogram = np.zeros(num * num_bins, np.int64)
    step = max(1, _SLAB_VOXELS // max(1, compact[0].size))
    for start in range(0, len(compact), step):
        slab = compact[start : start + step].ravel()
        inside = np.flatnonzero(slab)
        label = slab[inside].astype(np.int64)
        value = image[start : start + step].ravel()[inside].astype(np.float64)
        counts += np.bincount(label, minlength=num)
        sums += np.bincount(label, weights=value, minlength=num)
        squares += np.bincount(label, weights=value * value, minlength=num)
        bins = np.clip((value - low) / width, 0, num_bins - 1).astype(np.int64)
        histogram += np.bincount(label * num_bins + bins, minlength=num * num_bins)
    boxes = cc3d.statistics(compact)
    starts, stops = split_boxes(boxes["bounding_boxes"][1:])
    return Tally(
        ids,
        counts[1:],
        sums[1:],
        squares[1:],
        histogram.reshape(num, num_bins)[1:],
        (low, width),
        starts,
        stops,
        np.asarray(boxes["centroids"][1:], np.float64).reshape(-1, 3),
    )


def compact_labels(labels: Integer[np.ndarray, "z y x"]) -> tuple[Integer[np.ndarray, "z y x"], Integer[np.ndarray, " n"]]:
    """Renumber the ids in use to 1..n, in a contiguous array of the smallest type; and the ids that they were."""
    highest = int(labels.max(initial=0))
    if highest < 1 << 16:
        ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)).astype(np.int64)
        ids = ids[ids > 0]
        lookup = np.zeros(highest + 1, np.uint8 if len(ids) < 256 else np.uint16)
        lookup[ids] = np.arange(1, len(ids) + 1)
        return np.ascontiguousarray(lookup[labels]), ids
    found, inverse = np.unique(labels, return_inverse=True)
    offset = 0 if found[0] == 0 else 1
    return (inverse.reshape(labels.shape) + offset).astype(np.uint32), found[found > 0].astype(np.int64)


def split_boxes(boxes: object) -> tuple[Integer[np.ndarray, "n 3"], Integer[np.ndarray, "n 3"]]:
    """cc3d's boxes (slices, or an array of firsts and lasts) as half-open starts and stops."""
    rows = [(axis.start, axis.stop) for box in boxes for axis in box]  # type: ignore[attr-defined]
    array = np.asarray(rows, np.int64).reshape(-1, 3, 2)
    return array[..., 0], array[..., 1]


def union_box(tally_: Tally, rows: Integer[np.ndarray, " m"]) -> tuple[slice, slice, slice]:
    """The box that holds all of the rows."""
    starts, stops = tally_.starts[rows].min(axis=0), tally_.stops[rows].max(axis=0)
    return slice(int(starts[0]), int(stops[0])), slice(int(starts[1]), int(stops[1])), slice(int(starts[2]), int(stops[2]))


def crop_mask(labels: Integer[np.ndarray, "z y x"], ids: tuple[int, ...], box: tuple[slice, ...]) -> Bool[np.ndarray, "cz cy cx"]:
    """The mask of some ids inside a box."""
    crop = labels[box]
    return crop == ids[0] if len(ids) == 1 else np.isin(crop, ids)


def _bins(image: Num[np.ndarray, "z y x"]) -> tuple[float, float, int]:
    """Bins of width 1 for integer scans of an ordinary range, else 4096 bins from minimum to maximum."""
    low, high = float(image.min()), float(image.max())
    if np.issubdtype(image.dtype, np.integer) and high - low < _MAX_EXACT_BINS:
        return low, 1.0, int(high - low) + 1
    num_bins = 4096
    return low, max((high - low) / num_bins, 1e-12), num_bins
