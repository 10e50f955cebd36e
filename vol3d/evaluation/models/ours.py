"""This project's own model and experts as an answerer: `vol3d.ask` on the scan, the letter from its answer."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError
from vol3d.evaluation.models import Reply
from vol3d.evaluation.parsing.choice import read_options
from vol3d.volume.volume import Volume

if TYPE_CHECKING:
    from vol3d.contracts import EvidenceSource
    from vol3d.inference.chat_loop import ChatSession
    from vol3d.inference.expert_loop import Session
    from vol3d.vlm.view import Visuals

_INSTRUCTION = re.compile(r"\s*\n?Answer (?:with ONLY|with a single|with 'yes'|with the most|in one or two)[^\n]*")


class OwnModel:
    """A vol3d model with its experts.

    Args:
        model: from `vol3d.load_model`; None loads the demo model.
        experts: scan -> panel, so that a scan's own masks can join; None takes the installed default.
        name: for the provenance.
        wrap: put around the panel of every scan (a probe that changes the evidence).
    """

    def __init__(
        self,
        model: Any = None,
        *,
        experts: "Callable[[Volume], EvidenceSource] | None" = None,
        name: str = "demo",
        wrap: "Callable[[EvidenceSource], EvidenceSource] | None" = None,
    ) -> None:
        from vol3d.vlm.model import load_model

        self._model = load_model(name) if model is None else model
        self._experts, self._name, self._wrap = experts, name, wrap
        self._opened: tuple[Volume, Session | ChatSession] | None = None

    @property
    def name(self) -> str:
        """Name for the provenance."""
        return self._name

    @property
    def settings(self) -> dict[str, object]:
        """What stands behind the answers."""
        return {"feed": "vol3d", "experts": "given" if self._experts is not None else "default"}

    def with_evidence(self, wrap: "Callable[[EvidenceSource], EvidenceSource]") -> "OwnModel":
        """The same model, told something else."""
        return OwnModel(self._model, experts=self._experts, name=self._name, wrap=wrap)

    def answer(self, volume: Volume | None, prompt: str) -> str:
        """The answer's text; of a multiple-choice prompt the letter of the option that it names."""
        return self.reply(volume, prompt).text

    def reply(self, volume: Volume | None, prompt: str) -> Reply:
        """The answer and the model's probability of it."""
        from vol3d.inference.pipeline import answer_question
        from vol3d.vlm import prompt as words

        question, options = split_options(_INSTRUCTION.sub("", prompt))
        if volume is None:
            text, confidence = self._model.say(words.prefix(), None, words.question(question, tuple(options.values())))
            return Reply(_letter_of(text.split(words.END)[0].strip(), options), confidence)
        answer = answer_question(self._session(volume), question, model=self._model, choices=tuple(options.values()))
        return Reply(_letter_of(answer.choice or answer.text, options), answer.confidence, answer.status)

    def features(self, volume: Volume) -> Float[np.ndarray, " d"]:
        """The mean of the scan's tokens as the language model receives them."""
        import torch

        with torch.inference_mode():
            tokens = self._model.project(self._visuals(volume).in_order)
        assert tokens is not None  # an opened scan always has its volume's tokens
        return np.asarray(tokens.float().mean(0).cpu().numpy())

    def log_likelihoods(self, volume: Volume | None, pairs: Sequence[tuple[str, str]]) -> Float[np.ndarray, " n"]:
        """Log probability per token of each answer after its question, given the image alone (no evidence)."""
        import torch

        from vol3d.vlm import prompt as words
        from vol3d.vlm.packing import pack

        visuals = None if volume is None else self._visuals(volume)
        shown = () if visuals is None else visuals.in_order
        prefix = words.prefix() if visuals is None else words.prefix(num_volumes=1, num_slices=len(visuals.slices))
        scores = []
        for question, answer in pairs:
            group = self._model.group(prefix, shown, [(words.question(question), words.answer(answer))])
            with torch.inference_mode():
                scores.append(-float(self._model(pack([group])).token_losses.mean()))
        return np.array(scores)

    def _visuals(self, volume: Volume) -> "Visuals":
        """The scan's tokens. Raises ConfigError for a model behind an endpoint, whose inside is not to be seen."""
        from vol3d.inference.expert_loop import Session

        session = self._session(volume)
        if not isinstance(session, Session):
            raise ConfigError("a model behind an endpoint cannot be looked into", found=self._name)
        return session.visuals

    def _session(self, volume: Volume) -> "Session | ChatSession":
        """The scan as the model sees it, read once, without what earlier questions brought."""
        from vol3d.inference.pipeline import default_experts, open_session

        if self._opened is None or self._opened[0] is not volume:
            source = default_experts() if self._experts is None else self._experts(volume)
            source = source if self._wrap is None else self._wrap(source)
            self._opened = (volume, open_session(volume, model=self._model, experts=source))
        return replace(self._opened[1], asked={})


def split_options(prompt: str) -> tuple[str, dict[str, str]]:
    r"""The question without its options, and the options.

    >>> split_options("Look. Larger? A. left B. right\nBe brief.")
    ('Look. Larger?\nBe brief.', {'A': 'left', 'B': 'right'})
    """
    options = read_options(prompt)
    first = re.search(r"(?:^|(?<=\s))\(?A[.):]\s", prompt)
    if not options or first is None:
        return prompt.strip(), {}
    last = list(options.values())[-1]
    end = prompt.rfind(last) + len(last)
    return (prompt[: first.start()].rstrip() + prompt[end:].rstrip()).strip(), options


def _letter_of(text: str, options: dict[str, str]) -> str:
    """The letter of the option that is the text, or of the only one that begins with it.

    >>> _letter_of("Left", {"A": "left kidney", "B": "right kidney"}), _letter_of("kidney", {"A": "kidney left", "B": "kidney right"})
    ('A', 'kidney')
    """
    said = text.rstrip(".").strip().lower()
    same = [letter for letter, option in options.items() if option.lower() == said]
    begun = [letter for letter, option in options.items() if said and option.lower().startswith(f"{said} ")]
    return same[0] if same else begun[0] if len(begun) == 1 else text
