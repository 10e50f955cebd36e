"""Why evidence may be wrong, in words: two experts disagree about a structure, or the model finds it at odds with the image."""

from collections.abc import Collection, Sequence

from vol3d.contracts import Evidence, Status
from vol3d.vlm import prompt

# Two segmentations of one organ seldom differ by more than a quarter in volume; training for doubt starts at 1.4.
UNLIKE_VOLUMES = 1.4
# Below this a few voxels of partial volume decide.
SMALLEST_ML = 1.0


def conflicts_between(old: Evidence, new: Evidence, *, believed: Collection[str] = ()) -> dict[str, str]:
    """Structures on which two pieces of evidence disagree, with the line of the one that is not believed.

    Args:
        old, new: evidence of two experts on one scan.
        believed: structures for which the old evidence stands; for all others the new one does.

    """
    both = [s for s in old.statuses if s in new.statuses and _disagree(old, new, s)]
    return {s: prompt.evidence_line(new if s in believed else old, s) for s in both}


def doubt(evidence: Evidence, structures: Sequence[str]) -> str:
    """The model's doubt in words, with the commonest innocent reason where it applies: a part of an organ measures like no whole one."""
    cut = [prompt.words(s) for s in structures if is_cut_off(evidence, s)]
    reason = f"; the scan cuts off {' and '.join(cut)}, which may be why" if cut else ""
    return f"the model finds that it does not fit the image{reason}"


def is_cut_off(evidence: Evidence, structure: str) -> bool:
    """Whether a structure reaches the border of the scan."""
    item = evidence.find(structure, "touches_border")
    return item is not None and item.value == 1


def _disagree(old: Evidence, new: Evidence, structure: str) -> bool:
    statuses = {old.statuses[structure], new.statuses[structure]}
    if statuses == {Status.FOUND, Status.ABSENT}:
        return True
    small, large = sorted((_volume_ml(old, structure), _volume_ml(new, structure)))
    return statuses == {Status.FOUND} and small > 0 and large >= SMALLEST_ML and large / small >= UNLIKE_VOLUMES


def _volume_ml(evidence: Evidence, structure: str) -> float:
    item = evidence.find(structure, "volume")
    return float(item.value) if item is not None and isinstance(item.value, int | float) else 0.0
