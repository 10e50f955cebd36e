"""Reading a prepared corpus: whole scans and random crops, the same in every run, resumable in the middle of an epoch.

Arrays are opened inside the worker that reads them. What a sample is depends on (seed, epoch, index) alone, never on the number
of workers or on which of them drew it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch.utils.data import Dataset, Sampler

from vol3d.contracts import Row
from vol3d.errors import CheckpointError, ConfigError
from vol3d.volume.intensity import fit_recipe, normalize
from vol3d.volume.judge import ACCEPTABLE
from vol3d.volume.manifest import mask_key, read_manifest
from vol3d.volume.presets import apply_preset
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume

_AIR_HU = -1024
_TRIES = 10
_SAMPLE_STEP = 4
_KEPT_VOXELS = 1000


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Args:
        image: in [-1, 1] (or the preset's range), one channel.
        affine: of the crop, `(z, y, x, 1)` to RAS mm.
        row: the series that it came from.
        start_vox: the crop's first voxel in the stored scan.
        mask: label ids on the same grid, where the series has masks and they were asked for.
    """

    image: Float[torch.Tensor, "1 z y x"]
    affine: Float[np.ndarray, "4 4"]
    row: Row
    start_vox: tuple[int, int, int]
    mask: Shaped[np.ndarray, "z y x"] | None = None


