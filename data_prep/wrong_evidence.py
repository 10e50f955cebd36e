"""Evidence that is wrong on purpose, made from exact masks: what teaches a model to doubt, and what measures whether it does.

exact mask --another's | shifted | dropped | contradicted--> measure, derive --> the lines that such a mask would have brought
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool

from experts3d.derive import derive
from experts3d.measure import measure
from vol3d.contracts import Evidence, LabelMap, Measurement, Status
from vol3d.vlm import prompt
from vol3d.vlm.conversation import WrongEvidence, WrongKind
from vol3d.volume.volume import Volume

KINDS: tuple[WrongKind, ...] = ("wrong", "shifted", "missing", "contradictory")
# Far enough that a mask leaves most of a small organ, near enough that it stays in the scan.
SHIFT_MM = (35.0, 80.0)
# Another structure's mask has to differ by this much in volume, or its numbers would be as good as true.
_UNLIKE = 1.4


@dataclass(frozen=True)
class Spoiled:
    """One structure's wrong evidence, and the mask behind it where there is one that can be drawn."""

    evidence: WrongEvidence
    mask: Bool[np.ndarray, "z y x"] | None = None


def spoil(
    volume: Volume, labels: LabelMap, evidence: Evidence, structures: Sequence[str], rng: np.random.Generator, *, most: int = 6
) -> dict[str, Spoiled]:
    """Wrong evidence on up to `most` of the structures, all kinds equally often.

    Args:
        volume, labels: a scan with exact masks.
        evidence: the true evidence from them.
        structures: candidates; those that are not found in the scan are passed over.
        rng: draws structures, kinds and masks.
        most: how many structures are spoiled.

    """
    found = [s for s in structures if evidence.statuses.get(s) is Status.FOUND]
    chosen = [str(s) for s in rng.permutation(sorted(set(found)))[:most]]
    kinds = [KINDS[int(k)] for k in rng.permutation(np.arange(len(chosen)) % len(KINDS))]
    out = {}
    for structure, kind in zip(chosen, kinds, strict=True):
        made = _spoil_one(volume, labels, evidence, structure, kind, rng)
        if made is not None:
            out[structure] = made
    return out


def shifted(mask: Bool[np.ndarray, "z y x"], offset_vox: Sequence[int]) -> Bool[np.ndarray, "z y x"]:
    """A mask moved by whole voxels; what leaves the scan is lost.

    >>> shifted(np.array([[[True, False, False]]]), (0, 0, 2)).tolist()
    [[[False, False, True]]]
    """
    out = np.zeros_like(mask)
    place = np.argwhere(mask) + np.asarray(offset_vox)
    place = place[((place >= 0) & (place < mask.shape)).all(axis=1)]
    out[tuple(place.T)] = True
    return out


def _spoil_one(volume: Volume, labels: LabelMap, evidence: Evidence, structure: str, kind: WrongKind, rng: np.random.Generator) -> Spoiled | None:
    if kind == "missing":
        return Spoiled(WrongEvidence(kind=kind, lines=_lines(_without(evidence, structure), structure)))
    if kind == "contradictory":
        return _contradicted(volume, labels, evidence, structure, rng)
    mask = _others_mask(labels, evidence, structure, rng) if kind == "wrong" else _moved_mask(volume, labels, structure, rng)
    if mask is None:
        return None
    return Spoiled(WrongEvidence(kind=kind, lines=_lines(_with_mask(volume, labels, evidence, structure, mask), structure)), mask)


def _contradicted(volume: Volume, labels: LabelMap, evidence: Evidence, structure: str, rng: np.random.Generator) -> Spoiled | None:
    """The true lines, and a second opinion that saw nothing or another mask; either may come first."""
    if rng.random() < 0.5:
        other = _without(evidence, structure)
    else:
        mask = _others_mask(labels, evidence, structure, rng)
        if mask is None:
            return None
        other = _with_mask(volume, labels, evidence, structure, mask)
    first, second = (evidence, other) if rng.random() < 0.5 else (other, evidence)
    lines = (*_lines(first, structure), prompt.second_opinion(prompt.evidence_line(second, structure)))
    return Spoiled(WrongEvidence(kind="contradictory", lines=lines))


