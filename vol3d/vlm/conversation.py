"""What training and evaluation read about one scan: the questions, the evidence lines, and who could have answered.

A conversation is stored once and composed anew at every epoch: with or without image, evidence or experts (see dataset.py).
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Turn(BaseModel):
    """One question about one scan.

    `structures` are what must be measured to answer; `image_can` says whether a look at the scan could answer too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    qid: str
    family: str
    question: str
    answer: str
    kind: Literal["choice", "number", "text"]
    choices: tuple[str, ...] = ()
    value: float | None = None
    unit: str | None = None
    structures: tuple[str, ...] = ()
    image_can: bool = False


WrongKind = Literal["wrong", "shifted", "missing", "contradictory"]


class WrongEvidence(BaseModel):
    """What stands in the place of a structure's true lines when its evidence is spoiled on purpose.

    wrong: another structure's mask under this name. shifted: its own mask, some centimetres away. missing: found, but said to be
    absent. contradictory: the true line, and a second expert's that disagrees.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: WrongKind
    lines: tuple[str, ...]


class Conversation(BaseModel):
    """All turns of one scan, the line of evidence for each structure, and the experts that offer it.

    `experts` maps an expert's name to the structures that it can be asked for. `wrong` holds spoiled evidence on some structures, to
    teach and to measure doubt; `wrong_overlay_of` is the one whose spoiled mask was drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scan: str
    patient: str
    modality: Literal["CT", "MR"]
    turns: tuple[Turn, ...]
    lines: Mapping[str, str] = Field(default_factory=dict)
    derived: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    experts: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    overlay_of: str | None = None
    wrong: Mapping[str, WrongEvidence] = Field(default_factory=dict)
    wrong_overlay_of: str | None = None
    synthetic: bool = True
    provenance: Mapping[str, str] = Field(default_factory=dict)
