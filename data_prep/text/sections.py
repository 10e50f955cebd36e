"""Report text -> technique, comparison, findings, impression; from headed reports and from free text."""

import re
from dataclasses import dataclass

from data_prep.text.sentences import sentences

_HEADINGS = {
    "indication": r"clinical (?:information|history|indication|data)|indications?|history|reason for (?:exam\w*|study)",
    "technique": r"techniques?|procedure|protocol|examination technique|method",
    "comparison": r"comparisons?|prior (?:study|examination)s?",
    "findings": r"findings?|study[_ ]findings|report|results?|description",
    "impression": r"impressions?|conclusions?|opinion|discussion|summary|assessment",
}
_HEADING = re.compile(
    r"(?:^|(?<=[\n.\"•]))\s*(?:" + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _HEADINGS.items()) + r")\s*:\s*",
    re.IGNORECASE,
)
_NOT_GIVEN = re.compile(r"^\s*(?:not given\.?|n/?a|none\.?|nan|-+)\s*$", re.IGNORECASE)
_TECHNIQUE_CUE = re.compile(
    r"\b(?:slice thickness|reconstruct\w+|(?:were|was) (?:obtained|acquired|taken)|multi-?detector|multislice|iv contrast (?:was|material)"
    r"|without (?:the )?(?:iv|intravenous) contrast|\d+ ?mm (?:thick )?(?:sections|slices)|axial (?:sections|images|plane))\b",
    re.IGNORECASE,
)
# A free report ends with bulleted conclusions, or (quoted) with sentences behind a quotation mark.
_IMPRESSION_MARK = re.compile(r"(?<=[.!?)\w])\s*(?=[\"“•])")


@dataclass(frozen=True)
class Sections:
    """The parts of one report; a part that is not there is an empty string."""

    indication: str = ""
    technique: str = ""
    comparison: str = ""
    findings: str = ""
    impression: str = ""


def clean(text: str | None) -> str:
    """One line of text, with the corpora's spellings of 'nothing' turned into nothing.

    >>> clean("Not given."), clean("  two   words ")
    ('', 'two words')
    """
    if text is None or _NOT_GIVEN.match(text):
        return ""
    return " ".join(text.split())


def split_sections(text: str) -> Sections:
    """Parts of a report by its headings; without headings, by bullets (impression) and by what technique sentences say.

    >>> split_sections("Findings: No nodule. Impression: Normal chest.").impression
    'Normal chest.'
    >>> split_sections('The lungs are clear. Heart is normal. " Normal chest CT.').impression
    'Normal chest CT.'
    """
    marks = list(_HEADING.finditer(text))
    if marks:
        return _by_headings(text, marks)
    return _by_shape(text)


def _by_headings(text: str, marks: list[re.Match[str]]) -> Sections:
    parts: dict[str, list[str]] = {"findings": [text[: marks[0].start()]]}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        end = following.start() if following else len(text)
        parts.setdefault(str(mark.lastgroup), []).append(text[mark.end() : end])
    return Sections(**{name: clean(" ".join(pieces)) for name, pieces in parts.items()})


def _by_shape(text: str) -> Sections:
    mark = _IMPRESSION_MARK.search(text)
    body, tail = (text[: mark.start()], text[mark.end() :]) if mark else (text, "")
    bullets = [s.text.strip(' "“”•') for s in sentences(tail)]
    technique: list[str] = []
    findings: list[str] = []
    for sentence in sentences(body):
        leading = not findings  # technique stands first; a later "was obtained" is a finding's comparison
        (technique if leading and _TECHNIQUE_CUE.search(sentence.text) else findings).append(sentence.text)
    return Sections(technique=" ".join(technique), findings=" ".join(findings), impression=" ".join(filter(None, bullets)))
