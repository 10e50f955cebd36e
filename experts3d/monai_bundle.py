"""Experts from MONAI's model zoo, run without the bundle's configuration language: the network, the input it wants, what its outputs mean.

Facts are from the bundles' own configuration files (Project-MONAI/model-zoo: wholeBody_ct_segmentation 0.1.9, spleen_ct_segmentation,
brats_mri_segmentation). The weights are downloaded by the user.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from monai.networks.nets import SegResNet, UNet

from experts3d.label_table import load_table
from experts3d.network import Recipe, load_weights, run_network, to_label_map, window
from experts3d.snomed import snomed_codes
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.errors import ExpertError
from vol3d.volume.geometry import require_same_grid
from vol3d.volume.volume import Volume

BRATS_SEQUENCES = ("t1c", "t1", "t2", "flair")
_HEART = ("heart_myocardium", "heart_atrium_left", "heart_ventricle_left", "heart_atrium_right", "heart_ventricle_right")


class _Argmax:
    """One label per voxel: the output with the highest logit."""

    def __call__(self, logits: Float[torch.Tensor, "k x y z"]) -> Integer[torch.Tensor, "x y z"]:
        return logits.argmax(dim=0)


class WholeBodyCT:
    """104 structures of a CT (the class list of TotalSegmentator v1, which is not that of v2).

    Args:
        weights: `model.pt` (1.5 mm) or `model_lowres.pt` (3 mm) of the bundle.
        low_resolution: whether the weights are the 3 mm ones.
        device: where the network runs.
        network: a network to use instead of the bundle's with weights.
        roi: window size.

    """

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        low_resolution: bool = True,
        device: str | torch.device = "cpu",
        network: torch.nn.Module | None = None,
        roi: tuple[int, int, int] = (96, 96, 96),
    ) -> None:
        spacing = 3.0 if low_resolution else 1.5
        self._table = load_table("totalseg_v1")
        self._recipe = Recipe((spacing,) * 3, _zscore_nonzero_to_unit, roi, 0.25, "replicate")
        self._device = torch.device(device)
        file = Path(weights) if weights else weights_path("wholebody_ct").with_name("model_lowres.pt" if low_resolution else "model.pt")
        self._network = (network or load_weights(_segresnet(32, 1, 105), file, how_to_get=_download("wholeBody_ct_segmentation", file))).to(
            self._device
        )

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        targets = (*self._table.values(), "lung_left", "lung_right", "lungs", "kidneys", "heart")
        return _card("wholebody_ct", "0.1.9", ("CT",), "104 organs, vessels, bones and muscles of a CT", targets, "1 to 5 minutes on a CPU at 3 mm")

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment a CT."""
        _require(self.card, volume, targets)
        array = run_network([volume], self._recipe, self._network, _Argmax(), num_outputs=105, device=self._device)
        made = to_label_map(array, volume, self.card, self._table, targets)
        heart = tuple(i for i, name in self._table.items() if name in _HEART)
        found = Status.FOUND if np.isin(array, heart).any() else Status.ABSENT
        statuses = dict(made.statuses) | ({"heart": found} if "heart" in made.statuses else {})
        return LabelMap(
            made.array, made.affine, made.names, made.source, made.expert, made.version, statuses, dict(made.unions) | {"heart": heart}, made.reasons
        )


