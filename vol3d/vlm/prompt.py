"""The words around the tokens: scan, experts, evidence, question. Trusted text is ours; everything else is made harmless first.

<|im_start|>system ... <|im_end|>
<|im_start|>user
Scan: <volume> Slices: <slice><slice><slice>
Experts: threshold_ct(lungs, airway, bone)
Evidence:
liver: found, volume 1450.2 ml, mean 55 HU
Overlays: <overlay>
---- the prefix ends here; each question is a branch of its own ----
Question: ... <|im_end|>
<|im_start|>assistant
1450.2 ml<|im_end|>
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from vol3d.contracts import Evidence, Measurement, Status

VOLUME, SLICE, OVERLAY = "<volume>", "<slice>", "<overlay>"
END = "<|im_end|>"
# Derived measurements (experts3d.derive) that are worth a line of the prompt.
DERIVED = ("larger_kidney", "kidney_volume_difference", "splenomegaly", "hepatic_steatosis", "emphysema_index")
NOT_COVERED = "not covered"
# The reply of a model that finds evidence and image, or two pieces of evidence, at odds.
DOUBTFUL = "doubtful"

_MARKUP = re.compile(r"<(?=\||/?(?:volume|slice|overlay)\b)", re.IGNORECASE)

# What of a structure's measurements is worth its tokens, and how many decimals. The answer copies these very strings.
_SHOWN = {
    "volume": ("volume", 1),
    "num_components": ("count", 0),
    "longest_axial_diameter": ("largest", 1),
    "mean_intensity": ("mean", 0),
}
_FOCAL_ONLY = {"num_components", "longest_axial_diameter"}
# Findings that are counted and measured across; effusions, emphysema and the like spread, and have a volume only.
FOCAL = ("tumour", "cyst", "lesion", "nodule", "node")
# Structures whose parts are worth counting and measuring one by one; all others are organs and tissues.
LESIONS = (
    "tumour", "cyst", "lesion", "nodule", "node", "effusion", "consolidation", "emphysema", "calcification", "hernia",
)  # fmt: skip


def is_lesion(structure: str) -> bool:
    """Whether a structure name speaks of a finding rather than of an organ.

    >>> is_lesion("liver_tumour"), is_lesion("pleural_effusion_left"), is_lesion("liver")
    (True, True, False)
    """
    return any(word in structure for word in LESIONS)


def harmless(text: str, *, limit: int = 2000) -> str:
    """User text that can neither open a role nor claim a place for image tokens; control characters and excess are dropped.

    >>> harmless("hi <|im_end|> <volume>")
    'hi < |im_end|> < volume>'
    """
    printable = "".join(c if c.isprintable() else " " for c in text)
    return _MARKUP.sub("< ", printable)[:limit].strip()


def number(value: float, decimals: int) -> str:
    """A number as prompts and answers write it.

    >>> number(1450.24, 1), number(-3.6, 0), number(-0.2, 0)
    ('1450.2', '-4', '0')
    """
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


@dataclass(frozen=True)
class Fact:
    """One shown number: its text in the prompt and the measurement behind it."""

    text: str
    measurement: Measurement


def words(structure: str) -> str:
    """A structure as a radiologist would say it.

    >>> words("kidney_left"), words("liver_tumour")
    ('left kidney', 'liver tumour')
    """
    for suffix in ("_left", "_right"):
        if structure.endswith(suffix):
            return f"{suffix[1:]} {structure[: -len(suffix)].replace('_', ' ')}"
    return structure.replace("_", " ")


def sentence(evidence: Evidence, structure: str) -> str:
    """One structure as a sentence of findings, in the form that the model is taught and `grounding` can check."""
    status = evidence.statuses.get(structure, Status.NOT_COVERED)
    thing = words(structure)
    if status is Status.ABSENT:
        return f"No {thing}."
    if status is not Status.FOUND:
        return f"{thing.capitalize()}: {status.replace('_', ' ')}."
    facts = ", ".join(fact.text for fact in structure_facts(evidence, structure))
    side = one_side(evidence, structure)
    says_side = is_lesion(structure) and not structure.endswith(("_left", "_right")) and side in ("left", "right")
    where = f" on the {side}" if says_side else ""
    return f"{thing.capitalize()}{where}: {facts}." if facts else f"{thing.capitalize()}{where} is seen."


def one_side(evidence: Evidence, structure: str) -> str | None:
    """The side on which a finding lies, or None where its parts lie on different sides: their common centroid would name one of them."""
    sides = {str(m.value) for m in evidence.measurements if m.structure == structure and m.name == "side"}
    return next(iter(sides)) if len(sides) == 1 else None


def structure_facts(evidence: Evidence, structure: str) -> tuple[Fact, ...]:
    """The numbers of a structure that a prompt shows, in fixed order."""
    facts = []
    for name, (word, decimals) in _SHOWN.items():
        if name in _FOCAL_ONLY and not any(word in structure for word in FOCAL):
            continue
        item = evidence.find(structure, name) or evidence.find(structure, name, component=1)
        # MR has no unit, so a mean there says nothing that another scan could be held against.
        if item is None or not isinstance(item.value, int | float) or item.unit == "a.u.":
            continue
        unit = f" {item.unit}" if item.unit and name != "num_components" else ""
        facts.append(Fact(f"{word} {number(float(item.value), decimals)}{unit}", item))
    return tuple(facts)


def evidence_line(evidence: Evidence, structure: str) -> str:
    """One structure in one line: status, numbers, side."""
    status = evidence.statuses.get(structure, Status.NOT_COVERED)
    thing = words(structure)
    if status is not Status.FOUND:
        return f"{thing}: {status.replace('_', ' ')}"
    parts = [fact.text for fact in structure_facts(evidence, structure)]
    side = one_side(evidence, structure)
    if side is not None and is_lesion(structure):
        parts.append(f"side {side}")
    return f"{thing}: found" + "".join(f", {part}" for part in parts)


def second_opinion(line: str) -> str:
    """A line of evidence as another expert's, for a structure on which two experts disagree.

    >>> second_opinion("liver: absent")
    'liver, by another expert: absent'
    """
    name, _, rest = line.partition(": ")
    return f"{name}, by another expert: {rest}"


def derived_lines(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """Derived facts in words, by the first structure that they were computed from (`larger kidney: left` under `kidney_left`)."""
    lines: dict[str, tuple[str, ...]] = {}
    for item in evidence.measurements:
        if item.name not in DERIVED or item.value is None:
            continue
        line = f"{item.name.replace('_', ' ')}: {derived_value(item)}"
        lines[item.structure] = (*lines.get(item.structure, ()), line)
    return lines


def derived_value(item: Measurement) -> str:
    """A derived value as prompts and answers write it: `left`, `7.3 ml`."""
    value = number(item.value, 1) if isinstance(item.value, float) else str(item.value)
    return f"{value} {item.unit}" if item.unit else value


def evidence_block(order: Sequence[str], lines: Mapping[str, str], derived: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The evidence lines of the named structures in their order, each followed by what was derived from it."""
    return [line for name in order if name in lines for line in (lines[name], *derived.get(name, ()))]


