"""The model asks for experts, reads what they found, and asks again or answers: bounded, and every step in the trace."""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from tokenizers3d import Tokenizer
from vol3d.contracts import Evidence, EvidenceSource, ExpertCall, ExpertCard, Measurement, Sentence, Status, TraceStep
from vol3d.inference.conflicts import conflicts_between
from vol3d.inference.grounding import mentioned
from vol3d.inference.triggers import CallProblem, parse_calls
from vol3d.vlm import prompt
from vol3d.vlm.view import View, Visuals, encode_view, mask_on_view
from vol3d.volume.volume import Volume

logger = logging.getLogger(__name__)

MAX_HOPS = 3
MOST_ARGUMENTS = 8


class Gathering:
    """A scan and the evidence on it so far: what a session holds, whatever kind of model reads it."""

    volume: Volume
    source: EvidenceSource
    evidence: Evidence
    asked: dict[ExpertCall, None]

    def gather(self, call: ExpertCall, trace: list[TraceStep], *, by: str) -> None:
        """Run one call, once, and keep what it brings."""
        if call in self.asked:
            trace.append(TraceStep(step=len(trace) + 1, call=str(call), status="reused", seconds=0.0, detail=by))
            return
        start = time.perf_counter()
        new = self.source.gather(self.volume, call)
        self.asked[call] = None
        self.evidence = merge(self.evidence, new)
        states = ", ".join(f"{name} {status}" for name, status in new.statuses.items() if name in call.arguments)
        why = next((f"; {sentence.text}" for sentence in new.sentences if sentence.status is Status.FAILED), "")
        trace.append(
            TraceStep(
                step=len(trace) + 1, call=str(call), status=_worst(new), seconds=round(time.perf_counter() - start, 3), detail=f"{by}; {states}{why}"
            )
        )


@dataclass
class Session(Gathering):
    """One scan being read: its voxels, what the model sees of it, and all evidence so far. Questions share it."""

    volume: Volume
    view: View
    visuals: Visuals
    tokenizer: Tokenizer
    source: EvidenceSource
    evidence: Evidence
    asked: dict[ExpertCall, None] = field(default_factory=dict)

    def look(self, structures: Sequence[str]) -> Visuals:
        """The scan's tokens with key slices and overlays through the first of the structures that has a mask."""
        for labels in self.evidence.masks.values():
            for structure in structures:
                if structure in labels.structures and (mask := labels.mask(structure)).any():
                    return encode_view(self.tokenizer, self.view, mask=mask_on_view(mask, labels.affine, self.view))
        return self.visuals


@dataclass(frozen=True)
class Draft:
    """What the model said in the end, the structures that it is about, and how sure it was of its words."""

    text: str
    structures: tuple[str, ...]
    confidence: float | None


@runtime_checkable
class Say(Protocol):
    """The model: prefix, visuals and question in, reply and its probability out; `cards` are those that the prefix shows."""

    def __call__(  # noqa: D102
        self, prefix: str, visuals: Visuals | None, question: str, *, cards: Sequence[ExpertCard] | None = None
    ) -> tuple[str, float | None]: ...


def run(
    session: Session,
    question: str,
    say: Say,
    *,
    choices: Sequence[str] = (),
    structures: Sequence[str] = (),
    max_hops: int = MAX_HOPS,
) -> tuple[Draft, list[TraceStep]]:
    """Let the model call experts for one question until it answers.

    Args:
        session: the scan; its evidence grows.
        question: as asked.
        say: the model's `say`.
        choices: listed in the question.
        structures: whose evidence is shown from the start.
        max_hops: calls that the model may make before it has to answer.

    """
    cards = session.source.cards(session.volume.modality)
    trace: list[TraceStep] = []
    structures = tuple(structures)
    note: str | None = None
    for hop in range(max_hops + 1):
        text, confidence = _speak(session, question, say, cards if hop < max_hops else (), structures, choices, note, trace)
        calls = parse_calls(text, cards)
        if not calls:
            break
        problems = [c for c in calls if isinstance(c, CallProblem)]
        if problems:
            trace.append(TraceStep(step=len(trace) + 1, call=text.strip(), status="refused", seconds=0.0, detail=problems[0].message))
            if note is not None:
                break
            note = problems[0].message
            continue
        for call in calls:
            if isinstance(call, ExpertCall):
                session.gather(call, trace, by="asked by the model")
                structures = tuple(dict.fromkeys([*structures, *call.arguments]))
    return Draft(text, structures, confidence), trace


