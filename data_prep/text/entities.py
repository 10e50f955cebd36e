"""Report text -> entities: what, where, on which side, how large, and whether it is there, denied or doubted."""

import re
from dataclasses import dataclass
from typing import Literal

from data_prep.text.lexicon import LEXICON, SIDE_PATTERN, Lexicon
from data_prep.text.scope import Scope, scopes, segments
from data_prep.text.sentences import TextSpan, sentences

Side = Literal["left", "right", "bilateral", ""]
Assertion = Literal["present", "absent", "uncertain"]

_SIZE = re.compile(
    r"(?P<a>\d+(?:[.,]\d+)?)(?:\s*(?:-|–|x|×|\*|and|to)\s*(?P<b>\d+(?:[.,]\d+)?))?(?:\s*(?:x|×|\*)\s*(?P<c>\d+(?:[.,]\d+)?))?\s*-?(?P<unit>mm|cm)\b(?!\s*(?:hg|thick (?:section|slice)))",
    re.IGNORECASE,
)
# "(30 mm in the previous examination)" is not today's size.
_EARLIER = re.compile(r"[^.;)]{0,25}\b(?:previous|prior|earlier|old)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Entity:
    """One mention of a finding.

    Args:
        finding: canonical finding (`nodule`, `pleural_effusion`).
        text, start, end: the words, and where they stand in the report.
        sentence: index of the sentence.
        organ, region: where, by the nearest anatomical word; `""` where the text does not say.
        side: the patient's side.
        sizes_mm: lengths that stand in the same statement.
        assertion: present, absent or uncertain.
    """

    finding: str
    text: str
    start: int
    end: int
    sentence: int
    organ: str
    region: str
    side: Side
    sizes_mm: tuple[float, ...]
    assertion: Assertion


def extract_entities(text: str, lexicon: Lexicon = LEXICON) -> tuple[Entity, ...]:
    """All findings that a report mentions.

    >>> [(e.finding, e.side, e.sizes_mm, e.assertion) for e in extract_entities("A 6 mm nodule is seen in the right lung. No effusion.")]
    [('nodule', 'right', (6.0,), 'present'), ('pleural_effusion', '', (), 'absent')]
    """
    out: list[Entity] = []
    region = ""
    for index, sentence in enumerate(sentences(text)):
        found, region = _sentence_entities(sentence, index, region, lexicon)
        out += found
    return _without_doubles(out)


def _without_doubles(entities: list[Entity]) -> tuple[Entity, ...]:
    """One entity per thing: no mention inside a longer one of its kind, no coronary plaque that is also one of other arteries."""
    coronary = {(e.sentence, e.organ) for e in entities if e.finding == "coronary_calcification"}
    beyond = re.compile(r"aort|arch|carotid|iliac|subclavian|vessel|vascular", re.IGNORECASE)
    out = []
    for entity in entities:
        rivals = [e for e in entities if e is not entity and e.finding == entity.finding and e.start <= entity.start and entity.end <= e.end]
        plaque = entity.finding == "arterial_calcification" and entity.organ == "coronary_artery" and (entity.sentence, entity.organ) in coronary
        if not rivals and not (plaque and not beyond.search(entity.text)):
            out.append(entity)
    return tuple(out)


def _named_by_place(finding: str, text: str, organ: str, region: str) -> str:
    """Fluid is named after the space that it lies in; higher density outside of the lung is no lung opacity."""
    if finding == "lung_opacity" and region in ("abdomen", "chest_wall", "bone", "neck", "head"):
        return "increased_density"
    if finding != "pleural_effusion" or re.search(r"pleura|thora|empyema", text, re.IGNORECASE):
        return finding
    if organ in ("pericardium", "heart"):
        return "pericardial_effusion"
    return "free_fluid" if region == "abdomen" else finding


def _sentence_entities(sentence: TextSpan, index: int, region_before: str, lexicon: Lexicon) -> tuple[list[Entity], str]:
    statement_scopes = scopes(sentence.text)
    places = [(m.start(), m.end(), str(m.lastgroup)) for m in lexicon.anatomy_pattern.finditer(sentence.text)]
    out = []
    for start, end in segments(sentence.text):
        for finding, pattern in lexicon.finding_patterns:
            for match in pattern.finditer(sentence.text, start, end):
                organ = _nearest(places, match.start(), match.end(), start, end)
                region = lexicon.region(organ) if organ else region_before
                out.append(
                    Entity(
                        finding=_named_by_place(finding, match.group(), organ, region),
                        text=match.group(),
                        start=sentence.start + match.start(),
                        end=sentence.start + match.end(),
                        sentence=index,
                        organ=organ,
                        region=region,
                        side=_side(sentence.text, start, end, match),
                        sizes_mm=_sizes(sentence.text, start, end, match),
                        assertion=_assertion(statement_scopes, match),
                    )
                )
    regions = [lexicon.region(organ) for _, _, organ in places]
    return sorted(out, key=lambda e: (e.start, e.end)), regions[-1] if regions else region_before


def _nearest(places: list[tuple[int, int, str]], start: int, end: int, low: int, high: int) -> str:
    """The organ word closest to a mention, within its statement if there is one, else within the sentence."""
    inside = [p for p in places if low <= p[0] < high] or places
    if not inside:
        return ""
    nearest = min(inside, key=lambda p: (max(p[0] - end, start - p[1], 0), p[0]))[2]
    lobes = {p[2] for p in inside if p[2].startswith("lung_")}
    # "The lower lobe of the left lung": the lobe says more than the word that happens to stand closer.
    return lobes.pop() if nearest == "lung" and len(lobes) == 1 else nearest


def _side(text: str, low: int, high: int, mention: re.Match[str]) -> Side:
    marks = list(SIDE_PATTERN.finditer(text, low, high)) or list(SIDE_PATTERN.finditer(text))
    if not marks:
        return ""
    if any(m.lastgroup == "bilateral" for m in marks):
        return "bilateral"
    sides = {m.lastgroup for m in marks}
    if len(sides) == 1:
        return "left" if "left" in sides else "right"
    nearest = min(marks, key=lambda m: max(m.start() - mention.end(), mention.start() - m.end(), 0))
    return "left" if nearest.lastgroup == "left" else "right"


def _sizes(text: str, low: int, high: int, mention: re.Match[str]) -> tuple[float, ...]:
    """Lengths in mm of the measurement nearest to the mention, in its statement."""
    found = [m for m in _SIZE.finditer(text, low, high) if not _EARLIER.match(text[m.end() : min(m.end() + 45, high)])]
    if not found:
        return ()
    size = min(found, key=lambda m: max(m.start() - mention.end(), mention.start() - m.end(), 0))
    factor = 10.0 if size.group("unit").lower() == "cm" else 1.0
    return tuple(round(float(size.group(g).replace(",", ".")) * factor, 3) for g in "abc" if size.group(g))


def _assertion(found: tuple[Scope, ...], mention: re.Match[str]) -> Assertion:
    middle = (mention.start() + mention.end()) / 2
    kinds = {s.kind for s in found if s.start <= middle < s.end}
    if "absent" in kinds:
        return "absent"
    return "uncertain" if "uncertain" in kinds else "present"
