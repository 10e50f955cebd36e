"""The expert loop for a chat model behind an endpoint: the same cards as tools, the same evidence lines as results, the same bounds.

A call is parsed as strictly as one in text. What is none gets a tool message that says how to write it, once; after a second one the tools
are withheld and the model has to answer. `vol3d.inference.pipeline` then checks the answer like any other.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from vol3d.contracts import Evidence, EvidenceSource, ExpertCall, ExpertCard, Picture, Status, TraceStep
from vol3d.evaluation.models.inputs import frames
from vol3d.inference.chat_endpoint import ChatEndpoint, data_url, endpoint_from
from vol3d.inference.expert_loop import MAX_HOPS, Draft, Gathering, evidence_lines
from vol3d.inference.triggers import MAX_CALLS, CallProblem, parse_tool_call, tool_schema
from vol3d.vlm import prompt
from vol3d.volume.volume import Volume

# Pictures of masks that go along; more would crowd out the scan, and every one costs hundreds of tokens.
_MOST_KEY_SLICES = 6
_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class ChatModel:
    """A chat model that answers questions about scans.

    Args:
        endpoint: where it is.
        slices: axial slices of the scan that it is shown; 0: it sees no picture at all, for a model that reads text only.
    """

    endpoint: ChatEndpoint
    slices: int = 6

    @classmethod
    def from_spec(cls, spec: str, *, slices: int = 6, **settings: Any) -> "ChatModel":
        """From `openai:URL#MODEL`; see `endpoint_from`."""
        return cls(endpoint_from(spec, **settings), slices)


@dataclass
class ChatSession(Gathering):
    """One scan being read through an endpoint; questions share its evidence."""

    volume: Volume
    source: EvidenceSource
    evidence: Evidence
    asked: dict[ExpertCall, None] = field(default_factory=dict)


def run(
    session: Gathering,
    question: str,
    model: ChatModel,
    *,
    choices: Sequence[str] = (),
    structures: Sequence[str] = (),
    max_hops: int = MAX_HOPS,
) -> tuple[Draft, list[TraceStep]]:
    """Let a chat model call experts for one question until it answers.

    Args:
        session: the scan; its evidence grows.
        question: as asked.
        model: the chat model.
        choices: listed in the question.
        structures: whose evidence is shown from the start.
        max_hops: turns in which it may call; then it has to answer.

    Errors: ResourceError where the endpoint fails.
    """
    cards = session.source.cards(session.volume.modality)
    scan = _scan_pictures(session.volume, model.slices)
    told = evidence_lines(session.evidence, structures)
    trace: list[TraceStep] = []
    turns: list[dict[str, Any]] = []
    named, text, refusals = tuple(structures), "", 0
    for hop in range(max_hops + 1):
        offered = cards if hop < max_hops and refusals < 2 else ()
        masks = _mask_pictures(session.evidence, named) if model.slices else []
        messages = [_system("chat"), _user([*scan, *masks], told, _asked(session.volume, question, choices)), *turns]
        reply = _speak(model, messages, offered, trace)
        text, calls = _text(reply), _tool_calls(reply)
        if not calls or not offered:
            break
        turns.append({"role": "assistant", "content": text, "tool_calls": [_echo(call, n) for n, call in enumerate(calls)]})
        results = [_answer_call(session, call, n, offered, trace) for n, call in enumerate(calls)]
        turns += [message for message, _ in results]
        refusals += any(parsed is None for _, parsed in results)
        named = tuple(dict.fromkeys([*named, *(a for _, parsed in results if parsed for a in parsed.arguments)]))
    return Draft(text, named, None), trace


def write(session: Gathering, structures: Sequence[str], asked: str, model: ChatModel) -> str:
    """Sentences of a report on some structures, from their evidence."""
    pictures = _mask_pictures(session.evidence, structures) if model.slices else []
    messages = [_system("chat_report"), _user(pictures, evidence_lines(session.evidence, structures), asked)]
    return _text(model.endpoint.complete(messages))


def _speak(model: ChatModel, messages: Sequence[Mapping[str, Any]], cards: Sequence[ExpertCard], trace: list[TraceStep]) -> dict[str, Any]:
    start = time.perf_counter()
    reply = model.endpoint.complete(messages, tool_schema(cards))
    said = _text(reply) or f"calls {', '.join(_function(call)[0] or '?' for call in _tool_calls(reply))}"
    trace.append(TraceStep(step=len(trace) + 1, call="model", status="said", seconds=round(time.perf_counter() - start, 3), detail=said[:200]))
    return reply


def _answer_call(
    session: Gathering, call: object, n: int, cards: Sequence[ExpertCard], trace: list[TraceStep]
) -> tuple[dict[str, Any], ExpertCall | None]:
    """Run one call, or say what is wrong with it; the message for the model, and the call if it was one."""
    parsed = _parsed(call, n, cards)
    if isinstance(parsed, CallProblem):
        trace.append(TraceStep(step=len(trace) + 1, call=parsed.text, status="refused", seconds=0.0, detail=parsed.message))
        return _tool_message(call, n, f"Not done. {parsed.message}"), None
    session.gather(parsed, trace, by="asked by the model")
    return _tool_message(call, n, "\n".join(_result(session.evidence, parsed.arguments))), parsed


def _parsed(call: object, n: int, cards: Sequence[ExpertCard]) -> ExpertCall | CallProblem:
    if n >= MAX_CALLS:
        return CallProblem(f"call {n + 1}", f"Too many calls; make at most {MAX_CALLS} at a time.")
    name, written = _function(call)
    arguments = _decoded(written)
    if arguments is None and any(card.name == name for card in cards):
        return CallProblem(f"{name}({written})"[:200], f"The arguments are not JSON. {parse_tool_call(name, {}, cards).message}")  # type: ignore[union-attr]
    return parse_tool_call(name, arguments, cards)


def _result(evidence: Evidence, structures: Sequence[str]) -> list[str]:
    """The evidence lines of a call; where there is none, also why."""
    missing = (Status.FAILED, Status.NOT_COVERED)
    reasons = [prompt.harmless(s.text) for s in evidence.sentences if s.structure in structures and s.status in missing]
    return [*evidence_lines(evidence, structures), *reasons] or ["nothing measured"]


def _tool_calls(reply: Mapping[str, Any]) -> list[object]:
    calls = reply.get("tool_calls")
    return list(calls) if isinstance(calls, list) else []


def _function(call: object) -> tuple[str, str]:
    """Name and arguments of a tool call as they were written; empty where it has none."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return "", ""
    arguments = function.get("arguments")
    return str(function.get("name") or ""), arguments if isinstance(arguments, str) else json.dumps(arguments)


