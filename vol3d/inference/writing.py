"""The model writes the report; each sentence is kept only if the evidence supports it, else the measured sentence stands."""

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vol3d.contracts import Claim, Evidence, Report, Status, TraceStep
from vol3d.inference import chat_loop
from vol3d.inference.chat_loop import ChatModel
from vol3d.inference.conflicts import is_cut_off
from vol3d.inference.expert_loop import Gathering, Session, evidence_lines
from vol3d.inference.grounding import check_sentence, denies, mentioned
from vol3d.vlm import prompt

if TYPE_CHECKING:
    from vol3d.vlm.model import VisionLanguageModel

# As many structures as the model writes about; all others stand in the table of measurements.
MOST_STRUCTURES = 15
_PER_PROMPT = 3
_ORGANS_FIRST = ("lung", "heart", "aorta", "liver", "spleen", "kidney", "pancreas", "brain", "airway", "bone", "body")


def write_report(session: Gathering, model: "VisionLanguageModel | ChatModel", trace: list[TraceStep]) -> Report:
    """Findings in groups of a few structures, then an impression; claims point at their measurements."""
    evidence = session.evidence
    chosen = worth_writing(evidence)
    claims: list[Claim] = []
    for start in range(0, len(chosen), _PER_PROMPT):
        claims += _write_group(session, model, chosen[start : start + _PER_PROMPT], trace)
    impression, impression_claim = _write_impression(session, model, chosen, trace)
    not_covered = [s for s, status in evidence.statuses.items() if status in (Status.NOT_COVERED, Status.FAILED)]
    claims += [Claim(text=prompt.sentence(evidence, s), measurement_id=None, verdict="not_covered") for s in not_covered]
    failed = any(status is Status.FAILED for status in evidence.statuses.values())
    return Report(
        scan=session.volume.source,
        status="partial" if failed else "written" if chosen else "not_covered",
        findings=" ".join(c.text for c in claims if c.verdict in ("supported", "doubtful"))
        or "Nothing in this scan was measured by an expert at hand.",
        impression=impression,
        claims=(*claims, *impression_claim),
        evidence=evidence.measurements,
        trace=tuple(trace),
    )


def worth_writing(evidence: Evidence) -> list[str]:
    """Structures for the findings: lesions that are there, main organs, lesions that were looked for in vain."""
    known = {s: status for s, status in evidence.statuses.items() if status in (Status.FOUND, Status.ABSENT) and s != "scan"}
    found = [s for s, status in known.items() if prompt.is_lesion(s) and status is Status.FOUND]
    # A finding that is known by its sides is told by them: with the whole beside them one tumour would be counted twice.
    lesions = [s for s in found if not {f"{s}_left", f"{s}_right"} & set(found)]
    organs = [s for word in _ORGANS_FIRST for s, status in known.items() if s.startswith(word) and status is Status.FOUND and s not in found]
    absent = [s for s, status in known.items() if prompt.is_lesion(s) and status is Status.ABSENT]
    return list(dict.fromkeys([*lesions, *organs, *absent]))[:MOST_STRUCTURES]


def _write_group(session: Gathering, model: "VisionLanguageModel | ChatModel", group: Sequence[str], trace: list[TraceStep]) -> list[Claim]:
    asked = f"Describe: {', '.join(prompt.words(s) for s in group)}."
    text = _say(session, model, group, asked, trace)
    if text.strip().rstrip(".").lower() == prompt.DOUBTFUL:
        if len(group) == 1:
            return [_doubted(session.evidence, group[0])]
        # One of the group does not fit: each is asked about alone, to learn which.
        return [claim for structure in group for claim in _write_group(session, model, [structure], trace)]
    written: dict[str, Claim] = {}
    for line in re.split(r"(?<=\.)\s+", text.strip()):
        about = mentioned(line, group)
        finding = check_sentence(line, session.evidence, structures=about)
        if about and finding.verdict == "supported":
            rests_on = finding.measurements[0].id if finding.measurements else None
            written.setdefault(about[0], Claim(text=line, measurement_id=rests_on, verdict="supported"))
        elif line:
            trace.append(TraceStep(step=len(trace) + 1, call="check", status=finding.verdict, seconds=0.0, detail=f"dropped: {line[:160]}"))
    return [written.get(s) or _measured(session.evidence, s) for s in group]


def _write_impression(
    session: Gathering, model: "VisionLanguageModel | ChatModel", chosen: Sequence[str], trace: list[TraceStep]
) -> tuple[str, tuple[Claim, ...]]:
    looked_for = [s for s in chosen if prompt.is_lesion(s)][:6]
    if not looked_for:
        return "No finding was looked for by the experts at hand; see the measurements.", ()
    asked = f"Impression on: {', '.join(prompt.words(s) for s in looked_for)}."
    text = _say(session, model, looked_for, asked, trace).strip()
    there = {s for s in looked_for if session.evidence.statuses[s] is Status.FOUND}
    if set(mentioned(text, looked_for)) != there or denies(text) == bool(there):
        trace.append(TraceStep(step=len(trace) + 1, call="check", status="contradicted", seconds=0.0, detail=f"dropped: {text[:160]}"))
        text = f"{', '.join(prompt.words(s) for s in looked_for if s in there)}.".capitalize() if there else "None of these findings."
    if not there:
        text = f"No {', no '.join(prompt.words(s) for s in looked_for)}."
    first = next((m.id for s in looked_for for m in session.evidence.measurements if m.structure == s), None)
    return text, (Claim(text=text, measurement_id=first, verdict="supported"),)


def _say(session: Gathering, model: "VisionLanguageModel | ChatModel", structures: Sequence[str], asked: str, trace: list[TraceStep]) -> str:
    start = time.perf_counter()
    if isinstance(model, ChatModel):
        text = chat_loop.write(session, structures, asked, model)
    else:
        assert isinstance(session, Session)  # `open_session` pairs them
        visuals = session.look(structures)
        prefix = prompt.prefix(
            num_volumes=1,
            num_slices=len(visuals.slices),
            num_overlays=len(visuals.overlays),
            evidence=evidence_lines(session.evidence, structures),
        )
        text, _ = model.say(prefix, visuals, prompt.question(asked))
        text = text.split(prompt.END)[0]
    trace.append(
        TraceStep(step=len(trace) + 1, call="model", status="said", seconds=round(time.perf_counter() - start, 3), detail=text.strip()[:200])
    )
    return text


def _measured(evidence: Evidence, structure: str) -> Claim:
    first = next((m.id for m in evidence.measurements if m.structure == structure), None)
    return Claim(text=prompt.sentence(evidence, structure), measurement_id=first, verdict="supported")


def _doubted(evidence: Evidence, structure: str) -> Claim:
    measured = _measured(evidence, structure)
    why = "doubtful; the scan cuts it off" if is_cut_off(evidence, structure) else "doubtful"
    return measured.model_copy(update={"text": f"{measured.text.rstrip('.')} ({why}).", "verdict": "doubtful"})
