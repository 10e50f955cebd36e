"""Numbers with a unit in a report: what each says (a size, a volume, a density), how precisely, and as a value or as a bound.

Units become mm, ml and HU. A sentence of an earlier examination ("30 mm in the previous scan") and a distance ("2 cm from the fissure") are marked,
because today's masks say nothing about them.
"""

import re
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["length", "volume", "attenuation"]
Bound = Literal["value", "at_most", "at_least", "largest"]

# `1,200` is grouped, for nobody writes a decimal comma before three digits of a size; `1,25` is a decimal.
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:[.,]\d+)?)"
_GROUPED = re.compile(r",(?=\d{3}(?!\d))")
_VALUE = rf"-?{_DIGITS}"
_MENTION = re.compile(
    rf"(?P<a>(?<![\w.])[-–]?{_DIGITS})(?:\s*(?P<between>x|×|\*|-|–|to\b|and\b)\s*(?P<b>{_VALUE}))?(?:\s*(?:x|×|\*)\s*(?P<c>{_VALUE}))?"
    r"\s*-?(?P<unit>mm3|mm³|cm3|cm³|mm|cm|ml|cc|HU|lit(?:re|er)s?|l)\b(?!\s*(?:hg|thick (?:section|slice)|slices?\b))",
    re.IGNORECASE,
)
_UNITS: dict[str, tuple[Quantity, float]] = {
    "mm": ("length", 1.0),
    "cm": ("length", 10.0),
    "ml": ("volume", 1.0),
    "cc": ("volume", 1.0),
    "cm3": ("volume", 1.0),
    "mm3": ("volume", 1e-3),
    "l": ("volume", 1000.0),
    "hu": ("attenuation", 1.0),
}
_BEFORE: tuple[tuple[Bound, re.Pattern[str]], ...] = (
    ("at_least", re.compile(r"(?:(?:larger|greater|bigger|more|longer|higher) than|exceed\w*|\bover|\babove|at least|>)\W*$", re.IGNORECASE)),
    ("at_most", re.compile(r"(?:(?:smaller|less|shorter|lower) than|\bbelow|\bunder|at most|not exceeding|<)\W*$", re.IGNORECASE)),
    ("largest", re.compile(r"(?:\bup to|\blargest(?: \w+){0,4}|\bmaximum(?: \w+){0,3}|\bthe longest(?: \w+){0,2})\W*$", re.IGNORECASE)),
)
_DENIED = re.compile(r"\b(?:no|not|without|none)\b", re.IGNORECASE)
_EARLIER_AFTER = re.compile(r"[^.;()]{0,25}\b(?:previous|prior|earlier|old)\b", re.IGNORECASE)
_EARLIER_BEFORE = re.compile(r"\b(?:previous(?:ly)?|prior|formerly|was measured(?: as)?)\b[^.;)]{0,20}$", re.IGNORECASE)
_DIFFERENCE_BEFORE = re.compile(
    r"\b(?:differ|larger|smaller|grown|shrunk|increased?|decreased?|difference)(?: \w+){0,3} (?:by|of)(?: about)?\W*$", re.IGNORECASE
)
_DISTANCE = re.compile(
    r"\s*(?:(?:far |away )?from|proximal|distal|above|below|cranial|caudal|superior to|inferior to|apart|deep to|beyond|distance)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class NumberMention:
    """One number (or pair, or range) with its unit.

    Args:
        text, start, end: the words, and where they stand in the report.
        sentence: index of the sentence.
        quantity, values: what it is, in mm, ml or HU; several values are the axes of one thing, largest first.
        is_range: the values are the ends of a range ("3 to 5 mm") instead.
        resolution: half of the last digit that was written, in the same unit.
        bound: a value, a limit, or the size of the largest of its kind.
        denied: the sentence denies before the number ("no nodule larger than 4 mm").
        skip: why no mask can speak about it, or empty.
    """

    text: str
    start: int
    end: int
    sentence: int
    quantity: Quantity
    values: tuple[float, ...]
    is_range: bool
    resolution: float
    bound: Bound
    denied: bool
    skip: str


def number_mentions(text: str, start: int, sentence: int) -> tuple[NumberMention, ...]:
    """All numbers with a unit of one sentence, which begins at `start` of its report.

    >>> [(m.quantity, m.values, m.bound) for m in number_mentions("No nodule larger than 0.4 cm; effusion of 120 ml.", 0, 0)]
    [('length', (4.0,), 'at_least'), ('volume', (120.0,), 'value')]
    >>> number_mentions("A 12 x 9.5 mm nodule.", 0, 0)[0].values
    (12.0, 9.5)
    """
    return tuple(_mention(found, text, start, sentence) for found in _MENTION.finditer(text))


def _mention(found: re.Match[str], text: str, start: int, sentence: int) -> NumberMention:
    unit = found["unit"].lower().replace("³", "3")
    quantity, factor = _UNITS["l" if unit.startswith("lit") else unit]
    written = [_GROUPED.sub("", found[group]).replace(",", ".").replace("–", "-") for group in "abc" if found[group]]
    is_range = found["between"] is not None and found["between"].lower() not in ("x", "×", "*")
    values = tuple(sorted((round(float(number) * factor, 6) for number in written), reverse=not is_range))
    decimals = min(len(number.partition(".")[2]) for number in written)
    before = text[: found.start()]
    return NumberMention(
        text=found.group().strip(),
        start=start + found.start(),
        end=start + found.end(),
        sentence=sentence,
        quantity=quantity,
        values=values,
        is_range=is_range,
        resolution=0.5 * 10.0**-decimals * factor,
        bound=next((bound for bound, pattern in _BEFORE if pattern.search(before)), "value"),
        denied=bool(_DENIED.search(before)),
        skip=_skip(text, found),
    )


def _skip(text: str, found: re.Match[str]) -> str:
    if _EARLIER_AFTER.match(text[found.end() : found.end() + 45]) or _EARLIER_BEFORE.search(text[: found.start()]):
        return "of an earlier examination"
    if _DIFFERENCE_BEFORE.search(text[: found.start()]):
        return "a difference"
    return "a distance, not a size" if found["unit"].lower() in ("mm", "cm") and _DISTANCE.match(text[found.end() :]) else ""