def _decoded(written: str) -> object:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return None


def _call_id(call: object, n: int) -> str:
    given = call.get("id") if isinstance(call, dict) else None
    return given if isinstance(given, str) and given else f"call_{n + 1}"


def _echo(call: object, n: int) -> dict[str, Any]:
    """A call as it goes back to the server: servers decode the arguments of earlier calls and break on what is not JSON."""
    name, written = _function(call)
    arguments = written if isinstance(_decoded(written), dict) else "{}"
    return {"id": _call_id(call, n), "type": "function", "function": {"name": name or "unnamed", "arguments": arguments}}


def _tool_message(call: object, n: int, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": _call_id(call, n), "content": content}


def _text(reply: Mapping[str, Any]) -> str:
    """What the model said, without its thinking aloud; some servers send parts."""
    content = reply.get("content") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return _THOUGHT.sub("", str(content)).strip()


def _system(template: str) -> dict[str, Any]:
    return {"role": "system", "content": (files("vol3d.vlm") / "templates" / f"{template}.txt").read_text(encoding="utf-8").strip()}


def _asked(volume: Volume, question: str, choices: Sequence[str]) -> str:
    options = f"\nOptions: {' / '.join(prompt.harmless(c, limit=200) for c in choices)}" if choices else ""
    return f"Modality: {volume.modality}\nQuestion: {prompt.harmless(question)}{options}"


def _user(pictures: Sequence[tuple[str, str]], evidence: Sequence[str], asked: str) -> dict[str, Any]:
    told = "\n".join(["Evidence:", *evidence]) + "\n" if evidence else ""
    parts: list[dict[str, Any]] = []
    for caption, url in pictures:
        parts += [{"type": "text", "text": caption}, {"type": "image_url", "image_url": {"url": url}}]
    return {"role": "user", "content": [*parts, {"type": "text", "text": told + asked}] if parts else told + asked}


def _scan_pictures(volume: Volume, slices: int) -> list[tuple[str, str]]:
    images = frames(volume, slices=slices) if slices else []
    return [(f"Axial slice {n} of {len(images)}, from the top:", data_url(image)) for n, image in enumerate(images, start=1)]


def _mask_pictures(evidence: Evidence, structures: Sequence[str]) -> list[tuple[str, str]]:
    """Key slices with the masks of these structures, the newest first."""
    shown = [p for p in reversed(evidence.pictures) if set(p.structures) & set(structures)][:_MOST_KEY_SLICES]
    return [(p.caption, data_url(_image(p))) for p in shown]


def _image(picture: Picture) -> Any:
    from PIL import Image

    return Image.fromarray(picture.rgb)
