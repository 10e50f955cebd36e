"""Does the text say what the evidence says? The last word on every answer and every sentence of a report.

A language model may say anything; what leaves the pipeline must rest on a measurement. The check is deliberately literal: each
number must be one that was shown, each "no" must be a structure that was looked for and not found.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vol3d.contracts import Evidence, Measurement, Status
from vol3d.vlm.prompt import DERIVED, NOT_COVERED, derived_value, one_side, structure_facts, words

Verdict = Literal["supported", "contradicted", "unsupported", "not_covered"]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NEGATION = re.compile(r"\b(no|none|not|without|absent)\b")
# Radiologists say "renal mass" where a structure is called `kidney_tumour`. Only before a finding: a renal artery is no kidney.
_FINDING = r"(tumour|cyst|lesion|nodule|metastas\w*)"
_MASS = re.compile(r"\b(tumor|mass|masse|cancer|carcinoma|neoplasm|malignancy)\b")
_ADJECTIVES = {"hepatic": "liver", "renal": "kidney", "pancreatic": "pancreas", "splenic": "spleen", "pulmonary": "lung", "cerebral": "brain"}
_ADJECTIVE = re.compile(rf"\b({'|'.join(_ADJECTIVES)}) (?={_FINDING}\b)")
# What an organ may have without being it: an answer about the lungs is none about lung cancer.
_OF_AN_ORGAN = (
    rf"{_FINDING}|fracture|abscess\w*|stenosi\w*|aneurysm|thrombo\w*|embol\w*|stone|infarct\w*|ha?emorrhage|laceration|rupture|dissection|"
    r"fibrosi\w*|cirrhosi\w*|disease|injury|inflammation|obstruction|collapse"
)
# "right, by 7.3 ml"
_COMPARISON = re.compile(r"(left|right), by (\d+(?:\.\d+)? ml)")
_YES_NO = {"yes": Status.FOUND, "no": Status.ABSENT}
# What may stand in a sentence beside structures, sides and shown numbers. Anything else says something that nobody measured.
_PLAIN_WORD = re.compile(
    r"an?|and|any|are|at|by|is|it|in|of|on|or|the|there|these|with|no|none|not|count|number|found|present|absent|seen|covered|"
    r"findings?|left|right|side|size|largest|longest|mean|measures?|volume|mm|ml|hu"
)


@dataclass(frozen=True)
class Finding:
    """A verdict, and the measurements that it rests on."""

    verdict: Verdict
    measurements: tuple[Measurement, ...] = ()


def mentioned(text: str, structures: Iterable[str]) -> tuple[str, ...]:
    """The structures that a text names, the longest names first, so that 'liver tumour' is not taken for 'liver'.

    >>> mentioned("How large is the left kidney?", ["kidney_left", "kidney_right", "liver"])
    ('kidney_left',)
    >>> mentioned("Which kidney is larger?", ["kidney_left", "kidney_right", "liver"])
    ('kidney_left', 'kidney_right')
    """
    rest, found = f" {_plain(text)} ", []
    for structure in sorted(structures, key=lambda s: -len(words(s))):
        name = _plain(words(structure))
        if _names(name, rest):
            found.append(structure)
            rest = rest.replace(f" {name} ", "  ")
    for structure in structures:
        bare = re.sub(r"^(left|right) ", "", words(structure))
        if structure not in found and bare != words(structure) and _names(_plain(bare), rest):
            found.append(structure)
    return tuple(s for s in dict.fromkeys(structures) if s in found)


def _names(name: str, plain_text: str) -> bool:
    """Whether a text speaks of a structure itself, not of something that it may have."""
    return re.search(rf" {re.escape(name)} (?!(?:{_OF_AN_ORGAN})\b)", plain_text) is not None


def denies(text: str) -> bool:
    """Whether a text says that something is not there.

    >>> denies("No calcification."), denies("Calcification.")
    (True, False)
    """
    return bool(_NEGATION.search(text.lower()))


def check_answer(text: str, structures: Iterable[str], evidence: Evidence) -> Finding:
    """Whether an answer about `structures` agrees with the evidence on them."""
    asked = tuple(structures)
    covered = [s for s in asked if evidence.statuses.get(s, Status.NOT_COVERED) in (Status.FOUND, Status.ABSENT)]
    reply = text.strip().rstrip(".").lower()
    if reply == NOT_COVERED:
        return Finding("contradicted" if covered and len(covered) == len(asked) else "not_covered")
    if not covered:
        return Finding("unsupported")
    if reply in _YES_NO:
        return _check_yes_no(reply, covered, evidence)
    if _COMPARISON.fullmatch(reply):
        return _check_comparison(reply, covered, evidence)
    if _NUMBER.search(reply):
        return check_sentence(text, evidence, structures=covered)
    hits = tuple(
        m
        for m in evidence.measurements
        if m.structure in covered and str(m.value).lower() == reply and (m.name != "side" or one_side(evidence, m.structure) is not None)
    )
    rivals = tuple(m for m in evidence.measurements if m.structure in covered and isinstance(m.value, str))
    return Finding("supported", hits) if hits else Finding("contradicted", rivals) if rivals else Finding("unsupported")


def check_sentence(text: str, evidence: Evidence, *, structures: Iterable[str] | None = None) -> Finding:
    """Whether a sentence names only structures, numbers and absences that the evidence holds."""
    named = tuple(structures) if structures is not None else mentioned(text, evidence.statuses)
    if not named:
        return Finding("unsupported")
    statuses = {s: evidence.statuses.get(s, Status.NOT_COVERED) for s in named}
    if NOT_COVERED in text.lower():
        fits = all(status is Status.NOT_COVERED for status in statuses.values())
        return Finding("not_covered" if fits else "contradicted")
    if _other_words(text, named):
        return Finding("unsupported")
    facts = [fact for s in named for fact in structure_facts(evidence, s)]
    shown = {n: f.measurement for f in facts for n in _NUMBER.findall(f.text)}
    numbers = _NUMBER.findall(text)
    if any(n not in shown for n in numbers):
        return Finding("unsupported")
    wanted = Status.ABSENT if denies(text) else Status.FOUND
    if any(status is not wanted for status in statuses.values()):
        return Finding("contradicted")
    if not _sides_agree(text, named, evidence):
        return Finding("contradicted")
    used = tuple(dict.fromkeys(shown[n].id for n in numbers))
    by_id = {m.id: m for m in evidence.measurements}
    first = tuple(m for s in named for m in evidence.measurements if m.structure == s)[:1]
    return Finding("supported", tuple(by_id[i] for i in used) or first)


def _check_yes_no(reply: str, covered: list[str], evidence: Evidence) -> Finding:
    """Yes and no are about presence, or about a derived statement (`splenomegaly: no`) where there is one."""
    derived = tuple(m for m in evidence.measurements if m.structure in covered and m.name in DERIVED and m.value in ("yes", "no"))
    if derived:
        return Finding("supported" if any(m.value == reply for m in derived) else "contradicted", derived)
    found = any(evidence.statuses[s] is Status.FOUND for s in covered)
    basis = tuple(m for s in covered for m in evidence.measurements if m.structure == s and m.name in ("volume", "num_components"))
    return Finding("supported" if found == (reply == "yes") else "contradicted", basis)


def _check_comparison(reply: str, covered: list[str], evidence: Evidence) -> Finding:
    """Which of a pair is larger and by how much: both the side and the difference must be the derived ones."""
    derived = {m.name: m for m in evidence.measurements if m.structure in covered and m.name in ("larger_kidney", "kidney_volume_difference")}
    if len(derived) < 2:
        return Finding("unsupported")
    side, difference = derived["larger_kidney"], derived["kidney_volume_difference"]
    agrees = reply == f"{side.value}, by {derived_value(difference)}"
    return Finding("supported" if agrees else "contradicted", (difference, side))


def _other_words(text: str, named: tuple[str, ...]) -> set[str]:
    """Words of a sentence that are neither plain nor part of a structure that it names."""
    own = {word for s in named for word in _plain(words(s)).split()}
    return {word for word in _plain(text).split() if not word[0].isdigit() and not _PLAIN_WORD.fullmatch(word)} - own


def _sides_agree(text: str, named: tuple[str, ...], evidence: Evidence) -> bool:
    said = {side for side in ("left", "right") if re.search(rf"\b{side}\b", text.lower())}
    if not said:
        return True
    measured = {m.structure for m in evidence.measurements if m.structure in named and m.name == "side"}
    sides = {structure: one_side(evidence, structure) for structure in measured}
    if None in sides.values():
        return False
    known = {str(side) for side in sides.values()} | {s.rsplit("_", 1)[1] for s in named if s.endswith(("_left", "_right"))}
    return not known or said <= known


def _plain(text: str) -> str:
    """Lower case words, plural s dropped, findings by their structure's name, so that names can be looked up with spaces around them."""
    tokens = re.findall(r"[a-z0-9]+", text.lower())
    singular = " ".join(t[:-1] if t.endswith("s") and len(t) > 3 and not t.endswith(("ss", "is", "us", "as")) else t for t in tokens)
    named = _ADJECTIVE.sub(lambda m: f"{_ADJECTIVES[m[1]]} ", _MASS.sub("tumour", singular))
    return named.replace("pancreas tumour", "pancreas lesion")
