"""Evidence taken away, and evidence that is wrong: does a model rest on what its experts say, and does it notice when they err?

Each stands between a panel of experts and the model; the scan stays as it is.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from vol3d.contracts import Evidence, EvidenceSource, ExpertCall, ExpertCard, LabelMap, Measurement, Status
from vol3d.volume.volume import Volume

# What each word of a measurement becomes when it is to be wrong.
_OPPOSITE = {
    "left": "right", "right": "left", "equal": "left", "yes": "no", "no": "yes", "normal": "severe", "mild": "severe", "moderate": "normal",
    "severe": "normal", "large": "small", "small": "large", "hypoattenuating": "hyperattenuating", "hyperattenuating": "hypoattenuating",
    "isoattenuating": "hypoattenuating",
}  # fmt: skip


@dataclass(frozen=True)
class _Between:
    """A panel whose findings change on their way; implements `EvidenceSource`."""

    source: EvidenceSource

    def cards(self, modality: str) -> tuple[ExpertCard, ...]:
        """As the panel has them."""
        return self.source.cards(modality)

    def vocabulary(self) -> tuple[str, ...]:
        """As the panel has it."""
        return self.source.vocabulary()


class RemovedEvidence(_Between):
    """Every call comes back with nothing covered: no numbers, sentences, pictures or masks."""

    def gather(self, volume: Volume, call: ExpertCall) -> Evidence:
        """The same statuses' names, all not covered; no expert runs."""
        asked = call.arguments or tuple(a for card in self.source.cards(volume.modality) if card.name == call.name for a in card.arguments)
        return Evidence((), (), statuses=dict.fromkeys(asked, Status.NOT_COVERED))


class WrongNumbers(_Between):
    """Every number off by a third to a half of itself (counts by one or two), sides and verdicts turned round; masks stay.

    What is wrong is drawn from the scan's name and the measurement's address, so that one scan is told the same lie twice.
    """

    def gather(self, volume: Volume, call: ExpertCall) -> Evidence:
        """What the panel found, with lies in the place of its measurements; sentences that state the true ones are dropped."""
        found = self.source.gather(volume, call)
        return replace(found, measurements=tuple(_lie(item, volume.source) for item in found.measurements), sentences=())


class ExchangedStructures(_Between):
    """Another structure of the same expert under each asked name: numbers, masks and pictures agree, and are of the wrong thing."""

    def gather(self, volume: Volume, call: ExpertCall) -> Evidence:
        """What the panel found of the others, renamed; where an expert offers nothing else, what it found."""
        card = next((card for card in self.source.cards(volume.modality) if card.name == call.name), None)
        others = [] if card is None else [a for a in card.arguments if a not in call.arguments]
        if not others or not call.arguments:
            return self.source.gather(volume, call)
        start = zlib.crc32(f"{volume.source}|{call}".encode()) % len(others)
        renamed = {others[(start + i) % len(others)]: asked for i, asked in enumerate(call.arguments)}
        found = self.source.gather(volume, ExpertCall(call.name, tuple(renamed)))
        return Evidence(
            tuple(m.model_copy(update={"structure": renamed[m.structure]}) for m in found.measurements if m.structure in renamed),
            (),
            masks={str(call): _renamed(labels, renamed) for labels in found.masks.values()},
            statuses={renamed[name]: status for name, status in found.statuses.items() if name in renamed},
        )


def _renamed(labels: LabelMap, names: Mapping[str, str]) -> LabelMap:
    """A label map that speaks of the renamed structures only."""
    return replace(
        labels,
        names={i: names[name] for i, name in labels.names.items() if name in names},
        unions={names[name]: ids for name, ids in labels.unions.items() if name in names},
        statuses={names[name]: status for name, status in labels.statuses.items() if name in names},
        reasons={},
    )


def _lie(item: Measurement, scan: str) -> Measurement:
    value = item.value
    rng = np.random.default_rng(zlib.crc32(f"{scan}|{item.id}".encode()))
    if isinstance(value, str):
        return item.model_copy(update={"value": _OPPOSITE.get(value, value)})
    if isinstance(value, bool) or not isinstance(value, int | float):
        return item
    if item.name == "num_components":
        return item.model_copy(update={"value": int(value) + int(rng.integers(1, 3))})
    factor = 1.0 + float(rng.choice([-1.0, 1.0])) * float(rng.uniform(1 / 3, 1 / 2))
    return item.model_copy(update={"value": float(value) * factor if value else float(rng.uniform(20, 40))})


EVIDENCE_PROBES: Mapping[str, Callable[[EvidenceSource], EvidenceSource]] = {
    "evidence_removed": RemovedEvidence,
    "evidence_wrong": WrongNumbers,
    "evidence_exchanged": ExchangedStructures,
}
