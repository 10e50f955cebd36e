"""The facts that a text states, as a set that two wordings can be compared by: findings, denials, sides, numbers."""

import re
from collections import Counter
from dataclasses import dataclass

from data_prep.text.entities import extract_entities
from data_prep.text.sentences import sentences

# Words of doubt may be worded anew; findings that are parts or near-synonyms of others do not count twice.
_FOLDED = {"ground_glass": "lung_opacity", "infiltration": "pneumonia", "crazy_paving": "lung_opacity"}
_NUMBER = re.compile(r"(?<![\w.])(\d+(?:[.,]\d+)?)\s*(mm|cm|ml|cc|hu|%)?", re.IGNORECASE)
_TO_BASE = {"cm": ("mm", 10.0), "cc": ("ml", 1.0)}
_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


@dataclass(frozen=True)
class Facts:
    """`findings` are (finding, present or absent, side); `numbers` are (value, unit)."""

    findings: frozenset[tuple[str, str, str]]
    numbers: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Difference:
    """What one text says and the other does not."""

    lost: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both texts state the same facts."""
        return not self.lost and not self.added


def facts_of(text: str) -> Facts:
    """All facts of a text.

    >>> sorted(facts_of("No effusion. A 1.2 cm nodule on the left.").findings)
    [('nodule', 'present', 'left'), ('pleural_effusion', 'absent', '')]
    """
    found = set()
    for entity in extract_entities(text):
        state = "absent" if entity.assertion == "absent" else "present"
        # The side of a denial is not a fact: "no effusion" denies both.
        found.add((_FOLDED.get(entity.finding, entity.finding), state, "" if state == "absent" else entity.side))
    return Facts(frozenset(found), tuple(sorted(_numbers(text))))


def compare(before: str, after: str) -> Difference:
    """Facts that were lost or added on the way from one text to the other.

    >>> compare("Nodule in the right lung.", "There is a nodule in the left lung.").lost
    ('nodule present right',)
    """
    first, second = facts_of(before), facts_of(after)
    lost = [" ".join(filter(None, f)) for f in sorted(first.findings - second.findings)]
    added = [" ".join(filter(None, f)) for f in sorted(second.findings - first.findings)]
    numbers_before, numbers_after = Counter(set(first.numbers)), Counter(set(second.numbers))
    lost += [f"{value:g} {unit}".strip() for value, unit in sorted(numbers_before - numbers_after)]
    added += [f"{value:g} {unit}".strip() for value, unit in sorted(numbers_after - numbers_before)]
    return Difference(tuple(lost), tuple(added))


def _numbers(text: str) -> list[tuple[float, str]]:
    out = []
    for sentence in sentences(text):
        # "2x3 cm": the unit at the end counts for all its numbers.
        spread = re.sub(r"(\d)\s*[x×*]\s*(?=\d)", r"\1 x ", sentence.text)
        unit_after = ""
        for match in reversed(list(_NUMBER.finditer(spread))):
            unit = (match.group(2) or "").lower()
            between = spread[match.end() : match.end() + 3]
            unit = unit or (unit_after if between.strip().startswith("x") else "")
            unit_after = unit
            name, factor = _TO_BASE.get(unit, (unit, 1.0))
            out.append((round(float(match.group(1).replace(",", ".")) * factor, 3), name))
        out += [(float(_WORDS[word]), "") for word in re.findall(r"[a-z]+", sentence.text.lower()) if word in _WORDS and word != "one"]
    return out
