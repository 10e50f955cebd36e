"""What does the model answer from? The same questions under five conditions: blind, image, evidence, both, another patient's image.

A model that reads the image beats the blind one, and loses that lead when it is shown somebody else's scan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vol3d.evaluation.statistics import Estimate, cluster_bootstrap
from vol3d.evaluation.vqa import score_category, score_number
from vol3d.vlm.compose import Condition, compose
from vol3d.vlm.conversation import Conversation, Turn
from vol3d.vlm.view import Visuals

OTHER = "another patient's image"
CONDITIONS = (Condition.BLIND, Condition.IMAGE, Condition.EVIDENCE, Condition.BOTH, OTHER)
# A number counts as right within two percent, or half a unit where that is more (counts, small diameters).
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.02, 0.5

AnswerMany = Callable[[str, Visuals | None, Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class Scored:
    """One question under one condition."""

    qid: str
    patient: str
    family: str
    image_can: bool
    condition: str
    reply: str
    answer: str
    is_right: bool


def is_right(reply: str, turn: Turn) -> bool:
    """Whether a reply is the answer: the choice named, the number within tolerance, the text equal.

    >>> turn = Turn(qid="a", family="volume", question="?", answer="50.0 ml", kind="number", value=50.0, unit="ml")
    >>> is_right("50.6 ml", turn), is_right("55 ml", turn)
    (True, False)
    """
    if turn.kind == "choice":
        return score_category(reply, turn.answer, turn.choices).value == 1.0
    if turn.kind == "number" and turn.value is not None:
        score = score_number(reply, turn.value, turn.unit)
        tolerance = max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * abs(turn.value))
        return isinstance(score.parsed, int | float) and abs(float(score.parsed) - turn.value) <= tolerance
    return reply.strip().rstrip(".").lower() == turn.answer.strip().rstrip(".").lower()


def run_conditions(
    conversations: Sequence[Conversation],
    visuals: Sequence[Visuals],
    answer_many: AnswerMany,
    *,
    families: Sequence[str],
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """Ask every scored turn of every conversation under all five conditions.

    `answer_many(prefix, visuals, questions)` returns one reply a question. The other patient's image is the next scan's in a
    random cycle, so that no scan meets its own. Prompts differ between conditions in what is shown, in nothing else.
    """
    rng = np.random.default_rng(seed)
    cycle = rng.permutation(len(conversations))
    partner = dict(zip(cycle.tolist(), np.roll(cycle, -1).tolist(), strict=True))
    out: list[Scored] = []
    for i, conversation in enumerate(conversations):
        turns = [turn for turn in conversation.turns if turn.family in families]
        for name in CONDITIONS:
            condition = Condition.IMAGE if name == OTHER else Condition(name)
            shown = visuals[partner[i]] if name == OTHER else visuals[i]
            example = compose(conversation, shown, condition, np.random.default_rng([seed, i]), turns=turns, show_choices=1.0)
            replies = answer_many(example.prefix, example.visuals, [branch.question for branch in example.branches])
            out += [
                Scored(t.qid, conversation.patient, t.family, t.image_can, str(name), reply, t.answer, is_right(reply, t))
                for t, reply in zip(turns, replies, strict=True)
            ]
        if on_progress is not None:
            on_progress(i + 1, len(conversations))
    return out


@dataclass(frozen=True)
class Row:
    """Accuracy of one group of questions under each condition, with its interval clustered by patient."""

    group: str
    num_questions: int
    estimates: dict[str, Estimate]


def table(scored: Sequence[Scored], *, seed: int = 0, num_resamples: int = 2000) -> list[Row]:
    """One row a family, then all questions, then those that an image can answer."""
    families = list(dict.fromkeys(s.family for s in scored))
    groups: list[tuple[str, Callable[[Scored], bool]]] = [(f, lambda s, f=f: s.family == f) for f in families]  # type: ignore[misc]
    groups += [("all", lambda s: True), ("an image can answer", lambda s: s.image_can)]
    rows = []
    for name, belongs in groups:
        chosen = [s for s in scored if belongs(s)]
        estimates = {}
        for condition in map(str, CONDITIONS):
            items = [s for s in chosen if s.condition == condition]
            if items:
                estimates[condition] = cluster_bootstrap(
                    [float(s.is_right) for s in items],
                    [s.patient for s in items],
                    num_resamples=num_resamples,
                    rng=np.random.default_rng(seed),
                )
        if estimates:
            rows.append(Row(name, next(iter(estimates.values())).n, estimates))
    return rows
