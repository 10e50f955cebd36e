"""A panel of experts as the pipeline's source of evidence: run, measure, derive, describe, draw; every way to fail is an answer, not a crash."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experts3d.anatomy import COMPANIONS, FINDINGS, GROUPS, in_words, is_lesion, parent_organ
from experts3d.cache import LabelCache, entry_key, scan_key
from experts3d.cards import ready_experts
from experts3d.contacts import contacts
from experts3d.derive import derive
from experts3d.describe import describe
from experts3d.keyslices import key_slices
from experts3d.label_table import load_table
from experts3d.measure import measure
from experts3d.render import overlay
from vol3d.contracts import Evidence, Expert, ExpertCall, ExpertCard, LabelMap, Measurement, Picture, Sentence, Status
from vol3d.errors import Vol3dError
from vol3d.volume.volume import Volume

logger = logging.getLogger(__name__)

# Label maps of this many scan-and-expert pairs stay in memory, so that the questions of one session do not read the disk again.
_IN_MEMORY = 4
_TISSUES = ("body", "fat", "soft_tissue", "lungs", "lung_aerated", "lung_poorly_aerated")


class Panel:
    """Experts behind one door; implements `vol3d.contracts.EvidenceSource`.

    Args:
        experts: in the order in which the model sees their cards.
        cache: a LabelCache, a folder for one, or None for no cache on disk.
        one_by_one: names of experts that run for the asked structures only, because each costs; all others run once for all they can do.
        pictures_per_plane: key slices drawn in each plane; 0: none.

    >>> from experts3d.cards import load_expert
    >>> panel = Panel([load_expert("threshold_ct")], cache=None)
    >>> [card.name for card in panel.cards("CT")], panel.cards("MR")
    (['threshold_ct'], ())
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        *,
        cache: LabelCache | str | Path | None = None,
        one_by_one: Sequence[str] = (),
        pictures_per_plane: int = 1,
    ) -> None:
        self._experts = {expert.card.name: expert for expert in experts}
        self._cache = LabelCache(cache) if isinstance(cache, str | Path) else cache
        self._one_by_one = frozenset(one_by_one)
        self._pictures_per_plane = pictures_per_plane
        self._recent: dict[str, LabelMap] = {}
        self._last_scan: tuple[Volume, str] | None = None

    def cards(self, modality: str) -> tuple[ExpertCard, ...]:
        """The cards that fit a modality; for an unknown one, all."""
        cards = [expert.card for expert in self._experts.values()]
        return tuple(card for card in cards if modality == "unknown" or modality in card.modalities)

    def vocabulary(self) -> tuple[str, ...]:
        """Every structure that a question could be about: what the experts offer, all of anatomy that has a name here, all findings."""
        offered = [name for expert in self._experts.values() for name in (*expert.card.arguments, *expert.card.targets)]
        tables = [name for table in ("totalseg", "totalseg_mr") for name in load_table(table).values()]
        return tuple(dict.fromkeys([*offered, *FINDINGS, *GROUPS, *tables]))

    def gather(self, volume: Volume, call: ExpertCall) -> Evidence:
        """Run one call.

        Args:
            volume: the scan.
            call: expert and structures; no structures: all that the card lists.

        Never raises for an expert: what it cannot do is `not_covered`, what breaks is `failed`, both with the reason in a sentence.
        """
        start = time.perf_counter()
        expert = self._experts.get(call.name)
        if expert is None:
            return _without(call, call.arguments, Status.NOT_COVERED, f"there is no expert {call.name}")
        card = expert.card
        asked = call.arguments or card.arguments
        if volume.modality != "unknown" and volume.modality not in card.modalities:
            return _without(call, asked, Status.NOT_COVERED, f"{card.name} reads {' and '.join(card.modalities)}, this scan is {volume.modality}")
        try:
            labels, cached = self._labels(volume, expert, asked)
            segmented = time.perf_counter()
            evidence = self._evidence(volume, labels, asked)
        except Exception as error:
            logger.warning("expert %s failed: %s", card.name, error, exc_info=not isinstance(error, Vol3dError))
            reason = str(error) if isinstance(error, Vol3dError) else f"{type(error).__name__}: {error}"
            return _without(call, asked, Status.FAILED, " ".join(reason.split())[:400])
        seconds = {"segment": round(segmented - start, 3), "measure": round(time.perf_counter() - segmented, 3)}
        provenance = _provenance(card, labels.notices, cached=cached, seconds=seconds)
        return Evidence(evidence.measurements, evidence.sentences, evidence.pictures, {str(call): labels}, evidence.statuses, {str(call): provenance})

    def _labels(self, volume: Volume, expert: Expert, asked: Sequence[str]) -> tuple[LabelMap, bool]:
        card = expert.card
        targets = tuple(asked) if card.name in self._one_by_one else ()
        scan = self._scan_key(volume)
        key = entry_key(scan, card, targets)
        if key in self._recent:
            return self._recent[key], True
        # Masks that the user hands in are files already; a cache would only hide that they changed.
        if self._cache is None or card.name.startswith("supplied"):
            labels, cached = expert.segment(volume, targets), False
        else:
            labels, cached = self._cache.get_or_make(key, lambda: expert.segment(volume, targets), source=volume.source)
        self._recent[key] = labels
        while len(self._recent) > _IN_MEMORY:
            del self._recent[next(iter(self._recent))]
        return labels, cached

    def _scan_key(self, volume: Volume) -> str:
        if self._last_scan is None or self._last_scan[0] is not volume:
            self._last_scan = (volume, scan_key(volume))
        return self._last_scan[1]

    def _evidence(self, volume: Volume, labels: LabelMap, asked: Sequence[str]) -> Evidence:
        wanted = _with_companions(labels, asked)
        measured = (*measure(volume, labels, wanted), *contacts(labels, wanted))
        derived = derive(measured)
        numbers: tuple[Measurement, ...] = (*measured, *derived)
        statuses = {name: _status(labels, measured, name) for name in wanted}
        told = describe(volume, _only(labels, wanted), numbers)
        shown = [name for name in asked if statuses[name] is Status.FOUND]
        return Evidence(numbers, told, self._pictures(volume, labels, shown), statuses=statuses)

    def _pictures(self, volume: Volume, labels: LabelMap, structures: Sequence[str]) -> tuple[Picture, ...]:
        if not structures or not self._pictures_per_plane:
            return ()
        # Tissues cover everything: they are drawn only where nothing with a shape of its own was asked for.
        shaped = [name for name in structures if name not in _TISSUES] or list(structures)
        keys = key_slices(labels, shaped, per_plane=self._pictures_per_plane)
        return tuple(overlay(volume, labels, key) for key in keys)


