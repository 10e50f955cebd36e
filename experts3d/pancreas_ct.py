"""Pancreas and its lesions on CT, on MONAI's bundle pancreas_ct_dints_segmentation (DiNTS: He et al., CVPR 2021; trained on the Decathlon's pancreas set).

The network's wiring was found by a search and is a file of its own beside the weights: which of 12 x 10 paths are on, and which operation each
carries. Published mean Dice is 0.62 over pancreas and tumour, on portal venous CT.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from monai.networks.nets import DiNTS, TopologyInstance

from experts3d.monai_bundle import argmax, bundle_card, how_to_download, refuse_unfit
from experts3d.network import Recipe, load_weights, run_network, to_label_map, window
from experts3d.weights import weights_path
from vol3d.contracts import ExpertCard, LabelMap
from vol3d.errors import ExpertError
from vol3d.volume.volume import Volume

WIRING_FILE = "search_code_18590.pt"
_BLOCKS, _DEPTHS = 12, 4
_PATHS = 3 * _DEPTHS - 2  # from each resolution to itself and its neighbours
_LABELS = {1: "pancreas", 2: "pancreas_lesion"}
# The file holds numpy arrays. These names are what it takes to build them, under numpy 1 and 2; nothing else in it would be run.
_ARRAYS: tuple[Any, ...] = (
    (np.zeros(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"), (np.zeros(0).__reduce__()[0], "numpy._core.multiarray._reconstruct"),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"), (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
    np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "u1", "?")),
)  # fmt: skip


class PancreasCT:
    """The pancreas (with its lesions) and its lesions.

    Args:
        weights: `model.pt` of the bundle.
        wiring: `search_code_18590.pt` of the bundle; None: beside the weights.
        device: where the network runs.
        network: a network to use instead of the bundle's with weights.
        roi: window size at 1 mm, a multiple of 32.

    """

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        wiring: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: torch.nn.Module | None = None,
        roi: tuple[int, int, int] = (96, 96, 96),
    ) -> None:
        self._recipe = Recipe((1.0, 1.0, 1.0), window(-87.0, 199.0), roi, 0.625, blend="constant")
        self._device = torch.device(device)
        file = Path(weights) if weights else weights_path("pancreas_ct")
        self._network = (network or _load(file, Path(wiring) if wiring else file.with_name(WIRING_FILE))).to(self._device).eval()

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        targets = tuple(_LABELS.values())
        return bundle_card("pancreas_ct", "0.5.0", ("CT",), "the pancreas and its tumours on portal venous CT", targets, "minutes on a CPU")

    def segment(self, volume: Volume, targets: Sequence[str] = ()) -> LabelMap:
        """Segment a CT."""
        refuse_unfit(self.card, volume, targets)
        array = run_network([volume], self._recipe, self._network, argmax, num_outputs=3, device=self._device)
        return to_label_map(array, volume, self.card, _LABELS, targets)


def wired(wiring: Mapping[str, Any], *, channel_mul: float = 1.0) -> DiNTS:
    """The network with a wiring: `arch_code_a` (path on or off), `arch_code_c` (its operation), `node_a` (which nodes are used).

    Raises:
        ExpertError: the wiring belongs to a network of another shape.

    """
    shapes = {"arch_code_a": (_BLOCKS, _PATHS), "arch_code_c": (_BLOCKS, _PATHS), "node_a": (_BLOCKS + 1, _DEPTHS)}
    arrays = {name: np.asarray(wiring.get(name, ())) for name in shapes}
    wrong = {name: array.shape for name, array in arrays.items() if array.shape != shapes[name]}
    if wrong:
        raise ExpertError("the wiring of the pancreas network has another shape", expected=shapes, found=wrong)
    space = TopologyInstance(
        arch_code=[arrays["arch_code_a"], arrays["arch_code_c"]], channel_mul=channel_mul, num_blocks=_BLOCKS, num_depths=_DEPTHS,
        use_downsample=True, device="cpu",
    )  # fmt: skip
    return DiNTS(dints_space=space, in_channels=1, num_classes=3, use_downsample=True, node_a=torch.from_numpy(arrays["node_a"]))


def _load(weights: Path, wiring: Path) -> torch.nn.Module:
    missing = next((path for path in (weights, wiring) if not path.is_file()), None)
    if missing is not None:
        raise ExpertError("the weights are not on this machine", path=missing, hint=how_to_download("pancreas_ct_dints_segmentation", missing))
    try:
        with torch.serialization.safe_globals(list(_ARRAYS)):
            code = torch.load(wiring, map_location="cpu", weights_only=True)
        made = wired({name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in code.items()})
    except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, UnpicklingError) as error:
        found = " ".join(str(error).split())[:200] or type(error).__name__
        raise ExpertError("the wiring of the pancreas network cannot be read", path=wiring, found=found) from error
    return load_weights(made, weights, how_to_get="")
