"""What the parts hand to one another: label maps, measurements, evidence, experts, corpus rows, answers, reports.

Frozen dataclasses hold arrays and stay inside the process; pydantic models are what is written to disk, printed as JSON or
parsed from text. Nothing here knows how a mask is made or how a model is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer, UInt8
from pydantic import BaseModel, ConfigDict, Field

from vol3d.errors import GeometryError
from vol3d.volume.volume import Volume

DISCLAIMER = "Research software, not for clinical use."


class Status(StrEnum):
    """Four different answers to 'where is it?', never merged into one."""

    FOUND = "found"
    ABSENT = "absent"  # looked for over the covered region, and not there
    NOT_COVERED = "not_covered"  # the field of view, or every expert at hand, misses it: nothing is known
    FAILED = "failed"  # an expert ran and broke


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class LabelMap:
    """Integer labels on the scan's own grid.

    Args:
        array: label ids, 0 is background.
        affine: maps `(z, y, x, 1)` indices to RAS mm; equal to the scan's.
        names: id -> canonical structure name (`lung_left`, `liver`, `liver_tumour`).
        source: the scan, as given.
        expert, version: who made it.
        statuses: structures that were asked for; a name that is missing here is found if it has a voxel, else absent.
        unions: a structure made of several ids (`body`, `lungs`), so that structures may contain each other.
        reasons: structure -> why it is not covered or failed, in words.
        notices: what was done to the scan that its reader should know (a sequence that was resampled), in words.

    """

    array: Integer[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    names: Mapping[int, str]
    source: str
    expert: str
    version: str
    statuses: Mapping[str, Status] = field(default_factory=dict)
    unions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if 0 in self.names:
            raise GeometryError("label 0 is the background and cannot carry a name", found=self.names[0])

    @property
    def structures(self) -> tuple[str, ...]:
        """All names that this map can speak about: labels, unions, and what was looked for in vain."""
        return tuple(dict.fromkeys([*self.names.values(), *self.unions, *self.statuses]))

    def ids(self, structure: str) -> tuple[int, ...]:
        """The label ids that make up a structure; empty when it has none."""
        if structure in self.unions:
            return tuple(self.unions[structure])
        return tuple(i for i, name in self.names.items() if name == structure)

    def mask(self, structure: str) -> np.ndarray:
        """Boolean `z y x` mask of a structure."""
        return np.isin(self.array, self.ids(structure))

    def status(self, structure: str) -> Status:
        """Found, absent, not covered or failed."""
        if structure in self.statuses:
            return self.statuses[structure]
        if structure not in self.structures:
            return Status.NOT_COVERED
        return Status.FOUND if self._present.intersection(self.ids(structure)) else Status.ABSENT

    @cached_property
    def _present(self) -> frozenset[int]:
        """Ids that have a voxel; counted once, since asking for a hundred structures one by one would read the array as often."""
        flat = self.array.ravel()
        small = flat.dtype.itemsize <= 2 and flat.dtype.kind == "u"
        return frozenset((np.flatnonzero(np.bincount(flat)) if small else np.unique(flat)).tolist())


class Measurement(_Record):
    """One number or fact about one structure, and how it was obtained.

    `component` is None for the whole structure, 1 for its largest connected component, and so on.
    """

    name: str
    value: float | int | str | tuple[float, ...] | None
    unit: str
    structure: str
    component: int | None = None
    method: str
    mask_id: str
    status: Status = Status.FOUND

    @property
    def id(self) -> str:
        """Stable address within one evidence: `liver/all/volume`, `liver_tumour/1/longest_axial_diameter`."""
        return f"{self.structure}/{self.component or 'all'}/{self.name}"


class Sentence(_Record):
    """A sentence that is true by construction, with the measurements that it was made from."""

    text: str
    structure: str
    status: Status
    measurement_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A rendered slice, radiological view (patient's right at the left edge); square pixels.

    `colours` maps the drawn structures to their RGB, so that whoever shows the picture can draw its legend.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    plane: Literal["axial", "coronal", "sagittal"]
    index: int
    structures: tuple[str, ...]
    intensity: str
    caption: str
    colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What the experts found in one scan: numbers, words, pictures, and the masks behind them.

    `conflicts` names the structures on which two experts disagree, with the line of the one that was not believed.
    """

    measurements: tuple[Measurement, ...]
    sentences: tuple[Sentence, ...]
    pictures: tuple[Picture, ...] = ()
    masks: Mapping[str, LabelMap] = field(default_factory=dict)
    statuses: Mapping[str, Status] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)

    def find(self, structure: str, name: str, component: int | None = None) -> Measurement | None:
        """The measurement with that address, or None."""
        for item in self.measurements:
            if (item.structure, item.name, item.component) == (structure, name, component):
                return item
        return None


