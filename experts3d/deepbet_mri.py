"""Brain mask on head MR with the two networks of the package `deepbet` (Fisch et al., NeuroImage 2023; MIT; its weights are in its wheel).

Only the weights are used: importing the package would bring a window toolkit. The first network finds the brain in a small copy of the scan; what
it finds must have the size and shape of a brain, or the scan is no head and nothing is painted. The second network then works on that box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import cc3d
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy import ndimage

from experts3d.orientation import stored_order
from experts3d.snomed import snomed_codes
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ExpertError, MissingExtraError
from vol3d.extras import pip_command
from vol3d.volume.volume import Volume

_SMALL, _LARGE = (128, 128, 128), (256, 256, 256)
_MARGIN = 0.1
# Smallest and largest head that is believed, from neonates to large adults, in mm along x, y, z and in ml.
_BRAIN_MM = ((85.0, 180.0), (100.0, 220.0), (75.0, 200.0))
_BRAIN_ML = (300.0, 2300.0)
_FILL = (0.42, 0.70)
_UNSURE_SHARE = 0.08
_FACE_SHARE = 0.02


@dataclass(frozen=True)
class Candidate:
    """What the first network found: mask on its small grid, and the size of that grid's cells."""

    mask: Bool[np.ndarray, "x y z"]
    unsure_share: float
    cell_mm: tuple[float, float, float]

    def refusal(self) -> str | None:
        """Why this is no brain; None where it may be one."""
        if not self.mask.any():
            return "nothing in the scan looks like a brain"
        found = np.argwhere(self.mask)
        extent = (found.max(axis=0) - found.min(axis=0) + 1) * np.array(self.cell_mm)
        volume_ml = float(self.mask.sum() * np.prod(self.cell_mm)) / 1000
        fill = float(self.mask.sum() / np.prod(found.max(axis=0) - found.min(axis=0) + 1))
        if any(not low <= size <= high for size, (low, high) in zip(extent, _BRAIN_MM, strict=True)) or not _BRAIN_ML[0] <= volume_ml <= _BRAIN_ML[1]:
            size = " x ".join(f"{e:.0f}" for e in extent)
            return f"the scan is no whole head: the likeliest region measures {size} mm and {volume_ml:.0f} ml"
        sides = max(self.mask[0].mean(), self.mask[-1].mean(), self.mask[:, 0].mean(), self.mask[:, -1].mean())
        if not _FILL[0] <= fill <= _FILL[1] or self.unsure_share > _UNSURE_SHARE or sides > _FACE_SHARE:
            return "the scan is no whole head: the likeliest region does not have the shape of a brain"
        return None


