"""Segmentation experts and what is made of their masks: measurements, sentences, pictures.

`measure` is imported at once: it is a module and its one function, and the function must win whichever is imported first.
"""

from typing import TYPE_CHECKING, Any

from experts3d.measure import measure

if TYPE_CHECKING:
    from experts3d.cards import load_expert

__all__ = ["load_expert", "measure"]


def __getattr__(name: str) -> Any:
    if name != "load_expert":
        raise AttributeError(f"module 'experts3d' has no attribute {name!r}; it has {', '.join(__all__)}")
    from experts3d.cards import load_expert

    return load_expert
