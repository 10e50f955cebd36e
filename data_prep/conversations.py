"""Conversations about a scan with known masks: what is asked, what is true, and what an expert would have measured.

One file for the demo's families. The forty-two tumour-centred subtypes stand in `data_prep.questions`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vol3d.contracts import Evidence, Status
from vol3d.vlm.conversation import Turn
from vol3d.vlm.prompt import FOCAL, NOT_COVERED, derived_value, is_lesion, number, one_side, sentence, words

# Findings that the whole-volume tokens could show; smaller ones need an expert.
VISIBLE = ("pleural_effusion", "consolidation", "emphysema", "pericardial_effusion", "brain_tumour", "liver_tumour", "kidney_tumour")
SIDED = (
    "pleural_effusion", "kidney_tumour", "kidney_cyst", "brain_tumour", "lung_nodule", "lung_ground_glass_nodule", "consolidation", "emphysema",
)  # fmt: skip
ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "pancreas", "lung_left", "lung_right", "heart", "brain", "urinary_bladder")
REGIONS = ("chest", "abdomen", "chest and abdomen", "head")


@dataclass(frozen=True)
class Scene:
    """What the families read: evidence from exact masks, and what the scan shows."""

    scan: str
    modality: str
    region: str
    evidence: Evidence

    def status(self, structure: str) -> Status:
        """Found, absent, not covered or failed."""
        return self.evidence.statuses.get(structure, Status.NOT_COVERED)

    def value(self, structure: str, name: str) -> float | None:
        """A number of a structure, or of its largest component."""
        item = self.evidence.find(structure, name) or self.evidence.find(structure, name, component=1)
        return float(item.value) if item is not None and isinstance(item.value, int | float) else None

    def text(self, structure: str, name: str) -> str | None:
        """A word about a structure (its side), or about its largest component."""
        item = self.evidence.find(structure, name) or self.evidence.find(structure, name, component=1)
        return str(item.value) if item is not None and item.value is not None else None


Family = Callable[[Scene, np.random.Generator], list[Turn]]


def turns(scene: Scene, rng: np.random.Generator, families: Sequence[Family] | None = None) -> tuple[Turn, ...]:
    """Every question that can be asked of a scene, each with a wording of its own."""
    made = [turn for family in (families or FAMILIES) for turn in family(scene, rng)]
    return tuple(turn.model_copy(update={"qid": f"{scene.scan}/{i:02d}"}) for i, turn in enumerate(made))


def modality(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """CT or MR."""
    wordings = ("Is this a CT or an MR scan?", "Which modality is this, CT or MR?", "Was this scan made by CT or by MR?")
    return [_choice("modality", rng.choice(wordings), scene.modality, ("CT", "MR"), rng, image_can=True)]


def region(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """Which part of the body lies in the field of view."""
    wordings = ("Which part of the body does the scan show?", "What body region is covered?", "What does the field of view cover?")
    return [_choice("region", rng.choice(wordings), scene.region, REGIONS, rng, image_can=True)]


def presence(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """One finding that is there and one that is not, so that yes and no are equally often right."""
    known = [s for s in scene.evidence.statuses if is_lesion(s) and not s.endswith(("_left", "_right"))]
    out = []
    for status, reply in ((Status.FOUND, "yes"), (Status.ABSENT, "no")):
        pool = [s for s in known if scene.status(s) is status]
        visible = [s for s in pool if s in VISIBLE]
        for chosen in {rng.choice(pool)} | ({rng.choice(visible)} if visible else set()) if pool else set():
            thing = words(str(chosen))
            wordings = (f"Is there {article(thing)}?", f"Does the scan show {article(thing)}?", f"Can {article(thing)} be seen?")
            out.append(_choice("presence", rng.choice(wordings), reply, ("yes", "no"), rng, (str(chosen),), image_can=str(chosen) in VISIBLE))
    return out


def side(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """On which side a finding lies."""
    out = []
    for structure in SIDED:
        # Of a finding on both sides nobody can say on which one it is.
        where = one_side(scene.evidence, structure)
        if scene.status(structure) is not Status.FOUND or where not in ("left", "right"):
            continue
        thing = words(structure)
        wordings = (f"On which side is the {thing}?", f"Is the {thing} on the left or on the right?", f"Which side is the {thing} on?")
        out.append(_choice("side", rng.choice(wordings), where, ("left", "right"), rng, (structure,), image_can=structure in VISIBLE))
    return out


def volume(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """How large an organ or a finding is."""
    pool = [s for s in ORGANS if scene.value(s, "volume")] + [
        s for s in scene.evidence.statuses if is_lesion(s) and scene.value(s, "volume") and not s.endswith(("_left", "_right"))
    ]
    out = []
    for structure in _some(pool, 2, rng):
        thing = words(structure)
        wordings = (f"What is the volume of the {thing}?", f"How large is the {thing} in ml?", f"Give the volume of the {thing} in ml.")
        out.append(_number("volume", rng.choice(wordings), scene.value(structure, "volume"), 1, "ml", (structure,)))
    return out


def diameter(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """The longest axial diameter of the largest lesion of a kind."""
    out = []
    for structure in _some(_lesions(scene, "longest_axial_diameter"), 1, rng):
        thing = words(structure)
        wordings = (
            f"How long is the largest {thing} in mm?",
            f"What is the longest axial diameter of the {thing}?",
            f"Measure the largest {thing} in mm.",
        )
        out.append(_number("diameter", rng.choice(wordings), scene.value(structure, "longest_axial_diameter"), 1, "mm", (structure,)))
    return out


def attenuation(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """Mean CT attenuation of an organ."""
    if scene.modality != "CT":
        return []
    out = []
    for structure in _some([s for s in ORGANS if scene.value(s, "mean_intensity") is not None], 1, rng):
        thing = words(structure)
        wordings = (f"What is the mean attenuation of the {thing}?", f"What is the mean HU of the {thing}?", f"How dense is the {thing} in HU?")
        out.append(_number("attenuation", rng.choice(wordings), scene.value(structure, "mean_intensity"), 0, "HU", (structure,)))
    return out


def count(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """How many lesions of a kind there are."""
    countable = _lesions(scene, "num_components")
    out = []
    for structure in _some(countable, 1, rng):
        thing = words(structure)
        wordings = (f"How many {thing}s are there?", f"Count the {thing}s.", f"What is the number of {thing}s?")
        out.append(_number("count", rng.choice(wordings), scene.value(structure, "num_components"), 0, "", (structure,)))
    return out


def larger_kidney(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """Which of the two kidneys is larger, and by how many ml; not asked where they are equal or one is cut off."""
    wordings = ("Which kidney is larger?", "Which of the two kidneys has the larger volume?", "Is the left or the right kidney larger?")
    reply, kidneys = scene.text("kidney_left", "larger_kidney"), ("kidney_left", "kidney_right")
    difference = scene.evidence.find("kidney_left", "kidney_volume_difference")
    if reply not in ("left", "right") or difference is None:
        return []
    by_how_much = (
        "Which kidney is larger, and by how much?",
        "By how many ml is one kidney larger, and which?",
        "How much larger is the larger kidney?",
    )
    return [
        _choice("comparison", rng.choice(wordings), reply, ("left", "right"), rng, kidneys),
        _text("comparison", str(rng.choice(by_how_much)), f"{reply}, by {derived_value(difference)}", kidneys),
    ]


def splenomegaly(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """Whether the spleen is enlarged, by its volume."""
    wordings = ("Is the spleen enlarged?", "Is there splenomegaly?", "Is the spleen larger than normal?")
    reply = scene.text("spleen", "splenomegaly")
    return [_choice("reasoning", rng.choice(wordings), reply, ("yes", "no"), rng, ("spleen",))] if reply else []


def uncovered(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """The volume of something that the field of view misses: the only right answer is that it was not covered."""
    missed = [s for s in ORGANS if scene.status(s) is Status.NOT_COVERED]
    out = []
    for structure in _some(missed, 1, rng):
        thing = words(structure)
        wordings = (f"What is the volume of the {thing}?", f"How large is the {thing} in ml?")
        out.append(_text("abstention", rng.choice(wordings), NOT_COVERED, (structure,)))
    return out


def findings(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """Sentences on two or three structures, each of which restates its line of evidence."""
    pool = [s for s in scene.evidence.statuses if scene.status(s) in (Status.FOUND, Status.ABSENT) and (s in ORGANS or is_lesion(s))]
    chosen = _some(pool, int(rng.integers(1, 4)), rng)
    if not chosen:
        return []
    asked = f"Describe: {', '.join(words(s) for s in chosen)}."
    return [_text("findings", asked, " ".join(sentence(scene.evidence, s) for s in chosen), tuple(chosen))]


def impression(scene: Scene, rng: np.random.Generator) -> list[Turn]:
    """The findings that are there, in one line, out of a few that were looked for."""
    pool = [s for s in scene.evidence.statuses if scene.status(s) in (Status.FOUND, Status.ABSENT) and is_lesion(s)]
    chosen = _some([s for s in pool if not s.endswith(("_left", "_right"))], 4, rng)
    if not chosen:
        return []
    there = [words(s) for s in chosen if scene.status(s) is Status.FOUND]
    reply = f"{', '.join(there)}.".capitalize() if there else "None of these findings."
    return [_text("impression", f"Impression on: {', '.join(words(s) for s in chosen)}.", reply, tuple(chosen))]


FAMILIES: tuple[Family, ...] = (
    modality, region, presence, side, volume, diameter, attenuation, count, larger_kidney, splenomegaly, uncovered, findings, impression,
)  # fmt: skip
# Families whose reply is one word or number, so that right and wrong are not a matter of taste: what the demo's table counts.
SCORED = ("modality", "region", "presence", "side", "volume", "diameter", "attenuation", "count", "comparison", "reasoning", "abstention")


def article(thing: str) -> str:
    """With its indefinite article, or none for what is not counted."""
    if thing in ("emphysema", "consolidation") or thing.endswith("calcification"):
        return thing
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def _lesions(scene: Scene, name: str) -> list[str]:
    focal = [s for s in scene.evidence.statuses if any(word in s for word in FOCAL)]
    return [s for s in focal if scene.value(s, name) and not s.endswith(("_left", "_right"))]


def _some(pool: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    return [str(s) for s in rng.permutation(sorted(set(pool)))[:most]]


def _choice(
    family: str,
    asked: str,
    reply: str,
    choices: tuple[str, ...],
    rng: np.random.Generator,
    structures: tuple[str, ...] = (),
    *,
    image_can: bool = False,
) -> Turn:
    shuffled = tuple(str(c) for c in rng.permutation(choices))
    return Turn(qid="", family=family, question=str(asked), answer=reply, kind="choice", choices=shuffled, structures=structures, image_can=image_can)


def _number(family: str, asked: str, value: float | None, decimals: int, unit: str, structures: tuple[str, ...]) -> Turn:
    shown = number(float(value or 0.0), decimals)
    reply = f"{shown} {unit}".strip()
    return Turn(qid="", family=family, question=str(asked), answer=reply, kind="number", value=float(shown), unit=unit or None, structures=structures)


def _text(family: str, asked: str, reply: str, structures: tuple[str, ...]) -> Turn:
    return Turn(qid="", family=family, question=str(asked), answer=reply, kind="text", structures=structures)
