"""What follows from the measurements of lesions: share of the organ, density class, stage, contact with vessels."""

from collections.abc import Iterator, Sequence

from experts3d import thresholds as limits
from experts3d.anatomy import is_lesion, parent_organ
from experts3d.contacts import ARTERIES, PANCREAS_LESIONS, VEINS
from experts3d.facts import Facts
from vol3d.contracts import Measurement


def lesions(facts: Facts) -> Iterator[Measurement]:
    """Share of the organ, density class, stage and contact of every lesion that has a volume."""
    for lesion in dict.fromkeys(m.structure for m in facts.measurements if is_lesion(m.structure)):
        volume, organ = facts.number(lesion, "volume"), parent_organ(lesion)
        if not volume:
            continue
        if organ is not None:
            yield from _against_organ(facts, lesion, organ, volume)
        yield from _density_class(facts, lesion)
        yield from _stage(facts, lesion)
        yield from _contact(facts, lesion)
        yield from _outlier(facts, lesion)


def _against_organ(facts: Facts, lesion: str, organ: str, volume: float) -> Iterator[Measurement]:
    whole = facts.whole(organ)
    if whole:
        share = 100 * volume / whole
        method = f"{lesion} volume over {organ} volume, lesions included; over {limits.ADVANCED_BURDEN.value:.0f}% is advanced ({limits.ADVANCED_BURDEN.source})"
        yield facts.make(lesion, "burden", share, "%", method)
    inside, around = facts.hounsfield(lesion), facts.hounsfield(f"{organ}_parenchyma")
    if inside is None or around is None:
        return
    difference, margin = inside - around, limits.ISOATTENUATING_HU
    yield facts.make(lesion, "hu_difference_to_organ", difference, "HU", f"mean of {lesion} minus mean of {organ} without its lesions")
    word = "iso" if abs(difference) <= margin.value else "hyper" if difference > 0 else "hypo"
    yield facts.make(
        lesion, "attenuation", f"{word}attenuating", "", f"against {organ} without its lesions; iso within {margin.value:.0f} HU ({margin.source})"
    )


def _density_class(facts: Facts, lesion: str) -> Iterator[Measurement]:
    mean = facts.hounsfield(lesion)
    if mean is None or not lesion.startswith(("kidney_", "liver_cyst")):
        return
    low, high = limits.CYST_HU
    yield facts.make(
        lesion,
        "cyst_like_density",
        "yes" if low.value <= mean <= high.value else "no",
        "",
        f"mean HU {low.value:.0f} to {high.value:.0f} ({low.source})",
    )
    phase, dense = facts.unenhanced(), limits.HYPERATTENUATING_CYST_HU
    if phase is None or not lesion.startswith("kidney_"):
        return
    steps = ((low, "fatty"), (high, "simple cyst"), (dense, "indeterminate"))
    word = next((name for step, name in steps if mean < step.value or (step is not low and mean == step.value)), "hyperattenuating")
    method = f"mean HU: fatty below {low.value:.0f}, simple cyst to {high.value:.0f}, indeterminate to {dense.value:.0f} ({dense.source}); {phase}"
    yield facts.make(lesion, "renal_mass_density", word, "", method)


def _stage(facts: Facts, lesion: str) -> Iterator[Measurement]:
    longest = facts.number(lesion, "longest_axial_diameter")
    if longest is None or lesion not in PANCREAS_LESIONS:
        return
    stage = "T1" if longest <= limits.TUMOUR_T2_MM.value else "T2" if longest <= limits.TUMOUR_T3_MM.value else "T3"
    yield facts.make(lesion, "t_stage_by_size", stage, "", f"longest axial diameter only, vessels not judged ({limits.TUMOUR_T2_MM.source})")


def _contact(facts: Facts, lesion: str) -> Iterator[Measurement]:
    """Resectability from contact with vessels; nothing without a mask of one of the arteries, since no contact would then mean nothing."""
    if lesion not in PANCREAS_LESIONS:
        return
    arteries, veins = _widest(facts, lesion, ARTERIES), _widest(facts, lesion, VEINS)
    if not arteries:
        return
    limit = limits.ENCASED_DEGREES
    artery, vein = max(arteries.values()), max(veins.values(), default=0.0)
    word = "unresectable" if artery > limit.value else "borderline resectable" if artery > 0 or vein > limit.value else "resectable"
    seen = ", ".join(f"{name} {degrees:.0f}" for name, degrees in (arteries | veins).items())
    method = (
        f"contact in degrees: {seen}; an artery touched is borderline, one over {limit.value:.0f} unresectable, a vein over {limit.value:.0f} borderline "
        f"({limit.source}); vessels without a mask, spread and irregular veins not judged"
    )
    yield facts.make(lesion, "resectability_by_contact", word, "", method)
    if artery > 0:
        yield facts.make(
            lesion, "t_stage", "T4", "", f"touches an artery: {seen} ({limits.TUMOUR_T2_MM.source}); contact on CT is not proof of invasion"
        )


def _widest(facts: Facts, lesion: str, vessels: Sequence[str]) -> dict[str, float]:
    degrees = {vessel: facts.number(lesion, f"contact_angle_with_{vessel}") for vessel in vessels}
    return {vessel: value for vessel, value in degrees.items() if value is not None}


def _outlier(facts: Facts, lesion: str) -> Iterator[Measurement]:
    first, second = (facts.number(lesion, "volume", component) for component in (1, 2))
    count = facts.number(lesion, "num_components")
    if first and second and count and count >= 3:
        ratio = limits.OUTLIER_RATIO
        outlier = "yes" if first >= ratio.value * second else "no"
        yield facts.make(
            lesion, "dominant_lesion", outlier, "", f"at least 3 lesions and the largest {ratio.value:.0f} times the second ({ratio.source})"
        )
