"""VISTA3D: any of 127 structures and lesions of a CT by class prompt or by points, on MONAI's `vista3d132` (He et al., CVPR 2025).

The image features of a window are computed once; the classes are asked in groups, so that a window never holds 117 answers at once. Tumours are
asked like any other class and never dropped. A structure with points is asked again in windows around its points (`vista3d_points`), and a name that
the network was never taught can be asked by points alone. The published weights are for non-commercial research.
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
from experts3d.points import Point, points_key
from experts3d.snomed import snomed_codes
from experts3d.vista3d_points import Clicked, by_structure
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap
from vol3d.errors import ExpertError
from vol3d.volume.volume import Volume

_HU = (-963.8247, 1053.6785)
# Classes that the network itself answers as sums of others: their parts are asked instead, as groups.
_SUMS = ("kidneys", "lungs", "bone")
_CLASSES_AT_ONCE = 8
# The network takes every id above 132 for a structure that it was not taught; up to 254 fit beside the others into one byte.
_FIRST_OWN, _LAST_OWN = 133, 254


class Vista3D:
    """Class and point prompts on a CT.

    Args:
        points: clicks on structures, of the card or of names of one's own; they change the answer for those structures only.
        weights: `model.pt` of the bundle vista3d.
        device: where the network runs.
        network: a network to use instead of the published one with weights; without points it needs `image_encoder` and `class_head` only.
        roi: window size at 1.5 mm.

    """

    def __init__(
        self,
        *,
        points: Sequence[Point] = (),
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: torch.nn.Module | None = None,
        roi: tuple[int, int, int] = (128, 128, 128),
    ) -> None:
        self._ids = {name: i for i, name in load_table("vista3d").items() if name not in _SUMS}
        self._points = tuple(points)
        self._clicks = by_structure(points)
        own = [name for name in self._clicks if name not in self._ids]
        self._refuse_points(own)
        self._own = dict(zip(own, range(_FIRST_OWN, _LAST_OWN + 1), strict=False))
        self._device = torch.device(device)
        self._recipe = Recipe((1.5, 1.5, 1.5), window(*_HU), roi, 0.3)
        file = Path(weights) if weights else weights_path("vista3d")
        hint = f"Run: python -m monai.bundle download --name vista3d --bundle_dir DIR, and put DIR/vista3d/models/{file.name} there."
        made = network or load_weights(vista3d132(encoder_embed_dim=48, in_channels=1), file, how_to_get=hint)
        self._network = made.to(self._device).eval()

    @property
    def card(self) -> ExpertCard:
        """What the expert offers; the version names the points, so that a cache never mixes two sets of them up."""
        groups = tuple(name for name in ("lung_left", "lung_right", "lungs", "kidneys") if name not in self._ids)
        targets = (*self._ids, *groups, *self._own)
        clicked = f" with {len(self._points)} points {points_key(self._points)}" if self._points else ""
        return ExpertCard(
            name="vista3d", version=f"0.5.4{clicked}", modalities=("CT",), summary="organs, vessels, bones and tumours of a CT by name or by points",
            targets=targets, arguments=targets, snomed=snomed_codes(targets), cost="minutes; a GPU with 16 GB is advised",
            licence="weights: NVIDIA non-commercial", commercial_use=False, weights="MONAI model zoo, vista3d",
        )  # fmt: skip

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment the asked classes; a voxel that several classes claim goes to the surest, or to the lesion among them.

        Args:
            volume: a CT.
            targets: structures of the card; empty: all.

        Raises:
            ExpertError: a target that the card does not list, or a scan that is no CT.
            ConfigError: a point outside the scan.

        """
        unknown = [name for name in targets if name not in self.card.targets]
        if unknown:
            raise ExpertError("vista3d has no such class", found=", ".join(unknown), hint="A name of your own needs a point on it.")
        if volume.modality != "CT":
            raise ExpertError("vista3d needs a CT", path=volume.source or None, found=volume.modality)
        classes = self._classes(tuple(targets) or (*self._ids, *self._own))
        taught = {name: self._ids[name] for name in classes if name in self._ids}
        names = taught | {name: self._own[name] for name in classes if name in self._own}
        clicked = Clicked(self._network, volume, {names[name]: clicks for name, clicks in self._clicks.items() if name in names}, self._recipe.roi)
        lesions = {i for name, i in names.items() if is_lesion(name)}
        array = run_network(
            [volume],
            self._recipe,
            _Asking(self._network, list(taught.values())),
            _Surest(list(taught.values()), [is_lesion(name) for name in taught], marked=clicked.taught),
            num_outputs=len(taught),
            device=self._device,
            finish=lambda image, labels, grid: clicked.applied(image, labels, grid, lesions),
        )
        return to_label_map(array, volume, self.card, {i: name for name, i in names.items()}, targets or classes)

    def _classes(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Groups become their parts; parts of parts too."""
        out: list[str] = []
        for name in targets:
            out += [name] if name in self._ids or name in self._own else self._classes(GROUPS[name])
        return tuple(dict.fromkeys(out))

    def _refuse_points(self, own: Sequence[str]) -> None:
        """A group is asked by its parts, and what the network was not taught must be shown to it."""
        groups = [name for name in own if name in GROUPS or name in _SUMS]
        if groups:
            raise ExpertError(
                "points belong to one structure, not to a group", expected=", ".join(GROUPS.get(groups[0], ("a bone",))), found=groups[0]
            )
        unshown = [name for name in own if not any(point.positive for point in self._clicks[name])]
        if unshown:
            raise ExpertError("vista3d was not taught this structure: it needs a point on it, not only beside it", found=", ".join(unshown))


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
    """Label ids from independent answers: the surest class above one half, else background; a lesion before the organ that it lies in.

    Classes with points stand apart, each as a bit above the id (`marked`, in their order): their own mask must not be cut by others before the
    points have spoken.
    """

    def __init__(self, ids: Sequence[int], lesions: Sequence[bool], *, marked: Sequence[int] = ()) -> None:
        self._ids = torch.tensor(np.asarray(ids, np.int64))
        self._bits = torch.tensor([1 << (8 + marked.index(i)) if i in marked else 0 for i in ids], dtype=torch.int64)
        # Logits rarely pass a hundred: with this start a lesion that is more likely than not is never covered by an organ.
        self._start = 1e4 * torch.tensor(np.asarray(lesions, np.float32))[:, None, None, None]

    def __call__(self, logits: Float[torch.Tensor, "k x y z"]) -> Integer[torch.Tensor, "x y z"]:
        apart = (self._bits > 0).to(logits.device)[:, None, None, None]
        started = torch.where((logits > 0) & ~apart, logits + self._start.to(logits), torch.where(apart, -1.0, logits))
        best, index = started.max(dim=0)
        ids = torch.where(best > 0, self._ids.to(logits.device)[index], 0)
        return ids + ((logits > 0) * self._bits.to(logits.device)[:, None, None, None]).sum(dim=0)
