"""Everything that the next training step depends on, as named tensors and plain values: no pickle."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vol3d.errors import CheckpointError
from vol3d.training.sharding import placed_like


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters with a gradient and buffers that are saved: frozen weights come from elsewhere."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    buffers = {name for name, _ in model.named_buffers()}
    holds_frozen = {name.rpartition(".")[0] for name in frozen}
    # A buffer beside frozen weights belongs to them (rotary tables, quantisation scales).
    return {
        name: tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
        if name not in frozen and not (name in buffers and name.rpartition(".")[0] in holds_frozen)
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of each parameter as `index.key`."""
    entries = optimiser.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, entry in entries.items() for key, value in entry.items() if value is not None}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put saved state back; groups (learning rate, betas) stay those of the recipe."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        own = parameters[int(index)]
        # A count of steps is a number; what has the parameter's shape is cut as the parameter is.
        state.setdefault(int(index), {})[key] = placed_like(tensor, own) if tensor.shape == own.shape else tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def restore_trained(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved values into a model. Raises CheckpointError where names or shapes differ."""
    own = trained_tensors(model)
    if own.keys() != tensors.keys():
        differing = sorted(own.keys() ^ tensors.keys())
        raise CheckpointError("the checkpoint is of another model", found=f"{len(differing)} names differ, first {differing[0]}")
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape != tensors[name].shape:
                raise CheckpointError(
                    "the checkpoint is of another model", expected=f"{name} {tuple(tensor.shape)}", found=tuple(tensors[name].shape)
                )
            tensor.copy_(placed_like(tensors[name], tensor))


def rng_state() -> dict[str, Any]:
    """Global generators of Python, numpy and torch (CPU and CUDA), as plain values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [s.tolist() for s in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }


def restore_rng(saved: Mapping[str, Any]) -> None:
    """Put the global generators back."""
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(saved["torch"], dtype=torch.uint8))
    if saved["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([torch.tensor(s, dtype=torch.uint8) for s in saved["cuda"]])
