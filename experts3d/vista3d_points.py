"""What points change in VISTA3D's answer: each structure with points is asked again, in windows around them, by the network's own rules.

Inside those windows the network joins its class answer with its point answer: parts that a positive point touches are added, parts that a negative
point touches are taken away, the rest stays. Outside them the class answer stands. A structure that the network was not taught has no class
answer and is what the points alone say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer

from experts3d.points import Point
from vol3d.errors import ExpertError
from vol3d.volume.volume import Volume

_TAUGHT = 132
# One bit each above the byte of the label id, in 32 bits with a sign.
_MOST_STRUCTURES = 22


class Clicked:
    """The structures with points in one scan.

    Args:
        network: VISTA3D.
        volume: the scan that the points are of.
        points: label id -> its points.
        roi: window size.

    """

    def __init__(self, network: torch.nn.Module, volume: Volume, points: Mapping[int, Sequence[Point]], roi: tuple[int, int, int]) -> None:
        self._network: Any = network  # its forward pass is VISTA3D's own
        self._roi = roi
        self._world = {i: np.array([point.world_mm(volume) for point in some]) for i, some in points.items()}
        self._signs = {i: torch.tensor([[int(point.positive) for point in some]]) for i, some in points.items()}
        self.taught = [i for i in points if i <= _TAUGHT]
        if len(self.taught) > _MOST_STRUCTURES:
            raise ExpertError("too many structures have points", expected=f"at most {_MOST_STRUCTURES}", found=len(self.taught))

    def applied(
        self, image: Float[torch.Tensor, "1 x y z"], labels: Integer[np.ndarray, "x y z"], grid: Volume, lesions: set[int]
    ) -> Integer[np.ndarray, "x y z"]:
        """Labels in which the structures with points are as the points want them; a clicked organ does not cover a lesion."""
        out = labels & 255
        for i in sorted(self._world, key=lambda i: i in lesions):
            before = (labels >> (8 + self.taught.index(i))) & 1 if i in self.taught else np.zeros_like(labels)
            mask = self._mask(i, image, before.astype(bool), grid)
            free = np.ones_like(mask) if i in lesions else ~np.isin(out, list(lesions))
            out[mask & free] = i
        return out

    def _mask(self, label: int, image: Float[torch.Tensor, "1 x y z"], before: Bool[np.ndarray, "x y z"], grid: Volume) -> Bool[np.ndarray, "x y z"]:
        """One structure: the network's answer averaged over the windows around its points, and what was there before outside them."""
        padded, first = _filled_up(image, self._roi)
        voxels = self._voxels(label, grid).to(image.device) + torch.tensor(first, dtype=torch.float32, device=image.device)
        total, count = (torch.zeros(padded.shape[1:], device=image.device) for _ in range(2))
        for point in voxels[0].int().tolist():
            corner = [min(max(0, p - size // 2), n - size) for p, size, n in zip(point, self._roi, padded.shape[1:], strict=True)]
            box = tuple(slice(start, start + size) for start, size in zip(corner, self._roi, strict=True))
            total[box] += self._answer(label, padded[(slice(None), *box)][None], box, voxels)
            count[box] += 1
        inner = tuple(slice(start, start + n) for start, n in zip(first, image.shape[1:], strict=True))
        seen, answer = (count[inner] > 0).cpu().numpy(), (total[inner] > 0).cpu().numpy()
        return np.where(seen, answer, before)

    def _answer(self, label: int, window: torch.Tensor, box: tuple[slice, ...], voxels: torch.Tensor) -> Float[torch.Tensor, "x y z"]:
        """The network's forward pass joins class and points; what it was not taught it is asked by points alone."""
        classes, signs = torch.tensor([[label]], device=window.device), self._signs[label].clone()
        taught = label <= _TAUGHT
        signs = self._network.convert_point_label(signs, [label]) if taught else signs
        logits = self._network(
            window, patch_coords=[box], point_coords=voxels, point_labels=signs.to(window.device), class_vector=classes if taught else None,
            prompt_class=classes, transpose=True,
        )  # fmt: skip
        return logits[0, 0]

    def _voxels(self, label: int, grid: Volume) -> torch.Tensor:
        """Voxels x, y, z of the network's grid, as `1 n 3`."""
        world = np.c_[self._world[label], np.ones(len(self._world[label]))]
        index = np.linalg.solve(grid.affine, world.T)[:3].T.round()
        # The network drops points on the first plane of a window, and the scan's first plane is a window's.
        inside = np.clip(index, 1, np.array(grid.shape) - 1)
        return torch.tensor(inside[:, ::-1].copy(), dtype=torch.float32)[None]


def _filled_up(image: Float[torch.Tensor, "1 x y z"], roi: tuple[int, int, int]) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """An image at least as large as a window, and where its first voxel went."""
    missing = [max(0, size - n) for size, n in zip(roi, image.shape[1:], strict=True)]
    x, y, z = (amount // 2 for amount in missing)
    flat = [side for amount in reversed(missing) for side in (amount // 2, amount - amount // 2)]
    return F.pad(image[None], flat)[0], (x, y, z)


def by_structure(points: Sequence[Point]) -> dict[str, tuple[Point, ...]]:
    """Points by the structure that they belong to, in the order given."""
    return {name: tuple(p for p in points if p.structure == name) for name in dict.fromkeys(p.structure for p in points)}
