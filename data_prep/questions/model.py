"""What the families hand to the writer: a question in facts (Draft), or the reason why it was not asked (Skip)."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

Kind = Literal["yes_no", "number", "category"]
Reason = Literal[
    "not_covered",  # the organ is not in the scan, or no mask speaks about it
    "organ_cut_off",  # the organ reaches the scan's border: sizes and absence cannot be stated
    "lesion_cut_off",  # the lesion reaches the border
    "no_lesion",  # the question needs a lesion and there is none
    "class_not_labelled",  # the masks do not tell this class apart
    "contrast_phase",  # the rule is for unenhanced CT, and this scan is enhanced or of unknown phase
    "modality",  # the rule is for HU
    "near_threshold",  # a voxel more or less would change the answer
    "too_similar",  # the two things compared hardly differ
    "vessel_not_labelled",
    "segments_not_labelled",
]


@dataclass(frozen=True)
class Subtype:
    """One kind of question: how it is asked, what it is computed by, and where its threshold comes from."""

    name: str
    family: str
    group: str
    kind: Kind
    tools: str
    difficulty: int
    formula: str
    wordings: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True)
class Step:
    """One link of the chain of evidence: `segment`, `measure`, `knowledge` or `compute`."""

    step: Literal["segment", "measure", "knowledge", "compute"]
    text: str
    structure: str = ""
    name: str = ""
    value: float | str | None = None
    unit: str = ""


@dataclass(frozen=True)
class Draft:
    """A question whose answer is known.

    Args:
        subtype: name in the tables.
        organ: the organ asked about.
        truth: bool for yes_no, float for number, one of `categories` for category.
        steps: the chain of evidence.
        slots: words for the wordings' placeholders.
        unit, decimals: of a number.
        categories: all answers of a category question, in their natural order.
        pool: further wrong answers to draw from when there are fewer than four categories.
        lesion: whether a lesion is asked about.
        lesion_diameter_mm: longest axial diameter of the lesion asked about.
    """

    subtype: str
    organ: str
    truth: bool | float | str
    steps: tuple[Step, ...]
    slots: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    decimals: int = 1
    categories: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    lesion: bool = False
    lesion_diameter_mm: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Questions that a reader without the scan cannot tell apart share this key; balance is over it."""
        return self.subtype, self.organ, "|".join(f"{k}={v}" for k, v in sorted(self.slots.items()))


@dataclass(frozen=True)
class Skip:
    """A question that was not asked, and why."""

    subtype: str
    organ: str
    reason: Reason
    detail: str = ""


Outcome = Iterator[Draft | Skip]


@cache
def subtypes() -> Mapping[str, Subtype]:
    """All subtypes of all families, by name.

    >>> len([s for s in subtypes().values() if s.family == "abdomen"])
    42
    """
    found: dict[str, Subtype] = {}
    for family in ("abdomen", "chest", "brain"):
        table = tomllib.loads(files("data_prep.questions").joinpath(f"{family}.toml").read_text(encoding="utf-8"))
        for name, entry in table.items():
            found[name] = Subtype(name=name, family=family, **{**entry, "wordings": tuple(entry["wordings"])})
    return found
