"""104 structures of a CT on MONAI's bundle wholeBody_ct_segmentation, a SegResNet trained on TotalSegmentator's first classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from experts3d.label_table import load_table
from experts3d.monai_bundle import argmax, bundle_card, how_to_download, refuse_unfit, segresnet, zscore_nonzero
from experts3d.network import Recipe, load_weights, run_network, to_label_map
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap, Status
from vol3d.volume.volume import Volume

_HEART = ("heart_myocardium", "heart_atrium_left", "heart_ventricle_left", "heart_atrium_right", "heart_ventricle_right")


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
        self._recipe = Recipe((spacing,) * 3, _unit_zscore, roi, 0.25, "replicate")
        self._device = torch.device(device)
        file = Path(weights) if weights else weights_path("wholebody_ct").with_name("model_lowres.pt" if low_resolution else "model.pt")
        self._network = (network or load_weights(segresnet(32, 1, 105), file, how_to_get=how_to_download("wholeBody_ct_segmentation", file))).to(
            self._device
        )

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        targets = (*self._table.values(), "lung_left", "lung_right", "lungs", "kidneys", "heart")
        return bundle_card(
            "wholebody_ct", "0.2.5", ("CT",), "104 organs, vessels, bones and muscles of a CT", targets, "1 to 5 minutes on a CPU at 3 mm"
        )

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment a CT."""
        refuse_unfit(self.card, volume, targets)
        array = run_network([volume], self._recipe, self._network, argmax, num_outputs=105, device=self._device)
        made = to_label_map(array, volume, self.card, self._table, targets)
        heart = tuple(i for i, name in self._table.items() if name in _HEART)
        found = Status.FOUND if np.isin(array, heart).any() else Status.ABSENT
        statuses = dict(made.statuses) | ({"heart": found} if "heart" in made.statuses else {})
        return LabelMap(
            made.array, made.affine, made.names, made.source, made.expert, made.version, statuses, dict(made.unions) | {"heart": heart}, made.reasons
        )


def _unit_zscore(image: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
    scored = zscore_nonzero(image)
    low, high = float(scored.min()), float(scored.max())
    return (2 * (scored - low) / ((high - low) or 1.0) - 1).astype(np.float32)
