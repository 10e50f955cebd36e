"""This project's own model and experts as an answerer: `vol3d.ask` on the scan, the letter from its answer."""

from typing import TYPE_CHECKING, Any

from vol3d.evaluation.parsing.choice import read_options
from vol3d.volume.volume import Volume

if TYPE_CHECKING:
    from vol3d.contracts import EvidenceSource


class OwnModel:
    """A vol3d model with its experts.

    Args:
        model: from `vol3d.load_model`; None loads the demo model.
        experts: a panel; None takes the installed default.
        name: for the provenance.
    """

    def __init__(self, model: Any = None, *, experts: "EvidenceSource | None" = None, name: str = "demo") -> None:
        from vol3d.vlm.model import load_model

        self._model = load_model(name) if model is None else model
        self._experts, self._name = experts, name

    @property
    def name(self) -> str:
        """Name for the provenance."""
        return self._name

    @property
    def settings(self) -> dict[str, object]:
        """What stands behind the answers."""
        return {"feed": "vol3d", "experts": "given" if self._experts is not None else "default"}

    def answer(self, volume: Volume | None, prompt: str) -> str:
        """The answer's text; of a multiple-choice prompt the letter of the option that it names."""
        from vol3d.inference.pipeline import ask

        if volume is None:
            return str(self._model.say(prompt, None, prompt)[0])
        question = prompt.split("\nAnswer with")[0]
        options = read_options(question)
        if not options:
            return ask(volume, question, model=self._model, experts=self._experts).text
        plain = question[: min(question.find(f"{letter}{mark} ") for letter in "A" for mark in ".)" if f"{letter}{mark} " in question)].strip()
        answer = ask(volume, plain, model=self._model, experts=self._experts, choices=tuple(options.values()))
        return next((letter for letter, text in options.items() if text == answer.choice), answer.text)
