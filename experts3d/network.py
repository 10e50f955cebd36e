"""What every expert that is a network in this process does alike: bring the scan to the network's grid, run it, bring the labels back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from jaxtyping import Float, Integer

from experts3d.anatomy import group_unions, organ_unions, status_of
from experts3d.orientation import stored_order
from experts3d.sliding import Decide, Predict, stream_labels
from vol3d.contracts import ExpertCard, LabelMap
from vol3d.errors import ExpertError
from vol3d.volume.resample import resample, resample_like
from vol3d.volume.volume import Volume

Finish = Callable[[Float[torch.Tensor, "c x y z"], Integer[np.ndarray, "x y z"], Volume], Integer[np.ndarray, "x y z"]]


@dataclass(frozen=True)
class Recipe:
    """How a network wants its input; arrays are `x y z` with x to the right, y to the front, z up (RAS), as MONAI's bundles have them.

    Args:
        spacing_mm: voxel size along x, y, z; None leaves the scan's own.
        normalise: intensities to network input, the whole scan at once.
        roi: window size along x, y, z.
        overlap: overlap of windows.
        pad_mode: how scans smaller than a window are filled up.
        blend: `gaussian` or `constant`.
    """

    spacing_mm: tuple[float, float, float] | None
    normalise: Callable[[Float[np.ndarray, "x y z"]], Float[np.ndarray, "x y z"]]
    roi: tuple[int, int, int]
    overlap: float
    pad_mode: str = "constant"
    blend: str = "gaussian"


def run_network(
    volumes: Sequence[Volume],
    recipe: Recipe,
    predict: Predict,
    decide: Decide,
    *,
    num_outputs: int,
    device: torch.device,
    finish: Finish | None = None,
) -> Integer[np.ndarray, "z y x"]:
    """Labels in the order in which the first volume is stored; several volumes are the channels, all on one grid.

    `finish` gets the network's input, the labels and the network's grid, and gives the labels that count; with no outputs to ask for it starts from 0.
    """
    scan = volumes[0].canonical()
    channels = [_input(volume.canonical(), recipe) for volume in volumes]
    image = torch.from_numpy(np.stack([array for array, _ in channels])).to(device)
    with torch.inference_mode():
        labels = np.zeros(image.shape[1:], np.int32)
        if num_outputs:
            labels = stream_labels(
                image, predict, decide, num_outputs=num_outputs, roi=recipe.roi, overlap=recipe.overlap, pad_mode=recipe.pad_mode, blend=recipe.blend
            )
        grid = channels[0][1]
        if finish is not None:
            labels = finish(image, labels, grid)
    found = grid.with_array(labels.transpose(2, 1, 0).astype(np.int16), modality="unknown", unit="a.u.")
    array = found.numpy() if recipe.spacing_mm is None else resample_like(found, scan, mode="nearest").numpy()
    return stored_order(np.asarray(array), volumes[0])


def to_label_map(array: np.ndarray, volume: Volume, card: ExpertCard, names: Mapping[int, str], targets: Sequence[str]) -> LabelMap:
    """A network's ids as a label map: organs include their lesions, groups are unions, what was asked for has a status."""
    present = [int(i) for i in np.unique(array) if i]
    named, unions = organ_unions(names, present)
    unions = group_unions(named, unions)
    found = {name: status_of(name, named, unions, present) for name in (tuple(targets) or card.targets)}
    statuses = {name: status for name, (status, _) in found.items()}
    reasons = {name: reason for name, (_, reason) in found.items() if reason}
    smallest = array.astype(np.uint8 if max(present, default=0) < 256 else np.uint16)
    return LabelMap(smallest, volume.affine, named, volume.source, card.name, card.version, statuses, unions, reasons)


def load_weights(network: torch.nn.Module, path: Path, *, how_to_get: str) -> torch.nn.Module:
    """Put weights into a network: .safetensors, or .pt read with `weights_only=True`.

    Raises:
        ExpertError: the file is missing (with the command that brings it), or it belongs to another network.

    """
    if not path.is_file():
        raise ExpertError("the weights are not on this machine", path=path, hint=how_to_get)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("model", state.get("state_dict", state))
        network.load_state_dict(state)
    except (OSError, RuntimeError, ValueError, AttributeError, KeyError, UnpicklingError) as error:
        raise ExpertError("the weights do not belong to this network or are damaged", path=path, found=str(error).splitlines()[0][:200]) from error
    return network.eval()


def window(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """Intensities from `low..high` to 0..1, clipped."""
    return lambda image: np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def _input(scan: Volume, recipe: Recipe) -> tuple[Float[np.ndarray, "x y z"], Volume]:
    if recipe.spacing_mm is not None:
        x, y, z = recipe.spacing_mm
        scan = resample(scan.with_array(scan.numpy().astype(np.float32)), spacing_mm=(z, y, x))
    array = np.asarray(scan.numpy(), np.float32).transpose(2, 1, 0)
    return np.ascontiguousarray(recipe.normalise(array), dtype=np.float32), scan
