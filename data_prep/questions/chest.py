"""Chest CT: nodules, effusions, emphysema, lobes, from masks."""

from collections.abc import Sequence

import numpy as np

from data_prep.questions.anatomy import LESION_CLASSES, words
from data_prep.questions.facts import Component, Facts
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.recognition import existence, near, whole_volume
from data_prep.questions.steps import computed, measured, rule, segment
from experts3d.thresholds import EMPHYSEMA_HU
from vol3d.contracts import Status

FLEISCHNER = ("under 6 mm", "6 to 8 mm", "over 8 mm")
EFFUSION_GRADES = ("small", "moderate", "large")
SIDES = ("left", "right", "both sides")
LUNGS = ("left lung", "right lung")
_EFFUSION_ML = (300.0, 1000.0)
_LOBES = ("lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right")


def present(facts: Facts, subtype: str, organ: str, names: Sequence[str], host: str) -> Outcome:
    """Existence of a finding that is no lesion class: yes with a voxel; no where it was looked for and the host is whole."""
    if any(facts.found(name) for name in names):
        yield Draft(subtype, organ, True, tuple(segment(name) for name in names if facts.found(name)), lesion=True)
    elif not any(facts.status(name) is Status.ABSENT for name in names):
        yield Skip(subtype, organ, "class_not_labelled")
    elif isinstance(whole := whole_volume(facts, host), Skip):
        yield Skip(subtype, organ, whole.reason)
    else:
        yield Draft(subtype, organ, False, (segment(host), computed("voxels of the finding", 0.0)), lesion=True)


def existences(facts: Facts) -> Outcome:
    """Five findings."""
    yield from existence(facts, "lung nodule existence", "lung nodule")
    yield from existence(facts, "consolidation existence", "consolidation")
    effusions = ("pleural_effusion", "pleural_effusion_left", "pleural_effusion_right")
    yield from present(facts, "pleural effusion existence", "pleura", effusions, "lungs")
    yield from present(facts, "pericardial effusion existence", "heart", ("pericardial_effusion",), "heart")
    yield from present(facts, "coronary calcification existence", "heart", ("coronary_calcification",), "heart")


def nodules(facts: Facts) -> Outcome:
    """Number, size, lobe and follow-up class of nodules."""
    parts = facts.components("lung nodule")
    if not parts:
        yield from (Skip(s, "lungs", "no_lesion") for s in ("lung nodule counting", "largest nodule diameter", "nodule lobe", "nodule follow-up"))
        return
    first = parts[0]
    count = measured("lung_nodule", "num_components", float(len(parts)))
    yield Draft("lung nodule counting", "lungs", float(len(parts)), (segment("lung_nodule"), count), decimals=0, lesion=True)
    if first.touches_border:
        yield Skip("largest nodule diameter", "lungs", "lesion_cut_off")
        return
    diameter = measured("lung_nodule", "longest_axial_diameter", first.diameter_mm, "mm")
    chain = (segment("lung_nodule"), diameter)
    yield Draft("largest nodule diameter", "lungs", first.diameter_mm, chain, unit="mm", lesion=True, lesion_diameter_mm=first.diameter_mm)
    yield _lobe(facts, first)
    yield _follow_up(facts)


def _lobe(facts: Facts, first: Component) -> Draft | Skip:
    lobes = [lobe for lobe in _LOBES if facts.found(lobe)]
    inside = facts.segment_of(first, "lungs")
    reached = sorted((mm, lobe) for lobe, mm in facts.distances_mm(first, lobes, reach_mm=20.0).items())
    if inside is None and (not reached or (len(reached) > 1 and reached[1][0] - reached[0][0] < 3.0)):
        return Skip("nodule lobe", "lungs", "too_similar", "two lobes are about equally near, or none is")
    lobe = inside or words(reached[0][1])
    steps = (segment("lung_nodule"), *(segment(name) for name in lobes), computed("lobe that holds it or is nearest", lobe))
    return Draft(
        "nodule lobe",
        "lungs",
        lobe,
        steps,
        categories=tuple(words(n) for n in lobes),
        pool=("outside of the lungs", "in the trachea"),
        lesion=True,
        lesion_diameter_mm=first.diameter_mm,
    )


def _follow_up(facts: Facts) -> Draft | Skip:
    subtype, solid = "nodule follow-up", facts.components("solid lung nodule")
    if not solid or solid[0].touches_border:
        return Skip(subtype, "lungs", "no_lesion", "no whole solid nodule")
    mean_mm = (solid[0].diameter_mm + solid[0].perpendicular_mm) / 2
    if any(abs(mean_mm - bound) < 0.25 for bound in (6.0, 8.0)):
        return Skip(subtype, "lungs", "near_threshold", f"{mean_mm:.1f} mm")
    size = FLEISCHNER[(mean_mm >= 6.0) + (mean_mm > 8.0)]
    steps = (segment("lung_nodule"), computed("mean of long and short axis (mm)", mean_mm), rule("Fleischner 2017: 6 and 8 mm"))
    pool = ("not measurable",)
    return Draft(subtype, "lungs", size, steps, categories=FLEISCHNER, pool=pool, lesion=True, lesion_diameter_mm=solid[0].diameter_mm)


