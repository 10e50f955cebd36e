"""Batches of crops for the tokenizer: the batch of a step depends on the seed and the step alone, so a resumed run sees the same data."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from vol3d.training.dead_leaves import dead_leaves
from vol3d.volume.intensity import normalize

_STEPS_PER_NEW_PHANTOM = 12


class CropDataset(Dataset):
    """Item `step` is one batch `b 1 z y x` in [-1, 1]; all crops of a batch have one shape, drawn anew for each step.

    A share `leaves` of the crops are dead leaves, the others come from phantoms: CT by `ct_wide`, MR by percentiles of the whole
    volume. Phantoms are made when first needed and the pool grows with the step, so that training starts at once.

    Args:
        seed: of everything drawn.
        shapes: crop shapes `(batch, z, y, x)`, each as likely as the others; `z = 1` is a 2D slice.
        num_steps: length.
        num_phantoms: size of the pool; 0 uses dead leaves alone.
        leaves: share of dead leaves.
        first_phantom_seed: phantoms have the seeds from here on; keep clear of seeds that are held out.
        cache: folder where phantoms are kept as `.npy`, or None.
        rank: of the process in data-parallel training; each has its own crops.
    """

    def __init__(
        self,
        seed: int,
        shapes: Sequence[tuple[int, int, int, int]],
        num_steps: int,
        *,
        num_phantoms: int,
        leaves: float = 0.4,
        first_phantom_seed: int = 500_000,
        cache: Path | None = None,
        rank: int = 0,
    ) -> None:
        self.rank = rank
        self.seed, self.shapes, self.num_steps, self.num_phantoms = seed, [tuple(s) for s in shapes], num_steps, num_phantoms
        self.leaves, self.first_phantom_seed, self.cache = leaves, first_phantom_seed, cache
        self._phantom = lru_cache(maxsize=None)(self._make_phantom)

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, step: int) -> Float[Tensor, "b 1 z y x"]:
        rng = np.random.default_rng([self.seed, step, self.rank])
        num, *shape = self.shapes[rng.integers(len(self.shapes))]
        crops = [self._crop(rng, (shape[0], shape[1], shape[2]), step) for _ in range(num)]
        return torch.from_numpy(np.stack(crops))[:, None]

    def _crop(self, rng: np.random.Generator, shape: tuple[int, int, int], step: int) -> np.ndarray:
        if self.num_phantoms == 0 or rng.random() < self.leaves:
            crop = normalize(dead_leaves(rng, shape, anisotropy=float(rng.choice([1, 1, 1.5, 2, 3, 5]))), "ct_wide")
        else:
            pool = min(self.num_phantoms, 4 + step // _STEPS_PER_NEW_PHANTOM)
            crop = random_crop(rng, self._phantom(int(rng.integers(pool))), shape)
        crop = np.flip(crop, [axis for axis in range(3) if rng.random() < 0.5])
        if rng.random() < 0.2:  # other contrasts than those of CT
            crop = np.interp(crop, np.linspace(-1, 1, 6), rng.uniform(-1, 1, 6))
        return np.ascontiguousarray(crop, np.float32)

    def _make_phantom(self, index: int) -> Float[np.ndarray, "z y x"]:
        """A phantom of random modality, region and spacing, normalised; float16 to hold many."""
        file = None if self.cache is None else self.cache / f"{self.first_phantom_seed + index}.npy"
        if file is not None and file.is_file():
            return np.load(file)
        from vol3d.volume.phantom import random_phantom

        rng = np.random.default_rng([self.seed, 1, index])
        slice_mm, pixel_mm = rng.uniform(1, 5), rng.uniform(1, 3)
        shape = (int(min(96, 300 / slice_mm)), int(min(144, 340 / pixel_mm)), int(min(144, 400 / pixel_mm)))
        volume = random_phantom(self.first_phantom_seed + index, shape_zyx=shape, spacing_mm=(slice_mm, pixel_mm, pixel_mm)).volume
        array = normalize(np.asarray(volume.array), "ct_wide" if volume.modality == "CT" else "mri_percentile").astype(np.float16)
        if file is not None:
            partial = file.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, array)
            partial.replace(file)
        return array


def random_crop(rng: np.random.Generator, array: Float[np.ndarray, "z y x"], shape: tuple[int, int, int]) -> Float[np.ndarray, "n r c"]:
    """A crop at a random place, padded by repeating the border where the volume is smaller; crops of nothing are drawn again."""
    margins = [(0, max(0, n - s)) for n, s in zip(shape, array.shape, strict=True)]
    array = np.pad(array, margins, mode="edge")
    crop = array
    for _ in range(4):
        start = [int(rng.integers(s - n + 1)) for n, s in zip(shape, array.shape, strict=True)]
        crop = array[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]
        if crop.max() - crop.min() > 0.2:
            break
    return crop.astype(np.float32)
