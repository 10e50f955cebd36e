"""Brain tumour parts on four MR sequences, on MONAI's bundle brats_mri_segmentation (Myronenko, BrainLes 2018; trained on BraTS 2018).

The network was trained on skull-stripped, co-registered scans at 1 mm whose arrays run to the patient's left and back (LPS). Sequences are named, never
counted; what does not fit is refused with the reason, or brought over and said so in the label map's notices.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer

from experts3d.cache import scan_key
from experts3d.monai_bundle import bundle_card, how_to_download, refuse_unfit, segresnet, zscore_nonzero
from experts3d.network import Recipe, load_weights, run_network
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ExpertError, GeometryError
from vol3d.volume.geometry import grid_text, same_grid
from vol3d.volume.resample import resample_like
from vol3d.volume.volume import Volume

logger = logging.getLogger(__name__)

BRATS_SEQUENCES = ("t1c", "t1", "t2", "flair")
VERSION = "0.5.2"
_TARGETS = ("brain_tumour", "brain_tumour_core", "brain_tumour_enhancing", "brain_tumour_oedema")
_NAMES = {1: "brain_tumour_core_rest", 2: "brain_tumour_oedema", 4: "brain_tumour_enhancing"}
_UNIONS = {"brain_tumour": (1, 2, 4), "brain_tumour_core": (1, 4)}
# What lies inside the skull stays under 2 litres in adults; a head with skull, scalp and face has 3 to 5.
_MOST_BRAIN_ML = 2200.0
_LEAST_BACKGROUND = 0.01


class BratsMRI:
    """Brain tumour on four MR sequences: enhancing part, core, and the whole with its oedema.

    Args:
        sequences: the other scans by name, from `t1c t1 t2 flair`; the scan that is segmented stands for the name that is missing.
        brain: a brain mask on the scan's grid (deepbet makes one); what lies outside becomes 0. None: the scans are skull-stripped already.
        resample: bring sequences of another grid to the scan's, which is right only where they are registered; they are refused otherwise.
        accept: refusals to overrule: `not_skull_stripped`.
        weights: `model.pt` of the bundle.
        device: where the network runs.
        network: a network to use instead of the bundle's with weights.
        roi: window size at 1 mm.

    """

    def __init__(
        self,
        *,
        sequences: Mapping[str, Volume],
        brain: Volume | None = None,
        resample: bool = False,
        accept: Sequence[str] = (),
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: torch.nn.Module | None = None,
        roi: tuple[int, int, int] = (240, 240, 160),
    ) -> None:
        missing = [name for name in BRATS_SEQUENCES if name not in sequences]
        unknown = [name for name in sequences if name not in BRATS_SEQUENCES]
        if unknown or len(missing) > 1:
            raise ExpertError(
                "the tumour network needs four MR sequences by name", expected=", ".join(BRATS_SEQUENCES), found=", ".join(sequences) or "none",
                hint="Leave out at most the one that is segmented.",
            )  # fmt: skip
        self._sequences, self._brain, self._resample, self._accept = dict(sequences), brain, resample, tuple(accept)
        self._device = torch.device(device)
        self._recipe = Recipe((1.0, 1.0, 1.0), zscore_nonzero, roi, 0.5, blend="constant")
        file = Path(weights) if weights else weights_path("brats_mri")
        made = network or load_weights(segresnet(16, 4, 3), file, how_to_get=how_to_download("brats_mri_segmentation", file))
        self._network = made.to(self._device)

    @cached_property
    def card(self) -> ExpertCard:
        """What the expert offers; its version names the other sequences, so that a cache never mixes them up."""
        others = " ".join(f"{name}:{scan_key(scan)[:8]}" for name, scan in sorted(self._sequences.items()))
        return bundle_card("brats_mri", f"{VERSION} with {others}", ("MR",), "brain tumour parts on four MR sequences", _TARGETS, "minutes on a CPU")

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment the tumour on the grid of `volume`.

        Raises:
            ExpertError: a target or modality that the card does not list; a scan that is not skull-stripped.
            GeometryError: a sequence or the brain mask lies on another grid.

        """
        refuse_unfit(self.card, volume, targets)
        scans, notices = self._scans(volume)
        array = run_network(scans, self._recipe, self._left_and_back, _one_id, num_outputs=3, device=self._device)
        present = set(np.unique(array).tolist())
        ids = {name: (i,) for i, name in _NAMES.items()} | _UNIONS
        statuses = {name: Status.FOUND if present & set(ids[name]) else Status.ABSENT for name in (tuple(targets) or _TARGETS)}
        return LabelMap(
            array.astype(np.uint8), volume.affine, _NAMES, volume.source, "brats_mri", self.card.version, statuses, _UNIONS, notices=notices
        )

    def _scans(self, volume: Volume) -> tuple[list[Volume], tuple[str, ...]]:
        """The four sequences in the network's order, on one grid, without skull."""
        scans, notices = [], []
        for name in BRATS_SEQUENCES:
            scan = self._sequences.get(name, volume)
            if not same_grid(volume.shape, volume.affine, scan.shape, scan.affine):
                scan = self._brought_over(name, scan, volume)
                notices.append(f"{name} was resampled to the scan's grid; that they are registered was not checked")
            scans.append(self._stripped(name, scan))
        if max(abs(s - 1.0) for s in volume.spacing_mm) > 0.05:
            z, y, x = volume.spacing_mm
            notices.append(f"the network works at 1 mm, the scan has {x:g} x {y:g} x {z:g} mm")
        for notice in notices:
            logger.warning("brats_mri: %s", notice)
        return scans, tuple(notices)

    def _brought_over(self, name: str, scan: Volume, volume: Volume) -> Volume:
        if not self._resample:
            raise GeometryError(
                f"the sequence {name} lies on another grid than the scan", path=scan.source or None, expected=grid_text(volume.shape, volume.affine),
                found=grid_text(scan.shape, scan.affine), hint="Register it; where it is registered already, give resample=True (--resample-mask).",
            )  # fmt: skip
        return resample_like(scan, volume)

    def _stripped(self, name: str, scan: Volume) -> Volume:
        image = np.asarray(scan.numpy())
        if self._brain is not None:
            if not same_grid(scan.shape, scan.affine, self._brain.shape, self._brain.affine):
                raise GeometryError("the brain mask lies on another grid than the scan", path=self._brain.source or None)
            return scan.with_array(np.where(self._brain.numpy() > 0, image, 0))
        inside = np.count_nonzero(image)
        inside_ml, background = inside * scan.voxel_ml, 1 - inside / image.size
        if "not_skull_stripped" not in self._accept and (inside_ml > _MOST_BRAIN_ML or background < _LEAST_BACKGROUND):
            raise ExpertError(
                f"the tumour network needs skull-stripped scans, and {name} is not", path=scan.source or None,
                expected=f"0 outside the brain, at most {_MOST_BRAIN_ML:.0f} ml inside", found=f"{inside_ml:.0f} ml that are not 0",
                hint="Give brain=MASK (deepbet makes one), or accept=['not_skull_stripped'].",
            )  # fmt: skip
        return scan

    def _left_and_back(self, image: Float[torch.Tensor, "1 c x y z"]) -> Float[torch.Tensor, "1 k x y z"]:
        """The network on a window whose x and y run as in its training data."""
        return self._network(image.flip(2, 3)).flip(2, 3)


def _one_id(logits: Float[torch.Tensor, "k x y z"]) -> Integer[torch.Tensor, "x y z"]:
    """Three overlapping answers (core, whole, enhancing) as one id each: 4 enhancing, 1 rest of the core, 2 oedema."""
    core, whole, enhancing = (logits > 0).unbind(0)
    out = torch.where(whole, 2, 0)
    out = torch.where(core, 1, out)
    return torch.where(enhancing, 4, out)
