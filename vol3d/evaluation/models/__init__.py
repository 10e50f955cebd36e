"""Other people's models under one evaluator, each fed as its makers document.

An answerer takes a scan and a prompt and gives text back. What it is fed is named (`vol3d.evaluation.models.inputs`), because scores move more with
windows, slices and spacing than with the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from vol3d.contracts import EvidenceSource
from vol3d.volume.volume import Volume


@dataclass(frozen=True)
class Reply:
    """What a model said, its own probability of it where it has one, and how it meant it (`answered`, `doubtful`, `not_covered`, `withheld`)."""

    text: str
    confidence: float | None = None
    status: str = ""


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


@runtime_checkable
class Confident(Protocol):
    """An answerer that also says how sure it is."""

    def reply(self, volume: Volume | None, prompt: str) -> Reply:
        """Text and probability."""
        ...


@runtime_checkable
class UsesEvidence(Protocol):
    """An answerer whose evidence can be changed on its way to the model."""

    def with_evidence(self, wrap: Callable[[EvidenceSource], EvidenceSource]) -> Answerer:
        """The same model, told something else."""
        ...


@runtime_checkable
class Inspectable(Protocol):
    """An answerer whose representation can be looked at."""

    def features(self, volume: Volume) -> np.ndarray:
        """The scan as the model represents it, one vector `d`."""
        ...

    def log_likelihoods(self, volume: Volume | None, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Log probability of each answer after its question, per token; `volume` None: blind."""
        ...


def reply_of(answerer: Answerer, volume: Volume | None, prompt: str) -> Reply:
    """Text, and confidence where the answerer gives one."""
    return answerer.reply(volume, prompt) if isinstance(answerer, Confident) else Reply(answerer.answer(volume, prompt))