def shown_arguments(card: ExpertCard, question: str, *, most: int = MOST_ARGUMENTS) -> tuple[str, ...]:
    """Of a long card, what the question may need comes first: a hundred names would leave no room for the scan."""
    named = mentioned(question, card.arguments)
    return tuple(dict.fromkeys([*named, *card.arguments]))[: max(most, len(named))]


def offered(structures: Sequence[str], cards: Sequence[ExpertCard], question: str = "") -> tuple[str, ...]:
    """Structures as the experts at hand name them.

    Where only the sided parts of one are offered (`kidney_tumour_left`), those; and those too where the question speaks of one
    of a pair ("which kidney") rather than of both together (`kidneys`).
    """
    known = {a for card in cards for a in card.arguments}
    out: list[str] = []
    for structure in structures:
        one = structure.removesuffix("s")
        stem = one if one != structure and re.search(rf"\b{one}\b", question.lower()) else structure
        sides = [f"{stem}_{side}" for side in ("left", "right") if f"{stem}_{side}" in known]
        out += sides if sides and (structure not in known or stem != structure) else [structure]
    return tuple(dict.fromkeys(out))


def calls_for(structures: Sequence[str], cards: Sequence[ExpertCard]) -> list[ExpertCall]:
    """The fewest calls, in card order, that ask for each structure once."""
    calls, left = [], list(structures)
    for card in cards:
        mine = tuple(s for s in left if s in card.arguments)
        if mine:
            calls.append(ExpertCall(card.name, mine))
            left = [s for s in left if s not in mine]
    return calls


def merge(old: Evidence, new: Evidence) -> Evidence:
    """Both together; where two experts speak of one structure, the one that found it is believed, else the newer."""
    keep = {s for s, status in old.statuses.items() if status is Status.FOUND and new.statuses.get(s) is not Status.FOUND}
    drop = set(new.statuses) - keep

    def both(a: tuple, b: tuple) -> tuple:
        return tuple(x for x in a if x.structure not in drop) + tuple(x for x in b if x.structure not in keep)

    measurements: tuple[Measurement, ...] = both(old.measurements, new.measurements)
    sentences: tuple[Sentence, ...] = both(old.sentences, new.sentences)
    statuses = {**old.statuses, **{s: status for s, status in new.statuses.items() if s not in keep}}
    return replace(
        old,
        measurements=measurements,
        sentences=sentences,
        pictures=(*old.pictures, *new.pictures),
        masks={**old.masks, **new.masks},
        statuses=statuses,
        provenance={**old.provenance, **new.provenance},
        conflicts={**old.conflicts, **new.conflicts, **conflicts_between(old, new, believed=keep)},
    )


def evidence_lines(evidence: Evidence, structures: Sequence[str]) -> list[str]:
    """The lines of the prompt for some structures, with what was derived from them and what another expert says."""
    lines = {s: prompt.evidence_line(evidence, s) for s in structures if s in evidence.statuses}
    derived = prompt.derived_lines(evidence)
    contested = {s: (*derived.get(s, ()), prompt.second_opinion(line)) for s, line in evidence.conflicts.items()}
    return prompt.evidence_block(list(structures), lines, {**derived, **contested})


def _speak(
    session: Session,
    question: str,
    say: Say,
    cards: Sequence[ExpertCard],
    structures: Sequence[str],
    choices: Sequence[str],
    note: str | None,
    trace: list[TraceStep],
) -> tuple[str, float | None]:
    start = time.perf_counter()
    visuals = session.look(structures)
    lines = evidence_lines(session.evidence, structures) + ([f"Correction: {prompt.harmless(note)}"] if note else [])
    prefix = prompt.prefix(
        num_volumes=1,
        num_slices=len(visuals.slices),
        num_overlays=len(visuals.overlays),
        experts=[prompt.card_line(card.name, shown_arguments(card, question)) for card in cards],
        evidence=lines,
    )
    text, confidence = say(prefix, visuals, prompt.question(question, choices), cards=cards)
    trace.append(
        TraceStep(step=len(trace) + 1, call="model", status="said", seconds=round(time.perf_counter() - start, 3), detail=text.strip()[:200])
    )
    return text, confidence


def _worst(evidence: Evidence) -> str:
    order = (Status.FAILED, Status.FOUND, Status.ABSENT, Status.NOT_COVERED)
    return next((str(s) for s in order if s in evidence.statuses.values()), str(Status.NOT_COVERED))
