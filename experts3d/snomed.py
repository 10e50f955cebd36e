"""SNOMED CT codes of structures and findings, for cards and DICOM; only codes that a published table carries.

Sources: TotalSegmentator's `totalsegmentator_snomed_mapping.csv` (Apache-2.0) for unsided structures, each rib and each vertebra; for kidneys, adrenal
glands, lungs and lobes the codes of one side, as the FHIR value sets mCODE and BOA (Body and Organ Analysis) and the DICOM standard give them. A
structure without a line of its own takes the code of its unsided form with SNOMED's laterality as a qualifier. Left out: hip (the table's code is the
region, not the bone) and everything that no table names: a wrong code is worse than none.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_LATERALITY = "272741003"
SIDES = {"left": "7771000", "right": "24028007"}
# What a finding is, whatever organ it lies in (the organ is a code of its own in DICOM).
_MORPHOLOGY = {"cyst": ("367643001", "Cyst"), "tumour": ("108369006", "Neoplasm"), "effusion": ("41699000", "Effusion")}


@dataclass(frozen=True)
class Concept:
    """A code, the meaning that belongs to it, and the side where the code itself has none."""

    code: str
    meaning: str
    side: str | None = None

    def __str__(self) -> str:
        """SNOMED's compositional grammar: `48535007:272741003=7771000` is the left first rib."""
        return f"{self.code}:{_LATERALITY}={SIDES[self.side]}" if self.side else self.code


def concept(structure: str) -> Concept | None:
    """The body structure; None where no table has a code.

    >>> concept("kidney_left").code, str(concept("rib_left_1")), concept("liver_tumour")
    ('18639004', '48535007:272741003=7771000', None)
    """
    if structure in _table():
        return _table()[structure]
    match = re.search(r"_(left|right)(?=$|_\d)", structure)
    unsided = _table().get(structure.replace(match.group(0), "", 1)) if match else None
    return Concept(unsided.code, unsided.meaning, match.group(1)) if match and unsided else None


def morphology(structure: str) -> Concept | None:
    """What a finding is: cyst, neoplasm or effusion; None for all others.

    >>> morphology("kidney_cyst_left").meaning, morphology("liver")
    ('Cyst', None)
    """
    match = re.search(r"_(cyst|tumour|effusion)(?:_(left|right))?$", structure)
    if match is None:
        return None
    code, meaning = _MORPHOLOGY[match.group(1)]
    return Concept(code, meaning, match.group(2))


def snomed_codes(structures: Iterable[str]) -> dict[str, str]:
    """Codes of the structures that have one, as text.

    >>> snomed_codes(["liver", "liver_tumour"])
    {'liver': '10200004'}
    """
    found = {name: concept(name) for name in structures}
    return {name: str(item) for name, item in found.items() if item is not None}


@cache
def _table() -> dict[str, Concept]:
    text = (files("experts3d.tables") / "snomed.csv").read_text(encoding="utf-8")
    return {row["name"]: Concept(row["code"], row["meaning"]) for row in csv.DictReader(text.splitlines())}
