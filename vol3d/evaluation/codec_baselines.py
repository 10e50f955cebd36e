"""What a tokenizer must beat at the same number of stored bits: fewer samples, and JPEG 2000."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

_BITS_PER_SAMPLE = 8
_SEARCH_STEPS = 12


def linear_samples(volume: Float[np.ndarray, "z y x"], num_bits: int) -> tuple[Float[np.ndarray, "z y x"], int]:
    """The volume (in [-1, 1]) averaged down to as many 8-bit samples as the bits allow, and spread linearly again; with the bits used.

    All axes shrink by about the same factor.

    >>> linear_samples(np.zeros((8, 8, 8), np.float32), 8 * 8)[1]
    64
    """
    budget = max(1, int(num_bits // _BITS_PER_SAMPLE))
    factor = (volume.size / budget) ** (1 / 3)
    shape = [max(1, round(size / factor)) for size in volume.shape]
    while np.prod(shape) > budget:
        axis = int(np.argmax(np.array(shape) / np.array(volume.shape)))
        shape[axis] -= 1
    tensor = torch.from_numpy(volume)[None, None]
    samples = torch.round((F.adaptive_avg_pool3d(tensor, (shape[0], shape[1], shape[2])) + 1) * 127.5) / 127.5 - 1
    spread = F.interpolate(samples, volume.shape, mode="trilinear")
    return spread[0, 0].numpy(), int(np.prod(shape)) * _BITS_PER_SAMPLE


def jpeg2000(volume: Float[np.ndarray, "z y x"], num_bits: int) -> tuple[Float[np.ndarray, "z y x"], int] | None:
    """The volume as one JPEG 2000 image of its slices side by side, at the highest quality that fits; with the bits used.

    One image for all slices spares it the header of each. None where Pillow has no JPEG 2000 or no quality fits.
    """
    from PIL import Image, features

    if not features.check("jpg_2000"):
        return None
    columns = int(np.ceil(np.sqrt(len(volume))))
    rows = -(-len(volume) // columns)
    grey = np.rint((np.clip(volume, -1, 1) + 1) * 127.5).astype(np.uint8)
    filled = np.concatenate([grey, np.zeros((rows * columns - len(grey), *grey.shape[1:]), np.uint8)])
    mosaic = filled.reshape(rows, columns, *grey.shape[1:]).swapaxes(1, 2).reshape(rows * grey.shape[1], columns * grey.shape[2])
    low, high, best = 1.0, 50.0 * volume.size * 8 / num_bits, None
    for _ in range(_SEARCH_STEPS):
        ratio = float(np.sqrt(low * high))
        buffer = io.BytesIO()
        Image.fromarray(mosaic).save(buffer, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True, no_jp2=True)
        if buffer.tell() * 8 <= num_bits:
            high, best = ratio, buffer
        else:
            low = ratio
    if best is None:
        return None
    decoded = np.asarray(Image.open(best)).astype(np.float32) / 127.5 - 1
    slices = decoded.reshape(rows, grey.shape[1], columns, grey.shape[2]).swapaxes(1, 2).reshape(-1, *grey.shape[1:])
    return slices[: len(volume)], best.tell() * 8
