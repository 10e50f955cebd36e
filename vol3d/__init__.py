"""Vision-language models on CT and MRI volumes: from a scan file to an answer that says what it rests on.

Research software, not for clinical use. Public names are loaded when they are first used, so that `import vol3d` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vol3d.inference.pipeline import ask, report
    from vol3d.vlm.model import load_model
    from vol3d.volume.read import read_volume
    from vol3d.volume.write import write_volume

__version__ = "0.1.0"
__all__ = ["ask", "load_model", "read_volume", "report", "write_volume"]

_HOMES = {
    "read_volume": "vol3d.volume.read",
    "write_volume": "vol3d.volume.write",
    "load_model": "vol3d.vlm.model",
    "ask": "vol3d.inference.pipeline",
    "report": "vol3d.inference.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vol3d' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
