"""VISTA3D: any of 127 structures and lesions of a CT by class prompt, on MONAI's `vista3d132` (He et al., CVPR 2025).

The image features of a window are computed once; the classes are asked in groups, so that a window never holds 117 answers at once. Tumours are
asked like any other class and never dropped. The published weights are for non-commercial research.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from monai.networks.nets import vista3d132

from experts3d.anatomy import GROUPS, is_lesion
from experts3d.label_table import load_table
from experts3d.network import Recipe, load_weights, run_network, to_label_map, window
from experts3d.snomed import snomed_codes
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap
from vol3d.errors import ExpertError
from vol3d.volume.volume import Volume

_HU = (-963.8247, 1053.6785)
# Classes that the network itself answers as sums of others: their parts are asked instead, as groups.
_SUMS = ("kidneys", "lungs", "bone")
_CLASSES_AT_ONCE = 8


class Vista3D:
    """Class prompts on a CT.

    Args:
        weights: `model.pt` of the bundle vista3d.
        device: where the network runs.
        network: a network to use instead of the published one with weights; it needs `image_encoder` and `class_head`.
        roi: window size at 1.5 mm.

    """

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: torch.nn.Module | None = None,
        roi: tuple[int, int, int] = (128, 128, 128),
    ) -> None:
        self._ids = {name: i for i, name in load_table("vista3d").items() if name not in _SUMS}
        self._device = torch.device(device)
        self._recipe = Recipe((1.5, 1.5, 1.5), window(*_HU), roi, 0.3)
        file = Path(weights) if weights else weights_path("vista3d")
        hint = f"Run: python -m monai.bundle download --name vista3d --bundle_dir DIR, and put DIR/vista3d/models/{file.name} there."
        made = network or load_weights(vista3d132(encoder_embed_dim=48, in_channels=1), file, how_to_get=hint)
        self._network = made.to(self._device).eval()

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        groups = tuple(name for name in ("lung_left", "lung_right", "lungs", "kidneys") if name not in self._ids)
        targets = (*self._ids, *groups)
        return ExpertCard(
            name="vista3d", version="0.5", modalities=("CT",), summary="organs, vessels, bones and tumours of a CT by name", targets=targets,
            arguments=targets, snomed=snomed_codes(targets), cost="minutes; a GPU with 16 GB is advised", licence="weights: NVIDIA non-commercial",
            commercial_use=False, weights="MONAI model zoo, vista3d",
        )  # fmt: skip

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment the asked classes; a voxel that several classes claim goes to the surest, or to the lesion among them."""
        unknown = [name for name in targets if name not in self.card.targets]
        if unknown:
            raise ExpertError("vista3d has no such class", found=", ".join(unknown))
        if volume.modality != "CT":
            raise ExpertError("vista3d needs a CT", path=volume.source or None, found=volume.modality)
        classes = self._classes(tuple(targets) or tuple(self._ids))
        ids = [self._ids[name] for name in classes]
        array = run_network(
            [volume],
            self._recipe,
            _Asking(self._network, ids),
            _Surest(ids, [is_lesion(name) for name in classes]),
            num_outputs=len(ids),
            device=self._device,
        )
        return to_label_map(array, volume, self.card, {self._ids[name]: name for name in classes}, targets or classes)

    def _classes(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Groups become their parts; parts of parts too."""
        out: list[str] = []
        for name in targets:
            out += [name] if name in self._ids else self._classes(GROUPS[name])
        return tuple(dict.fromkeys(out))


class _Asking:
    """The network as a function of the window alone: features once, classes in groups."""

    def __init__(self, network: torch.nn.Module, ids: Sequence[int]) -> None:
        self._network: Any = network  # its encoder and head are VISTA3D's own
        self._ids = list(ids)

    def __call__(self, image: Float[torch.Tensor, "1 c x y z"]) -> Float[torch.Tensor, "1 k x y z"]:
        _, features = self._network.image_encoder(image, with_point=False, with_label=True)
        groups = [self._ids[start : start + _CLASSES_AT_ONCE] for start in range(0, len(self._ids), _CLASSES_AT_ONCE)]
        answers = [self._answer(features, group) for group in groups]
        return torch.cat(answers, dim=1)

    def _answer(self, features: torch.Tensor, group: list[int]) -> Float[torch.Tensor, "1 k x y z"]:
        prompt = torch.tensor(group, device=features.device)[:, None]
        logits, _ = self._network.class_head(src=features, class_vector=prompt)
        return logits.transpose(0, 1)


class _Surest:
    """Label ids from independent answers: the surest class above one half, else background; a lesion before the organ that it lies in."""

    def __init__(self, ids: Sequence[int], lesions: Sequence[bool]) -> None:
        self._ids = torch.tensor(np.asarray(ids, np.int64))
        # Logits rarely pass a hundred: with this start a lesion that is more likely than not is never covered by an organ.
        self._start = 1e4 * torch.tensor(np.asarray(lesions, np.float32))[:, None, None, None]

    def __call__(self, logits: Float[torch.Tensor, "k x y z"]) -> Integer[torch.Tensor, "x y z"]:
        best, index = torch.where(logits > 0, logits + self._start.to(logits), logits).max(dim=0)
        return torch.where(best > 0, self._ids.to(logits.device)[index], 0)
