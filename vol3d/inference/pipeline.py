"""From a path and a question to an answer that says what it rests on. The page to read first.

scan --read--> Volume --view--> tokens --------------------------------+
|                                                     +--> language model --> draft --check--> Answer
+--expert loop: <name(structures)> --> Evidence ------+
"""

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from vol3d.contracts import Answer, Evidence, EvidenceSource, Measurement, Report, Status, TraceStep
from vol3d.errors import CheckpointError, ExpertError
from vol3d.inference import chat_loop, expert_loop
from vol3d.inference.chat_loop import ChatModel, ChatSession
from vol3d.inference.conflicts import doubt, is_cut_off
from vol3d.inference.expert_loop import Draft, Gathering, Session
from vol3d.inference.grounding import Finding, check_answer, mentioned
from vol3d.inference.writing import write_report
from vol3d.vlm import prompt
from vol3d.vlm.view import encode_view, view_of
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume

if TYPE_CHECKING:
    from vol3d.vlm.model import VisionLanguageModel

logger = logging.getLogger(__name__)
_TELLING = ("volume", "side", "num_components", "kidney_volume_difference")


def ask(
    scan: str | Path | Volume,
    question: str,
    *,
    model: "VisionLanguageModel | ChatModel | None" = None,
    experts: EvidenceSource | None = None,
    choices: Sequence[str] = (),
) -> Answer:
    """Answer one question about one scan, from evidence.

    Args:
        scan: a path that `read_volume` takes, or a Volume.
        question: in English.
        model: from `vol3d.load_model`, or a ChatModel behind an endpoint; the demo model where None.
        experts: a panel of experts; the installed default where None.
        choices: when given, the answer is one of them.

    Raises:
        Vol3dError: the scan cannot be read, with the reason.

    >>> answer = ask("ct.nii.gz", "How large is the left lung?")        # doctest: +SKIP
    >>> answer.value, answer.unit, answer.evidence[0].mask_id           # doctest: +SKIP
    (2310.4, 'ml', 'threshold_ct@1:lung_left')

    """
    model = model or _default_model()
    session = open_session(scan, model=model, experts=experts)
    return answer_question(session, question, model=model, choices=choices)


def report(
    scan: str | Path | Volume, *, model: "VisionLanguageModel | ChatModel | None" = None, experts: EvidenceSource | None = None
) -> tuple[Report, Evidence]:
    """Write a report of one scan: all experts of its modality run, the model writes, every sentence is checked."""
    model = model or _default_model()
    session = open_session(scan, model=model, experts=experts)
    trace: list[TraceStep] = []
    for card in session.source.cards(session.volume.modality):
        session.gather(expert_loop.ExpertCall(card.name, card.arguments), trace, by="asked by the report")
    return write_report(session, model, trace), session.evidence


def open_session(
    scan: str | Path | Volume, *, model: "VisionLanguageModel | ChatModel", experts: EvidenceSource | None = None
) -> Session | ChatSession:
    """Read a scan and show it to the model; several questions can share the session and its evidence."""
    if isinstance(model, ChatModel):
        volume = scan if isinstance(scan, Volume) else read_volume(scan)
        return ChatSession(volume.with_array(volume.numpy()), experts or default_experts(), _facts_of_the_scan(volume))
    if model.tokenizer3d is None:
        raise CheckpointError(
            "the model has no tokenizer and so cannot see scans", hint="Give it one with model.attach_tokenizer(Tokenizer.load(...))."
        )
    volume = scan if isinstance(scan, Volume) else read_volume(scan)
    volume = volume.with_array(volume.numpy())
    view = view_of(volume)
    return Session(
        volume=volume,
        view=view,
        visuals=encode_view(model.tokenizer3d, view),
        tokenizer=model.tokenizer3d,
        source=experts or default_experts(),
        evidence=_facts_of_the_scan(volume),
    )


def answer_question(
    session: Session | ChatSession, question: str, *, model: "VisionLanguageModel | ChatModel", choices: Sequence[str] = ()
) -> Answer:
    """Let the model and its experts work on a question, then check the draft against the evidence."""
    talk = _conversation(session, question, model)
    draft, trace = talk(choices=choices)
    cards = session.source.cards(session.volume.modality)
    structures = expert_loop.offered(mentioned(question, session.source.vocabulary()), cards, question) or _from_draft(draft, question)
    missing = [s for s in structures if s not in session.evidence.statuses]
    if missing:
        # The model answered without asking, or asked for something else: the question names the structure, so it is looked at.
        for call in expert_loop.calls_for(missing, cards):
            session.gather(call, trace, by="asked by the pipeline: the question names it")
        draft, more = talk(choices=choices, structures=structures, max_hops=0)
        trace += [step.model_copy(update={"step": len(trace) + i + 1}) for i, step in enumerate(more)]
    finding = _check(draft, question, structures, session.evidence)
    return _to_answer(session, question, draft, structures, finding, tuple(trace), choices)


def _from_draft(draft: Draft, question: str) -> tuple[str, ...]:
    """What the model chose to look at, where the question names no structure.

    A yes or no then rests on nothing: the lungs are there, but that says nothing about an embolism. Derived findings are the exception.
    """
    is_derived = any(name.replace("_", " ") in question.lower() for name in prompt.DERIVED)
    return draft.structures if is_derived or draft.text.strip().rstrip(".").lower() not in ("yes", "no") else ()