def effusions(facts: Facts) -> Outcome:
    """Side, volume and grade of pleural effusion; the lungs' bases must be in the scan."""
    sides = {side: facts.volume_ml(f"pleural_effusion_{side}") for side in ("left", "right")}
    total = sum(sides.values())
    asked = ("pleural effusion side", "pleural effusion volume", "pleural effusion grading")
    if total == 0:
        yield from (Skip(s, "pleura", "no_lesion", "no sided effusion mask") for s in asked)
        return
    low, high = min(sides.values()), max(sides.values())
    masks = tuple(segment(f"pleural_effusion_{side}") for side, ml in sides.items() if ml > 0)
    numbers = tuple(measured(f"pleural_effusion_{side}", "volume", ml, "ml") for side, ml in sides.items())
    if 0 < low < 0.05 * high:
        yield Skip(asked[0], "pleura", "near_threshold", "one side holds under 5% of the other")
    else:
        side = SIDES[2] if low > 0 else SIDES[0] if sides["left"] else SIDES[1]
        yield Draft(asked[0], "pleura", side, (*masks, *numbers), categories=SIDES, pool=("there is none",), lesion=True)
    if facts.is_cut("pleural_effusion_left", "pleural_effusion_right"):
        yield from (Skip(s, "pleura", "lesion_cut_off") for s in asked[1:])
        return
    yield Draft(asked[1], "pleura", total, (*masks, *numbers, computed("sum", total)), unit="ml", lesion=True)
    if any(near(high, bound) for bound in _EFFUSION_ML):
        yield Skip(asked[2], "pleura", "near_threshold", f"{high:.0f} ml")
    else:
        grade = EFFUSION_GRADES[sum(high >= bound for bound in _EFFUSION_ML)]
        yield Draft(asked[2], "pleura", grade, (*masks, *numbers, rule("300 and 1000 ml")), categories=EFFUSION_GRADES, pool=("absent",), lesion=True)


def lungs(facts: Facts) -> Outcome:
    """Emphysema index, larger lung, largest lobe, consolidation."""
    found = facts.region("lungs")
    if found is None or not facts.is_ct:
        yield Skip("emphysema index", "lungs", "not_covered" if found is None else "modality")
        return
    if facts.is_cut("lungs"):
        yield from (Skip(s, "lungs", "organ_cut_off") for s in ("emphysema index", "lung volume comparison", "largest lobe", "consolidation share"))
        return
    box, mask = found
    share = 100 * float(np.count_nonzero(facts.image[box][mask] < EMPHYSEMA_HU.value)) / int(mask.sum())
    steps = (segment("lungs"), computed("100 x voxels below -950 HU / voxels", share), rule(EMPHYSEMA_HU.source))
    yield Draft("emphysema index", "lungs", share, steps, unit="%", decimals=2)
    yield from _larger(facts, "lung volume comparison", ("lung_left", "lung_right"), ("equal within 0.1%", "only one lung is there"))
    yield from _larger(facts, "largest lobe", _LOBES, ())
    own = facts.lesion_volume_ml(LESION_CLASSES["consolidation"])
    if own == 0:
        yield Skip("consolidation share", "lungs", "no_lesion")
        return
    both = facts.volume_ml("lungs", "consolidation")
    numbers = (measured("consolidation", "volume", own, "cm3"), measured("lungs", "volume_with_consolidation", both, "cm3"))
    yield Draft("consolidation share", "lungs", 100 * own / both, (segment("consolidation"), *numbers), unit="%", decimals=2, lesion=True)


def _larger(facts: Facts, subtype: str, structures: Sequence[str], pool: tuple[str, ...]) -> Outcome:
    volumes = [(facts.volume_ml(name), name) for name in structures if facts.found(name)]
    if len(volumes) < len(structures):
        yield Skip(subtype, "lungs", "segments_not_labelled")
        return
    (second, _), (first, name) = sorted(volumes)[-2:]
    if first - second < 0.03 * first:
        yield Skip(subtype, "lungs", "too_similar")
        return
    steps = tuple(measured(other, "volume", ml, "cm3") for ml, other in volumes)
    yield Draft(subtype, "lungs", words(name), steps, categories=tuple(words(other) for other in structures), pool=pool)


def chest(facts: Facts) -> Outcome:
    """All chest subtypes."""
    for family in (existences, nodules, effusions, lungs):
        yield from family(facts)
