"""The same questions under cards that training never showed: reordered, renamed, removed, and offering structures that are new.

    cards as training draws them --reversed | other names | without what is needed | with unknown structures--> cards of a variant

The right reply changes with the cards, and only reading them tells how: see `vol3d.evaluation.expert_use`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vol3d.contracts import ExpertCard
from vol3d.vlm.compose import made_up_name
from vol3d.vlm.conversation import Conversation, Turn
from vol3d.vlm.prompt import words

# Names that `compose.made_up_name` cannot make: of experts that exist, and some that nobody would choose.
OTHER_NAMES = (
    "totalsegmentator", "voxtell", "moose", "vista3d", "nnunet_v2", "lungmask", "synthseg", "sat_pro", "brats_2023", "medsam2", "zx_9", "Q7",
    "expert_b", "k", "ward4.scanner", "Zwei-Lappen", "unit_001", "TheOtherOne",
)  # fmt: skip
# Structures that no line, card or question of the training names; lesions are left out, since their names have parts that are known.
UNSEEN: Mapping[str, tuple[str, ...]] = {
    "CT": (
        "adrenal_gland_left", "adrenal_gland_right", "oesophagus", "portal_vein", "duodenum", "inferior_vena_cava", "thyroid_gland", "prostate",
        "small_bowel", "sternum", "spinal_cord", "vertebra_L3", "femur_left", "scapula_right", "iliac_artery_left", "psoas_right", "uterus",
        "pulmonary_vein", "atrial_appendage", "hip_right",
    ),
    "MR": (
        "hippocampus_left", "hippocampus_right", "thalamus_left", "thalamus_right", "brainstem", "cerebellum", "pituitary_gland", "corpus_callosum",
        "putamen_left", "caudate_right", "amygdala_left", "pons", "optic_chiasm",
    ),
}  # fmt: skip
# Wordings that fit any structure; a count or a presence would need its plural or its article.
_TEMPLATES = ("volume", "attenuation", "findings")

Offers = dict[str, tuple[str, ...]]


class Variant(StrEnum):
    """How the cards differ from training's."""

    TRAINED = "as trained"
    REORDERED = "reordered"
    RENAMED = "renamed"
    REMOVED = "removed"
    UNSEEN = "unseen structures"


@dataclass(frozen=True)
class Shown:
    """What one prompt asks and which experts it shows."""

    turns: tuple[Turn, ...]
    offers: Offers


def needs_an_expert(turn: Turn) -> bool:
    """Whether a question can be answered only after a measurement: it names structures that the scan covers, and a look is not enough."""
    return bool(turn.structures) and not turn.image_can and turn.family != "abstention"


def shown(conversation: Conversation, turns: Sequence[Turn], variant: Variant, seed: Sequence[int]) -> Shown:
    """The questions and cards of one variant; `seed` makes the same base cards for all variants of a scan.

    Args:
        conversation: one scan's.
        turns: questions that need an expert.
        variant: what is changed.
        seed: of every draw.

    """
    rng, extra = np.random.default_rng([*seed, 0]), np.random.default_rng([*seed, 1])
    asked = tuple(turns)
    if variant is Variant.REMOVED:
        return Shown(asked, trained_offers(conversation, asked, rng, without=True))
    offers = trained_offers(conversation, asked, rng)
    if variant is Variant.REORDERED:
        offers = {name: arguments[::-1] for name, arguments in reversed(offers.items())}
    elif variant is Variant.RENAMED:
        names = extra.permutation(OTHER_NAMES)
        offers = {str(name): arguments for name, arguments in zip(names, offers.values(), strict=False)}
    elif variant is Variant.UNSEEN:
        asked = unseen_turns(conversation, len(turns), extra)
        offers = with_structures(offers, {s for turn in asked for s in turn.structures}, UNSEEN[conversation.modality], extra)
    return Shown(asked, offers)


def trained_offers(conversation: Conversation, turns: Sequence[Turn], rng: np.random.Generator, *, without: bool = False) -> Offers:
    """Cards as in training (any order, half under made-up names, two to six other structures each), but all that is needed is offered.

    With `without` none of it is, nor its halves and unions (`kidneys` for `kidney_left`), and other structures fill the cards.
    """
    needed = {s for turn in turns for s in turn.structures}
    out: Offers = {}
    for expert in rng.permutation(sorted(conversation.experts)):
        offered = conversation.experts[str(expert)]
        others = [s for s in offered if not _is_part_of_any(s, needed)]
        if without and len(others) < 2:
            others = sorted({s for s in conversation.lines if not _is_part_of_any(s, needed)})
        extra = [str(s) for s in rng.permutation(others)[: int(rng.integers(2, 7))]]
        wanted = [] if without else [s for s in offered if s in needed]
        arguments = tuple(str(s) for s in rng.permutation([*wanted, *extra]))
        name = str(expert) if rng.random() < 0.5 else made_up_name(rng)
        if arguments and name not in out:
            out[name] = arguments
    return out


def unseen_turns(conversation: Conversation, num: int, rng: np.random.Generator) -> tuple[Turn, ...]:
    """The conversation's own wordings about structures that training never names; what they measure is not known and not asked for.

    Empty where the conversation has no question of a fitting family.
    """
    templates = [turn for turn in conversation.turns if turn.family in _TEMPLATES and needs_an_expert(turn)]
    pool = [str(s) for s in rng.permutation(UNSEEN[conversation.modality])]
    out = []
    for i in range(num if templates else 0):
        template = templates[int(rng.integers(len(templates)))]
        names = tuple(pool[(i * 3 + k) % len(pool)] for k in range(len(template.structures)))
        question = template.question
        # Through marks, so that a new name is never taken for one that is still to be replaced.
        marks = [f"\0{k}\0" for k in range(len(names))]
        for old, mark in sorted(zip(template.structures, marks, strict=True), key=lambda pair: -len(pair[0])):
            question = question.replace(words(old), mark)
        for mark, new in zip(marks, names, strict=True):
            question = question.replace(mark, words(new))
        out.append(template.model_copy(update={"qid": f"{conversation.scan}/unseen_{i}", "question": question, "structures": names, "answer": ""}))
    return tuple(out)


def with_structures(offers: Offers, needed: set[str], unknown: Sequence[str], rng: np.random.Generator) -> Offers:
    """The cards with all that is needed on one of them, and on each two or three other structures that are just as new."""
    others = [s for s in unknown if s not in needed]
    chosen = int(rng.integers(len(offers)))
    out = {}
    for i, (name, arguments) in enumerate(offers.items()):
        extra = rng.permutation(others)[: int(rng.integers(2, 4))]
        out[name] = tuple(str(s) for s in rng.permutation([*arguments, *(sorted(needed) if i == chosen else ()), *extra]))
    return out


def cards_of(offers: Mapping[str, Sequence[str]], modality: str) -> list[ExpertCard]:
    """Cards that the parser reads calls against.

    >>> [card.arguments for card in cards_of({"moose": ["liver"]}, "CT")]
    [('liver',)]
    """
    return [
        ExpertCard(
            name=name, version="", modalities=("MR" if modality == "MR" else "CT",), summary="", targets=tuple(arguments),
            arguments=tuple(arguments), cost="", licence="", commercial_use=False, weights="",
        )
        for name, arguments in offers.items()
    ]  # fmt: skip


def _is_part_of_any(structure: str, needed: set[str]) -> bool:
    """Whether one is a part of the other by name (`lungs` and `lung_left`)."""
    own = structure.removesuffix("s")
    return any(own.startswith(n.removesuffix("s")) or n.removesuffix("s").startswith(own) for n in needed)