def _conversation(
    session: Session | ChatSession, question: str, model: "VisionLanguageModel | ChatModel"
) -> Callable[..., tuple[Draft, list[TraceStep]]]:
    """The expert loop in the model's own way of talking: calls in its text, or tool calls."""
    if isinstance(model, ChatModel):
        return partial(chat_loop.run, session, question, model)
    if not isinstance(session, Session):
        raise CheckpointError("the session was opened for a model behind an endpoint", hint="Open it with open_session(scan, model=model).")
    return partial(expert_loop.run, session, question, model.say)


def default_experts() -> EvidenceSource:
    """The panel that is installed under the entry point `vol3d.evidence`."""
    found = list(entry_points(group="vol3d.evidence"))
    if not found:
        raise ExpertError("no panel of experts is installed", expected="an entry point in the group vol3d.evidence", hint="Install vol3d whole.")
    return found[0].load()()


def _check(draft: Draft, question: str, structures: Sequence[str], evidence: Evidence) -> Finding:
    if re.search(r"\b(ct|mr|mri|modality)\b", question.lower()) and not structures:
        structures = ("scan",)
    return check_answer(draft.text.split(prompt.END)[0], structures, evidence)


def _to_answer(
    session: Gathering,
    question: str,
    draft: Draft,
    structures: Sequence[str],
    finding: Finding,
    trace: tuple[TraceStep, ...],
    choices: Sequence[str],
) -> Answer:
    text = draft.text.split(prompt.END)[0].strip()
    status, value, unit = "answered", None, None
    known = [s for s in structures if session.evidence.statuses.get(s) in (Status.FOUND, Status.ABSENT)]
    failures = [s.text for s in session.evidence.sentences if s.structure in structures and s.status is Status.FAILED]
    if known and text.rstrip(".").lower() == prompt.DOUBTFUL:
        status, text = "doubtful", _doubtful_text(structures, session.evidence)
    elif failures and not known:
        # Nothing is known because an expert broke, not because none looks there.
        status, text = "failed", f"Failed: {' '.join(failures)}"
    elif finding.verdict == "not_covered" or (finding.verdict == "unsupported" and not known):
        status, text = "not_covered", _not_covered_text(structures)
    elif finding.verdict != "supported":
        # What was measured is said instead; what the model said stays readable in the trace.
        status, text = "withheld", _measured_text(structures, session.evidence)
    elif finding.measurements and isinstance(finding.measurements[0].value, int | float) and re.search(r"\d", text):
        value, unit = float(finding.measurements[0].value), finding.measurements[0].unit or None
    choice = next((c for c in choices if c.lower() == text.rstrip(".").lower()), None)
    return Answer(
        scan=session.volume.source,
        question=question,
        text=text,
        choice=choice,
        value=value,
        unit=unit,
        confidence=None if draft.confidence is None or status != "answered" else round(draft.confidence, 4),
        status=status,
        doubts=_doubts(status, structures, session.evidence),
        evidence=_basis(finding, structures, session.evidence),
        trace=trace,
    )


def _not_covered_text(structures: Sequence[str]) -> str:
    what = " and ".join(prompt.words(s) for s in structures)
    return f"Not covered: no expert measured {what} in this scan." if what else "Not covered: no expert at hand looks at what the question asks."


def _measured_text(structures: Sequence[str], evidence: Evidence) -> str:
    measured = " ".join(prompt.sentence(evidence, s) for s in structures if s in evidence.statuses)
    return f"The model's own answer does not agree with the evidence and is withheld. Measured: {measured}"


def _doubtful_text(structures: Sequence[str], evidence: Evidence) -> str:
    measured = " ".join(prompt.sentence(evidence, s) for s in structures if s in evidence.statuses)
    return f"Doubtful: the model finds that the evidence does not fit. Measured: {measured}"


def _doubts(status: str, structures: Sequence[str], evidence: Evidence) -> tuple[str, ...]:
    contested = tuple(f"experts disagree: {prompt.second_opinion(evidence.conflicts[s])}" for s in structures if s in evidence.conflicts)
    if status == "doubtful":
        return (*contested, doubt(evidence, structures))
    cut = [prompt.words(s) for s in structures if is_cut_off(evidence, s)]
    return (*contested, f"the scan cuts off {' and '.join(cut)}: what is measured is the part inside") if cut else contested


def _basis(finding: Finding, structures: Sequence[str], evidence: Evidence) -> tuple[Measurement, ...]:
    """What an answer rests on; a derived statement brings the numbers that it was derived from."""
    own = finding.measurements if finding.verdict == "supported" else ()
    if own and not any(m.name in prompt.DERIVED for m in own):
        return own
    return tuple(dict.fromkeys([*own, *_about(structures, evidence)]))


def _about(structures: Sequence[str], evidence: Evidence) -> tuple[Measurement, ...]:
    return tuple(m for m in evidence.measurements if m.structure in structures and m.name in _TELLING)


def _facts_of_the_scan(volume: Volume) -> Evidence:
    """What the file itself says, so that a question about the modality rests on something too."""
    item = Measurement(name="modality", value=volume.modality, unit="", structure="scan", method="header and intensities", mask_id="")
    return Evidence((item,), (), statuses={"scan": Status.FOUND})


def _default_model() -> "VisionLanguageModel":
    from vol3d.vlm.model import load_model

    return load_model("demo")
