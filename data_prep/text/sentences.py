"""Report text -> sentences, with their places in the text; knows decimals, ordinals, abbreviations and bullet marks."""

import re
from dataclasses import dataclass

# Bullets of report impressions: a quotation mark after a stop, dots, stars, numbered lines.
_BULLET = re.compile(r"\s*(?:[\"“”•●▪◦·*]+|\n\s*(?:[-–]|\d{1,2}[.)])(?=\s))\s*|\s*\n\s*\n\s*|\s*\n(?=\s*[A-Z])")
_STOP = re.compile(r"[.!?]+(?=\s+[A-Z0-9(\"“•]|\s*$)")
_ABBREVIATION = re.compile(r"(?:\b(?:dr|prof|no|vs|approx|e\.g|i\.e|cf|fig|st|inv|max|min|diam|lat|med|ant|post|sup|inf)|\b[A-Z])$", re.IGNORECASE)


@dataclass(frozen=True)
class TextSpan:
    """A stretch of a text: `text == whole[start:end]`."""

    text: str
    start: int
    end: int


def sentences(text: str) -> tuple[TextSpan, ...]:
    """Split a report into sentences; a bullet mark always ends one.

    >>> [s.text for s in sentences("A 2.5 mm nodule is seen. No effusion.")]
    ['A 2.5 mm nodule is seen.', 'No effusion.']
    """
    out: list[TextSpan] = []
    for start, end in _blocks(text):
        begin = start
        for stop in _STOP.finditer(text, start, end):
            if _is_sentence_end(text, stop, begin):
                _append(out, text, begin, stop.end())
                begin = stop.end()
        _append(out, text, begin, end)
    return tuple(out)


def _blocks(text: str) -> list[tuple[int, int]]:
    blocks, begin = [], 0
    for mark in _BULLET.finditer(text):
        blocks.append((begin, mark.start()))
        begin = mark.end()
    blocks.append((begin, len(text)))
    return blocks


def _is_sentence_end(text: str, stop: re.Match[str], begin: int) -> bool:
    if text.count("(", begin, stop.start()) > text.count(")", begin, stop.start()):
        return False  # "(cyst? haemangioma?)" stays in its sentence
    if stop.group() == "?" and text[stop.end() : stop.end() + 2].strip()[:1].islower():
        return False
    return not (stop.group() == "." and _ABBREVIATION.search(text[max(begin, stop.start() - 8) : stop.start()]))


def _append(out: list[TextSpan], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    stripped = piece.strip()
    if re.search(r"\w", stripped):
        begin = start + piece.index(stripped)
        out.append(TextSpan(stripped, begin, begin + len(stripped)))
