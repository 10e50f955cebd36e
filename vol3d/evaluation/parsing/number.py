"""Numbers with units out of free text: thousands, decimal commas, powers of ten, ranges that decide nothing."""

import re
from dataclasses import dataclass
from typing import Literal

from vol3d.evaluation.parsing.text import clean, is_undecided

# unit -> (dimension, factor to the base unit of that dimension: ml, mm, HU, percent, 1)
UNITS: dict[str, tuple[str, float]] = {
    "ml": ("volume", 1.0), "cm3": ("volume", 1.0), "cc": ("volume", 1.0), "mm3": ("volume", 1e-3), "l": ("volume", 1e3), "dl": ("volume", 1e2),
    "ul": ("volume", 1e-3), "m3": ("volume", 1e6), "mm": ("length", 1.0), "cm": ("length", 10.0), "m": ("length", 1e3), "um": ("length", 1e-3),
    "cm2": ("area", 100.0), "mm2": ("area", 1.0), "inch": ("length", 25.4), "hu": ("attenuation", 1.0), "%": ("percent", 1.0), "deg": ("angle", 1.0),
}  # fmt: skip
_SPELLED = (
    (r"cubic\s+(?:centimet(?:er|re)s?|cm)|cm\s*(?:\^\s*\{?3\}?|³|\*\*3)|cc\b", "cm3"),
    (r"cubic\s+(?:millimet(?:er|re)s?|mm)|mm\s*(?:\^\s*\{?3\}?|³|\*\*3)", "mm3"),
    (r"square\s+(?:centimet(?:er|re)s?|cm)|cm\s*(?:\^\s*\{?2\}?|²)", "cm2"),
    (r"square\s+(?:millimet(?:er|re)s?|mm)|mm\s*(?:\^\s*\{?2\}?|²)", "mm2"),
    (r"\bdm\s*(?:\^\s*\{?3\}?|³|3)", "l"),
    (r"\binch(?:es)?\b", "inch"),
    (r"millilit(?:er|re)s?|mls\b", "ml"),
    (r"\blit(?:er|re)s?\b", "l"),
    (r"millimet(?:er|re)s?", "mm"),
    (r"centimet(?:er|re)s?", "cm"),
    (r"hounsfield(?:\s+units?)?(?:\s*\(HU\))?", "hu"),
    (r"per\s?cent(?:age)?", "%"),
    (r"°|degrees?", "deg"),
)
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: i for i, word in enumerate(_ONES)} | {word: 10 * (i + 2) for i, word in enumerate(_TENS)}
_WORDS |= {f"{tens}-{ones}": 10 * (i + 2) + j for i, tens in enumerate(_TENS) for j, ones in enumerate(_ONES[:10]) if j}
_DIGITS = (
    r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:['\u2009\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d{1,3}(?:\.\d{3})+,\d+|\d+,\d{1,2}(?!\d)|\d+\.?\d*|\.\d+)"
)
_TIMES = r"(?:\s*(?:[eE]|(?:x|×|\*)\s*10\s*\^?\s*\{?)\s*([+-]?\d+)\}?)?"
_UNIT = r"(?:\s*-?\s*(cm3|mm3|cm2|mm2|m3|ml|dl|ul|l|mm|cm|um|m|inch|hu|%|deg)(?![\w]))?"
_NUMBER = re.compile(rf"(?<![\w.,])([+-]?)\s?({_DIGITS}){_TIMES}{_UNIT}(?![A-Za-z\d])", re.I)
_RANGE = re.compile(rf"{_DIGITS}\s*(?:[A-Za-z%]{{1,3}}\d?)?\s*(?:-|to|and|or|\bx\b|×|/)\s*$", re.I)
_INEQUALITY = re.compile(
    r"(?:[<>≤≥]=?|\b(?:more|less|greater|larger|smaller|fewer) than|\bat (?:least|most)|\bover|\bunder|\babove|\bbelow|\bexceed\w*|\bup to)\s*$", re.I
)
_SPREAD = re.compile(r"(?:±|\+/-|\+-|plus or minus)\s*$")
_PLACE = re.compile(r"\b(?:segments?|slices?|levels?|phases?|grades?|stages?|images?|series|figures?|no\.|number)\s*$", re.I)
_STATED = re.compile(r"\b(?:answer|result|value|total)\b[^\d\n.]{0,40}$|(?:=|:)\s*$", re.I)


@dataclass(frozen=True)
class Quantity:
    """A number and its unit ('' when none was written)."""

    value: float
    unit: str

    def to(self, unit: str) -> float | None:
        """The value in another unit; None where the dimensions differ. A missing unit is taken to be the one asked for.

        >>> Quantity(12.0, "cm").to("mm"), Quantity(12.0, "cm").to("ml")
        (120.0, None)
        """
        wanted = canonical_unit(unit)
        if not self.unit or not wanted or self.unit == wanted:
            return self.value
        (here, factor), (there, other) = UNITS[self.unit], UNITS[wanted]
        return self.value * factor / other if here == there else None


def canonical_unit(unit: str | None) -> str:
    """The short name of a unit, '' for none or a unit that is not known.

    >>> canonical_unit("cubic centimetres"), canonical_unit("cm^3"), canonical_unit("Hounsfield units")
    ('cm3', 'cm3', 'hu')
    """
    short = _spell_out(unit or "").strip().lower()
    return short if short in UNITS else ""


def _spell_out(text: str) -> str:
    text = re.sub(r"(?<=\d)\s*\.\.+\s*(?=\d)", "-", text)
    for pattern, unit in _SPELLED:
        text = re.sub(pattern, unit, text, flags=re.I)
    return text


def _float(digits: str, power: str | None) -> float:
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", digits):  # 1.234,5
        digits = digits.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d{1,2}", digits):  # 12,5
        digits = digits.replace(",", ".")
    elif re.fullmatch(r"\d{1,3}(?:['\u2009\u202f ]\d{3})+(?:[.,]\d+)?", digits):  # 1 234,5 and 1'234.5
        digits = re.sub(r"['\u2009\u202f ]", "", digits).replace(",", ".")
    return float(digits.replace(",", "")) * 10.0 ** int(power or 0)


def parse_quantity(text: str, unit: str | None = None, *, mode: Literal["strict", "lenient"] = "strict") -> Quantity | None:
    """The one quantity that a text commits to, or None.

    Several numbers decide only when one is stated as the answer, when one alone carries a unit of the wanted dimension, or when all
    say the same in other units. Ranges, products and inequalities decide nothing in strict mode; lenient takes a range's middle.

    >>> parse_quantity("1,234.5 mm3"), parse_quantity("10-20")
    (Quantity(value=1234.5, unit='mm3'), None)
    """
    body = _spell_out(clean(text))
    found = _candidates(body)
    if not found:
        return _from_words(body, mode)
    usable = [item for item in found if not item.bounded]
    picked = _pick(usable, canonical_unit(unit)) if len({i.group for i in found if i.bounded} | {0}) == 1 or usable else None
    if picked or mode == "strict":
        return picked
    if not usable and len(found) == 2 and found[0].bounded == "range":
        return Quantity((found[0].quantity.value + found[1].quantity.value) / 2, found[1].quantity.unit or found[0].quantity.unit)
    return (usable or found)[0].quantity


@dataclass(frozen=True)
class _Candidate:
    quantity: Quantity
    bounded: str  # '', 'range' or 'inequality': a number that does not stand for itself
    group: int
    stated: bool


def _candidates(body: str) -> list[_Candidate]:
    matches = [m for m in _NUMBER.finditer(body) if not _SPREAD.search(body[: m.start()])]
    ranges = {m.start() for m in matches if _RANGE.search(body[: m.start(2)])}
    found = []
    for i, match in enumerate(matches):
        before = body[: match.start()]
        after_is_range = i + 1 < len(matches) and matches[i + 1].start() in ranges
        bounded = "range" if match.start() in ranges or after_is_range else "inequality" if _INEQUALITY.search(before) else ""
        sign = -1.0 if match.group(1) == "-" and match.start() not in ranges else 1.0
        quantity = Quantity(sign * _float(match.group(2), match.group(3)), (match.group(4) or "").lower())
        of_many = re.match(r"\s*(?:of|out of)\s*\d", body[match.end() :])
        if _PLACE.search(before) and len(matches) > 1 and not quantity.unit and not of_many:
            continue  # 'segment 4' names a place beside the number that is meant
        found.append(_Candidate(quantity, bounded, i + 1 if bounded else 0, bool(_STATED.search(before))))
    return found


def _pick(items: list[_Candidate], wanted: str) -> Quantity | None:
    stated = [item.quantity for item in items if item.stated]
    for pool in ([item.quantity for item in items], stated):
        if len(pool) == 1:
            return pool[0]
    dimension = UNITS[wanted][0] if wanted else None
    united = [i.quantity for i in items if i.quantity.unit and (dimension is None or UNITS[i.quantity.unit][0] == dimension)]
    if not united or (not wanted and len(united) < len(items)):  # a count beside a length: nobody said which was asked for
        return None
    first = united[0]
    same = all((v := other.to(first.unit)) is not None and abs(v - first.value) <= 0.01 * abs(first.value) + 1e-9 for other in united)
    return first if same else None


def _from_words(body: str, mode: Literal["strict", "lenient"]) -> Quantity | None:
    if is_undecided(body):
        return None
    words = [w for w in re.findall(r"[a-z]+(?:-[a-z]+)?", body.lower()) if w in _WORDS]
    if len(set(words)) == 1 and not re.search(r"\b(?:one|two|three) of\b", body, re.I):
        return Quantity(float(_WORDS[words[0]]), "")
    if mode == "lenient" and not words and re.match(r"\W*(?:none|no)\b", body, re.I):
        return Quantity(0.0, "")
    return None


def parse_number(text: str, *, unit: str | None = None, mode: Literal["strict", "lenient"] = "strict") -> float | None:
    """The number that a text commits to, converted to `unit` where both units are known, or None.

    >>> parse_number("about 1.2e3 mm3", unit="cm3"), parse_number("The lesion measures 2.5 cm", unit="mm")
    (1.2, 25.0)
    >>> parse_number("12 cm", unit="ml") is None
    True
    """
    quantity = parse_quantity(text, unit, mode=mode)
    if quantity is None:
        return None
    value = quantity.to(unit) if unit else quantity.value
    return round(value, 12) if value is not None else None
