"""Crops for the tokenizer, each a pure function of the seed and its index: a resumed run sees the same data."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from vol3d.errors import ConfigError
from vol3d.training.dead_leaves import dead_leaves
from vol3d.volume.intensity import Recipe, fit_recipe, normalize, recipe_for
from vol3d.volume.manifest import MANIFEST, read_manifest
from vol3d.volume.volume import Volume

Triple = tuple[int, int, int]
_TRIES = 4
_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".zarr")


class CropDataset(Dataset):
    """Item `i` is one batch `b 1 z y x` in [-1, 1]; all its crops have one shape, drawn from `shapes` anew for each item.

    Args:
        draw: makes one crop from a generator and a shape.
        shapes: `(batch, z, y, x)`, each as likely as the others; `z = 1` is a 2D slice, so slices and volumes train together.
        num_items: length.
        seed: of everything drawn.
        remap: share of the crops whose intensities are bent at random, for other contrasts than those of the scans.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator, Triple], Float[np.ndarray, "z y x"]],
        shapes: Sequence[Sequence[int]],
        num_items: int,
        *,
        seed: int,
        remap: float = 0.0,
    ) -> None:
        if not shapes or any(len(shape) != 4 or min(shape) < 1 for shape in shapes):
            raise ConfigError("crop shapes are (batch, z, y, x)", found=list(shapes))
        self.draw, self.shapes, self.num_items, self.seed, self.remap = draw, [tuple(s) for s in shapes], num_items, seed, remap

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, index: int) -> Float[Tensor, "b 1 z y x"]:
        """The batch of an index."""
        rng = np.random.default_rng([self.seed, index])
        num, z, y, x = self.shapes[rng.integers(len(self.shapes))]
        return torch.from_numpy(np.stack([self._crop(rng, (z, y, x)) for _ in range(num)]))[:, None]

    def _crop(self, rng: np.random.Generator, shape: Triple) -> np.ndarray:
        crop = self.draw(rng, shape)
        crop = np.flip(crop, tuple(axis for axis in range(3) if rng.random() < 0.5))
        if rng.random() < self.remap:
            crop = np.interp(crop, np.linspace(-1, 1, 6), rng.uniform(-1, 1, 6))
        return np.ascontiguousarray(crop, np.float32)


class PhantomCrops:
    """Draws crops of phantoms and of dead leaves.

    Args:
        seed: of the phantoms' spacing.
        num_phantoms: size of the pool; made when first needed.
        leaves: share of dead leaves.
        first_phantom_seed: phantoms have the seeds from here on; keep clear of seeds that are held out.
        cache: folder where phantoms are kept as `.npy`, or None.
    """

    def __init__(
        self, *, seed: int = 1, num_phantoms: int = 96, leaves: float = 0.4, first_phantom_seed: int = 500_000, cache: str | None = None
    ) -> None:
        if num_phantoms < 0 or not 0 <= leaves <= 1 or (num_phantoms == 0 and leaves < 1):
            raise ConfigError("nothing to draw crops from", expected="phantoms, or leaves: 1", found=(num_phantoms, leaves))
        self.seed, self.num_phantoms, self.leaves, self.first = seed, num_phantoms, leaves, first_phantom_seed
        self.cache = None if cache is None else Path(cache)
        self._phantom = lru_cache(maxsize=None)(self._make)

    def __call__(self, rng: np.random.Generator, shape: Triple) -> Float[np.ndarray, "z y x"]:
        """One crop."""
        if rng.random() < self.leaves:
            return normalize(dead_leaves(rng, shape, anisotropy=float(rng.choice([1, 1, 1.5, 2, 3, 5]))), "ct_wide")
        return random_crop(rng, self._phantom(int(rng.integers(self.num_phantoms))), shape)

    def _make(self, index: int) -> Float[np.ndarray, "z y x"]:
        """A phantom of random modality, region and spacing, normalised; float16 to hold many."""
        file = None if self.cache is None else self.cache / f"{self.first + index}.npy"
        if file is not None and file.is_file():
            return np.load(file)
        from vol3d.volume.phantom import random_phantom

        rng = np.random.default_rng([self.seed, 1, index])
        slice_mm, pixel_mm = rng.uniform(1, 5), rng.uniform(1, 3)
        shape = (int(min(96, 300 / slice_mm)), int(min(144, 340 / pixel_mm)), int(min(144, 400 / pixel_mm)))
        volume = random_phantom(self.first + index, shape_zyx=shape, spacing_mm=(slice_mm, pixel_mm, pixel_mm)).volume
        array = normalize(volume.numpy(), recipe_for(volume)).astype(np.float16)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, array)
            partial.replace(file)
        return array


