"""A trained model as one file: projectors and adapters, with what they were trained on; anything else is refused on loading."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokenizers3d.weights import read_tensors, write_tensors
from vol3d import __version__
from vol3d.errors import CheckpointError
from vol3d.provenance import git_commit
from vol3d.vlm.config import VisionLanguageConfig
from vol3d.vlm.language import fingerprint
from vol3d.vlm.model import VisionLanguageModel

logger = logging.getLogger(__name__)

_FORMAT = "vol3d-vlm-1"


def trained_state(model: torch.nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters with a gradient, by name."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def save(model: VisionLanguageModel, path: str | Path, *, dtype: torch.dtype = torch.float32, provenance: dict[str, Any] | None = None) -> None:
    """Write projectors and adapters to one safetensors file, whole or not at all.

    Args:
        model: not merged (see `vol3d.vlm.decoding.merge_adapters`).
        path: the file.
        dtype: of the stored weights; bfloat16 halves the file.
        provenance: what else is worth knowing: data, recipe, scores.
    """
    if model.provenance.get("merged"):
        raise CheckpointError("adapters are merged into the base weights and cannot be saved", path=path, hint="Save before merging.")
    tensors = {name: tensor.to(dtype) for name, tensor in trained_state(model).items()}
    facts = {
        "version": __version__,
        "commit": git_commit(),
        "base": fingerprint(model.config.language),
        "visual_tokenizer_id": model.config.visual_tokenizer_id,
    }
    metadata = {"format": _FORMAT, "config": model.config.to_dict(), "provenance": {**(provenance or {}), **facts}}
    write_tensors(path, tensors, metadata)


def load(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: str = "auto",
    trusted: tuple[str, ...] = ("vol3d",),
) -> VisionLanguageModel:
    """A saved model, trainable parts in float32.

    Raises CheckpointError where the file is missing or damaged, is not such a model, or was trained on other base weights.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != _FORMAT:
        raise CheckpointError("not a vision-language model", path=path, expected=f"format {_FORMAT}", found=metadata.get("format", "none"))
    config, provenance = VisionLanguageConfig.from_dict(metadata["config"]), dict(metadata.get("provenance", {}))
    found = fingerprint(config.language)
    if provenance.get("base") != found:
        hint = f"The adapters fit only the {config.language} that they were trained on."
        raise CheckpointError("the base language model is another one", path=path, expected=provenance.get("base"), found=found, hint=hint)
    model = VisionLanguageModel.from_config(config, device=device, dtype=dtype, attention=attention, trusted=trusted)
    load_trained(model, tensors, path=path)
    model.provenance = provenance
    return model


def load_trained(model: torch.nn.Module, tensors: dict[str, Tensor], *, path: str | Path | None = None) -> None:
    """Copy trained tensors into a model; every one used, every trainable parameter given, all shapes equal, or a refusal."""
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = sorted(n for n in set(own) & set(tensors) if own[n].shape != tensors[n].shape)
    for problem, names in (("missing", missing), ("unknown", extra), ("misshapen", wrong)):
        if names:
            found = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise CheckpointError(f"{problem} weights", path=path, found=found, hint="Is this the config that they were trained with?")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])
