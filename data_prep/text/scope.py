"""Which stretches of a sentence are denied, doubted or past.

In the manner of NegEx and ConText (Chapman et al. 2001; Harkema et al. 2009): a cue denies what stands in its scope, a scope
ends at the next statement. Written for full sentences ("X was not observed") as well as for telegram style ("no X").
"""

import itertools
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["absent", "uncertain", "past"]

_SEEN = (
    r"(?:observed|detected|seen|found|present|identified|distinguished|encountered|demonstrated|noted|visuali[sz]ed|available|noticed|appreciated"
    r"|monitored|followed|selected|depicted|evident|determined|revealed|shown|remarkable|watched|traced|described|mentioned|visible|recogni[sz]ed)"
)
_PREDICATE = re.compile(
    rf"\b(?:is|are|was|were|has been|have been|be|being)\s+(?:(?:also|clearly|currently|still|partially|mostly|generally|seen|not|newly|again)\s+)*{_SEEN}\b"
    r"|\bthere (?:is|are|was|were)\b|\b(?:is|are|was|were) (?:not )?(?:normal|natural|open|patent|preserved|clear|evaluated|followed|measured|thought|consistent|compatible)\b",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"\s*;\s*|,?\s+(?:but|however|whereas|although|though|nevertheless|yet)\b,?|,\s+(?:and|while|with|there (?:is|are)|no|in addition|also|apart from this)\b|,\s+|\.\s+|\s+and\s+|\s+while\s+",
    re.IGNORECASE,
)
_STRONG_BREAK = re.compile(r";|\b(?:but|however|whereas|although|though|nevertheless)\b|,\s+(?:and|while|no|there)\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|without|absence of|free of|free from|negative for|neither|nor|lack of|devoid of|absent)\b", re.IGNORECASE)
# "No difference in the nodules" and "a node that did not reach pathological size" say that the thing is there.
_NO_CHANGE = re.compile(
    r"\b(?:no|without)\s+(?:(?:significant|obvious|remarkable|marked|evident|clear|apparent|major|notable|definite|interval|newly|developed|new)\s+)*"
    r"(?:change|difference|progression|regression|(?:increase|decrease) in (?:the )?(?:size|number|dimension|lesion|nodule)|interval|enlargement in (?:the )?(?:size|number)|growth|contrast|iv\b|evidence of (?:progression|growth))",
    re.IGNORECASE,
)
_NOT = re.compile(
    rf"\b(?:not|n't|never)\s+(?:(?:be|been|clearly|definitely|significantly|currently|present|be clearly)\s+)*(?:{_SEEN}|observe|detect|see|include|contain|show|have|exist|in question|accompanied|occur|typical|suggestive|compatible|consistent)\b"
    r"|\b(?:is|are|was|were)\s+absent\b|\bnot\s+(?:any|a|an)\b|\b(?:ruled out|disappeared|resolved|no longer)\b|\bnone\b",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"\b(?:that|which|whose|where|but)\b", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:is|are|was|were|may|can|could|has|have|had|did|does|do|reach\w*|exceed\w*|caus\w+|extend\w*|show\w*|suggest\w*)\b", re.IGNORECASE
)
_EXCEPT = re.compile(r"\b(?:except|other than|apart from|besides|excluding|but|aside from)\b", re.IGNORECASE)
_DOUBT = re.compile(
    r"\?|\b(?:may|might|could) (?:be|represent|belong|also|have|indicate|suggest)\b|\b(?:possibl[ey]|probabl[ey]|suspicious|suspected|suspicion|suggest\w*|likely|presumably|compatible with"
    r"|consistent with|in favou?r of(?! the heart)|cannot be (?:excluded|ruled out)|differential|impression of|thought to)\b",
    re.IGNORECASE,
)
_PAST = re.compile(r"\b(?:history of|previous(?:ly)?|operated|status post|s/p|underwent|had undergone|known)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Scope:
    """Characters `start:end` of a sentence to which a cue applies."""

    start: int
    end: int
    kind: Kind


def segments(sentence: str) -> tuple[tuple[int, int], ...]:
    """Statements of a sentence: each holds at most one "is seen" or "is not seen".

    >>> text = "Nodules are seen in both lungs, and effusion was not detected."
    >>> [text[a:b] for a, b in segments(text)]
    ['Nodules are seen in both lungs', 'effusion was not detected.']
    """
    cuts: list[tuple[int, int]] = []
    predicates = list(_PREDICATE.finditer(sentence))
    for first, second in itertools.pairwise(predicates):
        between = list(_BREAK.finditer(sentence, first.end(), second.start() + (1 if second.group().lower().startswith("there") else 0)))
        if between:
            strong = [b for b in between if _STRONG_BREAK.search(b.group())]
            cut = (strong or between)[0]
            cuts.append((cut.start(), _content_start(cut)))
    cuts += [(m.start(), m.end()) for m in re.finditer(r"\s*;\s*", sentence)]
    out, begin = [], 0
    for start, end in sorted(set(cuts)):
        if start >= begin:
            out.append((begin, start))
            begin = end
    out.append((begin, len(sentence)))
    return tuple(out)


def _content_start(cut: re.Match[str]) -> int:
    """Where the next statement begins: its own "no" or "there is" belongs to it."""
    tail = re.search(r"\b(?:no|there (?:is|are))\s*$", cut.group(), re.IGNORECASE)
    if tail:
        return cut.start() + tail.start()
    return cut.end() + (1 if cut.string[cut.end() : cut.end() + 1] == " " else 0)


def scopes(sentence: str) -> tuple[Scope, ...]:
    """All scopes of a sentence.

    >>> [(s.kind, "No pleural effusion was seen."[s.start:s.end]) for s in scopes("No pleural effusion was seen.")]
    [('absent', ' pleural effusion was seen.')]
    """
    out: list[Scope] = []
    for start, end in segments(sentence):
        out += _denied(sentence, start, end)
        out += [Scope(start, end, "uncertain") for _ in [0] if _DOUBT.search(sentence, start, end)]
        out += [Scope(m.start(), end, "past") for m in _PAST.finditer(sentence, start, end)]
    return tuple(out)


def _denied(sentence: str, start: int, end: int) -> list[Scope]:
    out = []
    for cue in _NO.finditer(sentence, start, end):
        if _NO_CHANGE.match(sentence, cue.start(), end):
            continue
        stop = _EXCEPT.search(sentence, cue.end(), end)
        limit = stop.start() if stop else end
        if cue.group().lower() in ("without", "absence of", "lack of"):
            pause = re.search(r",|\b(?:is|are|was|were)\b", sentence[cue.end() : limit])
            limit = cue.end() + pause.start() if pause else limit
        out.append(Scope(cue.end(), limit, "absent"))
    for cue in _NOT.finditer(sentence, start, end):
        scope = _scope_of_not(sentence, start, end, cue)
        if scope:
            out.append(scope)
    return out


def _scope_of_not(sentence: str, start: int, end: int, cue: re.Match[str]) -> Scope | None:
    relative = list(_RELATIVE.finditer(sentence, start, cue.start()))
    if relative:
        inner = sentence[relative[-1].end() : cue.start()]
        if len(_VERB.findall(inner)) <= 1:  # the relative clause's own verb is the denied one
            return Scope(relative[-1].start(), end, "absent")
    if re.search(
        r"\b(?:previous|prior|old|earlier) (?:\w+ )?(?:examination|ct|study|exam|review|tomography)", sentence[cue.end() : end], re.IGNORECASE
    ):
        return None
    subject = sentence[start : cue.start()]
    if re.search(r"\b(?:difference|change|progression|regression|increase in (?:size|number)|significant increase)\b[^,]*$", subject, re.IGNORECASE):
        return None
    stop = list(_EXCEPT.finditer(sentence, start, cue.start()))
    begin = stop[-1].end() if stop and "," in sentence[stop[-1].end() : cue.start()] else start
    if stop and begin != start:
        begin = sentence.index(",", stop[-1].end())
    return Scope(begin, end, "absent")