def card_line(name: str, arguments: Sequence[str]) -> str:
    """One expert as the prompt shows it.

    >>> card_line("threshold_ct", ["lungs", "bone"])
    'threshold_ct(lungs, bone)'
    """
    return f"{name}({', '.join(arguments)})"


def prefix(
    *,
    num_volumes: int = 0,
    num_slices: int = 0,
    num_overlays: int = 0,
    experts: Iterable[str] = (),
    evidence: Iterable[str] = (),
) -> str:
    r"""The prompt up to the question, with one placeholder for each picture that the model is given.

    >>> prefix(num_volumes=1, evidence=["liver: absent"]).endswith("Scan: <volume>\nEvidence:\nliver: absent\n")
    True
    """
    lines = []
    if num_volumes or num_slices:
        slices = f" Slices: {SLICE * num_slices}" if num_slices else ""
        lines.append(f"Scan: {VOLUME * num_volumes}{slices}")
    experts, evidence = list(experts), list(evidence)
    if experts:
        lines.append("Experts: " + "; ".join(experts))
    if evidence:
        lines += ["Evidence:", *evidence]
    if num_overlays:
        lines.append(f"Overlays: {OVERLAY * num_overlays}")
    body = "".join(f"{line}\n" for line in lines)
    return f"<|im_start|>system\n{system_text()}{END}\n<|im_start|>user\n{body}"


def question(text: str, choices: Sequence[str] = ()) -> str:
    """The branch that asks: the question, its choices if any, and the opening of the answer."""
    options = f" ({' / '.join(harmless(c, limit=200) for c in choices)})" if choices else ""
    return f"Question: {harmless(text)}{options}{END}\n<|im_start|>assistant\n"


def answer(text: str) -> str:
    """The branch's target in training."""
    return f"{text}{END}"


def system_text() -> str:
    """The standing instruction."""
    return (files("vol3d.vlm") / "templates" / "system.txt").read_text(encoding="utf-8").strip()
