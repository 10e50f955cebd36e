"""Visual reasoning about lesions: how many, where, how dense against the organ, next to what, spread how."""

from collections import Counter

from data_prep.questions.anatomy import LESION_CLASSES, NEIGHBOURS, words
from data_prep.questions.facts import Component, Facts
from data_prep.questions.measurement import MEASURED
from data_prep.questions.model import Draft, Outcome, Skip
from data_prep.questions.recognition import near
from data_prep.questions.steps import computed, measured, rule, segment
from experts3d.thresholds import ISOATTENUATING_HU, OUTLIER_RATIO

COUNTED = ("liver tumour", "liver cyst", "kidney tumour", "kidney cyst", "pancreatic lesion", "colon lesion")
ATTENUATIONS = ("hypoattenuating", "isoattenuating", "hyperattenuating")
SPREADS = ("highly clustered", "somewhat clustered", "widely distributed")
_UNIQUE_MM = 3.0


def counting(facts: Facts) -> Outcome:
    """Number of components."""
    for name in COUNTED:
        organ, parts = LESION_CLASSES[name].host, facts.components(name)
        if not parts:
            yield Skip("lesion counting", organ, "no_lesion", name)
            continue
        steps = (segment(name), measured(name, "num_components", float(len(parts))))
        yield Draft(
            "lesion counting", organ, float(len(parts)), steps, {"lesion": name}, decimals=0, lesion=True, lesion_diameter_mm=parts[0].diameter_mm
        )


def count_by_location(facts: Facts) -> Outcome:
    """Components per segment; every segment of an organ with lesions is asked, also the empty ones."""
    subtype = "lesion count by location"
    for name in ("liver lesion", "kidney lesion", "pancreatic lesion"):
        organ, parts = LESION_CLASSES[name].host, facts.components(name)
        if not parts:
            yield Skip(subtype, organ, "no_lesion")
            continue
        places = [facts.segment_of(part, organ) for part in parts]
        if None in places or not facts.segments(organ):
            yield Skip(subtype, organ, "segments_not_labelled", "a lesion lies in no segment, or evenly in two")
            continue
        for place in facts.segments(organ):
            count = float(places.count(place))
            steps = (segment(name), segment(place), computed(f"{name}s whose main part lies in the {place}", count))
            yield Draft(subtype, organ, count, steps, {"lesion": name, "segment": place}, decimals=0, lesion=True)


def _largest(facts: Facts, subtype: str, name: str) -> Component | Skip:
    parts = facts.components(name)
    organ = LESION_CLASSES[name].host
    if not parts:
        return Skip(subtype, organ, "no_lesion")
    if parts[0].touches_border:
        return Skip(subtype, organ, "lesion_cut_off")
    if len(parts) > 1 and near(parts[1].volume_ml, parts[0].volume_ml):
        return Skip(subtype, organ, "too_similar", "the two largest lesions differ by less than 2%")
    return parts[0]


def _host(facts: Facts, name: str, part: Component) -> str:
    lesion = LESION_CLASSES[name]
    side = facts.side_of(part, lesion) if lesion.host == "kidney" else None
    return f"{lesion.host}_{side}" if side else lesion.host


def largest(facts: Facts) -> Outcome:
    """Diameter, slice, place, density and neighbour of the largest lesion of each class."""
    for name in MEASURED:
        for ask in (_diameter, _slice, _difference, _location, _attenuation, _neighbour):
            yield from ask(facts, name)


def _diameter(facts: Facts, name: str) -> Outcome:
    subtype, organ = "largest lesion diameter", LESION_CLASSES[name].host
    part = _largest(facts, subtype, name)
    if isinstance(part, Skip):
        yield part
        return
    steps = (segment(name), measured(name, "longest_axial_diameter", part.diameter_mm, "mm"))
    yield Draft(subtype, organ, part.diameter_mm, steps, {"lesion": name}, unit="mm", lesion=True, lesion_diameter_mm=part.diameter_mm)


