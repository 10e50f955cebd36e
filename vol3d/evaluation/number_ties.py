"""Which measured structures a number of a report speaks about: by the names that stand near it, and by the findings that were read there."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vol3d.evaluation.entities import EntityLike
from vol3d.evaluation.number_mentions import NumberMention
from vol3d.vlm.prompt import is_lesion, words

_SIDE = re.compile(r"_(left|right)$")
# The lobes of the liver and the chambers of the heart have sides of their own, which are not the patient's.
_SIDE_WORD = re.compile(r"\b(left|right)\b(?! (?:lobe of (?:the )?liver|hepatic|liver lobe|atri|ventric))", re.IGNORECASE)
# Where no finding was read: a word for something solid, and a word for where it lies.
_SOMETHING = re.compile(r"\b(?:mass(?:es)?|lesions?|focus|foci|tumou?rs?|metastas[ei]s|space-occupying)\b", re.IGNORECASE)
_PLACES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("liver", re.compile(r"\bliver\b|hepatic", re.IGNORECASE)),
    ("kidney", re.compile(r"kidney|\brenal\b", re.IGNORECASE)),
    ("pancreas", re.compile(r"pancrea", re.IGNORECASE)),
    ("brain", re.compile(r"\bbrain|cerebr|intra-?axial|intracranial|(?:frontal|parietal|temporal|occipital) lobe", re.IGNORECASE)),
    ("bone", re.compile(r"vertebra|\bbones?\b|\bribs?\b|sternum|iliac|femur|femoral head", re.IGNORECASE)),
)
# Solid findings are called mass, lesion or tumour by turns, and masks are named after one of them.
_SOLID = ("tumour", "lesion", "mass", "metastasis", "bone_lesion", "soft_tissue_lesion")
_SOLID_NAMES = ("tumour", "lesion")
# finding -> structures, for findings that need no organ to be named.
_DIRECT: dict[str, tuple[str, ...]] = {
    "nodule": ("lung_nodule", "lung_ground_glass_nodule"),
    "ground_glass": ("lung_ground_glass_nodule", "lung_nodule"),
    "lung_opacity": ("lung_ground_glass_nodule", "lung_nodule", "consolidation"),
    "lymphadenopathy": ("lymph_node",),
    "air_cyst": ("lung_cyst",),
}


@dataclass(frozen=True)
class Named:
    """A structure's name at a place of a sentence."""

    structures: tuple[str, ...]
    start: int
    end: int


def base_name(structure: str) -> str:
    """A structure without its side.

    >>> base_name("kidney_tumour_left"), base_name("liver")
    ('kidney_tumour', 'liver')
    """
    return _SIDE.sub("", structure)


def side_in_name(structure: str) -> str:
    """The side that a structure's name carries, or empty."""
    found = _SIDE.search(structure)
    return found.group(1) if found else ""


def side_near(sentence: str, position: int) -> str:
    """The one side that a sentence speaks of, or the one nearest to a position; empty where there is none or both are named together."""
    marks = list(_SIDE_WORD.finditer(sentence))
    if not marks or re.search(r"\b(?:bilateral\w*|both|left and right|right and left)\b", sentence, re.IGNORECASE):
        return ""
    return min(marks, key=lambda m: min(abs(m.start() - position), abs(m.end() - position))).group(1).lower()


def _names(structure: str) -> list[str]:
    """How a text may call a structure; sided ones also without their side."""
    kind, *rest = structure.split("_")
    if kind == "vertebrae" and rest:
        return [f"vertebra {rest[0]}", f"{rest[0]} vertebra"]
    if kind == "rib" and len(rest) == 2:
        return [f"{rest[0]} rib {rest[1]}"]
    return [words(structure), *([words(base_name(structure))] if side_in_name(structure) else [])]


