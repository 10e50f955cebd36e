"""From a stored conversation to one prompt with its branches: which parts are shown decides what the right reply is.

experts shown | evidence shown | the reply that is trained
no            | any            | the answer (from evidence, from the image, or the best guess)
yes           | covers it      | the answer
yes           | does not       | the call of an expert that offers it
yes           | nobody offers  | "not covered" (unless a look is enough: modality, region)
any           | is wrong       | "doubtful"
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vol3d.vlm import prompt
from vol3d.vlm.conversation import Conversation, Turn
from vol3d.vlm.view import Visuals

# Names of experts that do not exist: in training a card's name has to be read, since no list of the real ones is ever whole.
_NAME_STARTS = ("seg", "organ", "mask", "label", "deep", "auto", "atlas", "voxel", "body", "contour", "volume", "anatomy", "any", "med", "tissue")
_NAME_ENDS = ("net", "former", "seg", "finder", "mapper", "_tool", "_model", "cut", "lab", "scout", "_expert", "reader", "ify", "_one", "trace")


class Condition(StrEnum):
    """What the model is given beside the question."""

    BLIND = "blind"
    IMAGE = "image"
    EVIDENCE = "evidence"
    BOTH = "image+evidence"
    CALL = "image+experts"
    HOP = "image+experts+evidence"

    @property
    def has_image(self) -> bool:
        """Whether the volume's and the key slices' tokens are shown."""
        return "image" in self

    @property
    def has_evidence(self) -> bool:
        """Whether lines of evidence and overlays are shown."""
        return "evidence" in self

    @property
    def has_experts(self) -> bool:
        """Whether the experts that could be called are listed."""
        return "experts" in self


@dataclass(frozen=True)
class Branch:
    """One question at the end of a prefix, and its reply."""

    question: str
    reply: str
    turn: Turn


@dataclass(frozen=True)
class Example:
    """One prefix and the branches that share it; `visuals` is None where no image is shown."""

    prefix: str
    branches: tuple[Branch, ...]
    visuals: Visuals | None


def compose(
    conversation: Conversation,
    visuals: Visuals | None,
    condition: Condition,
    rng: np.random.Generator,
    *,
    turns: Sequence[Turn] | None = None,
    num_distractors: int = 3,
    show_choices: float = 0.5,
    wrong: Collection[str] = (),
    offers: Mapping[str, tuple[str, ...]] | None = None,
) -> Example:
    """Build the prompt of one condition.

    Args:
        conversation: one scan's turns and evidence.
        visuals: its tokens, or None.
        condition: what is shown.
        rng: draws the order of evidence, the distractors, the experts' order, and whether choices are listed.
        turns: the questions; all of the conversation's where None.
        num_distractors: lines of evidence that no question needs.
        show_choices: probability that a question lists its choices.
        wrong: structures whose evidence is exchanged for the conversation's wrong one, wherever their line is shown.
        offers: the experts shown and what each can be asked for, in this order; drawn from the conversation's where None.

    """
    asked = tuple(conversation.turns if turns is None else turns)
    # With experts in view some evidence is held back, so that a call is still needed for part of the questions.
    order, covered = _evidence(conversation, asked, condition, rng, num_distractors)
    spoiled = covered & set(wrong) & set(conversation.wrong)
    drawn = _offers(conversation, asked, rng) if condition.has_experts else {}
    offers = dict(offers) if offers is not None and condition.has_experts else drawn
    shown = visuals if condition.has_image else None
    if shown is not None and shown.wrong is not None and conversation.wrong_overlay_of in spoiled:
        shown = shown.wrong
    overlays = len(shown.overlays) if shown is not None and condition.has_evidence else 0
    if shown is not None and not overlays:
        shown = Visuals(shown.volume, shown.slices)
    text = prompt.prefix(
        num_volumes=int(shown is not None),
        num_slices=len(shown.slices) if shown is not None else 0,
        num_overlays=overlays,
        experts=[prompt.card_line(name, arguments) for name, arguments in offers.items()],
        evidence=_block(conversation, order, spoiled),
    )
    branches = tuple(
        Branch(
            prompt.question(turn.question, turn.choices if rng.random() < show_choices else ()),
            prompt.answer(reply(turn, covered, offers, experts_shown=condition.has_experts, spoiled=spoiled)),
            turn,
        )
        for turn in asked
    )
    return Example(text, branches, shown)


def reply(turn: Turn, covered: set[str], offers: Mapping[str, tuple[str, ...]], *, experts_shown: bool, spoiled: Collection[str] = ()) -> str:
    """The right reply to a turn, given what is shown; `spoiled` are the structures whose lines are wrong."""
    if set(turn.structures) & set(spoiled) and set(turn.structures) <= covered:
        return prompt.DOUBTFUL
    if not experts_shown or not turn.structures or set(turn.structures) <= covered:
        return turn.answer
    for name, arguments in offers.items():
        if set(turn.structures) <= set(arguments):
            return f"<{name}({', '.join(turn.structures)})>"
    return prompt.NOT_COVERED


def _evidence(
    conversation: Conversation, turns: Sequence[Turn], condition: Condition, rng: np.random.Generator, num_distractors: int
) -> tuple[list[str], set[str]]:
    """The structures whose lines are shown, in order, and those of them that some question needs."""
    if not condition.has_evidence:
        return [], set()
    needed = [s for turn in turns for s in turn.structures]
    if condition.has_experts:
        # Each turn's structures are kept or dropped together, as the answer to one call would bring them.
        dropped = {s for turn in turns if rng.random() < 0.5 for s in turn.structures}
        needed = [s for s in needed if s not in dropped]
    others = sorted(set(conversation.lines) - {s for turn in turns for s in turn.structures})
    extra = [str(s) for s in rng.permutation(others)[:num_distractors]]
    covered = set(needed) & set(conversation.lines)
    order = [str(s) for s in rng.permutation(sorted({*covered, *extra}))]
    return order, covered


def _block(conversation: Conversation, order: Sequence[str], spoiled: Collection[str]) -> list[str]:
    """The evidence lines in their order, with wrong ones in the place of the spoiled."""
    out: list[str] = []
    for name in order:
        true = prompt.evidence_block([name], conversation.lines, conversation.derived)
        out += conversation.wrong[name].lines if name in spoiled else true
    return out


def _offers(conversation: Conversation, turns: Sequence[Turn], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """The experts in random order, half of them under made-up names, each with a random part of what it offers: cards are read, not memorised."""
    needed = {s for turn in turns for s in turn.structures}
    out = {}
    for name in rng.permutation(sorted(conversation.experts)):
        offered = conversation.experts[str(name)]
        wanted = [s for s in offered if s in needed and rng.random() < 0.85]
        others = [s for s in offered if s not in needed]
        extra = [str(s) for s in rng.permutation(others)[: int(rng.integers(2, 7))]]
        arguments = tuple(str(s) for s in rng.permutation([*wanted, *extra]))
        if arguments:
            out[str(name) if rng.random() < 0.5 else made_up_name(rng)] = arguments
    return out


def made_up_name(rng: np.random.Generator) -> str:
    """A name that an expert could have, out of a few thousand.

    >>> made_up_name(np.random.default_rng(0))
    'anyscout_v2'
    """
    first, second = (str(rng.choice(parts)) for parts in (_NAME_STARTS, _NAME_ENDS))
    return f"{first}{second}{rng.choice(('', '_ct', '_mr', '_3d', '_v2', '_2', '_large', '_fast'))}"
