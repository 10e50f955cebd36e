"""Other people's models under one evaluator, each fed as its makers document.

An answerer takes a scan and a prompt and gives text back. What it is fed is named (`vol3d.evaluation.models.inputs`), because scores move more with
windows, slices and spacing than with the model.
"""

from typing import Protocol, runtime_checkable

from vol3d.volume.volume import Volume


@runtime_checkable
class Answerer(Protocol):
    """Anything that answers a prompt about a scan; `name` and `settings` go into the provenance."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def settings(self) -> dict[str, object]: ...  # noqa: D102

    def answer(self, volume: Volume | None, prompt: str) -> str:
        """The model's text; `volume` None asks it blind."""
        ...