class ScanCrops:
    """Draws crops of scans on disk: CT and MR, NIfTI, NRRD, MHA, DICOM folders, or Zarr stores, from which only the crop is read.

    Args:
        root: a folder, searched at all depths, one scan, or a prepared corpus (`vol3d prep`), whose masks and tokens are no scans.
        recipe: intensity recipe; None takes the one that suits each scan.
        held: scans kept open at a time.
        split: of a prepared corpus; None takes all of it.
    """

    def __init__(self, root: str, *, recipe: str | None = None, held: int = 16, split: str | None = "train") -> None:
        self.paths = find_scans(Path(root), split=split)
        if not self.paths:
            raise ConfigError("no scan to draw crops from", path=root, expected="NIfTI, NRRD, MHA, DICOM or Zarr")
        self.recipe = recipe
        self._open = lru_cache(maxsize=held)(self._read)

    def __call__(self, rng: np.random.Generator, shape: Triple) -> Float[np.ndarray, "z y x"]:
        """One crop."""
        volume, recipe = self._open(int(rng.integers(len(self.paths))))
        return normalize(random_crop(rng, volume.array, shape), recipe)

    def _read(self, index: int) -> tuple[Volume, Recipe]:
        """A scan and its recipe, fitted once on the whole of it so that its crops fit together."""
        from vol3d.volume.read import read_volume

        volume = read_volume(self.paths[index]).canonical()
        name = self.recipe or recipe_for(volume)
        # Windows of CT are fixed; only percentiles need the voxels, which would draw a whole store into memory.
        return volume, fit_recipe(name, np.zeros(1) if name.startswith("ct_") else volume.numpy())


class MixedCrops:
    """Draws from several sources in turn, at random.

    Args:
        sources: each a `PhantomCrops` or `ScanCrops`.
        shares: of the crops that each gives, in any unit; None draws from all alike.
    """

    def __init__(self, sources: list[PhantomCrops | ScanCrops], *, shares: list[float] | None = None) -> None:
        shares = [1.0] * len(sources) if shares is None else shares
        if not sources or len(shares) != len(sources) or min(shares) < 0 or sum(shares) <= 0:
            raise ConfigError("sources that cannot be mixed", expected="one share >= 0 for each source", found=(len(sources), shares))
        self.sources, self.shares = sources, np.array(shares) / sum(shares)

    def __call__(self, rng: np.random.Generator, shape: Triple) -> Float[np.ndarray, "z y x"]:
        """One crop."""
        return self.sources[int(rng.choice(len(self.sources), p=self.shares))](rng, shape)


def find_scans(root: Path, *, split: str | None = None) -> list[Path]:
    """The scans at or below a path, in name order.

    Of a prepared corpus those of a split, by its manifest. A folder with no file that looks like a scan is taken for a DICOM series.
    """
    if root.is_file() or root.suffix == ".zarr":
        return [root]
    if (root / MANIFEST).is_file():
        return sorted(root / row.path for row in read_manifest(root, split=split))
    found = sorted(path for path in root.rglob("*") if path.name.endswith(_SUFFIXES) and not any(p.suffix == ".zarr" for p in path.parents))
    return found or ([root] if root.is_dir() and any(root.iterdir()) else [])


def random_crop(rng: np.random.Generator, array: Any, shape: Triple) -> Float[np.ndarray, "n r c"]:
    """A crop at a random place of anything that slices, the border repeated where the volume is smaller; a crop of one value is drawn again a few times."""
    crop = np.zeros((1, 1, 1), np.float32)
    for _ in range(_TRIES):
        start = [int(rng.integers(max(0, size - n) + 1)) for n, size in zip(shape, array.shape, strict=True)]
        crop = np.asarray(array[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))])
        if crop.max() > crop.min():
            break
    margins = [(0, n - size) for n, size in zip(shape, crop.shape, strict=True)]
    return np.pad(crop, margins, mode="edge").astype(np.float32)
