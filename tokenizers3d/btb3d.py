"""Reads published BTB3D checkpoints (arXiv 2510.20639) into a Tokenizer.

The networks are the same; only names differ. Sizes are inferred from the tensors: a halving of depth, for one, shows in how many
channels the decoder's upsampling makes. Codes and reconstructions equal those of the published code to rounding, in its windowed
mode (see `tokenizers3d.windows`), which is the mode that its weights were trained with.
"""

import logging
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tokenizers3d.config import TokenizerConfig
from tokenizers3d.errors import CheckpointError
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.weights import load_strictly, read_tensors

logger = logging.getLogger(__name__)

_PREFIXES = ("module.tokenizer.", "tokenizer.", "module.", "")
_OF_TRAINING_ONLY = ("discriminator.", "discriminator_2d.", "perceptual_model.")
_PARTS = {
    "norm1": "norm_0.norm_fn",
    "conv1": "conv_0.conv",
    "norm2": "norm_1.norm_fn",
    "conv2": "conv_1.conv",
    "shortcut": "conv_shortcut.conv",
}
_SINGLE = {
    "stem": "conv_first.conv",
    "norm": "final_norm.norm_fn",
    "head": "conv_last.conv",
}
_GROUPS = 32
_STEM = "encoder.conv_first.conv.weight"


def published_name(name: str) -> str:
    """The name that a parameter of Tokenizer has in a published checkpoint.

    >>> published_name("encoder.stages.1.2.conv1.weight")
    'encoder.res_blocks.res_block_1.res_block_0_2.conv_0.conv.weight'
    >>> published_name("decoder.ups.0.conv.bias")
    'decoder.conv_upsample_blocks.conv_upsample_0.conv1.conv.bias'
    """
    side, part, *rest = name.split(".")
    kind = rest[-1]
    if part in _SINGLE:
        return f"{side}.{_SINGLE[part]}.{kind}"
    index = rest[0]
    if part == "downs":
        return f"{side}.conv_downsample_blocks.conv_downsample_{index}.conv.{kind}"
    if part == "ups":
        return f"{side}.conv_upsample_blocks.conv_upsample_{index}.conv1.conv.{kind}"
    if part == "modulations":
        return f"{side}.cond_norm_layers.cond_norm_{index}.{rest[1]}.{kind}"
    if part in ("first", "final"):
        stage = "pre" if part == "first" else "final"
        return f"{side}.res_blocks.res_block_{stage}.res_block_{stage}_{index}.{_PARTS[rest[1]]}.{kind}"
    # The published encoder names every block but a stage's first after stage 0.
    owner = "0" if side == "encoder" and rest[1] != "0" else index
    return f"{side}.res_blocks.res_block_{index}.res_block_{owner}_{rest[1]}.{_PARTS[rest[2]]}.{kind}"


def load_btb3d(path_or_state_dict: str | Path | Mapping[str, Tensor], *, name: str | None = None) -> Tokenizer:
    """A Tokenizer with published weights.

    Args:
        path_or_state_dict: a `.safetensors` file, a `.ckpt` or `.pt` file (read with `weights_only`), or its tensors. Tensors that
            training alone needs (discriminators, perceptual network) may be there and are left out; every other key is used once.
        name: of the tokenizer in the id of its tokens; by default `btb3d_` and the stride.

    Raises:
        CheckpointError: a key is missing, unknown or misshapen, or the file is damaged.
    """
    path = None if isinstance(path_or_state_dict, Mapping) else Path(path_or_state_dict)
    tensors = dict(path_or_state_dict) if isinstance(path_or_state_dict, Mapping) else read_checkpoint(Path(path_or_state_dict))
    tensors = without_prefix(tensors, path, stems=(_STEM,))
    mask = tensors.pop("quantize.mask", None)
    config = infer_config(tensors, path=path, name=name)
    num_bits = config.quantizer_args["num_bits"]
    if mask is not None and mask.tolist() != [2**i for i in range(num_bits - 1, -1, -1)]:
        raise CheckpointError(
            "another order of bits than the published one", path=path, expected=f"{num_bits} powers of two, falling", found=mask.tolist()
        )
    with torch.device("meta"):
        own_names = list(Tokenizer(config).state_dict())
    renamed = {published_name(own): own for own in own_names}
    tokenizer = Tokenizer(config)
    load_strictly(tokenizer, {renamed.get(key, key): tensor.float() for key, tensor in tensors.items()}, path=path)
    tokenizer.provenance = {"source": path.name if path else "state dict", "published": "BTB3D, arXiv 2510.20639"}
    return tokenizer


def infer_config(tensors: Mapping[str, Tensor], *, path: Path | None = None, name: str | None = None) -> TokenizerConfig:
    """Widths, blocks, strides and bits from the shapes of published tensors."""
    try:
        stages = _count(tensors, r"encoder\.res_blocks\.res_block_(\d+)\.res_block_\d+_0\.conv_0\.conv\.weight")
        blocks = _count(tensors, r"encoder\.res_blocks\.res_block_final\.res_block_final_(\d+)\.conv_0\.conv\.weight")
        filters = tensors["encoder.conv_first.conv.weight"].shape[0]
        widths = [tensors[f"encoder.res_blocks.res_block_{i}.res_block_{i}_0.conv_0.conv.weight"].shape[0] for i in range(stages)]
        ups = [tensors[f"decoder.conv_upsample_blocks.conv_upsample_{i}.conv1.conv.weight"].shape for i in range(stages - 1)]
        num_bits = tensors["encoder.conv_last.conv.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError("missing keys in the weights", path=path, found=str(error), hint="Is this a published BTB3D tokenizer?") from error
    depth = tuple(shape[0] // (4 * shape[1]) == 2 for shape in reversed(ups))
    in_plane = 2**stages
    return TokenizerConfig(
        name=name or f"btb3d_{in_plane}x{in_plane}x{2 * 2 ** sum(depth)}",
        filters=filters,
        channel_multipliers=tuple(width // filters for width in widths),
        depth_downsample=depth,
        num_res_blocks=blocks,
        num_groups=_GROUPS,
        quantizer_args={"num_bits": num_bits},
        modes=("windowed",),
    )


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return len({match.group(1) for key in tensors if (match := re.fullmatch(pattern, key))})


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint file, never executing anything in it."""
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    if not path.is_file():
        raise CheckpointError("no such weights", path=path, hint="Give a .safetensors, .ckpt or .pt file.")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            "not readable as a plain checkpoint of tensors", path=path, found=reason, hint="Truncated, or it holds code?"
        ) from error
    loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError("a checkpoint of something else than tensors by name", path=path, found=type(loaded).__name__)
    return loaded


def without_prefix(tensors: Mapping[str, Tensor], path: Path | None, *, stems: Sequence[str]) -> dict[str, Tensor]:
    """The tokenizer's own tensors; those of training alone are left out by name.

    Args:
        tensors: a checkpoint.
        path: where it came from, for the refusal.
        stems: names, one of which a tokenizer must have.
    """
    prefix = next((p for p in _PREFIXES for stem in stems if p + stem in tensors), None)
    if prefix is None:
        raise CheckpointError("missing keys in the weights", path=path, found=stems[-1], hint="Is this a published BTB3D tokenizer?")
    outer = prefix.removesuffix("tokenizer.")
    kept = {key: value for key, value in tensors.items() if not key.removeprefix(outer).startswith(_OF_TRAINING_ONLY)}
    if len(kept) < len(tensors):
        logger.info("left out %d tensors that training alone needs", len(tensors) - len(kept))
    return {key.removeprefix(prefix): value for key, value in kept.items()}
