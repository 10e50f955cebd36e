"""Causal 3D convolutional tokenizers for volumes. Knows tensors only: no files of scans, no patients.

Names are loaded when first used, so that `tokenizers3d.errors` can be imported without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers3d.tokenizer import Tokenizer
    from tokenizers3d.types import TokenGrid

__all__ = ["TokenGrid", "Tokenizer"]

_HOMES = {"Tokenizer": "tokenizers3d.tokenizer", "TokenGrid": "tokenizers3d.types"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokenizers3d' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)
