"""The spleen on CT on MONAI's bundle spleen_ct_segmentation, a residual U-Net trained on the Medical Segmentation Decathlon."""

from collections.abc import Sequence
from pathlib import Path

import torch
from monai.networks.nets import UNet

from experts3d.monai_bundle import argmax, bundle_card, how_to_download, refuse_unfit
from experts3d.network import Recipe, load_weights, run_network, to_label_map, window
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap
from vol3d.volume.volume import Volume


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
        self._network = (network or load_weights(own, file, how_to_get=how_to_download("spleen_ct_segmentation", file))).to(self._device)

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        return bundle_card("spleen_ct", "0.5.9", ("CT",), "the spleen on CT", ("spleen",), "about a minute on a CPU")

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment a CT."""
        refuse_unfit(self.card, volume, targets)
        array = run_network([volume], self._recipe, self._network, argmax, num_outputs=2, device=self._device)
        return to_label_map(array, volume, self.card, {1: "spleen"}, targets)