class SpleenCT:
    """The spleen on CT.

    Args:
        weights: `model.pt` of the bundle.
        device: where the network runs.
        network: a network to use instead of the bundle's with weights.

    """

    def __init__(self, *, weights: str | Path | None = None, device: str | torch.device = "cpu", network: torch.nn.Module | None = None) -> None:
        self._recipe = Recipe((1.5, 1.5, 2.0), window(-57.0, 164.0), (96, 96, 96), 0.5, blend="constant")
        self._device = torch.device(device)
        file = Path(weights) if weights else weights_path("spleen_ct")
        own = UNet(
            spatial_dims=3, in_channels=1, out_channels=2, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2, norm="batch"
        )
        self._network = (network or load_weights(own, file, how_to_get=_download("spleen_ct_segmentation", file))).to(self._device)

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        return _card("spleen_ct", "0.5", ("CT",), "the spleen on CT", ("spleen",), "about a minute on a CPU")

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment a CT."""
        _require(self.card, volume, targets)
        array = run_network([volume], self._recipe, self._network, _Argmax(), num_outputs=2, device=self._device)
        return to_label_map(array, volume, self.card, {1: "spleen"}, targets)


class BratsMRI:
    """Brain tumour on four MR sequences: enhancing part, core, and the whole with its oedema.

    Args:
        sequences: the other scans by name, from `t1c t1 t2 flair`; the scan that is segmented stands for the name that is missing.
        weights: `model.pt` of the bundle.
        device: where the network runs.
        network: a network to use instead of the bundle's with weights.

    The network wants skull-stripped, co-registered scans at 1 mm; all four must lie on one grid, and their names, not their order, say what they are.

    """

    def __init__(
        self,
        *,
        sequences: Mapping[str, Volume],
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: torch.nn.Module | None = None,
    ) -> None:
        missing = [name for name in BRATS_SEQUENCES if name not in sequences]
        unknown = [name for name in sequences if name not in BRATS_SEQUENCES]
        if unknown or len(missing) > 1:
            raise ExpertError(
                "the tumour network needs four MR sequences by name", expected=", ".join(BRATS_SEQUENCES), found=", ".join(sequences) or "none",
                hint="Leave out at most the one that is segmented.",
            )  # fmt: skip
        self._sequences, self._device = dict(sequences), torch.device(device)
        self._recipe = Recipe(None, _zscore_nonzero, (240, 240, 160), 0.5, blend="constant")
        file = Path(weights) if weights else weights_path("brats_mri")
        self._network = (network or load_weights(_segresnet(16, 4, 3), file, how_to_get=_download("brats_mri_segmentation", file))).to(self._device)

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        targets = ("brain_tumour", "brain_tumour_core", "brain_tumour_enhancing", "brain_tumour_oedema")
        return _card("brats_mri", "0.5", ("MR",), "brain tumour parts on four MR sequences", targets, "minutes on a CPU")

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment the tumour on the grid of `volume`."""
        _require(self.card, volume, targets)
        scans = [self._sequences.get(name, volume) for name in BRATS_SEQUENCES]
        for scan in scans:
            require_same_grid(volume.shape, volume.affine, scan.shape, scan.affine, path=scan.source or None)
        array = run_network(scans, self._recipe, self._network, _brats_labels, num_outputs=3, device=self._device)
        names = {1: "brain_tumour_core_rest", 2: "brain_tumour_oedema", 4: "brain_tumour_enhancing"}
        unions = {"brain_tumour": (1, 2, 4), "brain_tumour_core": (1, 4)}
        present = set(np.unique(array).tolist())
        ids = {name: (i,) for i, name in names.items()} | unions
        statuses = {name: Status.FOUND if present & set(ids[name]) else Status.ABSENT for name in (tuple(targets) or self.card.targets)}
        return LabelMap(array.astype(np.uint8), volume.affine, names, volume.source, "brats_mri", self.card.version, statuses, unions)


def _brats_labels(logits: Float[torch.Tensor, "k x y z"]) -> Integer[torch.Tensor, "x y z"]:
    """Three overlapping answers (core, whole, enhancing) as one id each: 4 enhancing, 1 rest of the core, 2 oedema."""
    core, whole, enhancing = (logits > 0).unbind(0)
    out = torch.where(whole, 2, 0)
    out = torch.where(core, 1, out)
    return torch.where(enhancing, 4, out)


def _segresnet(filters: int, in_channels: int, out_channels: int) -> SegResNet:
    return SegResNet(
        spatial_dims=3, in_channels=in_channels, out_channels=out_channels, init_filters=filters, blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1),
        dropout_prob=0.2,
    )  # fmt: skip


def _zscore_nonzero(image: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    """Mean 0 and spread 1 over the voxels that are not 0; the others stay 0."""
    inside = image != 0
    if not inside.any():
        return image.astype(np.float32)
    mean, spread = image[inside].mean(dtype=np.float64), image[inside].std(dtype=np.float64)
    return np.where(inside, (image - mean) / (spread or 1.0), 0).astype(np.float32)


def _zscore_nonzero_to_unit(image: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    scored = _zscore_nonzero(image)
    low, high = float(scored.min()), float(scored.max())
    return (2 * (scored - low) / ((high - low) or 1.0) - 1).astype(np.float32)


def _require(card: ExpertCard, volume: Volume, targets: Sequence[str]) -> None:
    unknown = [name for name in targets if name not in card.targets]
    if unknown:
        raise ExpertError(f"{card.name} has no such target", found=", ".join(unknown))
    if volume.modality not in card.modalities:
        raise ExpertError(f"{card.name} needs {' or '.join(card.modalities)}", path=volume.source or None, found=volume.modality)


def _card(name: str, version: str, modalities: tuple, summary: str, targets: tuple[str, ...], cost: str) -> ExpertCard:
    return ExpertCard(
        name=name, version=version, modalities=modalities, summary=summary, targets=targets, arguments=targets, snomed=snomed_codes(targets), cost=cost,
        licence="code Apache-2.0; weights as the bundle says", commercial_use=False, weights=f"MONAI model zoo, {name} {version}",
    )  # fmt: skip


def _download(bundle: str, file: Path) -> str:
    return f"Run: python -m monai.bundle download --name {bundle} --bundle_dir DIR, and put DIR/{bundle}/models/{file.name} there."
