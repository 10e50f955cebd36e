"""Does the model ask for the right expert, gain from what comes back, and doubt it where it is wrong? Three exams on scans with known masks.

calls:    image + experts, no evidence. Is the reply a call that fits the cards shown (`expert_cards.Variant`)? Asked twice: free, and with
          what may be written constrained to calls that the cards allow (`inference.call_guide`).
evidence: the same questions from the image alone, and with the lines and overlays that a perfect expert would bring.
doubt:    questions whose evidence can be spoiled, with it true and with it spoiled, and true evidence that stands beside spoiled.

Every question and reply is an `Asked`; what counts as right is said at `call_outcome`, `answer_outcome` and `doubt_outcome`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vol3d.contracts import ExpertCall, ExpertCard
from vol3d.evaluation.conditions import is_right
from vol3d.evaluation.expert_cards import Variant, cards_of, needs_an_expert, shown
from vol3d.inference.call_guide import guide_for
from vol3d.inference.triggers import CallProblem, parse_calls
from vol3d.vlm.compose import Condition, Example, compose
from vol3d.vlm.conversation import Conversation, Turn
from vol3d.vlm.decoding import Prefix, Reply
from vol3d.vlm.model import VisionLanguageModel
from vol3d.vlm.prompt import DOUBTFUL, END, NOT_COVERED, card_line
from vol3d.vlm.view import Visuals

CALLS, CONSTRAINED, EVIDENCE, DOUBT = "calls", "constrained", "evidence", "doubt"
EXAMS = (CALLS, EVIDENCE, DOUBT)
BEFORE, AFTER = "before", "after"
TRUE, BESIDE = "true", "true, beside spoiled"
# Of one scan's questions so many are drawn, so that the intervals rest on many scans.
TURNS_PER_SCAN = 5
# As `VisionLanguageModel.say` allows: a call may name four structures.
MAX_NEW_TOKENS = 96

# A call in form, whatever it names; and a reply that is half a call.
_WHOLE = re.compile(r"<[^<>()]+\([^<>()]*[^<>()\s][^<>()]*\)>")
_HALF = re.compile(r"<[^\s\d].*|[A-Za-z_][\w.-]*\(.*", re.DOTALL)

# Prefix, visuals, questions, and the cards that constrain the calls, or None for free generation.
Ask = Callable[[str, Visuals | None, Sequence[str], Sequence[ExpertCard] | None], Sequence[Reply]]


@dataclass(frozen=True)
class Asked:
    """One question of one exam under one row of its table, and what became of it."""

    model: str
    exam: str
    row: str
    qid: str
    patient: str
    family: str
    question: str
    structures: tuple[str, ...]
    cards: tuple[str, ...]
    expected: str
    reply: str
    outcome: str
    confidence: float
    doubt: float


@dataclass(frozen=True)
class Prompt:
    """A composed example before it is asked: where its questions belong and how their replies are judged."""

    exam: str
    example: Example
    rows: tuple[str, ...]
    cards: tuple[ExpertCard, ...]
    judge: Callable[[str, Turn], str]


def asker(model: VisionLanguageModel) -> Ask:
    """Greedy replies of a model, with its probabilities; a prefix that is asked again is not read again."""
    last: list[tuple[str, Visuals | None, Prefix]] = []

    def ask(text: str, visuals: Visuals | None, questions: Sequence[str], cards: Sequence[ExpertCard] | None) -> Sequence[Reply]:
        if not last or last[0][0] != text or last[0][1] is not visuals:
            last[:] = [(text, visuals, model.encode_prefix(text, visuals.in_order if visuals else ()))]
        guide = None if cards is None else guide_for(model, cards)
        return model.answer_many(last[0][2], questions, max_new_tokens=MAX_NEW_TOKENS, guide=guide)

    return ask


def call_outcome(reply: str, turn: Turn, cards: Sequence[ExpertCard]) -> str:
    """What a reply does with a question that needs an expert.

    right: the calls are all well formed, go to experts that are shown, and ask for just the structures of the question, in any order
        and from any expert that offers them; where no card offers them all, right is "not covered" and no call.
    malformed: meant as a call, and none: a bracket or the arguments are missing, or there are too many.
    invented: the form of a call, to an expert or for a structure that stands on no card; `parse_calls` refuses both.
    wrong expert: a call that the cards allow, but to an expert that does not offer what is needed while another does.
    wrong structure: a call that the cards allow, for something else, for part of what is needed, or for more.
    not covered: says so although an expert offers it.
    answered: anything else, so an answer without asking.

    >>> turn = Turn(qid="a", family="volume", question="?", answer="50.0 ml", kind="number", structures=("liver",))
    >>> cards = cards_of({"moose": ("liver", "aorta")}, "CT")
    >>> [call_outcome(text, turn, cards) for text in ("<moose(liver)>", "<moose(aorta)>", "<x(liver)>", "50 ml")]
    ['right', 'wrong structure', 'invented', 'answered']
    """
    needed = set(turn.structures)
    offering = {card.name for card in cards if needed <= set(card.arguments)}
    calls = parse_calls(reply, cards)
    problems = [call for call in calls if isinstance(call, CallProblem)]
    valid = [call for call in calls if isinstance(call, ExpertCall)]
    if problems:
        return "invented" if all(_WHOLE.fullmatch(problem.text) for problem in problems) else "malformed"
    if valid and offering and not any(call.name in offering for call in valid):
        return "wrong expert"
    if valid:
        return "right" if offering and {s for call in valid for s in call.arguments} == needed else "wrong structure"
    if _says(reply, NOT_COVERED):
        return "not covered" if offering else "right"
    # The parser takes `<x>` and `x(...)` for text, which they may be in a sentence; as a whole reply they answer nothing.
    return "malformed" if _HALF.fullmatch(reply.strip()) else "answered"


def answer_outcome(reply: str, turn: Turn) -> str:
    """`right` as in `conditions.is_right` (the choice, the number within 2% or half a unit, the very text), else `wrong`."""
    return "right" if is_right(reply, turn) else "wrong"


def doubt_outcome(reply: str, turn: Turn) -> str:
    """What a reply does with evidence that may be wrong.

    doubtful: the reply is the word "doubtful": a false alarm where the evidence is true, the wish of the training where it is spoiled.
    right: the true answer, as in `conditions.is_right`; under spoiled evidence it was had from the image, or the spoiling left it true.
    confident: anything else: the spoiled evidence's answer or another, without a word of doubt.

    >>> turn = Turn(qid="a", family="volume", question="?", answer="50.0 ml", kind="number", value=50.0, unit="ml")
    >>> [doubt_outcome(text, turn) for text in ("Doubtful.", "50.0 ml", "999.0 ml")]
    ['doubtful', 'right', 'confident']
    """
    if _says(reply, DOUBTFUL):
        return "doubtful"
    return "right" if is_right(reply, turn) else "confident"


def examine(
    scans: Iterable[tuple[Conversation, Visuals | None]],
    asks: Mapping[str, Ask],
    *,
    num_questions: int,
    families: Sequence[str],
    exams: Sequence[str] = EXAMS,
    seed: int = 0,
    on_scan: Callable[[int], None] | None = None,
) -> list[Asked]:
    """The exams on as many scans as it takes for `num_questions` in each; the same prompts go to every model.

    Args:
        scans: conversations with their tokens, if any; read one at a time, and no further than needed.
        asks: how each model is asked, by its name.
        num_questions: questions that need an expert, and questions whose evidence is spoiled (the last scan's are all taken).
        families: whose answers are right or wrong without a doubt, for the exam on doubt.
        exams: which of the three.
        seed: of the questions, the cards and the order of evidence.
        on_scan: told after each scan how many questions that need an expert it brought.

    """
    out: list[Asked] = []
    num_called = num_spoiled = 0
    for i, (conversation, visuals) in enumerate(scans):
        turns = draw_turns(conversation, min(TURNS_PER_SCAN, num_questions - num_called), np.random.default_rng([seed, i]))
        prompts: list[Prompt] = []
        if turns and CALLS in exams:
            prompts += call_prompts(conversation, visuals, turns, (seed, i, 1))
        if turns and EVIDENCE in exams:
            prompts += evidence_prompts(conversation, visuals, turns, (seed, i, 2))
        if num_spoiled < num_questions and DOUBT in exams:
            prompts += doubt_prompts(conversation, visuals, families, (seed, i, 3))
        for name, ask in asks.items():
            out += ask_all(prompts, ask, model=name, patient=conversation.patient)
        num_called += len(turns)
        num_spoiled += sum(len(p.rows) for p in prompts if p.exam == DOUBT and set(p.rows) == {TRUE})
        if on_scan is not None:
            on_scan(len(turns))
        has_called = num_called >= num_questions or not {CALLS, EVIDENCE} & set(exams)
        if has_called and (num_spoiled >= num_questions or DOUBT not in exams):
            break
    return out


def ask_all(prompts: Sequence[Prompt], ask: Ask, *, model: str, patient: str) -> list[Asked]:
    """Ask one model the prompts of one scan."""
    out = []
    for prompt in prompts:
        branches = prompt.example.branches
        questions, lines = [branch.question for branch in branches], tuple(card_line(card.name, card.arguments) for card in prompt.cards)
        for exam in (CALLS, CONSTRAINED) if prompt.exam == CALLS else (prompt.exam,):
            replies = ask(prompt.example.prefix, prompt.example.visuals, questions, prompt.cards if exam == CONSTRAINED else None)
            for branch, row, reply in zip(branches, prompt.rows, replies, strict=True):
                turn, expected = branch.turn, branch.reply.removesuffix(END)
                asked = (turn.qid, patient, turn.family, turn.question, turn.structures, lines, expected, reply.text)
                out.append(Asked(model, exam, row, *asked, prompt.judge(reply.text, turn), reply.confidence, reply.doubt))
    return out


def call_prompts(conversation: Conversation, visuals: Visuals | None, turns: Sequence[Turn], seed: Sequence[int]) -> Iterator[Prompt]:
    """One prompt for each variant of the cards."""
    for variant in Variant:
        now = shown(conversation, turns, variant, seed)
        example = compose(conversation, visuals, Condition.CALL, np.random.default_rng(seed), turns=now.turns, offers=now.offers, show_choices=1.0)
        cards = tuple(cards_of(now.offers, conversation.modality))
        yield Prompt(CALLS, example, (variant.value,) * len(now.turns), cards, partial(call_outcome, cards=cards))


def evidence_prompts(conversation: Conversation, visuals: Visuals | None, turns: Sequence[Turn], seed: Sequence[int]) -> Iterator[Prompt]:
    """The same questions before and after evidence."""
    for row, condition in ((BEFORE, Condition.IMAGE), (AFTER, Condition.BOTH)):
        example = compose(conversation, visuals, condition, np.random.default_rng(seed), turns=turns, show_choices=1.0)
        yield Prompt(EVIDENCE, example, (row,) * len(turns), (), answer_outcome)


def doubt_prompts(conversation: Conversation, visuals: Visuals | None, families: Sequence[str], seed: Sequence[int]) -> Iterator[Prompt]:
    """Questions that can be spoiled, with true lines, then with spoiled ones among those that cannot."""
    turns = [t for t in conversation.turns if t.structures and t.family in families and t.family != "abstention"]
    kinds = {t.qid: {conversation.wrong[s].kind for s in t.structures if s in conversation.wrong} for t in turns}
    # A question on two structures that are spoiled in two ways belongs to no row.
    turns = [t for t in turns if len(kinds[t.qid]) < 2]
    spoiled = [t for t in turns if kinds[t.qid]]
    if not spoiled:
        return
    true = compose(conversation, visuals, Condition.BOTH, np.random.default_rng(seed), turns=spoiled, show_choices=1.0)
    yield Prompt(DOUBT, true, (TRUE,) * len(spoiled), (), doubt_outcome)
    wrong = compose(
        conversation, visuals, Condition.BOTH, np.random.default_rng(seed), turns=turns, show_choices=1.0, wrong=tuple(conversation.wrong)
    )
    yield Prompt(DOUBT, wrong, tuple(next(iter(kinds[t.qid]), BESIDE) for t in turns), (), doubt_outcome)


def draw_turns(conversation: Conversation, most: int, rng: np.random.Generator) -> list[Turn]:
    """Up to `most` of the questions that need an expert."""
    pool = [turn for turn in conversation.turns if needs_an_expert(turn)]
    return [pool[int(i)] for i in rng.permutation(len(pool))[:most]]


def _says(reply: str, word: str) -> bool:
    return reply.strip().rstrip(".").lower() == word
