"""From what people download to a store that training reads: sources, checks, text, questions."""

from typing import Any

__all__ = ["prepare"]


def __getattr__(name: str) -> Any:
    """`data_prep.prepare`, imported when it is asked for: it brings torch and pyarrow."""
    if name == "prepare":
        from data_prep.preparation import prepare

        return prepare
    raise AttributeError(f"module 'data_prep' has no attribute {name!r}")
