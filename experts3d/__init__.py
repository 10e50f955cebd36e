"""Segmentation experts and what is made of their masks: measurements, sentences, pictures."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experts3d.cards import load_expert
    from experts3d.measure import measure

__all__ = ["load_expert", "measure"]

_HOMES = {"load_expert": "experts3d.cards", "measure": "experts3d.measure"}


def __getattr__(name: str) -> Any:
    # `experts3d.measure` is both a module and its one function; after the import the module name must not win.
    if name not in _HOMES:
        raise AttributeError(f"module 'experts3d' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)