def _others_mask(labels: LabelMap, evidence: Evidence, structure: str, rng: np.random.Generator) -> np.ndarray | None:
    """The mask of another structure that is clearly larger or smaller."""
    own = _volume(evidence, structure)
    others = [s for s in evidence.statuses if s != structure and _unlike(own, _volume(evidence, s)) and not _related(s, structure)]
    return labels.mask(str(rng.choice(sorted(others)))) if others else None


def _moved_mask(volume: Volume, labels: LabelMap, structure: str, rng: np.random.Generator) -> np.ndarray | None:
    direction = rng.normal(size=3)
    offset_mm = direction / np.linalg.norm(direction) * rng.uniform(*SHIFT_MM)
    moved = shifted(labels.mask(structure), np.rint(offset_mm / np.asarray(volume.spacing_mm)).astype(int).tolist())
    return moved if moved.any() else None


def _with_mask(volume: Volume, labels: LabelMap, evidence: Evidence, structure: str, mask: np.ndarray) -> Evidence:
    """The evidence as it would be had an expert given this mask for the structure."""
    alone = LabelMap(mask.astype(np.uint8), labels.affine, {1: structure}, labels.source, labels.expert, labels.version)
    measured = list(measure(volume, alone, [structure]))
    # The midline is found from the body and the spine, which a lone mask lacks: the side is judged against the true one.
    side = next((m for m in measured if m.name == "side" and m.component is None), None)
    if side is not None and side.value is None:
        measured = [m for m in measured if m.name != "side"] + _sides(evidence, structure, mask, labels)
    return _replaced(evidence, structure, measured, Status.FOUND)


def _sides(evidence: Evidence, structure: str, mask: np.ndarray, labels: LabelMap) -> list[Measurement]:
    true = next((m for m in evidence.measurements if m.structure == structure and m.name == "side" and m.component is None), None)
    if true is None or not labels.mask("body").any():
        return []
    middle, place = (float((labels.affine @ [*np.argwhere(m).mean(axis=0), 1.0])[0]) for m in (labels.mask("body"), mask))
    return [true.model_copy(update={"value": "right" if place > middle else "left"})]


def _without(evidence: Evidence, structure: str) -> Evidence:
    return _replaced(evidence, structure, [], Status.ABSENT)


def _replaced(evidence: Evidence, structure: str, measured: Sequence[Measurement], status: Status) -> Evidence:
    """One structure's measurements exchanged, and everything derived anew."""
    derived = {m.id for m in derive(evidence.measurements)}
    kept = [m for m in evidence.measurements if m.structure != structure and m.id not in derived]
    numbers = (*kept, *measured)
    return replace(evidence, measurements=(*numbers, *derive(numbers)), statuses={**evidence.statuses, structure: status})


def _lines(evidence: Evidence, structure: str) -> tuple[str, ...]:
    return (prompt.evidence_line(evidence, structure), *prompt.derived_lines(evidence).get(structure, ()))


def _volume(evidence: Evidence, structure: str) -> float:
    item = evidence.find(structure, "volume")
    return float(item.value) if item is not None and isinstance(item.value, int | float) else 0.0


def _unlike(own_ml: float, other_ml: float) -> bool:
    return min(own_ml, other_ml) > 0 and max(own_ml, other_ml) / min(own_ml, other_ml) >= _UNLIKE


def _related(one: str, other: str) -> bool:
    """Whether one is a part of the other by name (`lungs` and `lung_left`, `kidney_tumour` and `kidney_tumour_left`)."""
    short, long = sorted((one.removesuffix("s"), other.removesuffix("s")), key=len)
    return long.startswith(short)
