"""Training groups for the vision-language model: each draw composes a scan's conversation anew.

The item of an index is a pure function of the index, so that a run can be resumed in the middle of an epoch.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch.utils.data import Dataset

from vol3d.errors import ConfigError
from vol3d.vlm.compose import Condition, compose
from vol3d.vlm.conversation import Conversation, Turn
from vol3d.vlm.fuse import Visual
from vol3d.vlm.packing import Group
from vol3d.vlm.view import Visuals

# How often each condition is drawn. Evidence is what the pipeline shows most; the blind share teaches what cannot be known.
CONDITION_WEIGHTS: Mapping[str, float] = {
    Condition.BLIND: 0.06,
    Condition.IMAGE: 0.3,
    Condition.EVIDENCE: 0.14,
    Condition.BOTH: 0.2,
    Condition.CALL: 0.15,
    Condition.HOP: 0.15,
}


@runtime_checkable
class Corpus(Protocol):
    """Anything that gives (Conversation, Visuals) by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Conversation, Visuals]: ...


# A packed group in training; whoever gives another function gets what that returns.
MakeGroup = Callable[[str, Sequence[Visual], Sequence[tuple[str, str]]], Group | Any]


class ConversationGroups(Dataset):
    """Map-style dataset of packed groups.

    Args:
        corpus: the scans.
        make_group: `VisionLanguageModel.group`: text and visuals to token ids.
        draws: how many times each scan is composed in one epoch.
        num_turns: questions that share one prefix, at most.
        conditions: weight of each condition by its name; the default where None.
        wrong_share: of the draws that show evidence, in how many some of it is wrong (where the conversation has wrong evidence).
        seed: of all draws.
    """

    def __init__(
        self,
        corpus: Corpus,
        make_group: MakeGroup,
        *,
        draws: int = 1,
        num_turns: int = 8,
        conditions: Mapping[str, float] | None = None,
        wrong_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        weights = dict(conditions or CONDITION_WEIGHTS)
        unknown = set(weights) - {str(c) for c in Condition}
        if unknown or sum(weights.values()) <= 0:
            raise ConfigError("unknown conditions", expected=", ".join(Condition), found=", ".join(sorted(unknown)) or "weights that sum to 0")
        self.corpus, self.make_group = corpus, make_group
        self.draws, self.num_turns, self.seed, self.wrong_share = draws, num_turns, seed, wrong_share
        self._names = [Condition(name) for name in weights]
        self._shares = np.array(list(weights.values())) / sum(weights.values())

    def __len__(self) -> int:
        return len(self.corpus) * self.draws

    def __getitem__(self, index: int) -> Group | Any:
        rng = np.random.default_rng([self.seed, index])
        conversation, visuals = self.corpus[index % len(self.corpus)]
        condition = self._names[int(rng.choice(len(self._names), p=self._shares))]
        wrong = draw_wrong(conversation, rng) if condition.has_evidence and rng.random() < self.wrong_share else ()
        turns = choose_turns(conversation, condition, self.num_turns, rng, first=conversation.wrong if wrong else ())
        example = compose(conversation, visuals, condition, rng, turns=turns, wrong=wrong)
        pictures = example.visuals.in_order if example.visuals else ()
        return self.make_group(example.prefix, pictures, [(b.question, b.reply) for b in example.branches])


def draw_wrong(conversation: Conversation, rng: np.random.Generator) -> tuple[str, ...]:
    """About two in three of the structures that have wrong evidence, so that true and wrong lines stand side by side."""
    return tuple(s for s in conversation.wrong if rng.random() < 2 / 3)


def choose_turns(conversation: Conversation, condition: Condition, most: int, rng: np.random.Generator, *, first: Collection[str] = ()) -> list[Turn]:
    """Up to `most` turns; those about the structures in `first`, or with nothing but the image those that an image can answer, come first."""
    order = [conversation.turns[int(i)] for i in rng.permutation(len(conversation.turns))]
    if condition in (Condition.IMAGE, Condition.BLIND):
        # What neither image nor evidence can tell would only teach the model to make numbers up.
        order = sorted((t for t in order if t.kind == "choice" or t.family == "abstention"), key=lambda t: not t.image_can)
    elif first:
        order = sorted(order, key=lambda t: not set(t.structures) & set(first))
    return order[:most]