def _slice(facts: Facts, name: str) -> Outcome:
    subtype, organ = "largest lesion slice", LESION_CLASSES[name].host
    part = _largest(facts, subtype, name)
    if isinstance(part, Skip):
        yield part
        return
    steps = (segment(name), computed("axial slice with most voxels of it, from inferior, from 0", float(part.slice_index)))
    yield Draft(subtype, organ, float(part.slice_index), steps, {"lesion": name}, decimals=0, lesion=True, lesion_diameter_mm=part.diameter_mm)


def _against(facts: Facts, name: str, part: Component) -> tuple[str, float] | None:
    """Host and the mean of its parenchyma, where there is enough of it."""
    host, lesion = _host(facts, name, part), LESION_CLASSES[name]
    around = facts.mean(host, without=lesion.structures)
    return (host, around) if around == around else None


def _difference(facts: Facts, name: str) -> Outcome:
    subtype, organ = "tumor organ HU difference", LESION_CLASSES[name].host
    part = _largest(facts, subtype, name)
    around = None if isinstance(part, Skip) else _against(facts, name, part)
    if isinstance(part, Skip):
        yield part
    elif not facts.is_ct:
        yield Skip(subtype, organ, "modality")
    elif around is None:
        yield Skip(subtype, organ, "not_covered")
    else:
        host, mean = around
        value = part.mean - mean
        steps = (
            segment(name),
            segment(host),
            measured(name, "mean_intensity", part.mean, "HU"),
            measured(host, "mean_intensity_without_lesions", mean, "HU"),
        )
        yield Draft(
            subtype, organ, value, (*steps, computed("lesion - organ", value)), {"lesion": name, "organ": words(host)}, unit="HU", lesion=True,
            lesion_diameter_mm=part.diameter_mm,
        )  # fmt: skip


def _location(facts: Facts, name: str) -> Outcome:
    subtype, organ = "largest lesion location", LESION_CLASSES[name].host
    part = _largest(facts, subtype, name)
    place = None if isinstance(part, Skip) else facts.segment_of(part, organ)
    if isinstance(part, Skip):
        yield part
    elif place is None:
        yield Skip(subtype, organ, "segments_not_labelled")
    else:
        names = tuple(facts.segments(organ))
        steps = (segment(name), segment(organ), computed("segment with most of its voxels", place))
        shown = "kidneys" if organ == "kidney" else words(organ)
        yield Draft(
            subtype,
            organ,
            place,
            steps,
            {"lesion": name, "organ": shown},
            categories=names,
            pool=(f"outside of the {shown}",),
            lesion=True,
            lesion_diameter_mm=part.diameter_mm,
        )


def _attenuation(facts: Facts, name: str) -> Outcome:
    subtype, organ, margin = "largest lesion attenuation", LESION_CLASSES[name].host, ISOATTENUATING_HU.value
    part = _largest(facts, subtype, name)
    around = None if isinstance(part, Skip) else _against(facts, name, part)
    if isinstance(part, Skip):
        yield part
    elif not facts.is_ct:
        yield Skip(subtype, organ, "modality")
    elif around is None:
        yield Skip(subtype, organ, "not_covered")
    elif abs(abs(part.mean - around[1]) - margin) < 1.0:
        yield Skip(subtype, organ, "near_threshold", f"{part.mean - around[1]:.1f} HU")
    else:
        host, mean = around
        difference = part.mean - mean
        word = ATTENUATIONS[1] if abs(difference) <= margin else ATTENUATIONS[2] if difference > 0 else ATTENUATIONS[0]
        steps = (
            segment(name), segment(host), measured(name, "mean_intensity", part.mean, "HU"),
            measured(host, "mean_intensity_without_lesions", mean, "HU"), rule(f"iso within {margin:.0f} HU ({ISOATTENUATING_HU.source})"),
        )  # fmt: skip
        slots = {"lesion": name, "organ": words(host)}
        yield Draft(
            subtype,
            organ,
            word,
            steps,
            slots,
            categories=ATTENUATIONS,
            pool=("same density as air",),
            lesion=True,
            lesion_diameter_mm=part.diameter_mm,
        )


