"""The published BTB3D code, imported from a checkout of its `encoder-decoder` folder that `VOL3D_BTB3D` names.

It imports torchvision and omegaconf for its training; where they are missing, empty modules stand in: neither its networks nor its
quantizer use them.
"""

import importlib.util
import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

_OF_TRAINING_ONLY = {
    "torchvision": (),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": (),
    "torchvision.models": ("resnet50", "vgg16"),
    "omegaconf": ("OmegaConf",),
}


def checkout() -> str | None:
    """The folder, or None."""
    return os.environ.get("VOL3D_BTB3D") or None


def _import(name: str) -> Any:
    root = checkout()
    if root is None:
        raise ImportError("no checkout of the published code: set VOL3D_BTB3D to its encoder-decoder folder")
    missing = {package for package in ("torchvision", "omegaconf") if package not in sys.modules and importlib.util.find_spec(package) is None}
    for module, names in _OF_TRAINING_ONLY.items():
        if module.split(".")[0] in missing:
            blank = ModuleType(module)
            for attribute in names:
                setattr(blank, attribute, None)
            sys.modules[module] = blank
            parent, _, child = module.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, blank)
    sys.path.insert(0, root)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(root)


def published_tokenizer(state: dict[str, torch.Tensor], *, filters: int, num_res_blocks: int) -> Any:
    """Its 8x8x8 network, with weights under its own names."""
    side = SimpleNamespace(filters=filters, num_res_blocks=num_res_blocks, temporal_downsample=[True, True], channel_multipliers=[1, 2, 4])
    quantizer = SimpleNamespace(token_size=18, use_l2_norm=False)
    config = SimpleNamespace(model=SimpleNamespace(quantize_model=quantizer, encoder=side, decoder=side))
    module = _import("modeling.magvit_model").VisionTokenizerModule(config, "video", "lfq", 2**18, 0.25, 1.0).eval()
    module.load_state_dict({**state, "quantize.mask": 2 ** torch.arange(17, -1, -1)}, strict=True)
    return module


def published_entropies(num_bits: int, dtype: torch.dtype) -> Any:
    """Its quantizer in training, as a function of latents `n c` to (per-sample, batch) entropy; forced to float32 as it is, or float64."""
    lfq = _import("modeling.lfq_quantizer").LFQ(dim=num_bits, codebook_size=2**num_bits, force_quantization_f32=dtype == torch.float32)
    lfq = lfq.to(dtype).train()

    def entropies(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, terms = lfq(x[None], return_loss_breakdown=True, use_distributed_batch_entropy=False)
        return terms.per_sample_entropy_loss, terms.batch_entropy_loss

    return entropies
