"""MR (or CT) of the brain with a tumour mask: size, place, order of intensities."""

import numpy as np

from data_prep.questions.anatomy import LESION_CLASSES
from data_prep.questions.facts import Component, Facts
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.recognition import existence, whole_volume
from data_prep.questions.steps import computed, measured, segment

SIDES = ("left", "right", "both sides")
INTENSITIES = ("brighter", "similar", "darker")
_ONE_SIDED, _MARGIN = 0.8, 0.1


def brain(facts: Facts) -> Outcome:
    """All brain subtypes."""
    yield from existence(facts, "brain tumour existence", "brain tumour")
    whole = whole_volume(facts, "brain")
    if isinstance(whole, Skip):
        yield Skip("brain volume", "brain", whole.reason)
    else:
        yield Draft("brain volume", "brain", whole, (segment("brain"), measured("brain", "volume", whole, "cm3")), unit="cm3")
    parts = facts.components("brain tumour")
    if not parts:
        yield Skip("brain tumour volume", "brain", "no_lesion")
        return
    yield from _numbers(facts, parts)
    yield from _places(facts, parts[0])
    yield from _intensity(facts)
    if not isinstance(whole, Skip):
        own = facts.lesion_volume_ml(LESION_CLASSES["brain tumour"])
        steps = (measured("brain", "volume", whole, "cm3"), measured("brain_tumour", "volume", own, "cm3"))
        yield Draft("brain tumour burden", "brain", 100 * own / whole, steps, unit="%", decimals=2, lesion=True)


def _numbers(facts: Facts, parts: tuple[Component, ...]) -> Outcome:
    mask = segment("brain_tumour")
    count = float(len(parts))
    yield Draft("brain tumour counting", "brain", count, (mask, measured("brain_tumour", "num_components", count)), decimals=0, lesion=True)
    if any(part.touches_border for part in parts):
        yield from (Skip(s, "brain", "lesion_cut_off") for s in ("brain tumour volume", "brain tumour diameter", "brain tumour slice"))
        return
    total, longest = facts.lesion_volume_ml(LESION_CLASSES["brain tumour"]), parts[0].diameter_mm
    steps = (mask, measured("brain_tumour", "volume", total, "cm3"))
    yield Draft("brain tumour volume", "brain", total, steps, unit="cm3", decimals=2, lesion=True, lesion_diameter_mm=longest)
    steps = (mask, measured("brain_tumour", "longest_axial_diameter", longest, "mm"))
    yield Draft("brain tumour diameter", "brain", longest, steps, unit="mm", lesion=True, lesion_diameter_mm=longest)
    at = float(parts[0].slice_index)
    steps = (mask, computed("axial slice with most voxels of it, from inferior, from 0", at))
    yield Draft("brain tumour slice", "brain", at, steps, decimals=0, lesion=True, lesion_diameter_mm=longest)


def _places(facts: Facts, largest: Component) -> Outcome:
    brain_region, tumour = facts.region("brain"), facts.region(*LESION_CLASSES["brain tumour"].structures)
    if brain_region is None or tumour is None:
        yield from (Skip(s, "brain", "segments_not_labelled", "no brain mask") for s in ("brain tumour side", "brain tumour location"))
        return
    midline = (brain_region[0][2].start + brain_region[0][2].stop - 1) / 2
    x = np.nonzero(tumour[1])[2] + tumour[0][2].start
    right = float(np.mean(x > midline))
    if min(abs(right - _ONE_SIDED), abs(right - (1 - _ONE_SIDED))) < 0.02:
        yield Skip("brain tumour side", "brain", "near_threshold", f"{100 * right:.0f}% on the right")
    else:
        side = SIDES[1] if right > _ONE_SIDED else SIDES[0] if right < 1 - _ONE_SIDED else SIDES[2]
        steps = (segment("brain"), segment("brain_tumour"), computed("share on the right of the brain's middle", right))
        yield Draft("brain tumour side", "brain", side, steps, categories=SIDES, pool=("outside of the brain",), lesion=True)
    place = facts.segment_of(largest, "brain")
    if place is None:
        yield Skip("brain tumour location", "brain", "segments_not_labelled")
        return
    steps = (segment("brain"), segment("brain_tumour"), computed("third with most of its voxels", place))
    yield Draft(
        "brain tumour location", "brain", place, steps, categories=tuple(facts.segments("brain")), pool=("outside of the brain",), lesion=True
    )


def _intensity(facts: Facts) -> Outcome:
    names = LESION_CLASSES["brain tumour"].structures
    around = facts.mean("brain", without=names)
    found = facts.region(*names)
    if found is None or not around > 0:
        yield Skip("brain tumour intensity", "brain", "not_covered", "no brain around the tumour")
        return
    own = float(facts.image[found[0]][found[1]].mean(dtype=np.float64))
    ratio = own / around
    if min(abs(ratio - 1 - _MARGIN), abs(ratio - 1 + _MARGIN)) < 0.01:
        yield Skip("brain tumour intensity", "brain", "near_threshold", f"ratio {ratio:.2f}")
        return
    word = INTENSITIES[0] if ratio > 1 + _MARGIN else INTENSITIES[2] if ratio < 1 - _MARGIN else INTENSITIES[1]
    steps = (measured("brain_tumour", "mean_intensity", own), measured("brain", "mean_intensity_without_lesions", around), computed("ratio", ratio))
    yield Draft("brain tumour intensity", "brain", word, steps, categories=INTENSITIES, pool=("not visible",), lesion=True)