def _neighbour(facts: Facts, name: str) -> Outcome:
    subtype, organ = "adjacent organ", LESION_CLASSES[name].host
    part = _largest(facts, subtype, name)
    if isinstance(part, Skip):
        yield part
        return
    host = _host(facts, name, part)
    reached = sorted((mm, other) for other, mm in facts.distances_mm(part, [o for o in NEIGHBOURS if o not in (host, organ)]).items())
    if not reached:
        yield Skip(subtype, organ, "not_covered", "no other organ within 60 mm")
        return
    if len(reached) > 1 and reached[1][0] - reached[0][0] < _UNIQUE_MM:
        yield Skip(subtype, organ, "too_similar", f"{reached[0][1]} and {reached[1][1]} are about equally near")
        return
    near_mm, nearest = reached[0]
    steps = (segment(name), segment(nearest), measured(nearest, "distance_to_lesion", near_mm, "mm"))
    others = tuple(words(other) for other in NEIGHBOURS if other not in (host, organ) and facts.found(other))
    yield Draft(
        subtype, organ, words(nearest), steps, {"lesion": name, "organ": words(host)}, categories=others, pool=("urinary bladder", "heart"), lesion=True,
        lesion_diameter_mm=part.diameter_mm,
    )  # fmt: skip


def outlier(facts: Facts) -> Outcome:
    """One lesion much larger than the rest."""
    for name in ("liver lesion", "kidney lesion", "pancreatic lesion"):
        organ, parts = LESION_CLASSES[name].host, facts.components(name)
        if len(parts) < 2:
            yield Skip("lesion outlier", organ, "no_lesion", "fewer than two lesions")
            continue
        ratio = parts[0].volume_ml / parts[1].volume_ml
        if len(parts) >= 3 and near(ratio, OUTLIER_RATIO.value):
            yield Skip("lesion outlier", organ, "near_threshold", f"ratio {ratio:.2f}")
            continue
        steps = (
            segment(name), measured(name, "num_components", float(len(parts))), computed("largest / second largest volume", ratio),
            rule(f"outlier: at least 3 lesions, ratio at least {OUTLIER_RATIO.value:.0f} ({OUTLIER_RATIO.source})"),
        )  # fmt: skip
        truth = len(parts) >= 3 and ratio >= OUTLIER_RATIO.value
        yield Draft("lesion outlier", organ, truth, steps, {"lesion": name}, lesion=True, lesion_diameter_mm=parts[0].diameter_mm)


def clustering(facts: Facts) -> Outcome:
    """Spread of liver lesions over segments."""
    subtype, parts = "liver lesion clustering", facts.components("liver lesion")
    if len(parts) < 3:
        yield Skip(subtype, "liver", "no_lesion", "fewer than three lesions have no spread")
        return
    places = [facts.segment_of(part, "liver") for part in parts]
    if None in places:
        yield Skip(subtype, "liver", "segments_not_labelled", "a lesion lies in no segment, or evenly in two")
        return
    counts = [count for _, count in Counter(places).most_common()]
    top, two = counts[0] / len(parts), sum(counts[:2]) / len(parts)
    word = SPREADS[0] if top > 0.5 else SPREADS[1] if two >= 0.75 else SPREADS[2]
    steps = (segment("liver lesion"), computed("share of lesions in the fullest segment", top), computed("share in the fullest two", two))
    yield Draft(
        subtype, "liver", word, steps, categories=SPREADS, pool=("a single lesion only",), lesion=True, lesion_diameter_mm=parts[0].diameter_mm
    )


def lesions(facts: Facts) -> Outcome:
    """All subtypes about lesions' number, place, density and spread."""
    for family in (counting, count_by_location, largest, outlier, clustering):
        yield from family(facts)