def default_panel() -> Panel:
    """All experts that are ready on this machine, with a cache in the user's cache folder."""
    return Panel(ready_experts(), cache=LabelCache())


def _with_companions(labels: LabelMap, asked: Sequence[str]) -> tuple[str, ...]:
    """The asked structures, and those that something is derived from together with them."""
    out = list(asked)
    for name in asked:
        organ = parent_organ(name)
        more = (*COMPANIONS.get(name, ()), *((organ, f"{organ}_parenchyma") if organ and is_lesion(name) else ()))
        out += [other for other in more if labels.ids(other)]
    return tuple(dict.fromkeys(out))


def _status(labels: LabelMap, measured: Sequence[Measurement], name: str) -> Status:
    if name in labels.statuses and labels.statuses[name] is not Status.FOUND:
        return labels.statuses[name]
    return next((m.status for m in measured if m.structure == name), Status.NOT_COVERED)


def _only(labels: LabelMap, wanted: Sequence[str]) -> LabelMap:
    """The label map speaking about the wanted structures only; a name that it does not know is not covered."""
    statuses = {name: labels.statuses[name] for name in wanted if name in labels.statuses}
    unknown = {name: Status.NOT_COVERED for name in wanted if name not in labels.structures}
    reasons = {name: why for name, why in labels.reasons.items() if name in wanted}
    return LabelMap(
        labels.array, labels.affine, labels.names, labels.source, labels.expert, labels.version, statuses | unknown, labels.unions, reasons
    )


def _without(call: ExpertCall, asked: Sequence[str], status: Status, reason: str) -> Evidence:
    """Evidence that says why there are no numbers."""
    word = "not covered" if status is Status.NOT_COVERED else "segmentation failed"
    names = list(asked) or [call.name]
    sentences = tuple(Sentence(text=f"{in_words(name).capitalize()}: {word} ({reason}).", structure=name, status=status) for name in names)
    provenance: dict[str, Any] = {str(call): {"expert": call.name, "status": str(status), "reason": reason}}
    return Evidence((), sentences, statuses=dict.fromkeys(names, status), provenance=provenance)


def _provenance(card: ExpertCard, notices: Sequence[str], *, cached: bool, seconds: dict[str, float]) -> dict[str, Any]:
    facts = {"expert": card.name, "version": card.version, "weights": card.weights, "licence": card.licence}
    return {**facts, "commercial_use": card.commercial_use, "cached": cached, "seconds": seconds} | ({"notices": list(notices)} if notices else {})
