"""Yes or no, as a bool, or None: 'Normal' and 'nodule' start with 'no' and mean nothing of the kind."""

import re
from typing import Literal

from vol3d.evaluation.parsing.text import clean, is_undecided

_IDIOM = re.compile(r"\b(?:no (?:doubt|question|problem|wonder)|without (?:a )?doubt)\b,?", re.I)
_HEAD = re.compile(r"^\W*(yes|yeah|yep|no|nope|true|false|positive|negative|y|n)\b(?!\s*(?:or|/|and|\|)\s*(?:yes|no|true|false)\b)", re.I)
_STATED = re.compile(
    r"\b(?:answer|conclusion|response|result|verdict|it)\b(?:\s*(?:is|would be|:|=|->|-|therefore|thus|definitely))+\s*[\"'(]*(yes|no|true|false|positive|negative)\b",
    re.I,
)
_WORD = re.compile(r"\b(yes|no(?=\s*[.,;!)]|\s*$)|true|false)\b", re.I)
_CORRECTION = re.compile(r"\b(?:wait|actually|correction|sorry|final|on reflection)\b", re.I)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|might|may be|may have|could be|likely|probable|probably|suspected|cannot exclude|equivocal|not (?:been |yet )?(?:ruled out|excluded|absent)|(?:except|apart from|other than)|yes and no|yes or no|yes/no)\b|\?\s*$",
    re.I,
)
_ABSENT = re.compile(
    r"\b(?:there (?:is|are|was|were) (?:no|not)\b|(?:is|are|was|were|has|have|does|do|did|could|can) ?(?:not|n't|no)\b|no(?:t)? (?:evidence|sign|signs)\b|absent\b|absence\b|not (?:present|seen|visible|found|detected|identified|observed|enlarged)\b|"
    r"without\b|free of\b|unremarkable\b|ruled out\b|excluded\b|undetected\b)|n't\b|\bno\s+\w|^\W*not\b(?! only)|^\W*none\b",
    re.I,
)
_PRESENT = re.compile(
    r"\b(?:there (?:is|are|was|were) (?!no\b|not\b)|present\b|(?:is|are|was|were) (?:seen|visible|found|detected|identified|observed|noted|enlarged)\b|"
    r"(?:shows|demonstrates|reveals|contains) (?!no\b)|(?:there's|I see|has|have) (?:an?|one|two|three|several|multiple)\b)|\b(?:seen|detected|identified|found|visible)\W*$",
    re.I,
)
_DENIED = re.compile(r"(?:\bnot|n't|\bnever)\s+(?:(?:say|answer|call|be|a|an?|it)\s+){1,3}[\"']?(?:yes|no)\b", re.I)
_TRUE = {"yes", "yeah", "yep", "true", "positive", "y"}


def parse_yes_no(text: str, *, mode: Literal["strict", "lenient"] = "strict") -> bool | None:
    """True for yes, False for no, None where the text does not decide.

    `strict` takes an explicit word, or a plain statement of presence or absence; `lenient` also takes hedged ones.

    >>> parse_yes_no("Yes, in segment 4"), parse_yes_no("No lesion is seen."), parse_yes_no("Normal")
    (True, False, None)
    """
    body = _IDIOM.sub(" ", clean(text)).strip()
    if not body:
        return None
    explicit = _explicit(body)
    if explicit is not None:
        return explicit[0]
    if mode == "strict" and (is_undecided(body) or _HEDGE.search(body)):
        return None
    absent, present = bool(_ABSENT.search(body)), bool(_PRESENT.search(_ABSENT.sub(" ", body)))
    if absent != present or (absent and mode == "lenient"):
        return not absent
    return None if not absent or _listed(body) else False


def _listed(body: str) -> bool:
    """Presence and absence in different clauses ('a cyst is seen, no tumour') decide nothing without the question."""
    clauses = [c for c in re.split(r"[,.;]|\bbut\b|\bhowever\b|\bwith\b", body) if c.strip()]
    return any(_PRESENT.search(_ABSENT.sub(" ", c)) and not _ABSENT.search(c) for c in clauses)


def _explicit(body: str) -> tuple[bool | None] | None:
    """A 1-tuple with the reading of explicit words (its None: they contradict), or None when there are none."""
    if re.search(r"\byes\s*(?:/|\||or|and)\s*no\b|\bno\s*(?:/|\||or|and)\s*yes\b", body, re.I):
        return (None,)
    if _DENIED.search(body):
        return (None,)
    stated = [_value(m.group(1)) for m in _STATED.finditer(body)]
    if stated:
        return _agreed(stated, body)
    head = _HEAD.match(body)
    if head and not (head.group(1).lower() == "no" and re.match(r"\s+\w", body[head.end() :])):
        return _headed(_value(head.group(1)), body[head.end() :])
    words = [_value(m.group(1)) for m in _WORD.finditer(body)]
    if head and any(words):  # 'No lesion in the liver; yes in the kidney'
        return (None,)
    return _agreed(words, body) if words else None


def _headed(value: bool, rest: str) -> tuple[bool | None]:
    """'Yes, ...': the first word, unless the rest takes it back."""
    later = [_value(m.group(1)) for m in _WORD.finditer(rest)]
    if any(v != value for v in later):
        return (later[-1],) if _CORRECTION.search(rest) else (None,)
    if value and re.match(r"\W*(?:there (?:is|are) (?:no|not)\b|no\b)", rest, re.I):
        return (None,)
    return (value,)


def _agreed(values: list[bool], body: str) -> tuple[bool | None]:
    if len(set(values)) == 1:
        return (values[0],)
    return (values[-1],) if _CORRECTION.search(body) else (None,)


def _value(word: str) -> bool:
    return word.lower() in _TRUE
