"""Parts of an organ that a question can name: labelled segments where there are some, else thirds of the organ's extent.

Thirds are not Couinaud segments and are never called so: "right third of the liver" is what it says.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from data_prep.questions.facts import Box, Facts

_LABELLED = {
    "liver": {f"liver_segment_{i}": f"segment {i}" for i in range(1, 9)},
    "pancreas": {f"pancreas_{part}": f"{part} of the pancreas" for part in ("head", "body", "tail")},
    "lungs": {
        "lung_upper_lobe_right": "right upper lobe",
        "lung_middle_lobe_right": "right middle lobe",
        "lung_lower_lobe_right": "right lower lobe",
        "lung_upper_lobe_left": "left upper lobe",
        "lung_lower_lobe_left": "left lower lobe",
    },
}
# organ -> (axis of the canonical array, names of the thirds in growing index)
_THIRDS = {
    "liver": (2, ("left third of the liver", "middle third of the liver", "right third of the liver")),
    "pancreas": (2, ("left third of the pancreas", "middle third of the pancreas", "right third of the pancreas")),
    "kidney_left": (0, ("lower third of the left kidney", "middle third of the left kidney", "upper third of the left kidney")),
    "kidney_right": (0, ("lower third of the right kidney", "middle third of the right kidney", "upper third of the right kidney")),
    "brain": (1, ("posterior third of the brain", "middle third of the brain", "anterior third of the brain")),
}


def segment_masks(facts: "Facts", organ: str) -> "dict[str, tuple[Box, np.ndarray]]":
    """Segment name -> (box, mask inside it); empty where an organ has neither labelled segments nor a rule."""
    labelled = {}
    for structure, name in _LABELLED.get(organ, {}).items():
        found = facts.region(structure)
        if found is not None:
            labelled[name] = found
    if labelled:
        return labelled
    if organ == "kidney":
        return {**segment_masks(facts, "kidney_left"), **segment_masks(facts, "kidney_right")}
    found = facts.region(organ)
    if organ not in _THIRDS or found is None:
        return {}
    axis, names = _THIRDS[organ]
    box, mask = found
    edges = [round(i * mask.shape[axis] / 3) for i in range(4)]
    thirds = {}
    for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True):
        inner = [slice(0, n) for n in mask.shape]
        inner[axis] = slice(start, stop)
        z, y, x = (slice(b.start + i.start, b.start + i.stop) for b, i in zip(box, inner, strict=True))
        thirds[name] = ((z, y, x), mask[tuple(inner)])
    return thirds
