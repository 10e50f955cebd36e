"""Weights of a network of single slices (2D) as the beginning of a causal network of volumes.

    kernel of a 2D convolution --> last tap in depth, the others zero --> every frame is treated as the 2D network treats a slice

The last tap is the present slice of a causal convolution, so the first slice of a volume gives what the 2D network gives, exactly, and so
do all others: training begins at the 2D network's likeness and learns to look back. The other usual way, the kernel spread over all
taps (averaged: Carreira and Zisserman, arXiv 1705.07750; repeated without dividing: BTB3D's own code), meets the zeros before slice 0 and
changes the first slice, which here stands for every 2D image that is trained on beside volumes.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tokenizers3d.btb3d import published_name, read_checkpoint, without_prefix
from tokenizers3d.causal import CausalConv3d
from tokenizers3d.errors import CheckpointError, ConfigError
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.weights import load_strictly

_STEMS = ("encoder.stem.weight", "encoder.conv_first.conv.weight", "encoder.conv_first.weight")


def inflate_from_slices(tokenizer: Tokenizer) -> None:
    """Set every tap that looks back in depth to zero: weights that were trained on single slices then treat each frame for itself."""
    with torch.no_grad():
        for module in tokenizer.modules():
            if isinstance(module, CausalConv3d):
                module.weight[:, :, :-1] = 0


def slice_name(name: str) -> str:
    """The name that a parameter has in BTB3D's 2D network, which has plain convolutions where the 3D one has causal ones.

    >>> slice_name("encoder.stages.0.0.conv1.weight")
    'encoder.res_blocks.res_block_0.res_block_0_0.conv_0.weight'
    """
    return re.sub(r"\.conv\.(weight|bias)$", r".\1", published_name(name))


def load_slices(tokenizer: Tokenizer, path_or_state_dict: str | Path | Mapping[str, Tensor], *, fresh: Sequence[str] = ()) -> None:
    """Fill a tokenizer, in place, with weights of a network of single slices.

    Taken are the names of this package (a tokenizer that was trained on single slices), those of BTB3D's 2D network (MAGVIT-2 with
    lookup-free quantization) and of its 3D one. Kernels may have two axes or three; of three the last tap counts. A network on the
    4 bands of the 2D wavelet (signed means of 2x2 pixels) fits too: on a first slice the bands 0 to 3 are those, and the others zero.

    Args:
        tokenizer: of the sizes that the weights have.
        path_or_state_dict: `.safetensors`, `.ckpt` or `.pt` (read with `weights_only`), or tensors by name.
        fresh: names, or beginnings of names, of parameters to leave as they are; `("encoder.stem", "decoder.head")` for a network whose
            pictures have other channels than wavelet bands.

    Raises:
        CheckpointError: a key is missing, unknown or misshapen, or the file is damaged.
        ConfigError: `fresh` names no parameter.
    """
    path = None if isinstance(path_or_state_dict, Mapping) else Path(path_or_state_dict)
    given = dict(path_or_state_dict) if isinstance(path_or_state_dict, Mapping) else read_checkpoint(Path(path_or_state_dict))
    tensors = without_prefix(given, path, stems=_STEMS)
    tensors.pop("quantize.mask", None)
    own = tokenizer.state_dict()
    kept = {name for name in own if any(name == part or name.startswith(f"{part}.") for part in fresh)}
    idle = [part for part in fresh if not any(name == part or name.startswith(f"{part}.") for name in own)]
    if idle:
        raise ConfigError("no parameter has this name", expected="beginnings such as encoder.stem", found=", ".join(idle))
    renamed = {alias: name for name in own for alias in (published_name(name), slice_name(name))}
    named = {renamed.get(key, key): tensor for key, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise CheckpointError("a parameter stands under two names in the weights", path=path, expected=len(tensors), found=len(named))
    lifted = {name: _lifted(name, tensor.float(), own[name]) if name in own else tensor for name, tensor in named.items() if name not in kept}
    load_strictly(tokenizer, lifted | {name: own[name].clone() for name in kept}, path=path)
    inflate_from_slices(tokenizer)


def _lifted(name: str, tensor: Tensor, own: Tensor) -> Tensor:
    """A tensor of the 2D network in the shape of the 3D one where it can be; else as it is, for the refusal to name."""
    if tensor.shape == own.shape:
        return tensor
    if name == "encoder.stem.weight" and tensor.dim() == 4 and 2 * tensor.shape[1] == own.shape[1]:
        tensor = torch.cat([tensor, torch.zeros_like(tensor)], 1)
    elif name.startswith("decoder.head.") and 2 * tensor.shape[0] == own.shape[0]:
        tensor = torch.cat([tensor, torch.zeros_like(tensor)])
    elif name.startswith("decoder.ups.") and 2 * tensor.shape[0] == own.shape[0]:
        # Doubled depth: both slices that a frame becomes are the 2D network's.
        tensor = torch.cat([tensor, tensor])
    if tensor.dim() == 4 and own.dim() == 5 and own.shape[:2] + own.shape[3:] == tensor.shape:
        kernel = torch.zeros(own.shape)
        kernel[:, :, -1] = tensor
        return kernel
    return tensor