class CorpusDataset(Dataset[Sample]):
    """Series of a store as a map-style dataset.

    Args:
        store: what `vol3d prep` wrote.
        split: `train`, `valid`, ...; None takes all.
        crop_vox: z y x of random crops; None gives whole scans.
        recipe: intensity recipe; None picks by modality.
        preset: a peer's preprocessing by name instead of crops and recipe.
        foreground: chance that a crop is centred on a labelled voxel, else (or without masks) on a voxel of the body.
        with_masks: read masks too.
        seed: of all randomness, together with the epoch.

    Raises:
        ConfigError: options that exclude each other, or a split without series.
    """

    def __init__(
        self,
        store: str | Path,
        *,
        split: str | None = None,
        crop_vox: tuple[int, int, int] | None = None,
        recipe: str | None = None,
        preset: str | None = None,
        foreground: float = 0.0,
        with_masks: bool = False,
        seed: int = 0,
    ) -> None:
        if preset is not None and (crop_vox is not None or recipe is not None or with_masks):
            raise ConfigError("a preset decides size and intensities by itself", hint="Give either preset, or crop_vox and recipe.")
        if not 0 <= foreground <= 1:
            raise ConfigError("foreground is a probability", expected="0 to 1", found=foreground)
        self.store = Path(store)
        self.rows: tuple[Row, ...] = read_manifest(self.store, split=split)
        if not self.rows:
            raise ConfigError("no series in this split", found=split, hint="Look at the splits of the manifest.")
        self.crop_vox, self.recipe, self.preset = crop_vox, recipe, preset
        self.foreground, self.with_masks, self.seed = foreground, with_masks, seed
        self.epoch = 0
        self._known_voxels: dict[int, list[np.ndarray]] = {}

    def set_epoch(self, epoch: int) -> None:
        """Draw other crops from now on. Iterators that workers serve must be made after this call."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        volume = self.volume(index)
        if self.preset is not None:
            made = apply_preset(volume, self.preset)
            return Sample(torch.from_numpy(made.array)[None], made.affine, row, (0, 0, 0))
        rng = np.random.default_rng([self.seed, self.epoch, index])
        labels = self._labels(row) if self.with_masks or self.foreground else None
        size = self.crop_vox or volume.shape
        start = self._start(index, volume, labels, size, rng) if self.crop_vox else (0, 0, 0)
        image = self._scaled(volume, read_box(volume.array, start, size, fill=_fill(volume)))
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array(start, float)
        mask = read_box(labels, start, size, fill=0) if labels is not None and self.with_masks else None
        return Sample(torch.from_numpy(image)[None], affine, row, start, mask)

    def volume(self, index: int) -> Volume:
        """The scan of an index, its voxels still on disk."""
        row = self.rows[index]
        return read_volume(self.store / row.path, modality=row.modality, accept=tuple(ACCEPTABLE))

    def _labels(self, row: Row) -> Any:
        path = self.store / mask_key(row)
        return read_volume(path, modality="unknown", accept=tuple(ACCEPTABLE)).array if path.exists() else None

    def _voxels(self, index: int, labels: Any) -> list[np.ndarray]:
        if index not in self._known_voxels:
            # Its own seed: what is kept must not depend on which sample asked first.
            self._known_voxels[index] = labelled_voxels(labels, np.random.default_rng([self.seed, index]))
        return self._known_voxels[index]

    def _scaled(self, volume: Volume, array: np.ndarray) -> np.ndarray:
        name = self.recipe or ("ct_wide" if volume.modality == "CT" else "mri_percentile")
        # Percentiles belong to the whole scan: each crop by its own would change grey values from crop to crop.
        fitted = fit_recipe(name, array if volume.modality == "CT" else coarse(volume.array))
        return normalize(array, fitted)

    def _start(self, index: int, volume: Volume, labels: Any, size: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
        if self.foreground and rng.random() < self.foreground:
            groups = self._voxels(index, labels) if labels is not None else []
            # The label is drawn first, so that small lesions come as often as large organs.
            centre = rng.choice(groups[rng.integers(len(groups))]).tolist() if groups else _body_voxel(volume, rng)
            if centre is not None:
                return _about(centre, size, volume.shape, rng)
        z, y, x = (int(rng.integers(0, max(n - c, 0) + 1)) if n >= c else -((c - n) // 2) for n, c in zip(volume.shape, size, strict=True))
        return z, y, x


def read_box(array: Any, start: Sequence[int], size: Sequence[int], *, fill: float) -> np.ndarray:
    """Voxels of a box that may reach beyond the array; only what overlaps is read.

    >>> read_box(np.arange(8).reshape(2, 2, 2), (-1, 0, 0), (2, 2, 2), fill=9).tolist()
    [[[9, 9], [9, 9]], [[0, 1], [2, 3]]]
    """
    low = [max(0, s) for s in start]
    high = [min(n, s + c) for n, s, c in zip(array.shape, start, size, strict=True)]
    if list(low) == list(start) and all(h - a == c for h, a, c in zip(high, low, size, strict=True)):
        return np.asarray(array[low[0] : high[0], low[1] : high[1], low[2] : high[2]])
    out = np.full(tuple(size), fill, array.dtype)
    if all(h > a for h, a in zip(high, low, strict=True)):
        place = tuple(slice(a - s, h - s) for a, h, s in zip(low, high, start, strict=True))
        out[place] = array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    return out


def labelled_voxels(labels: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """For each label of a map up to a thousand of its voxels (`n 3`), so that crops need not read the whole map again."""
    array = np.asarray(labels[...])
    flat = array.reshape(-1)
    found = np.flatnonzero(flat)
    order = np.argsort(flat[found], kind="stable")
    groups = np.split(found[order], np.flatnonzero(np.diff(flat[found][order])) + 1) if found.size else []
    kept = [group if group.size <= _KEPT_VOXELS else np.sort(rng.choice(group, _KEPT_VOXELS, replace=False)) for group in groups]
    return [np.stack(np.unravel_index(group, array.shape), axis=1).astype(np.int32) for group in kept]


def _body_voxel(volume: Volume, rng: np.random.Generator) -> tuple[int, int, int] | None:
    """A voxel of the body by trying single chunks, not by reading the scan."""
    for _ in range(_TRIES):
        z, y, x = (int(rng.integers(n)) for n in volume.shape)
        value = float(np.asarray(volume.array[z : z + 1, y : y + 1, x : x + 1])[0, 0, 0])
        if volume.modality != "CT" or value > -300:
            return z, y, x
    return None


def _about(centre: Sequence[int], size: Sequence[int], shape: Sequence[int], rng: np.random.Generator) -> tuple[int, int, int]:
    """A box that holds the centre at a random place and stays within the scan where that is possible."""
    out = []
    for c, s, n in zip(centre, size, shape, strict=True):
        start = c - int(rng.integers(s // 4, s - s // 4)) if s > 1 else c
        out.append(min(max(start, 0), n - s) if n >= s else -((s - n) // 2))
    return out[0], out[1], out[2]


def coarse(array: Any) -> np.ndarray:
    """Every fourth slice of a lazy array, for statistics of the whole scan."""
    return np.concatenate([np.asarray(array[z : z + 1]) for z in range(0, array.shape[0], _SAMPLE_STEP)])


def _fill(volume: Volume) -> float:
    return _AIR_HU if volume.modality == "CT" else 0


class ResumableSampler(Sampler[int]):
    """Indices of an epoch in a random order that (seed, epoch) decide; goes on from the middle after a stop.

    `state_dict` counts the samples that the training loop has used (call `advance` with each batch's size), because workers
    fetch ahead. Ranks take every `world_size`-th index.

    >>> sampler = ResumableSampler(5, seed=0)
    >>> all_five = list(sampler)
    >>> sampler.advance(2)
    >>> resumed = ResumableSampler(5, seed=0)
    >>> resumed.load_state_dict(sampler.state_dict())
    >>> list(resumed) == all_five[2:]
    True
    """

    def __init__(self, num_samples: int, *, seed: int = 0, shuffle: bool = True, rank: int = 0, world_size: int = 1) -> None:
        if not 0 <= rank < world_size:
            raise ConfigError("rank must lie below world_size", expected=f"0 to {world_size - 1}", found=rank)
        self.num_samples, self.seed, self.shuffle, self.rank, self.world_size = num_samples, seed, shuffle, rank, world_size
        self.epoch, self.used = 0, 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._order()[self.used :])

    def __len__(self) -> int:
        return len(self._order()) - self.used

    def _order(self) -> list[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples) if self.shuffle else np.arange(self.num_samples)
        return [int(i) for i in order[self.rank :: self.world_size]]

    def advance(self, count: int) -> None:
        """So many samples of this epoch were used."""
        self.used += count

    def next_epoch(self) -> int:
        """Begin the next epoch; returns its number."""
        self.epoch, self.used = self.epoch + 1, 0
        return self.epoch

    def state_dict(self) -> dict[str, int]:
        """Where we are."""
        return {"epoch": self.epoch, "used": self.used, "seed": self.seed, "num_samples": self.num_samples, "world_size": self.world_size}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: a state of another corpus, seed or number of ranks.
        """
        own = self.state_dict()
        for name in ("seed", "num_samples", "world_size"):
            if state[name] != own[name]:
                raise CheckpointError(f"this state belongs to another run ({name})", expected=own[name], found=state[name])
        self.epoch, self.used = state["epoch"], state["used"]


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Samples of one size as a batch; what is no tensor stays a list."""
    return {
        "image": torch.stack([s.image for s in samples]),
        "affine": torch.from_numpy(np.stack([s.affine for s in samples])),
        "rows": [s.row for s in samples],
        "start_vox": [s.start_vox for s in samples],
        "mask": [s.mask for s in samples],
    }
