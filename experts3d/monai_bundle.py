"""What the experts from MONAI's model zoo have in common; they run without the bundle's configuration language. The user downloads the weights.

Facts are from the bundles' own configuration files (Project-MONAI/model-zoo, October 2024).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from monai.networks.nets import SegResNet

from experts3d.snomed import snomed_codes
from vol3d.contracts import ExpertCard
from vol3d.errors import ExpertError
from vol3d.volume.volume import Volume


def argmax(logits: Float[torch.Tensor, "k x y z"]) -> Integer[torch.Tensor, "x y z"]:
    """One label per voxel: the output with the highest logit."""
    return logits.argmax(dim=0)


def segresnet(filters: int, in_channels: int, out_channels: int) -> SegResNet:
    """The network of the whole-body and the brain tumour bundle."""
    return SegResNet(
        spatial_dims=3, in_channels=in_channels, out_channels=out_channels, init_filters=filters, blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1),
        dropout_prob=0.2,
    )  # fmt: skip


def zscore_nonzero(image: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    """Mean 0 and spread 1 over the voxels that are not 0; the others stay 0."""
    inside = image != 0
    if not inside.any():
        return image.astype(np.float32)
    mean, spread = image[inside].mean(dtype=np.float64), image[inside].std(dtype=np.float64)
    return np.where(inside, (image - mean) / (spread or 1.0), 0).astype(np.float32)


def refuse_unfit(card: ExpertCard, volume: Volume, targets: Sequence[str]) -> None:
    """Raise ExpertError for a target that the card does not list, or a scan of another modality."""
    unknown = [name for name in targets if name not in card.targets]
    if unknown:
        raise ExpertError(f"{card.name} has no such target", found=", ".join(unknown))
    if volume.modality not in card.modalities:
        raise ExpertError(f"{card.name} needs {' or '.join(card.modalities)}", path=volume.source or None, found=volume.modality)


def bundle_card(name: str, version: str, modalities: tuple, summary: str, targets: tuple[str, ...], cost: str) -> ExpertCard:
    """The card of a bundle whose code and weights are under Apache-2.0 and whose data may say more."""
    return ExpertCard(
        name=name, version=version, modalities=modalities, summary=summary, targets=targets, arguments=targets, snomed=snomed_codes(targets), cost=cost,
        licence="code Apache-2.0; weights as the bundle says", commercial_use=False, weights=f"MONAI model zoo, {name} {version}",
    )  # fmt: skip


def how_to_download(bundle: str, file: Path) -> str:
    """The command that brings a bundle's weights, and where they belong."""
    return f"Run: python -m monai.bundle download --name {bundle} --bundle_dir DIR, and put DIR/{bundle}/models/{file.name} there."
