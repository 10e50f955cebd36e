"""BTB3D's way to encode: short windows of wavelet frames, each from zero history.

Its published code (`VisionTokenizerModule.encode`) cuts windows of five frames every four, encodes each for itself, keeps both
latent frames of the first window and only the second of the others. A latent frame beyond the first thus rests on nine slices and
no more, and differs from that of one pass over the volume. Windows do not depend on each other, so they are encoded as a batch.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.encoder import Encoder


def encode_windows(
    encoder: Encoder, frames: Float[Tensor, "b c z y x"], *, num_frames: int, windows_per_batch: int = 4
) -> Float[Tensor, "b d tz ty tx"]:
    """Latents of all windows of `num_frames + 1` wavelet frames, one every `num_frames`.

    A volume of a single frame (one slice) is a window for itself.
    """
    starts = range(0, frames.shape[2] - num_frames, num_frames)
    if not starts:
        return encoder(frames)
    windows = torch.stack([frames[:, :, s : s + num_frames + 1] for s in starts], 1)
    flat = windows.flatten(0, 1)
    latents = torch.cat([encoder(part) for part in flat.split(windows_per_batch)])
    latents = latents.unflatten(0, (frames.shape[0], len(starts)))
    later = latents[:, 1:, :, 1].movedim(1, 2)
    return torch.cat([latents[:, 0], later], 2)
