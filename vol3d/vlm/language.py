"""The language model: SmolLM2-135M-Instruct by default and offline, any Hugging Face causal model by name or folder.

A loaded model has its attention chosen by name (vol3d.vlm.attention); called in the usual way (ids, 2-D mask, `generate`) it
behaves as transformers' `sdpa`, and given a packed plan it runs that plan.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch

from vol3d.errors import CheckpointError
from vol3d.vlm.attention import register
from vol3d.vlm.base_weights import GGUF_SHA256, SMOLLM2, sha256_of, smollm2_folder


def load_language_model(
    name: str = SMOLLM2, *, dtype: torch.dtype = torch.float32, attention: str = "auto", device: str | torch.device = "cpu"
) -> tuple[Any, Any]:
    """Load a causal language model and its tokenizer.

    Args:
        name: `smollm2-135m-instruct`, a folder, or a name on the Hub.
        dtype: of the weights.
        attention: how packed rows are attended; see `vol3d.vlm.attention.BACKENDS`. `auto` takes the best that works here.
        device: where the weights go.

    Returns:
        (transformers model in eval mode, tokenizer). Code from the Hub is never run.

    Raises ResourceError where the weights cannot be had, ConfigError for an attention that does not work here.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    implementation = register(attention, device=device, dtype=dtype)
    source = str(smollm2_folder()) if name == SMOLLM2 else name
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, attn_implementation=implementation)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        hint = f"Give {SMOLLM2}, a folder, or a name that the Hub knows."
        raise CheckpointError(f"no language model {name!r} could be loaded", found=first, hint=hint) from error
    return model.to(device).eval(), tokenizer


def fingerprint(name: str) -> str:
    """What identifies the base weights, so that an adapter trained on others is refused.

    The pinned hash for the default model; the hash of all weight files for a folder; the commit for a Hub name.
    """
    if name == SMOLLM2:
        return f"gguf-sha256:{GGUF_SHA256}"
    folder = Path(name)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(sha256_of(path).encode())
        return f"safetensors-sha256:{digest.hexdigest()}"
    from transformers import AutoConfig

    # transformers sets this private name to the commit that it read; there is no public one.
    return f"hub:{name}@{AutoConfig.from_pretrained(name)._commit_hash}"