class ExpertCard(_Record):
    """What an expert is, can do and costs; the prompt, the parser and the page are generated from it.

    `arguments` are the words that may stand inside `<Name(...)>`: canonical structure names, and groups of them.
    """

    name: str
    version: str
    modalities: tuple[Literal["CT", "MR"], ...]
    summary: str
    targets: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    snomed: Mapping[str, str] = Field(default_factory=dict)
    cost: str
    licence: str
    commercial_use: bool
    weights: str


@runtime_checkable
class Expert(Protocol):
    """Anything that can segment named structures on a scan's own grid."""

    @property
    def card(self) -> ExpertCard:
        """What the expert offers."""
        ...

    def segment(self, volume: Volume, targets: Sequence[str]) -> LabelMap:
        """Segment `targets` (empty: all that the card lists); raises ExpertError when it breaks."""
        ...


@dataclass(frozen=True)
class ExpertCall:
    """A request `<name(argument, ...)>` that a card allows."""

    name: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"<{self.name}({', '.join(self.arguments)})>"


@runtime_checkable
class EvidenceSource(Protocol):
    """What a pipeline asks for evidence: a panel of experts that segments, measures, describes and renders.

    `experts3d.panel` implements it; the pipeline knows only this, so that `vol3d` never imports `experts3d`.
    """

    def cards(self, modality: str) -> tuple[ExpertCard, ...]:
        """The cards that fit a modality, in the order in which they are shown to the model."""
        ...

    def vocabulary(self) -> tuple[str, ...]:
        """Every structure that a question could be about, offered by an expert at hand or not."""
        ...

    def gather(self, volume: Volume, call: ExpertCall) -> Evidence:
        """Run one call. Never raises for an expert's failure: the evidence then says `failed`, and why."""
        ...


class Row(_Record):
    """One series of a corpus: what `data_prep` writes to Parquet and training reads."""

    study: str
    patient: str
    series: str
    path: str
    modality: Literal["CT", "MR", "unknown"]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    findings: str = ""
    impression: str = ""
    technique: str = ""
    labels: Mapping[str, int] = Field(default_factory=dict)
    split: str = ""
    licence: str = ""
    sha256: str = ""
    synthetic: bool = False


class TraceStep(_Record):
    """One step of an answer: what was called, how it ended, how long it took."""

    step: int
    call: str
    status: str
    seconds: float
    detail: str = ""


class Answer(_Record):
    """An answer that says what it rests on.

    `confidence` is the model's probability of its own answer, not a clinical one. `doubts` says in words why the evidence may be
    wrong: another expert disagrees, the scan cuts a structure off, or the model finds it at odds with the image (`status` is then `doubtful`).
    """

    scan: str
    question: str
    text: str
    choice: str | None = None
    value: float | None = None
    unit: str | None = None
    confidence: float | None = None
    status: str = "answered"
    doubts: tuple[str, ...] = ()
    evidence: tuple[Measurement, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    disclaimer: str = DISCLAIMER


class Claim(_Record):
    """A statement of a report, the measurement that it rests on, and whether the two agree; `doubtful` where the model finds the measurement at
    odds with the image.
    """

    text: str
    measurement_id: str | None
    verdict: Literal["supported", "contradicted", "unsupported", "not_covered", "doubtful"]


class Report(_Record):
    """A report of one scan; every measured claim points at its measurement."""

    scan: str
    status: str
    findings: str
    impression: str
    claims: tuple[Claim, ...] = ()
    evidence: tuple[Measurement, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    page: str | None = None
    disclaimer: str = DISCLAIMER
