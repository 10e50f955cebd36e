"""What each finding is and how it looks on CT: knowledge for prompts, for contrastive captions (DeViDe, ARL) and for readers."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vol3d.errors import ConfigError


@dataclass(frozen=True)
class Definition:
    """One finding in words.

    Args:
        name: label name as in CT-RATE.
        definition: what it is.
        appearance: how it looks on CT.
        structure: canonical structure or finding name.
        region: where to look for it.
    """

    name: str
    definition: str
    appearance: str
    structure: str
    region: str


@cache
def definitions() -> dict[str, Definition]:
    """All definitions by label name.

    >>> definitions()["Atelectasis"].region
    'lung'
    """
    table = json.loads(files("data_prep.text").joinpath("definitions.json").read_text(encoding="utf-8"))
    return {name: Definition(name=name, **entry) for name, entry in table.items()}


def define(name: str) -> Definition:
    """The definition of a label.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in definitions():
        raise ConfigError("no definition of this finding", expected=", ".join(definitions()), found=name)
    return definitions()[name]