def named_structures(sentence: str, structures: Iterable[str]) -> tuple[Named, ...]:
    """The structures that a sentence names, each stretch of text once, longest names first.

    >>> named_structures("Vertebra L1: 57.8 ml.", ["vertebrae_L1"])[0].structures
    ('vertebrae_L1',)
    >>> [n.structures for n in named_structures("The left kidney has 160 ml, the liver 1450 ml.", ["kidney_left", "kidney_right", "liver"])]
    [('kidney_left',), ('liver',)]
    """
    by_words: dict[str, list[str]] = {}
    for structure in structures:
        for name in _names(structure):
            by_words.setdefault(name, []).append(structure)
    found: list[Named] = []
    for name in sorted(by_words, key=len, reverse=True):
        pattern = r"\W+".join(re.escape(word).replace("tumour", "tumou?r") for word in name.split())
        for match in re.finditer(rf"\b{pattern}(?:e?s)?\b", sentence, re.IGNORECASE):
            if not any(other.start < match.end() and match.start() < other.end for other in found):
                found.append(Named(tuple(by_words[name]), match.start(), match.end()))
    return tuple(sorted(found, key=lambda named: named.start))


def structures_of_finding(entity: EntityLike, structures: Iterable[str]) -> tuple[str, ...]:
    """The measured structures that a finding may be: `mass` of the kidney is `kidney_tumour`, on whichever side."""
    organ = "lung" if entity.organ.startswith("lung") else entity.organ
    if entity.finding in _DIRECT:
        wanted = _DIRECT[entity.finding]
    elif entity.finding in _SOLID:
        wanted = tuple(f"{organ}_{kind}" for kind in _SOLID_NAMES) + (("lung_nodule",) if organ == "lung" else ())
        wanted += ("bone_lesion",) if entity.finding == "bone_lesion" else ()
    elif entity.finding == "cyst":
        wanted = (f"{organ}_cyst",)
    else:
        wanted = (entity.finding,)
    return tuple(s for s in structures if base_name(s) in wanted)


def structures_by_words(sentence: str, structures: Iterable[str]) -> tuple[str, ...]:
    """Solid lesions of the organ that a sentence names, where it speaks of a mass, lesion or focus.

    >>> structures_by_words("Lesion of the pancreas, 14 mm.", ["pancreas", "pancreas_lesion", "liver_tumour"])
    ('pancreas_lesion',)
    """
    if not _SOMETHING.search(sentence):
        return ()
    wanted = {f"{organ}_{kind}" for organ, pattern in _PLACES if pattern.search(sentence) for kind in _SOLID_NAMES}
    return tuple(s for s in structures if base_name(s) in wanted)


def tied_structures(
    mention: NumberMention, others: Sequence[NumberMention], sentence: str, start: int, entities: Sequence[EntityLike], structures: Sequence[str]
) -> tuple[str, ...]:
    """The structures that a number may measure: lesions named or found nearest to it, else, for volumes and densities, the organ nearest to it.

    Args:
        mention, others: the number, and all numbers of its sentence.
        sentence, start: the sentence, and where it begins in the report.
        entities: findings of this sentence.
        structures: what was measured, found or not.
    """
    lesions = [(structures_of_finding(e, structures), e.start) for e in entities]
    named = named_structures(sentence, structures)
    lesions += [(tuple(s for s in n.structures if is_lesion(s)), start + n.start) for n in named]
    lesions = [(found, at) for found, at in lesions if found]
    own = [found for found, at in lesions if _nearest(at, others) is mention]
    if not own and lesions:
        own = [min(lesions, key=lambda item: _gap(item[1], mention))[0]]
    if own:
        return tuple(dict.fromkeys(s for found in own for s in found))
    by_words = structures_by_words(sentence, structures) if mention.quantity != "volume" or not named else ()
    if by_words:
        return by_words
    organs = [n for n in named if not any(is_lesion(s) for s in n.structures)]
    if mention.quantity == "length" or not organs:
        return ()
    return min(organs, key=lambda n: min(_gap(start + n.start, mention), _gap(start + n.end, mention))).structures


def _gap(position: int, mention: NumberMention) -> int:
    return max(mention.start - position, position - mention.end, 0)


def _nearest(position: int, mentions: Sequence[NumberMention]) -> NumberMention:
    return min(mentions, key=lambda m: _gap(position, m))
