"""Run a network over a scan in overlapping windows and decide labels slab by slab, so that memory does not grow with the number of classes.

The usual way keeps one logit per class and voxel of the whole scan: 105 classes of a 300-slice CT take 27 GB. Windows are visited along the first
axis; behind the last window that can still reach a slab, its logits are final, become labels, and are dropped. What is held is classes x one
window's depth x one slice.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from monai.data.utils import compute_importance_map

Predict = Callable[[Float[torch.Tensor, "1 c x y z"]], Float[torch.Tensor, "1 k x y z"]]
Decide = Callable[[Float[torch.Tensor, "k x y z"]], Integer[torch.Tensor, "x y z"]]


def stream_labels(
    image: Float[torch.Tensor, "c x y z"],
    predict: Predict,
    decide: Decide,
    *,
    num_outputs: int,
    roi: tuple[int, int, int],
    overlap: float,
    pad_mode: str = "constant",
    blend: str = "gaussian",
) -> Integer[np.ndarray, "x y z"]:
    """Labels of a whole image.

    Args:
        image: network input, on the device where the logits shall be kept.
        predict: the network, one window at a time.
        decide: logits of a slab to label ids.
        num_outputs: how many logits the network gives per voxel.
        roi: window size.
        overlap: share of a window that the next one covers again.
        pad_mode: how an image smaller than a window is filled up (`constant`, `replicate`).
        blend: weight inside a window, `gaussian` or `constant`.

    >>> image = torch.arange(8.0).reshape(1, 2, 2, 2)
    >>> stream_labels(image, lambda w: torch.cat([4 - w, w - 4], 1), lambda l: l.argmax(0), num_outputs=2, roi=(2, 2, 2), overlap=0.5)[1, 1]
    array([1, 1], dtype=int32)
    """
    shape = image.shape[1:]
    padding = [max(0, r - n) for n, r in zip(shape, roi, strict=True)]
    before = [p // 2 for p in padding]
    flat = [amount for b, p in zip(reversed(before), reversed(padding), strict=True) for amount in (b, p - b)]
    padded = F.pad(image[None], flat, mode=pad_mode)[0] if any(padding) else image
    weight = compute_importance_map(roi, mode=blend, sigma_scale=0.125, device=image.device, dtype=torch.float32)[None]
    starts = [_starts(n, r, overlap) for n, r in zip(padded.shape[1:], roi, strict=True)]
    out = np.zeros(tuple(padded.shape[1:]), np.int32)
    logits = torch.zeros((num_outputs, roi[0], *padded.shape[2:]), device=image.device)
    total = torch.zeros((1, roi[0], *padded.shape[2:]), device=image.device)
    origin = 0
    for x in starts[0]:
        done = x - origin
        if done:
            out[origin:x] = decide(logits[:, :done] / total[:, :done]).cpu().numpy()
            logits, total = _shifted(logits, done), _shifted(total, done)
            origin = x
        for y in starts[1]:
            for z in starts[2]:
                window = padded[None, :, x : x + roi[0], y : y + roi[1], z : z + roi[2]]
                logits[:, :, y : y + roi[1], z : z + roi[2]] += predict(window)[0].to(logits) * weight
                total[:, :, y : y + roi[1], z : z + roi[2]] += weight
    out[origin : origin + roi[0]] = decide(logits / total).cpu().numpy()
    inner = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    return out[inner]


def _shifted(buffer: torch.Tensor, by: int) -> torch.Tensor:
    """Drop the first planes and append empty ones."""
    return torch.cat([buffer[:, by:], torch.zeros_like(buffer[:, :by])], dim=1)


def _starts(size: int, roi: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis; the last window ends with the image."""
    step = max(1, int(roi * (1 - overlap)))
    starts = list(range(0, max(1, size - roi + 1), step))
    if starts[-1] != size - roi:
        starts.append(size - roi)
    return starts
