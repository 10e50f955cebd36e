"""Where two experts disagree about one structure: found against absent, or volumes too far apart to be one thing."""

from collections.abc import Collection

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


def _disagree(old: Evidence, new: Evidence, structure: str) -> bool:
    statuses = {old.statuses[structure], new.statuses[structure]}
    if statuses == {Status.FOUND, Status.ABSENT}:
        return True
    small, large = sorted((_volume_ml(old, structure), _volume_ml(new, structure)))
    return statuses == {Status.FOUND} and small > 0 and large >= SMALLEST_ML and large / small >= UNLIKE_VOLUMES


def _volume_ml(evidence: Evidence, structure: str) -> float:
    item = evidence.find(structure, "volume")
    return float(item.value) if item is not None and isinstance(item.value, int | float) else 0.0
