"""Rows of a corpus -> instruction data for the stages of training, as JSON lines that LLaVA-style trainers read too.

    caption   labels in words                     report   findings and impression as the radiologist wrote them
    vqa       yes and no, equally often           expert   a call, the expert's evidence, the answer (VILA-M3's fourth stage)
    negative  what is asked for is not covered by the scan

Each line: `{"id", "image", "conversations": [{"from": "human"|"gpt", "value"}], "stage", "source", "split", "patient", "synthetic"}`.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.text.captions import PHRASES, caption
from vol3d.contracts import ExpertCall, LabelMap, Row, Sentence, Status
from vol3d.errors import ConfigError
from vol3d.volume.atomic import atomic_path

IMAGE = "<image>"
_CAPTION_ASKS = ("Describe the scan in one sentence.", "What does this scan show?", "Give a short caption of this scan.")
_REPORT_ASKS = (
    "Write the report of this scan.",
    "Report the findings and the impression.",
    "Describe all findings of this scan as a radiologist would.",
)
_YES_NO_ASKS = ("Is there {thing}?", "Does the scan show {thing}?", "Can {thing} be seen?")
# Structures that a chest CT does not hold, for questions whose answer is that nothing can be said.
_ELSEWHERE = ("brain tumour", "bladder stone", "fracture of the femur", "prostate enlargement")
_NOT_COVERED = "That cannot be judged: the region is not covered by this scan."


@dataclass(frozen=True)
class Instruction:
    """One conversation about one series; `turns` alternate human and gpt, beginning with human."""

    id: str
    stage: str
    row: Row
    turns: tuple[str, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.turns) % 2 or not self.turns:
            raise ConfigError("a conversation ends with an answer", expected="an even number of turns", found=len(self.turns))

    def as_line(self) -> str:
        """One JSON line; the image marker stands once, at the beginning."""
        said = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(self.turns)]
        said[0]["value"] = f"{IMAGE}\n{said[0]['value']}"
        row = self.row
        facts: dict[str, Any] = {"stage": self.stage, "source": self.source, "split": row.split, "patient": row.patient, "synthetic": row.synthetic}
        return json.dumps({"id": self.id, "image": row.path, "conversations": said, **facts}, ensure_ascii=False)


Family = Callable[[Row, np.random.Generator], Iterator[tuple[str, ...]]]


def captions(row: Row, rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """A caption from the labels that have phrases."""
    labels = {name: value for name, value in row.labels.items() if name in PHRASES}
    if labels:
        yield str(rng.choice(_CAPTION_ASKS)), caption(labels, rng)


def reports(row: Row, rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """The report, where there is one."""
    if row.findings:
        text = f"Findings: {row.findings}" + (f"\nImpression: {row.impression}" if row.impression else "")
        yield str(rng.choice(_REPORT_ASKS)), text


def questions(row: Row, rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """As many yes as no questions, so that neither answer pays by itself."""
    known = {name: value for name, value in row.labels.items() if name in PHRASES}
    yes, no = ([name for name in known if known[name] == value] for value in (1, 0))
    number = min(len(yes), len(no), 3)
    chosen = [(str(n), "Yes.") for n in rng.permutation(yes)[:number]] + [(str(n), "No.") for n in rng.permutation(no)[:number]]
    for index in rng.permutation(len(chosen)):
        name, answer = chosen[int(index)]
        thing = PHRASES[name][0]
        yield str(rng.choice(_YES_NO_ASKS)).format(thing=thing), answer


def negatives(row: Row, rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """A question about something outside of the field of view; only for corpora whose region is known by their labels."""
    if any(name in PHRASES for name in row.labels):
        thing = str(rng.choice(_ELSEWHERE))
        yield str(rng.choice(_YES_NO_ASKS)).format(thing=f"a {thing}" if "enlargement" not in thing else thing), _NOT_COVERED


STAGES: Mapping[str, Family] = {"caption": captions, "report": reports, "vqa": questions, "negative": negatives}


def instruct(rows: Iterable[Row], *, stages: Sequence[str] = tuple(STAGES), seed: int = 0, source: str = "") -> Iterator[Instruction]:
    """Conversations of rows; what a row gets depends on the seed and on its own name.

    Raises:
        ConfigError: no such stage.
    """
    unknown = set(stages) - set(STAGES)
    if unknown:
        raise ConfigError("no such stage", expected=", ".join(STAGES), found=", ".join(sorted(unknown)))
    for row in rows:
        for stage in stages:
            rng = np.random.default_rng([seed, *f"{row.series}/{stage}".encode()])
            for number, turns in enumerate(STAGES[stage](row, rng)):
                yield Instruction(f"{row.series}/{stage}/{number}", stage, row, turns, source)


def expert_calls(row: Row, labels: LabelMap, sentences: Sequence[Sentence], expert: str, *, source: str = "") -> Iterator[Instruction]:
    """For each structure that masks can answer for: question, call, evidence, answer.

    Args:
        row: the series.
        labels: its masks.
        sentences: what `experts3d.describe` says of them; the evidence is quoted, and the answer rests on it.
        expert: the name by which the model calls.
    """
    said: dict[str, list[str]] = {}
    for sentence in sentences:
        said.setdefault(sentence.structure, []).append(sentence.text)
    for structure, texts in said.items():
        thing = structure.replace("_", " ")
        found = labels.status(structure) is Status.FOUND
        answer = texts[0] if found else f"No {thing} is found."
        call = str(ExpertCall(expert, (structure,)))
        turns = (f"What can be said about the {thing}? Expert at hand: {expert}.", call, f"Result of {call}: {' '.join(texts)}", answer)
        yield Instruction(f"{row.series}/expert/{structure}", "expert", row, turns, source)


def write_jsonl(instructions: Iterable[Instruction], path: str | Path) -> Counter[str]:
    """Write JSON lines; returns how many of each stage."""
    counts: Counter[str] = Counter()
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for instruction in instructions:
            file.write(instruction.as_line() + "\n")
            counts[instruction.stage] += 1
    return counts
