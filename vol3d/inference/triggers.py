"""Calls of experts in a model's text: `<name(argument, ...)>`, parsed strictly against the cards that were shown.

The grammar is a contract between the model and the cards. What looks like a call but is none that a card declares comes back as a
CallProblem whose message says how to write it, so that the model can try once more. Anything else in angle brackets (`<5 mm`) is text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vol3d.contracts import ExpertCall, ExpertCard

MAX_CALLS = 8
_LONGEST = 2000
_ATTEMPT = re.compile(r"<([A-Za-z_][A-Za-z0-9_.-]{0,63})(\(|>)")
_ARGUMENTS = re.compile(rf"([^<>()]{{0,{_LONGEST}}})\)>")
_CARD_CHARACTERS = 180


@dataclass(frozen=True)
class CallProblem:
    """Text that was meant as a call but is none: what was written, and what to write instead."""

    text: str
    message: str


def parse_calls(text: str, cards: Sequence[ExpertCard]) -> tuple[ExpertCall | CallProblem, ...]:
    """All calls in a text, in order; names and arguments are case-sensitive and must stand on a card.

    Args:
        text: what a model wrote.
        cards: the cards that it was shown.

    >>> card = ExpertCard(name="threshold_ct", version="1", modalities=("CT",), summary="", targets=("lungs", "bone"),
    ...                   arguments=("lungs", "bone"), cost="", licence="", commercial_use=True, weights="none")
    >>> parse_calls("Let me look: <threshold_ct(lungs, bone)>", [card])
    (ExpertCall(name='threshold_ct', arguments=('lungs', 'bone')),)
    >>> parse_calls("<threshold_ct(lung)> of <5 mm", [card])[0].message
    "threshold_ct has no argument 'lung'; it takes: lungs, bone."
    """
    by_name = {card.name: card for card in cards}
    out: list[ExpertCall | CallProblem] = []
    for attempt in _ATTEMPT.finditer(text):
        name, opening = attempt.groups()
        if opening == ">":
            if name.lower() in {known.lower() for known in by_name}:
                out.append(CallProblem(attempt.group(), _usage(name, by_name)))
            continue
        body = _ARGUMENTS.match(text, attempt.end())
        if body is None:
            out.append(CallProblem(text[attempt.start() : attempt.end() + 40], _usage(name, by_name)))
            continue
        out.append(_check(attempt.group() + body.group(), name, body.group(1), by_name))
    if len(out) > MAX_CALLS:
        out = [*out[:MAX_CALLS], CallProblem(f"{len(out)} calls", f"Too many calls; write at most {MAX_CALLS} at a time.")]
    return tuple(out)


def card_prompt(cards: Sequence[ExpertCard]) -> str:
    """The cards as a prompt shows them, one line each, at most about 60 tokens: how to call, and what for.

    >>> card = ExpertCard(name="deepbet", version="1", modalities=("MR",), summary="brain mask", targets=("brain",),
    ...                   arguments=("brain",), cost="", licence="MIT", commercial_use=True, weights="")
    >>> card_prompt([card])
    '<deepbet(brain)> brain mask'
    """
    return "\n".join(_card_line(card) for card in cards)


def tool_schema(cards: Sequence[ExpertCard]) -> list[dict[str, Any]]:
    """The cards as tools in the JSON schema of chat endpoints: one function each, with the structures it takes."""
    return [
        {
            "type": "function",
            "function": {
                "name": card.name,
                "description": card.summary,
                "parameters": {
                    "type": "object",
                    "properties": {
                        "structures": {
                            "type": "array",
                            "items": {"type": "string", "enum": list(card.arguments)},
                            "minItems": 1,
                            "description": "what to segment and measure",
                        }
                    },
                    "required": ["structures"],
                    "additionalProperties": False,
                },
            },
        }
        for card in cards
    ]


def parse_tool_call(name: str, arguments: object, cards: Sequence[ExpertCard]) -> ExpertCall | CallProblem:
    """One tool call of a chat endpoint (`tool_schema`), its arguments already decoded from JSON.

    >>> parse_tool_call("deepbet", {"structures": ["brain"]}, []).message
    "There is no expert 'deepbet'. There are no experts for this scan."
    """
    by_name = {card.name: card for card in cards}
    shown = f"{name}({arguments})"[:200]
    structures = arguments.get("structures") if isinstance(arguments, dict) else None
    if name not in by_name:
        return CallProblem(shown, _usage(name, by_name))
    if not isinstance(structures, list) or not all(isinstance(s, str) for s in structures):
        return CallProblem(shown, f'{name} takes {{"structures": [...]}} with some of: {_listed(by_name[name].arguments)}.')
    return _check(shown, name, ",".join(structures), by_name)


def _check(written: str, name: str, body: str, by_name: dict[str, ExpertCard]) -> ExpertCall | CallProblem:
    card = by_name.get(name)
    if card is None:
        return CallProblem(written, _usage(name, by_name))
    arguments = [part.strip() for part in body.split(",")] if body.strip() else []
    if not arguments and card.arguments:
        return CallProblem(written, _usage(name, by_name))
    unknown = [argument for argument in arguments if argument not in card.arguments]
    if unknown:
        return CallProblem(written, f"{name} has no argument '{unknown[0][:60]}'; it takes: {_listed(card.arguments, near=unknown[0])}.")
    return ExpertCall(name, tuple(dict.fromkeys(arguments)))


def _usage(name: str, by_name: dict[str, ExpertCard]) -> str:
    """How to write the call that was probably meant."""
    meant = next((known for known in by_name if known.lower() == name.lower()), None)
    if meant is not None:
        return f"Write <{meant}(argument, ...)> with some of: {_listed(by_name[meant].arguments)}."
    if not by_name:
        return f"There is no expert '{name}'. There are no experts for this scan."
    return f"There is no expert '{name}'. Experts: {', '.join(by_name)}."


def _listed(arguments: Sequence[str], *, near: str = "") -> str:
    """Up to a dozen arguments, those that resemble what was written first."""
    close = get_close_matches(near, arguments, n=3, cutoff=0.5) if near and len(arguments) > 12 else []
    chosen = list(dict.fromkeys([*close, *arguments]))[:12]
    return ", ".join(chosen) + (f", and {len(arguments) - len(chosen)} more" if len(arguments) > len(chosen) else "")


def _card_line(card: ExpertCard) -> str:
    shown: list[str] = []
    for argument in card.arguments:
        if len(", ".join([*shown, argument])) > _CARD_CHARACTERS - min(len(card.summary), 60):
            break
        shown.append(argument)
    more = f", and {len(card.arguments) - len(shown)} more" if len(shown) < len(card.arguments) else ""
    summary = card.summary if len(card.summary) <= 60 else card.summary[:57].rsplit(" ", 1)[0] + " ..."
    return f"<{card.name}({', '.join(shown)}{more})> {summary}".rstrip()