class DeepbetMRI:
    """Brain on head MR, any sequence.

    Args:
        device: where the networks run.

    Raises:
        MissingExtraError: the package `deepbet` is not installed.

    """

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self._files = _weight_files()
        self._device = torch.device(device)

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        return ExpertCard(
            name="deepbet",
            version=distribution("deepbet").version,
            modalities=("MR",),
            summary="brain mask on head MR; says so when the scan is no head",
            targets=("brain",),
            arguments=("brain",),
            snomed=snomed_codes(("brain",)),
            cost="10 to 40 s on two CPU cores",
            licence="MIT",
            commercial_use=True,
            weights="inside the package deepbet",
        )

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Brain, or `not_covered` with the reason where the scan is no head.

        Raises:
            ExpertError: a target other than the brain, or a CT.

        """
        if any(target != "brain" for target in targets):
            raise ExpertError("deepbet knows the brain only", found=", ".join(targets))
        if volume.modality == "CT":
            raise ExpertError("deepbet needs MR", path=volume.source or None, found=volume.modality)
        scan = volume.canonical()
        image = torch.from_numpy(np.ascontiguousarray(scan.numpy().transpose(2, 1, 0), dtype=np.float32)).to(self._device)
        candidate, low, high = self._locate(image, scan)
        refusal = candidate.refusal()
        mask = np.zeros(scan.shape, np.uint8)
        if refusal is None:
            mask[...] = self._outline(image, candidate, low, high).transpose(2, 1, 0)
        status = Status.FOUND if mask.any() else Status.NOT_COVERED
        reasons = {} if mask.any() else {"brain": refusal or "the second network found no brain in the box of the first"}
        card = self.card
        return LabelMap(
            stored_order(mask, volume), volume.affine, {1: "brain"}, volume.source, card.name, card.version, {"brain": status}, {}, reasons
        )

    def _locate(self, image: Float[torch.Tensor, "x y z"], scan: Volume) -> tuple[Candidate, torch.Tensor, torch.Tensor]:
        small = F.interpolate(image[None, None], _SMALL, mode="nearest-exact")[0, 0]
        low, high = small.quantile(0.005), small.quantile(0.995)
        if not high > low:
            raise ExpertError("the scan has no contrast", path=scan.source or None)
        probability = _run(self._files[0], _standardise(small, low, high), self._device)
        cells = tuple(n * s / m for n, s, m in zip(scan.shape[::-1], scan.spacing_mm[::-1], _SMALL, strict=True))
        sure = probability > 0.5
        unsure = float(((probability > 0.05) & (probability < 0.95)).sum() / max(1, sure.sum()))
        return Candidate(_largest(sure), unsure, (cells[0], cells[1], cells[2])), low, high

    def _outline(self, image: Float[torch.Tensor, "x y z"], candidate: Candidate, low: torch.Tensor, high: torch.Tensor) -> Bool[np.ndarray, "x y z"]:
        box = _box(candidate.mask, tuple(image.shape))
        crop = F.interpolate(image[box][None, None], _LARGE, mode="nearest-exact")[0, 0]
        probability = torch.from_numpy(_run(self._files[1], _standardise(crop, low, high), self._device))
        sizes = [axis.stop - axis.start for axis in box]
        fitted = F.interpolate(probability[None, None], sizes, mode="trilinear", align_corners=False)[0, 0].numpy()
        mask = np.zeros(tuple(image.shape), bool)
        mask[box] = ndimage.binary_fill_holes(_largest(fitted > 0.5))
        return mask


def _weight_files() -> tuple[Path, Path]:
    """TorchScript files of the locating and of the outlining network."""
    try:
        files = {Path(str(file)).name: Path(str(file.locate())) for file in distribution("deepbet").files or [] if str(file).endswith(".pt")}
    except PackageNotFoundError as error:
        raise MissingExtraError("deepbet is not installed", hint=f"Run: {pip_command('mri')}") from error
    if not {"bbox_model.pt", "model.pt"} <= set(files):
        raise ExpertError("the package deepbet lacks its weights", found=", ".join(files) or "none", hint="Install deepbet 1.0.2 again.")
    return files["bbox_model.pt"], files["model.pt"]


@cache
def _network(path: Path, device: torch.device) -> torch.jit.ScriptModule:
    return torch.jit.load(str(path), map_location=device).eval()


def _run(path: Path, image: Float[torch.Tensor, "x y z"], device: torch.device) -> Float[np.ndarray, "x y z"]:
    """Probability of brain."""
    with torch.no_grad():
        return _network(path, device)(image[None, None])[0, 1].float().cpu().numpy()


def _standardise(image: Float[torch.Tensor, "x y z"], low: torch.Tensor, high: torch.Tensor) -> Float[torch.Tensor, "x y z"]:
    """The networks' input: clipped to the scan's own percentiles, then to the mean and spread that they were trained with."""
    unit = ((image - low) / (high - low)).clamp(0, 1)
    return 0.226 * (unit - unit.mean()) / unit.std() + 0.449


def _largest(mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    if not mask.any():
        return mask
    numbers = cc3d.connected_components(mask)
    counts = np.bincount(numbers.ravel())
    counts[0] = 0
    return numbers == counts.argmax()


def _box(mask: Bool[np.ndarray, "x y z"], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """The mask's box on the scan's grid, with a margin; rows that only stray voxels reach do not count."""
    out = []
    for axis in range(3):
        rows = np.flatnonzero(mask.mean(axis=tuple(a for a in range(3) if a != axis)) > 0.02)
        scale = shape[axis] / mask.shape[axis]
        centre, size = (rows[0] + rows[-1] + 1) / 2 * scale, (rows[-1] + 1 - rows[0]) * scale * (1 + 2 * _MARGIN)
        out.append(slice(max(0, round(centre - size / 2)), min(shape[axis], round(centre + size / 2))))
    return out[0], out[1], out[2]
